"""Identical and odd images: counted exactly, and put down to the data as often as they should."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from ganstoch.auditing.appearance import appearance
from ganstoch.auditing.evidence import check_alike, check_disjoint
from ganstoch.auditing.facts import coincidences, gather_facts
from ganstoch.auditing.inputs import Images, Role, open_images
from ganstoch.auditing.searches import linked_groups
from ganstoch.errors import UserError

PHOTOS = np.random.default_rng(0).integers(0, 256, (300, 1, 6, 6), dtype=np.uint8)


def digests(values: object) -> tuple[bytes, ...]:
    return tuple(str(value).encode() for value in np.asarray(values))


def opened(pixels: NDArray[Any], role: Role = "real") -> Images:
    return open_images(pixels.astype(np.uint8), role=role)


def looks(pixels: NDArray[Any]) -> pd.DataFrame:
    return opened(pixels).content.looks


def keep_level(p_values: object) -> None:
    """P-values of a null, (N, ...), fall to a level as often as it says, but for chance."""
    values = np.array(p_values)
    for level in (0.01, 0.02, 0.1, 0.3):
        rates = (values <= level).mean(0)
        assert (rates <= level + 3 * np.sqrt(level * (1 - level) / len(values))).all()


def test_who_equals_whom() -> None:
    shared = coincidences(digests([1, 2, 3, 4, 4]), digests([9, 4, 2, 9, 2, 8, 9]), seed=0)
    assert shared.identical == [2, 4]
    assert shared.twins == [1, 1]
    assert shared.common == [1]
    assert shared.repeated == [3, 4, 6]


def test_every_image_twice_is_every_image_once() -> None:
    shared = coincidences(digests([*range(100), *range(100)]), digests(range(90, 190)), seed=0)
    assert shared.identical == list(range(10))
    assert shared.identical_p < 0.01


@pytest.mark.parametrize("copies", [0, 2, 25])
def test_copies_among_images_that_do_not_repeat(copies: int) -> None:
    made = [*range(copies), *range(5000, 5500 - copies)]
    shared = coincidences(digests(range(1000)), digests(made), seed=0)
    # Twins fall into both sets with a chance of 4/9 each.
    assert shared.identical_p == pytest.approx(max((4 / 9) ** copies, 1e-4), rel=0.2)
    assert shared.repeated_p == 1.0


def test_the_test_of_identical_images_keeps_its_level() -> None:
    p_values = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        drawn = rng.geometric(0.05, 60) * 3 + rng.integers(0, 3, 60)
        shared = coincidences(digests(drawn[:35]), digests(drawn[35:]), seed=seed)
        p_values.append((shared.identical_p, shared.repeated_p))
    keep_level(p_values)
    assert (np.array(p_values) <= 0.7).mean(0).min() > 0.4  # nor is it always silent


def test_facts_of_sets() -> None:
    grey = np.full((30, 1, 6, 6), 7)
    made = opened(np.concatenate([PHOTOS[200:270], grey]), "generated")
    facts = gather_facts({"real": opened(PHOTOS[:200]), "generated": made}, seed=0)
    assert (facts.sets["generated"].images, facts.sets["generated"].different) == (100, 71)
    assert facts.sets["generated"].one_colour == 30
    assert (facts.one_colour.count, facts.one_colour.usual) == (30, 0)
    assert facts.generated.repeated == list(range(71, 100))
    assert facts.generated.repeated_p < 0.001
    assert facts.times == 1


def test_looks_of_an_image_are_their_definitions() -> None:
    frame, image = looks(PHOTOS), PHOTOS[5, 0].astype(float)
    steps = [*abs(np.diff(image, axis=0)).ravel(), *abs(np.diff(image, axis=1)).ravel()]
    assert frame["brightness"][5] == pytest.approx(image.mean(), rel=1e-5)
    assert frame["contrast"][5] == pytest.approx(image.std(), rel=1e-5)
    assert frame["sharpness"][5] == pytest.approx(sum(steps) / (len(steps) + 1), rel=1e-5)
    assert not frame["one_colour"].any()


@pytest.mark.parametrize("held_out", [0, 60])
def test_real_images_look_like_real_ones(held_out: int) -> None:
    p_values = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        level = rng.uniform(0, 200, (260 + held_out, 1, 1, 1))
        drawn = level + rng.uniform(0, 55, (260 + held_out, 1, 6, 6))
        others = looks(drawn[260:]) if held_out else None
        odd = appearance(looks(drawn[:200]), looks(drawn[200:260]), others)
        p_values.append(odd.excess.p_value)
    keep_level(p_values)


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
    odd = appearance(looks(drawn[:200]), looks(made), None)
    assert odd.flagged["generated"][:10].all()
    assert odd.flagged["generated"][10:].mean() < 0.1
    assert odd.excess.p_value < 0.01


def test_groups_are_links_over_any_number_of_steps() -> None:
    neighbours = torch.tensor([1, 2, 0, 4, 3, 0])
    linked = torch.tensor([True, True, False, True, False, False])
    assert linked_groups(neighbours, linked).tolist() == [0, 0, 0, 1, 1, 2]
    first = torch.tensor([0, 1, 2, 3, 4, 4])
    assert linked_groups(neighbours, linked, None, first).tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("shape", "key"), [((2, 3, 6, 6), "--real .*--generated"), ((2, 1, 4, 8), "--resize 4")]
)
def test_sets_of_other_shapes_are_refused(shape: tuple[int, ...], key: str) -> None:
    check_alike([opened(PHOTOS[:5]), opened(PHOTOS[5:9], "held_out")])
    with pytest.raises(UserError, match=key):
        check_alike([opened(PHOTOS[:5]), opened(np.zeros(shape), "generated")])


@pytest.mark.parametrize(("start", "count"), [(20, 10), (19, 10), (14, None), (0, None)])
def test_held_out_images_that_were_trained_on(start: int, count: int | None) -> None:
    """Of ten held-out images none is a training image; one, as repeats may be; six or more."""
    real, held_out = opened(PHOTOS[:20]), opened(PHOTOS[start : start + 10], "held_out")
    if count is None:
        with pytest.raises(UserError, match="--held-out"):
            check_disjoint(real, held_out, seed=0)
        return
    ids, note = check_disjoint(real, held_out, seed=0)
    assert len(ids) == count
    assert (note is None) == (start == 20)


def test_the_same_images_are_not_held_out() -> None:
    with pytest.raises(UserError, match="the same images"):
        check_disjoint(opened(PHOTOS), opened(PHOTOS, "held_out"), seed=0)


def test_some_held_out_images_that_were_trained_on_are_left_out() -> None:
    real, held_out = opened(PHOTOS[:60]), opened(PHOTOS[50:90], "held_out")
    ids, note = check_disjoint(real, held_out, seed=0)
    assert ids.tolist() == [*range(10, 40)]
    assert note is not None


@pytest.mark.parametrize("seed", range(3))
def test_images_that_repeat_by_nature_may_be_in_both(seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = np.arange(300) == rng.integers(0, 300, 1500)[:, None]
    dots = drawn.reshape(1500, 1, 15, 20)
    ids, _ = check_disjoint(opened(dots[:1000]), opened(dots[1000:], "held_out"), seed=0)
    assert len(ids) == 500
