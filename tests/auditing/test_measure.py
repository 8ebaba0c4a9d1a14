"""Measures of an audit against their definitions, and against what must not move them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ganstoch.auditing.fidelity import fidelity
from ganstoch.auditing.likeness import likeness
from ganstoch.auditing.measure import Measured
from ganstoch.auditing.missed import missed_images
from ganstoch.auditing.readings import manifold_readings
from ganstoch.auditing.searches import search
from ganstoch.auditing.shares import STRICT, median_interval, wilson
from ganstoch.auditing.space import Space, sample_ids, take
from ganstoch.auditing.variety import same_below, support
from ganstoch.metrics.features import Extractor, Pixels
from ganstoch.metrics.frechet import frechet_distance
from ganstoch.metrics.mifid import mifid
from ganstoch.metrics.neighbours import nearest_neighbours
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
    split: Any, measured: Callable[..., Measured]
) -> None:
    digits = split()
    found = measured(digits, digits.fresh)
    forth = found.readings["overfitting/pixel_l1/mean"]
    assert forth.value == pytest.approx(brute(digits.fresh, digits.train).mean().item())
    assert forth.baseline == pytest.approx(brute(digits.held_out, digits.train).mean().item())
    worst = brute(digits.fresh, digits.train).sort(descending=True).values[:50].mean().item()
    assert found.readings["overfitting/pixel_l1/worst10"].value == pytest.approx(worst)
    scaled = found.searches.to_generated.distances / 64
    assert torch.allclose(scaled, brute(digits.train, digits.fresh), rtol=0, atol=1e-12)
    nearest = nearest_neighbours(digits.train.flatten(1), digits.fresh.flatten(1), norm="l1")
    assert torch.equal(found.searches.to_generated.ids, nearest.ids)


def test_blocks_hold_equally_many_images(split: Any) -> None:
    digits = split()
    searches = search(space_of(digits.train, digits.fresh, digits.held_out[:60]))
    assert searches.size == 60
    assert len(searches.reach_generated) == 8
    assert len(searches.reach_real) == 1
    # 500 images in blocks of 60, and what is left is searched for the whole set's distance.
    least = torch.stack(searches.reach_generated).amin(0)
    assert (searches.to_generated.distances <= least).all()
    assert (searches.to_generated.distances < least).any()


@pytest.mark.parametrize("few", [100, 497])
def test_set_sizes_are_no_mode_drop(
    split: Any, measured: Callable[..., Measured], few: int
) -> None:
    digits = split()
    digits = dataclasses.replace(digits, held_out=digits.held_out[:few])
    found = measured(digits, digits.fresh)
    for statistic in STATISTICS:
        reading = found.readings[f"mode_drop/pixel_l1/{statistic}"]
        assert reading.value == pytest.approx(reading.baseline, rel=0.06)
    for part in ("precision", "recall", "coverage"):
        reading = found.readings[f"prdc/pixel_l1/{part}"]
        assert reading.value == pytest.approx(reading.baseline, abs=0.12)
    # Without thinning the nearest of 500 would be much nearer than the nearest of 100.
    whole = (found.searches.to_generated.distances / 64).mean()
    if few == 100:
        assert whole < 0.9 * found.readings["mode_drop/pixel_l1/mean"].value


def test_without_held_out_images_training_images_stand_in(
    split: Any, measured: Callable[..., Measured]
) -> None:
    digits = split()
    found = measured(digits, digits.fresh, held_out=False)
    forth = found.readings["overfitting/pixel_l1/mean"]
    apart = torch.cdist(*[digits.train.flatten(1).double()] * 2, p=1).fill_diagonal_(torch.inf)
    assert forth.baseline == pytest.approx(apart.amin(1).mean().item() / 64)
    assert forth.value == pytest.approx(forth.baseline, rel=0.06)
    back = found.readings["mode_drop/pixel_l1/mean"]
    assert back.value == pytest.approx(back.baseline, rel=0.06)
    assert len(found.searches.asked) == 400
    assert found.nearer is None
    assert not any(name.startswith(("ct/", "nearer")) for name in found.readings)


def test_every_measure_moves_the_right_way(
    split: Any, make: Any, measured: Callable[..., Measured]
) -> None:
    digits = split()
    of = {
        name: {key: reading.value for key, reading in measured(digits, images).readings.items()}
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
    assert of["noise"]["offset/pixel_l1"] > 3
    assert of["noise"]["authpct/pixel_l1"] > 90


def test_every_reading_says_what_it_means(split: Any, measured: Callable[..., Measured]) -> None:
    digits = split(train=200, fresh=100, held_out=100)
    found = measured(digits, digits.fresh, extractor=Projected())
    readings = found.readings | fidelity(found.space)
    assert {name.split("/")[0] for name in readings} == {
        *("overfitting", "mode_drop", "copied", "replication", "authpct", "nearer_to_train", "ct"),
        *("missed", "offset", "cluster", "birthday", "prdc", "fid", "kid", "mifid", "cosine"),
        "inception_score",
    }
    for name, reading in readings.items():
        assert "projected_l2" in name.split("/")
        assert reading.meaning.endswith(".")
        assert reading.baseline is not None or name.startswith("copied")
    assert len({reading.meaning for reading in readings.values()}) == len(readings)


def test_noise_on_images_is_no_mode_drop(split: Any) -> None:
    digits = split()
    rng = torch.Generator().manual_seed(0)
    noisy = digits.fresh + 25 * torch.randn(digits.fresh.shape, generator=rng)
    searches = search(space_of(digits.train, noisy.clamp(0, 255).byte(), digits.held_out))
    space = space_of(digits.train, noisy.clamp(0, 255).byte(), digits.held_out)
    offset = likeness(space, searches).offset
    assert offset > 1.2
    assert missed_images(searches, offset=1.0).rate > 0.1
    assert missed_images(searches, offset=offset).rate < 0.02


def test_the_baseline_of_a_manifold_is_that_of_held_out_images(split: Any, make: Any) -> None:
    digits = split()
    for held_out in (digits.held_out, None):
        found = manifold_readings(space_of(digits.train, make("noise", digits), held_out))
        for part in ("precision", "recall", "coverage"):
            reading = found[f"prdc/pixel_l1/{part}"]
            assert reading.baseline is not None
            assert reading.value == 0 < 0.85 < reading.baseline


def test_twins_lie_nearer_to_each_other_than_to_the_data(split: Any) -> None:
    digits = split()
    twins = digits.fresh[torch.arange(500) // 2].clamp(max=254)
    twins[1::2] += 1
    space = space_of(digits.train, twins, digits.held_out)
    found = likeness(space, search(space))
    assert found.images == 497
    assert found.cluster > 0.97  # all but those whose twin was not drawn
    assert 0.4 < found.cluster_baseline < 0.6
    assert found.offset == pytest.approx(1.0, abs=0.1)
    assert found.cluster_sure < found.cluster_low < found.cluster <= found.cluster_high
    copies = space_of(digits.train, digits.train[:500], digits.held_out)
    assert likeness(copies, search(copies)).cluster < 0.5


def test_missed_images_are_those_of_the_classes_left_out(split: Any, make: Any) -> None:
    digits = split()
    searches = search(space_of(digits.train, make("drop half", digits), digits.held_out))
    found = missed_images(searches, offset=1.0, labels=digits.names)
    assert (digits.labels[found.ids] >= 5).double().mean() > 0.95
    assert (digits.labels[found.order[:20]] >= 5).all()
    of_class = {name: each.share for name, each in found.classes.items()}
    assert min(of_class["6"], of_class["7"]) > 0.3
    assert max(of_class[str(kept)] for kept in range(5)) < 0.1
    # Classes weighed by their size make up the whole.
    sizes = torch.bincount(digits.labels, minlength=10).double()
    shares = torch.tensor([of_class[str(digit)] for digit in range(10)]).double()
    assert (sizes * shares).sum() / sizes.sum() == pytest.approx(found.rate)
    assert found.share.low <= found.share.estimate <= found.share.high


@pytest.mark.parametrize(("different", "low", "high"), [(1, 1, 1.2), (10, 5, 20), (40, 20, 80)])
def test_variety_counts_different_images(
    split: Any, different: int, low: float, high: float
) -> None:
    digits = split()
    again = digits.fresh[torch.arange(500) % different]
    space = space_of(digits.train, again, digits.held_out)
    below = same_below(space, search(space).within)
    found = support(space, space.generated, threshold=below, part="generated")
    assert low <= found.estimate <= high
    assert found.low <= different <= found.high
    assert space.held_out is not None
    assert support(space, space.held_out, threshold=below, part="real").low > 1000


def test_frechet_and_its_charge(split: Any, make: Any) -> None:
    digits, extract = split(), Projected()
    for images in (digits.fresh, make("copy one", digits)):
        space = Space(
            extractor=extract,
            real=extract(digits.train),
            generated=extract(images),
            held_out=None,
            seed=0,
        )
        found = fidelity(space)
        plain = frechet_distance(space.real, space.generated)
        assert found["fid/projected_l2"].value == pytest.approx(plain)
        charged = mifid(space.real, space.generated).value
        assert found["mifid/projected_l2"].value == pytest.approx(charged, rel=1e-6)
        assert found["fid/projected_l2"].baseline is None
    space = dataclasses.replace(space, generated=space.real, held_out=extract(digits.held_out))
    found = fidelity(space)
    # 497 held-out images, so of the 800 generated ones as many are asked.
    assert "497 images against 800" in found["fid/projected_l2"].meaning
    assert found["fid/projected_l2"].value < 0.05
    kid = found["kid/projected_l2"]
    assert kid.baseline is not None
    assert kid.value < kid.baseline
    assert found["cosine/projected_l2"].value == pytest.approx(0, abs=1e-12)
    assert fidelity(dataclasses.replace(space, extractor=Pixels())) == {}


def test_intervals() -> None:
    assert wilson(0.0, 100)[0] == 0.0
    assert wilson(1.0, 100)[1] == 1.0
    assert wilson(0.5, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)  # Wilson's own formula
    narrow, wide = wilson(0.2, 400), wilson(0.2, 400, z=STRICT)
    assert wide[0] < narrow[0] < 0.2 < narrow[1] < wide[1]
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
