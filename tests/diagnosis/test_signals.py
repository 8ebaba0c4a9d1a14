"""Signals against closed forms: linear generators, known distances, known logits."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ganstoch.diagnosis import Networks, References, measure, references
from ganstoch.rng import normal, rng_for

DIM, SHAPE = 6, (3, 4, 4)
FEATURES = math.prod(SHAPE)


def latents(count: int, part: str = "z") -> Tensor:
    return normal((count, DIM), rng_for(0, "evaluation", part=part))


def images(count: int, *, seed: int = 0, spread: float = 0.3) -> Tensor:
    return normal((count, *SHAPE), rng_for(seed, "evaluation", part="images")) * spread


@pytest.fixture
def known() -> References:
    return references(images(200), images(64, seed=1), size=64)


def linear(matrix: Tensor, z: Tensor | None) -> Tensor:
    assert z is not None
    return (z @ matrix).view(-1, *SHAPE)


def test_real_images_in_the_generators_place_score_one(known: References) -> None:
    other = images(64, seed=5)
    signals, _ = measure(Networks(sample=lambda _: other), known, iteration=3)
    assert signals.iteration == 3
    assert signals.diversity == pytest.approx(1, abs=0.05)
    assert signals.isolation == pytest.approx(1, abs=0.05)
    assert signals.closeness == pytest.approx(1, abs=0.05)
    assert signals.reach == pytest.approx(1, abs=0.05)
    assert signals.collisions is not None
    assert signals.collisions < 0.25
    assert signals.sensitivity is signals.gap is signals.drift is signals.average_gap is None


def test_sensitivity_is_the_diversity_of_a_linear_generator(known: References) -> None:
    matrix = normal((DIM, FEATURES), rng_for(2, "evaluation"))
    z = latents(4000)
    signals, made = measure(
        Networks(sample=lambda z: linear(matrix, z), latents=z), known, iteration=1
    )
    exact = math.sqrt(2) * matrix.double().norm().item() / known.scale
    assert signals.sensitivity == pytest.approx(exact, rel=0.03)
    assert signals.diversity == pytest.approx(exact, rel=0.03)
    assert torch.equal(made, linear(matrix, z))


def test_a_generator_deaf_to_z_has_no_sensitivity_however_diverse(known: References) -> None:
    own = images(64, seed=9)
    signals, _ = measure(
        Networks(sample=lambda z: own + 0 * z.sum(), latents=latents(64)),  # type: ignore[union-attr]
        known,
        iteration=1,
    )
    assert signals.sensitivity == 0.0
    assert signals.diversity == pytest.approx(1, abs=0.05)
    ignoring, _ = measure(Networks(sample=lambda _: own, latents=latents(64)), known, iteration=1)
    assert ignoring.sensitivity == 0.0


def test_one_image_has_no_diversity_and_collides(known: References) -> None:
    one = images(1).expand(64, *SHAPE)
    signals, _ = measure(Networks(sample=lambda _: one), known, iteration=1)
    assert signals.diversity == pytest.approx(0, abs=1e-6)
    assert signals.isolation == pytest.approx(0, abs=1e-3)
    assert signals.collisions == 1.0
    assert signals.reach is not None
    assert signals.reach > 1.1


def test_copies_are_close_and_reach_as_far_as_the_data(known: References) -> None:
    signals, _ = measure(Networks(sample=lambda _: images(200)[100:164]), known, iteration=1)
    assert signals.closeness == pytest.approx(0, abs=2e-3)
    assert signals.reach is not None
    assert signals.reach < 1.05


def test_a_few_kinds_are_told_by_their_isolation(known: References) -> None:
    few = images(4, seed=3).repeat(16, 1, 1, 1) + images(64, seed=4, spread=1e-3)
    signals, _ = measure(Networks(sample=lambda _: few), known, iteration=1)
    assert signals.diversity == pytest.approx(1, abs=0.15)
    assert signals.isolation is not None
    assert signals.isolation < 0.01


def test_drift_and_turn_follow_known_steps(known: References) -> None:
    start, step = images(64, seed=6), images(64, seed=7, spread=0.05)
    length = step.flatten(1).double().square().sum(1).mean().sqrt().item() / known.scale

    def at(now: Tensor, *before: Tensor) -> tuple[float | None, float | None]:
        signals, _ = measure(Networks(sample=lambda _: now), known, iteration=1, before=before)
        return signals.drift, signals.turn

    on, turn_on = at(start + 2 * step, start + step, start)
    assert on == pytest.approx(length, rel=1e-4)
    assert turn_on == pytest.approx(1, abs=1e-4)
    back, turn_back = at(start, start + step, start)
    assert back == pytest.approx(length, rel=1e-4)
    assert turn_back == pytest.approx(-1, abs=1e-4)
    assert at(start, start) == (0.0, None)
    assert at(start, start, start) == (0.0, None)


def test_logits_are_compared_by_rank_and_by_side(known: References) -> None:
    def judge(examples: Tensor) -> Tensor:
        if examples is known.batch:
            return torch.tensor([2.0, 2.0, -1.0, 3.0])
        if examples is known.held_out:
            return torch.tensor([0.5, -0.5])
        return torch.tensor([-2.0, 2.0, -2.0, -2.0])

    signals, _ = measure(
        Networks(sample=lambda _: images(64, seed=8), discriminator=judge), known, iteration=1
    )
    assert signals.gap == pytest.approx(1.5 + 1.0)
    assert signals.gap_held_out == pytest.approx(1.5)
    assert signals.accuracy_real == 0.75
    assert signals.accuracy_held_out == 0.5
    assert signals.accuracy_fake == 0.75
    # 16 pairs: of the fake 2 two real ones tie and one lies above; above -2 lie all four.
    assert signals.separation == pytest.approx((3 * 4 + 1 + 2 * 0.5) / 16)


def test_average_gap_is_the_distance_between_both_generators(known: References) -> None:
    raw = images(64, seed=10)
    signals, _ = measure(
        Networks(sample=lambda _: raw, average=lambda _: raw + 0.1), known, iteration=1
    )
    assert signals.average_gap == pytest.approx(0.1 * math.sqrt(FEATURES) / known.scale, rel=1e-4)


def test_images_that_are_not_finite_are_all_that_is_said(known: References) -> None:
    bad = images(64)
    bad[3, 0, 0, 0] = torch.nan
    signals, _ = measure(Networks(sample=lambda _: bad), known, iteration=7)
    assert signals.broken == "the generated images"
    assert signals.diversity is None


def test_measuring_uses_up_no_chance(known: References) -> None:
    state = torch.get_rng_state()
    references(images(200), None, size=64)
    measure(
        Networks(sample=lambda z: linear(torch.eye(DIM, FEATURES), z), latents=latents(64)),
        known,
        iteration=1,
    )
    assert torch.equal(torch.get_rng_state(), state)


def test_references_without_held_out_ask_the_data_themselves() -> None:
    real = images(200)
    known = references(real, None, size=64)
    flat = known.bank.double()
    apart = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
    expected = apart.fill_diagonal_(torch.inf).amin(1).mean().item()
    assert known.closeness == pytest.approx(expected, rel=1e-4)
    assert known.held_out is None


@pytest.mark.parametrize(
    ("real", "complaint"),
    [(images(3), "at least 4"), (torch.zeros(10, *SHAPE), "all the same")],
)
def test_references_refuse_what_says_nothing(real: Tensor, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        references(real, None, size=64)
