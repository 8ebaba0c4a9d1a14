"""Identical images: counted exactly, and put down to the data's repeats as often as they should."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ganstoch.auditing.appearance import appearance
from ganstoch.auditing.facts import coincidences, gather_facts
from ganstoch.auditing.inputs import open_images
from ganstoch.auditing.searches import linked_groups

RNG = np.random.default_rng(0)
PHOTOS = RNG.integers(0, 256, (300, 1, 6, 6), dtype=np.uint8)


def digests(values: object) -> tuple[bytes, ...]:
    return tuple(str(value).encode() for value in np.asarray(values))


def test_who_equals_whom() -> None:
    found = coincidences(digests([1, 2, 3, 4, 4]), digests([9, 4, 2, 9, 2, 8, 9]), seed=0)
    assert found.identical == [2, 4]
    assert found.twins == [1, 1]
    assert found.common == [1]
    assert found.repeated == [3, 4, 6]


def test_every_image_twice_is_every_image_once() -> None:
    found = coincidences(digests([*range(100), *range(100)]), digests(range(90, 190)), seed=0)
    assert found.identical == list(range(10))
    assert found.identical_p < 0.01


@pytest.mark.parametrize("copies", [0, 2, 25])
def test_copies_among_images_that_do_not_repeat(copies: int) -> None:
    made = [*range(copies), *range(5000, 5500 - copies)]
    found = coincidences(digests(range(1000)), digests(made), seed=0)
    # Twins fall into both sets with a chance of 4/9 each.
    assert found.identical_p == pytest.approx(max((4 / 9) ** copies, 1e-4), rel=0.2)
    assert found.repeated_p == 1.0


def test_the_test_of_identical_images_keeps_its_level() -> None:
    """Draws of one source in which all repeat, some often."""
    p_values = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        drawn = rng.geometric(0.05, 60) * 3 + rng.integers(0, 3, 60)
        found = coincidences(digests(drawn[:35]), digests(drawn[35:]), seed=seed)
        p_values.append((found.identical_p, found.repeated_p))
    for level in (0.02, 0.1, 0.3):
        rates = (np.array(p_values) <= level).mean(0)
        assert (rates <= level + 3 * np.sqrt(level * (1 - level) / 300)).all()
    assert (np.array(p_values) <= 0.7).mean(0).min() > 0.4  # nor is it always silent


def test_facts_of_sets() -> None:
    grey = np.full((30, 1, 6, 6), 7, np.uint8)
    real = open_images(PHOTOS[:200], role="real")
    made = open_images(np.concatenate([PHOTOS[200:270], grey]), role="generated")
    facts = gather_facts({"real": real, "generated": made}, seed=0)
    assert (facts.sets["generated"].images, facts.sets["generated"].different) == (100, 71)
    assert facts.sets["generated"].one_colour == 30
    assert (facts.one_colour.count, facts.one_colour.usual) == (30, 0)
    assert facts.generated.repeated == list(range(71, 100))
    assert facts.generated.repeated_p < 0.001
    assert facts.times == 1


def test_looks_of_an_image_are_their_definitions() -> None:
    looks = open_images(PHOTOS, role="real").content.looks
    image = PHOTOS[5, 0].astype(float)
    steps = [*abs(np.diff(image, axis=0)).ravel(), *abs(np.diff(image, axis=1)).ravel()]
    assert looks["brightness"][5] == pytest.approx(image.mean(), rel=1e-5)
    assert looks["contrast"][5] == pytest.approx(image.std(), rel=1e-5)
    assert looks["sharpness"][5] == pytest.approx(sum(steps) / (len(steps) + 1), rel=1e-5)
    assert not looks["one_colour"].any()


@pytest.mark.parametrize("held_out", [0, 60])
def test_real_images_look_like_real_ones(held_out: int) -> None:
    """Flagged alike on both sides, whatever the numbers."""
    p_values = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        level = rng.uniform(0, 200, (260 + held_out, 1, 1, 1))
        drawn = (level + rng.uniform(0, 55, (260 + held_out, 1, 6, 6))).astype(np.uint8)
        real, made = (
            open_images(drawn[:200], role="real").content.looks,
            open_images(drawn[200:260], role="generated").content.looks,
        )
        others = open_images(drawn[260:], role="held_out").content.looks if held_out else None
        p_values.append(appearance(real, made, others).excess.p_value)
    for level_ in (0.01, 0.05, 0.2):
        rate = np.mean(np.array(p_values) <= level_)
        assert rate <= level_ + 3 * np.sqrt(level_ * (1 - level_) / 200)


@pytest.mark.parametrize("fault", ["black", "noise", "blur"])
def test_odd_images_are_flagged(fault: str) -> None:
    rng = np.random.default_rng(1)
    level = rng.uniform(60, 150, (300, 1, 1, 1))
    drawn = (level + rng.uniform(-30, 30, (300, 1, 6, 6))).clip(0, 255)
    made = drawn[200:].copy()
    made[:10] = {
        "black": np.zeros((10, 1, 6, 6)),
        "noise": rng.choice([0, 255], (10, 1, 6, 6)),
        "blur": made[:10].mean((2, 3), keepdims=True) + rng.uniform(-2, 2, (10, 1, 6, 6)),
    }[fault]
    found = appearance(
        open_images(drawn[:200].astype(np.uint8), role="real").content.looks,
        open_images(made.astype(np.uint8), role="generated").content.looks,
        None,
    )
    assert found.flagged[:10].all()
    assert found.flagged[10:].mean() < 0.1
    assert found.excess.p_value < 0.01


def test_groups_are_links_over_any_number_of_steps() -> None:
    neighbours = torch.tensor([1, 2, 0, 4, 3, 0])
    linked = torch.tensor([True, True, False, True, False, False])
    assert linked_groups(neighbours, linked).tolist() == [0, 0, 0, 1, 1, 2]
    first = torch.tensor([0, 1, 2, 3, 4, 4])
    assert linked_groups(neighbours, linked, first=first).tolist() == [0, 0, 0, 1, 1, 1]
