"""Measures of an audit against their definitions, and against what must not move them."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ganstoch.auditing.coverage import coverage
from ganstoch.auditing.distribution_shift import distribution_shift, median_interval
from ganstoch.auditing.evidence import Evidence, SpaceEvidence
from ganstoch.auditing.measures import fidelity, measures_of
from ganstoch.auditing.repeats import repeated_images, same_below, support_size
from ganstoch.auditing.report import MEASURE_GROUPS, measure_group
from ganstoch.auditing.searches import Space, sample_ids, search, take
from ganstoch.metrics.cmmd import cmmd
from ganstoch.metrics.features import Extractor, Pixels
from ganstoch.metrics.fid import frechet_distance
from ganstoch.metrics.fld import fld
from ganstoch.metrics.l2_memorization import l2_memorization
from ganstoch.metrics.membership import membership
from ganstoch.metrics.memorized_fraction import memorized_fraction
from ganstoch.metrics.mifid import cosine_distance, mifid
from ganstoch.metrics.mind import mind
from ganstoch.metrics.overfitting import OverfittingModeDrop
from ganstoch.metrics.prdc import PRDC
from ganstoch.metrics.vendi import vendi_score
from ganstoch.types import Norm

Measured = Callable[..., SpaceEvidence]


class Projected(Extractor):
    """Pixels through a fixed matrix, in place of a network."""

    name = "projected_l2"
    norm: Norm = "l2"

    def __call__(self, images: Tensor) -> Tensor:
        rng = torch.Generator().manual_seed(0)
        matrix = torch.randn(images[0].numel(), 6, generator=rng)
        return (images.flatten(1).float() @ matrix / 255).relu()

    def logits(self, features: Tensor) -> Tensor:
        return features[:, :4]


@pytest.fixture(scope="session")
def measured(evidence: Callable[..., Evidence]) -> Measured:
    """The one space of an audit."""

    def measured(*arguments: Any, **options: Any) -> SpaceEvidence:
        (space,) = evidence(*arguments, **options).spaces
        return space

    return measured


def distances(query: Tensor, bank: Tensor) -> Tensor:
    """Mean absolute differences of bytes, (Q, B)."""
    rows = query.flatten(1).double(), bank.flatten(1).double()
    apart: Tensor = torch.cdist(rows[0], rows[1], p=1) / query[0].numel()
    return apart


def space_of(
    real: Tensor,
    generated: Tensor,
    held_out: Tensor | None = None,
    extractor: Extractor | None = None,
) -> Space:
    extract = extractor or Pixels()
    return Space(
        extractor=extract,
        real=extract(real),
        generated=extract(generated),
        held_out=None if held_out is None else extract(held_out),
        seed=0,
    )


@pytest.mark.parametrize("held_out", [497, 600, None])
def test_a_name_is_one_quantity(split: Any, measured: Measured, held_out: int | None) -> None:
    digits = split(train=600, fresh=500, held_out=600)
    if held_out is not None:
        digits = dataclasses.replace(digits, held_out=digits.held_out[:held_out])
    space = measured(digits, digits.fresh, held_out=held_out is not None)
    measures = measures_of(space)
    for metric in (OverfittingModeDrop("pixel", queries="all"), PRDC("pixel")):
        metric.update(digits.train, real=True)
        metric.update(digits.fresh, real=False)
        for name, value in metric.compute().items():
            assert measures[name].value == pytest.approx(value.item()), name
    assert (measures["mode_drop/pixel_l1/mean"].baseline is not None) == (held_out == 600)
    assert ("prdc_thinned/pixel_l1/recall" in measures) == (held_out != 600)
    if held_out is not None:
        unseen = distances(digits.held_out, digits.train).amin(1).mean().item()
        assert measures["overfitting/pixel_l1/mean"].baseline == pytest.approx(unseen)


def test_blocks_hold_equally_many_images(split: Any) -> None:
    digits = split()
    searches = search(space_of(digits.train, digits.fresh, digits.held_out[:60]))
    assert searches.size == 60
    assert len(searches.reach_generated) == 8
    assert len(searches.reach_real) == 1
    # 500 images in blocks of 60, and what is left is searched for the whole set's distance.
    least = torch.stack(searches.reach_generated).amin(0)
    assert (searches.pairs.mode_drop.neighbours.distances <= least).all()
    assert (searches.pairs.mode_drop.neighbours.distances < least).any()


@pytest.mark.parametrize("few", [100, 497])
def test_set_sizes_are_no_mode_drop(split: Any, measured: Measured, few: int) -> None:
    digits = split()
    digits = dataclasses.replace(digits, held_out=digits.held_out[:few])
    measures = measures_of(measured(digits, digits.fresh))
    for statistic in ("mean", "worst10", "worst5"):
        measure = measures[f"mode_drop_thinned/pixel_l1/{statistic}"]
        assert measure.value == pytest.approx(measure.baseline, rel=0.06)
    for part in ("precision", "recall", "coverage"):
        measure = measures[f"prdc_thinned/pixel_l1/{part}"]
        assert measure.value == pytest.approx(measure.baseline, abs=0.12)
    # Without thinning the nearest of 500 is much nearer than the nearest of 100.
    whole = measures["mode_drop/pixel_l1/mean"].value
    if few == 100:
        assert whole < 0.9 * measures["mode_drop_thinned/pixel_l1/mean"].value


def test_without_held_out_images_training_images_stand_in(split: Any, measured: Measured) -> None:
    digits = split()
    space = measured(digits, digits.fresh, held_out=False)
    measures = measures_of(space)
    forth, back = measures["overfitting/pixel_l1/mean"], measures["mode_drop_thinned/pixel_l1/mean"]
    apart = distances(digits.train, digits.train).fill_diagonal_(torch.inf)
    nearest = apart.amin(1).mean().item()
    assert forth.baseline is not None
    assert nearest <= forth.baseline <= 1.02 * nearest  # past a few near-duplicates
    assert forth.value == pytest.approx(forth.baseline, rel=0.06)
    assert back.value == pytest.approx(back.baseline, rel=0.06)
    assert 380 <= len(space.searches.from_ids) <= 420
    assert space.train_vs_held_out is None
    assert not any(name.startswith(("ct/", "train_vs_held_out")) for name in measures)


def test_every_measure_moves_the_right_way(split: Any, make: Any, measured: Measured) -> None:
    digits = split()
    scenarios = ("held out", "copy a tenth", "copy all", "drop half", "noise")
    of = {
        name: {
            key.replace("/pixel_l1", ""): measure.value
            for key, measure in measures_of(measured(digits, make(name, digits))).items()
        }
        for name in scenarios
    }
    none, some, copies, half, noise = (of[name] for name in scenarios)
    for key in ("overfitting/mean", "authpct", "ct/z"):
        assert none[key] > some[key] > copies[key]
    for key in ("copied", "replication"):
        assert none[key] + 0.05 < some[key] < copies[key] - 0.5
    shares = [each["copied"] for each in (none, some, copies)]
    assert shares == pytest.approx([0.0, 0.1, 1.0], abs=0.03)
    assert copies["overfitting/worst5"] == 0
    for key in ("missed", "mode_drop/mean", "mode_drop/worst10"):
        assert half[key] > 1.25 * none[key]
    for key in ("prdc/recall", "prdc/coverage"):
        assert half[key] < none[key] - 0.15
    assert half["prdc/precision"] > 0.9
    assert noise["prdc/precision"] == 0
    assert noise["median_ratio"] > 3
    assert noise["authpct"] > 90


def test_noise_on_images_is_no_mode_drop(split: Any) -> None:
    digits = split()
    rng = torch.Generator().manual_seed(0)
    noisy = digits.fresh + 25 * torch.randn(digits.fresh.shape, generator=rng)
    space = space_of(digits.train, noisy.clamp(0, 255).byte(), digits.held_out)
    searches = search(space)
    ratio = distribution_shift(searches).median_ratio
    assert ratio > 1.2
    assert coverage(space, searches, median_ratio=1.0).rate > 0.1
    assert coverage(space, searches, median_ratio=ratio).rate < 0.02


def test_twins_lie_nearer_to_each_other_than_to_the_data(split: Any) -> None:
    digits = split(train=1000, fresh=500, held_out=297)
    images = digits.fresh[torch.arange(500) // 2].clamp(max=254)
    images[1::2] += 1
    twins = repeated_images(space_of(digits.train, images, digits.held_out))
    assert twins.share == 1.0
    assert 0.4 < twins.baseline < 0.6
    assert twins.ids.tolist() == list(range(500))
    # Twins are flagged together: each counts for half.
    assert (twins.excess.count, twins.excess.total) == (250, 250)
    assert twins.excess.p_value < 1e-9
    assert twins.sure < twins.interval[0] < twins.share <= twins.interval[1]
    copies = repeated_images(space_of(digits.train, digits.train[:500], digits.held_out))
    assert copies.share < 0.5
    assert copies.excess.p_value > 0.1


@pytest.mark.parametrize(("doubled", "change"), [(0, 0), (200, 0), (600, 0), (600, 3)])
def test_near_duplicates_in_the_data_are_no_distance(doubled: int, change: int, split: Any) -> None:
    digits = split(train=600, fresh=500, held_out=500)
    again = digits.train[:doubled].clone()
    again[:, :, 0, 0] = (again[:, :, 0, 0].int() + change).clamp(max=255).byte()
    shift = distribution_shift(search(space_of(torch.cat([digits.train, again]), digits.fresh)))
    assert shift.median_ratio == pytest.approx(1.0, abs=0.1)
    assert 0 <= shift.interval[0] <= shift.median_ratio <= shift.interval[1]
    assert shift.far.p_value > 0.01


def test_missed_images_are_those_of_the_classes_left_out(split: Any, make: Any) -> None:
    digits = split()
    space = space_of(digits.train, make("drop half", digits), digits.held_out)
    covered = coverage(space, search(space), median_ratio=1.0, labels=digits.names)
    assert covered.p_value < 0.001
    assert (digits.labels[covered.ids] >= 5).double().mean() > 0.95
    assert (digits.labels[covered.order[:20]] >= 5).all()
    shares = torch.tensor([covered.classes[str(digit)] for digit in range(10)]).double()
    assert shares[6:8].min() > 0.3
    assert shares[:5].max() < 0.1
    # Classes weighed by their size make up the whole.
    sizes = torch.bincount(digits.labels, minlength=10).double()
    assert (sizes * shares).sum() / sizes.sum() == pytest.approx(covered.rate)
    assert covered.missed.low <= covered.missed.estimate <= covered.missed.high


@pytest.mark.parametrize(("different", "low", "high"), [(1, 1, 1.2), (10, 5, 20), (40, 20, 80)])
def test_support_of_different_images(split: Any, different: int, low: float, high: float) -> None:
    digits = split()
    again = digits.fresh[torch.arange(500) % different]
    space = space_of(digits.train, again, digits.held_out)
    below = same_below(space, search(space).left_out.neighbours)
    support = support_size(space, space.generated, threshold=below, part="generated")
    assert low <= support.estimate <= high
    assert support.low <= different <= support.high
    assert space.held_out is not None
    assert support_size(space, space.held_out, threshold=below, part="real").low > 1000


def test_frechet_and_its_charge(split: Any, make: Any) -> None:
    digits, extract = split(), Projected()
    alone = space_of(digits.train, digits.fresh, None, extract)
    measures = dict(fidelity(alone))
    plain = frechet_distance(alone.real, alone.generated)
    assert measures["fid"].value == pytest.approx(plain)
    assert measures["fid"].baseline is None
    # Without held-out images nobody knows which cosine distance is small in this space.
    assert "mifid" not in measures
    space = space_of(digits.train, make("copy one", digits), digits.held_out, extract)
    measures = dict(fidelity(space))
    epsilon = cosine_distance(extract(digits.held_out), space.real) / 2
    charged = mifid(space.real, space.generated, epsilon=epsilon).value
    assert measures["mifid"].value == pytest.approx(charged, rel=1e-6)
    assert measures["mifid"].value > 1000 * measures["fid"].value
    # 497 held-out images for 500 generated ones: a baseline of as many, under another name.
    assert measures["fid"].baseline is None
    assert measures["fid_thinned"].baseline is not None
    measures = dict(fidelity(dataclasses.replace(space, generated=space.real[:400])))
    assert measures["kid"].baseline is not None
    assert measures["kid"].value < measures["kid"].baseline
    assert measures["cosine"].value == pytest.approx(0, abs=1e-12)
    assert "fid_thinned" not in measures
    # Real images in the generator's place are charged for nothing.
    measures = dict(fidelity(dataclasses.replace(space, generated=alone.generated)))
    assert measures["mifid"].value == measures["fid"].value
    assert not dict(fidelity(space_of(digits.train, digits.fresh)))


class Embedded(Projected):
    name = "clip_b32_l2"


def test_copies_memberships_and_densities_are_those_of_the_metrics(
    split: Any, make: Any, measured: Measured
) -> None:
    digits, extract = split(), Embedded()
    images = make("copy a tenth", digits)
    measures = measures_of(measured(digits, images, extractor=extract))
    real, made, unseen = (extract(rows) for rows in (digits.train, images, digits.held_out))
    expected = {
        "memorized_fraction/share": memorized_fraction(made, real).share,
        "l2_memorization/percent": 100 * l2_memorization(made, real).share,
        "membership/auc": membership(made, real, unseen, norm="l2").auc,
        "membership/tpr": membership(made, real, unseen, norm="l2").tpr,
        "fld/value": fld(made, real, unseen).value,
        "fld/gap": fld(made, real, unseen).gap,
        "mind": mind(real, made),
        "cmmd": cmmd(real, made),
        "vendi": vendi_score(made),
    }
    for key, value in expected.items():
        first, *rest = key.split("/")
        measure = measures["/".join([first, extract.name, *rest])]
        assert measure.value == pytest.approx(value, rel=1e-9), key
        assert measure.group in MEASURE_GROUPS
    assert (measures["memorized_fraction/clip_b32_l2/share"].low or 0) > 0.05
    held_out = memorized_fraction(unseen, real).share
    assert measures["memorized_fraction/clip_b32_l2/share"].baseline == held_out
    assert measures["vendi_thinned/clip_b32_l2"].baseline == pytest.approx(vendi_score(unseen))
    # Without held-out images there is nobody to be told from, and in pixels no embedding.
    alone = measures_of(measured(digits, images, held_out=False))
    assert not {key.split("/")[0] for key in alone} & {"membership", "fld", "mind", "cmmd", "vendi"}
    assert alone["memorized_fraction/pixel_l1/share"].baseline is None


@pytest.mark.parametrize(
    ("key", "group"),
    [
        ("copied/pixel_l1", "copies"),
        ("fld/inception_l2/gap", "copies"),
        ("fld/inception_l2/value", "fidelity"),
        ("membership/pixel_l1/auc", "membership"),
        ("prdc_thinned/pixel_l1/recall", "coverage"),
        ("prdc/pixel_l1/precision", "fidelity"),
        ("mode_drop_thinned/pixel_l1/mean", "coverage"),
        ("vendi/x", "diversity"),
        ("fid", "fidelity"),
    ],
)
def test_a_key_is_in_one_group(key: str, group: str) -> None:
    assert measure_group(key) == group


def test_the_interval_of_a_median() -> None:
    assert median_interval(torch.arange(101.0)) == (50.0, 40.0, 61.0)  # 50.5 -+ 9.85, in ranks
    assert median_interval(torch.tensor([3.0])) == (3.0, 3.0, 3.0)
    rng = torch.Generator().manual_seed(0)
    intervals = (median_interval(torch.randn(60, generator=rng).exp()) for _ in range(1000))
    held = sum(low <= 1.0 <= high for _, low, high in intervals)
    assert 930 <= held <= 985


def test_samples_are_a_function_of_seed_and_part() -> None:
    ids = sample_ids(100, 10, seed=1, part="a")
    assert (ids.diff() > 0).all()
    assert torch.equal(ids, sample_ids(100, 10, seed=1, part="a"))
    assert not torch.equal(ids, sample_ids(100, 10, seed=1, part="b"))
    assert not torch.equal(ids, sample_ids(100, 10, seed=2, part="a"))
    rows = torch.arange(100.0)[:, None]
    assert take(rows, sample_ids(100, 500, seed=0, part="")) is rows
