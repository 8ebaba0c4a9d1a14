"""Measures of an audit against their definitions, and against what must not move them."""

from __future__ import annotations

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
from ganstoch.auditing.searches import Space, sample_ids, search, take
from ganstoch.metrics.features import Extractor, Pixels
from ganstoch.metrics.fid import frechet_distance
from ganstoch.metrics.mifid import cosine_distance, mifid
from ganstoch.metrics.neighbours import nearest_neighbours
from ganstoch.metrics.overfitting import OverfittingModeDrop
from ganstoch.metrics.prdc import PRDC
from ganstoch.types import Norm

STATISTICS = ("mean", "worst10", "worst5")


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
def measured(evidence: Callable[..., Evidence]) -> Callable[..., SpaceEvidence]:
    """The one space of an audit."""

    def measured(*arguments: Any, **options: Any) -> SpaceEvidence:
        (space,) = evidence(*arguments, **options).spaces
        return space

    return measured


def brute(query: Tensor, bank: Tensor) -> Tensor:
    """Mean absolute differences of bytes to the nearest."""
    rows = query.flatten(1).double(), bank.flatten(1).double()
    return torch.cdist(*rows, p=1).amin(1) / query[0].numel()


def space_of(real: Tensor, generated: Tensor, held_out: Tensor | None = None) -> Space:
    extract = Pixels()
    return Space(
        extractor=extract,
        real=extract(real),
        generated=extract(generated),
        held_out=None if held_out is None else extract(held_out),
        seed=0,
    )


def test_distances_are_those_of_their_definition(
    split: Any, measured: Callable[..., SpaceEvidence]
) -> None:
    digits = split()
    found = measured(digits, digits.fresh)
    forth = measures_of(found)["overfitting/pixel_l1/mean"]
    assert forth.value == pytest.approx(brute(digits.fresh, digits.train).mean().item())
    assert forth.baseline == pytest.approx(brute(digits.held_out, digits.train).mean().item())
    worst = brute(digits.fresh, digits.train).sort(descending=True).values[:50].mean().item()
    assert measures_of(found)["overfitting/pixel_l1/worst10"].value == pytest.approx(worst)
    scaled = found.searches.pairs.mode_drop.neighbours.distances
    assert torch.allclose(scaled, brute(digits.train, digits.fresh), rtol=0, atol=1e-12)
    nearest = nearest_neighbours(digits.train.flatten(1), digits.fresh.flatten(1), norm="l1")
    assert torch.equal(found.searches.pairs.mode_drop.neighbours.ids, nearest.ids)


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
def test_set_sizes_are_no_mode_drop(
    split: Any, measured: Callable[..., SpaceEvidence], few: int
) -> None:
    digits = split()
    digits = dataclasses.replace(digits, held_out=digits.held_out[:few])
    readings = measures_of(measured(digits, digits.fresh))
    for statistic in STATISTICS:
        reading = readings[f"mode_drop_thinned/pixel_l1/{statistic}"]
        assert reading.value == pytest.approx(reading.baseline, rel=0.06)
    for part in ("precision", "recall", "coverage"):
        reading = readings[f"prdc_thinned/pixel_l1/{part}"]
        assert reading.value == pytest.approx(reading.baseline, abs=0.12)
    # Without thinning the nearest of 500 is much nearer than the nearest of 100.
    whole = readings["mode_drop/pixel_l1/mean"].value
    if few == 100:
        assert whole < 0.9 * readings["mode_drop_thinned/pixel_l1/mean"].value


@pytest.mark.parametrize("held_out", [497, 600, None])
def test_a_name_stands_for_one_quantity(
    split: Any, measured: Callable[..., SpaceEvidence], held_out: int | None
) -> None:
    """What the metric of that name says of all images, whatever stands beside it."""
    digits = split(train=600, fresh=500, held_out=600)
    if held_out is not None:
        digits = dataclasses.replace(digits, held_out=digits.held_out[:held_out])
    found = measures_of(measured(digits, digits.fresh, held_out=held_out is not None))
    metrics = [OverfittingModeDrop("pixel", queries="all"), PRDC("pixel")]
    for metric in metrics:
        metric.update(digits.train, real=True)
        metric.update(digits.fresh, real=False)
        for name, value in metric.compute().items():
            assert found[name].value == pytest.approx(value.item()), name
    assert (found["mode_drop/pixel_l1/mean"].baseline is not None) == (held_out == 600)
    assert ("prdc_thinned/pixel_l1/recall" in found) == (held_out != 600)


def test_without_held_out_images_training_images_stand_in(
    split: Any, measured: Callable[..., SpaceEvidence]
) -> None:
    digits = split()
    found = measured(digits, digits.fresh, held_out=False)
    forth = measures_of(found)["overfitting/pixel_l1/mean"]
    apart = torch.cdist(*[digits.train.flatten(1).double()] * 2, p=1).fill_diagonal_(torch.inf)
    nearest = apart.amin(1).mean().item() / 64
    assert nearest <= forth.baseline <= 1.02 * nearest  # past a few near-duplicates
    assert forth.value == pytest.approx(forth.baseline, rel=0.06)
    back = measures_of(found)["mode_drop_thinned/pixel_l1/mean"]
    assert back.value == pytest.approx(back.baseline, rel=0.06)
    assert 380 <= len(found.searches.from_ids) <= 420
    assert found.train_vs_held_out is None
    assert not any(name.startswith(("ct/", "train_vs_held_out")) for name in measures_of(found))


def test_every_measure_moves_the_right_way(
    split: Any, make: Any, measured: Callable[..., SpaceEvidence]
) -> None:
    digits = split()
    of = {
        name: {key: reading.value for key, reading in measures_of(measured(digits, images)).items()}
        for name in ("held out", "copy a tenth", "copy all", "drop half", "noise")
        for images in [make(name, digits)]
    }

    def values(key: str, *names: str) -> list[float]:
        return [of[name][f"{key}"] for name in names]

    copying = ("held out", "copy a tenth", "copy all")
    for key in ("overfitting/pixel_l1/mean", "authpct/pixel_l1", "ct/pixel_l1/z"):
        none, some, all_ = values(key, *copying)
        assert none > some > all_
    for key in ("copied/pixel_l1", "replication/pixel_l1"):
        none, some, all_ = values(key, *copying)
        assert none + 0.05 < some < all_ - 0.5
    assert values("copied/pixel_l1", *copying) == pytest.approx([0.0, 0.1, 1.0], abs=0.03)
    assert values("overfitting/pixel_l1/worst5", "copy all") == [0.0]
    for key in ("missed/pixel_l1", "mode_drop/pixel_l1/mean", "mode_drop/pixel_l1/worst10"):
        assert of["drop half"][key] > 1.25 * of["held out"][key]
    for key in ("prdc/pixel_l1/recall", "prdc/pixel_l1/coverage"):
        assert of["drop half"][key] < of["held out"][key] - 0.15
    assert of["drop half"]["prdc/pixel_l1/precision"] > 0.9
    assert of["noise"]["prdc/pixel_l1/precision"] == 0
    assert of["noise"]["median_ratio/pixel_l1"] > 3
    assert of["noise"]["authpct/pixel_l1"] > 90


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
    twins = digits.fresh[torch.arange(500) // 2].clamp(max=254)
    twins[1::2] += 1
    found = repeated_images(space_of(digits.train, twins, digits.held_out))
    assert found.share == 1.0
    assert 0.4 < found.baseline < 0.6
    assert found.ids.tolist() == list(range(500))
    # Twins are flagged together: each counts for half.
    assert (found.excess.count, found.excess.total) == (250, 250)
    assert found.excess.p_value < 1e-9
    assert found.sure < found.low < found.share <= found.high
    copies = repeated_images(space_of(digits.train, digits.train[:500], digits.held_out))
    assert copies.share < 0.5
    assert copies.excess.p_value > 0.1


@pytest.mark.parametrize("doubled", ["none", "some", "all", "all, slightly changed"])
def test_near_duplicates_in_the_data_are_no_distance(doubled: str, split: Any) -> None:
    """Training images saved twice come nearer to each other than any unseen image could."""
    digits = split(train=600, fresh=500, held_out=500)
    again = digits.train.clone()
    if doubled.endswith("changed"):
        again[:, :, 0, 0] = (again[:, :, 0, 0].int() + 3).clamp(max=255).byte()
    real = {"none": digits.train, "some": torch.cat([digits.train, again[:200]])}.get(
        doubled, torch.cat([digits.train, again])
    )
    found = distribution_shift(search(space_of(real, digits.fresh)))
    assert found.median_ratio == pytest.approx(1.0, abs=0.1)
    assert 0 <= found.low <= found.median_ratio <= found.high
    assert found.far.p_value > 0.01


def test_missed_images_are_those_of_the_classes_left_out(split: Any, make: Any) -> None:
    digits = split()
    space = space_of(digits.train, make("drop half", digits), digits.held_out)
    found = coverage(space, search(space), median_ratio=1.0, labels=digits.names)
    assert found.p_value < 0.001
    assert (digits.labels[found.ids] >= 5).double().mean() > 0.95
    assert (digits.labels[found.order[:20]] >= 5).all()
    of_class = found.classes
    assert min(of_class["6"], of_class["7"]) > 0.3
    assert max(of_class[str(kept)] for kept in range(5)) < 0.1
    # Classes weighed by their size make up the whole.
    sizes = torch.bincount(digits.labels, minlength=10).double()
    shares = torch.tensor([of_class[str(digit)] for digit in range(10)]).double()
    assert (sizes * shares).sum() / sizes.sum() == pytest.approx(found.rate)
    assert found.missed.low <= found.missed.estimate <= found.missed.high


@pytest.mark.parametrize(("different", "low", "high"), [(1, 1, 1.2), (10, 5, 20), (40, 20, 80)])
def test_variety_counts_different_images(
    split: Any, different: int, low: float, high: float
) -> None:
    digits = split()
    again = digits.fresh[torch.arange(500) % different]
    space = space_of(digits.train, again, digits.held_out)
    below = same_below(space, search(space).left_out.neighbours)
    found = support_size(space, space.generated, threshold=below, part="generated")
    assert low <= found.estimate <= high
    assert found.low <= different <= found.high
    assert space.held_out is not None
    assert support_size(space, space.held_out, threshold=below, part="real").low > 1000


def test_frechet_and_its_charge(split: Any, make: Any) -> None:
    digits, extract = split(), Projected()
    space = Space(
        extractor=extract,
        real=extract(digits.train),
        generated=extract(digits.fresh),
        held_out=None,
        seed=0,
    )
    measures = dict(fidelity(space))
    plain = frechet_distance(space.real, space.generated)
    assert measures["fid"].value == pytest.approx(plain)
    assert measures["fid"].baseline is None
    # Without held-out images nobody knows which cosine distance is small in this space.
    assert "mifid" not in measures
    unseen = extract(digits.held_out)
    one = dataclasses.replace(space, generated=extract(make("copy one", digits)), held_out=unseen)
    measures = dict(fidelity(one))
    epsilon = cosine_distance(unseen, one.real) / 2
    charged = mifid(one.real, one.generated, epsilon=epsilon).value
    assert measures["mifid"].value == pytest.approx(charged, rel=1e-6)
    assert measures["mifid"].value > 1000 * measures["fid"].value
    # 497 held-out images for 500 generated ones: a baseline of as many, under another name.
    assert measures["fid"].baseline is None
    assert measures["fid_thinned"].baseline is not None
    measures = dict(fidelity(dataclasses.replace(one, generated=space.real[:400])))
    kid = measures["kid"]
    assert kid.baseline is not None
    assert kid.value < kid.baseline
    assert measures["cosine"].value == pytest.approx(0, abs=1e-12)
    assert "fid_thinned" not in measures
    # Real images in the generator's place are charged for nothing.
    measures = dict(fidelity(dataclasses.replace(one, generated=extract(digits.fresh))))
    assert measures["mifid"].value == measures["fid"].value
    assert not dict(fidelity(dataclasses.replace(space, extractor=Pixels())))


def test_the_interval_of_a_median() -> None:
    middle, low, high = median_interval(torch.arange(101.0))
    assert (middle, low, high) == (50.0, 40.0, 61.0)  # 50.5 -+ 9.85, in ranks
    assert median_interval(torch.tensor([3.0])) == (3.0, 3.0, 3.0)


def test_median_interval_holds_the_median_as_often_as_it_says() -> None:
    rng = torch.Generator().manual_seed(0)
    held = 0
    for _ in range(1000):
        _, low, high = median_interval(torch.randn(60, generator=rng).exp())
        held += low <= 1.0 <= high
    assert 930 <= held <= 985


def test_samples_are_a_function_of_seed_and_part() -> None:
    ids = sample_ids(100, 10, seed=1, part="a")
    assert torch.equal(ids, ids.unique())
    assert torch.equal(ids, sample_ids(100, 10, seed=1, part="a"))
    assert not torch.equal(ids, sample_ids(100, 10, seed=1, part="b"))
    assert not torch.equal(ids, sample_ids(100, 10, seed=2, part="a"))
    rows = torch.arange(100.0)[:, None]
    assert take(rows, sample_ids(100, 500, seed=0, part="")) is rows
