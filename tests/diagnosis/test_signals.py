"""Signals against closed forms: linear generators, known distances, known logits."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ganstoch.diagnosis import Networks, References, Signals, measure, references
from ganstoch.diagnosis.signals import compare_logits
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


def signals_of(images: Tensor, known: References, **others: Any) -> Signals:
    """Of a generator that makes these images whatever its latents are."""
    signals, _ = measure(Networks(sample=lambda _: images, **others), known, iteration=3)
    assert signals.iteration == 3
    return signals


NEAR_1 = pytest.approx(1, abs=0.05)
FEW_KINDS = images(4, seed=3).repeat(16, 1, 1, 1) + images(64, seed=4, spread=1e-3)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (
            images(64, seed=5),
            {name: NEAR_1 for name in ("diversity", "isolation", "closeness", "reach")}
            | {"collisions": pytest.approx(0, abs=0.25)},
        ),
        (
            images(1).expand(64, *SHAPE),
            {
                "diversity": pytest.approx(0, abs=1e-6),
                "isolation": pytest.approx(0, abs=1e-3),
                "collisions": 1.0,
                "reach": pytest.approx(1.6, abs=0.5),
            },
        ),
        (
            images(200)[100:164],  # copies, of some of the batch too
            {"closeness": pytest.approx(0, abs=2e-3), "reach": pytest.approx(0.6, abs=0.15)},
        ),
        (
            FEW_KINDS,
            {"diversity": pytest.approx(1, abs=0.15), "isolation": pytest.approx(0, abs=0.01)},
        ),
    ],
    ids=["real", "one image", "copies", "few kinds"],
)
def test_known_images(made: Tensor, expected: dict[str, Any], known: References) -> None:
    signals = signals_of(made, known)
    for name, value in expected.items():
        assert getattr(signals, name) == value, name
    assert signals.sensitivity is signals.gap is signals.drift is signals.average_gap is None


def test_a_generator_deaf_to_z_has_no_sensitivity_however_diverse(known: References) -> None:
    own, z = images(64, seed=9), latents(64)
    networks = Networks(sample=lambda z: own + 0 * z.sum(), latents=z)  # type: ignore[union-attr]
    signals, _ = measure(networks, known, iteration=1)
    assert signals.sensitivity == 0.0
    assert signals.diversity == pytest.approx(1, abs=0.05)
    assert signals_of(own, known, latents=z).sensitivity == 0.0


def test_sensitivity_is_the_diversity_of_a_linear_generator(known: References) -> None:
    matrix = normal((DIM, FEATURES), rng_for(2, "evaluation"))
    z = latents(4000)
    networks = Networks(sample=lambda z: linear(matrix, z), latents=z)
    signals, made = measure(networks, known, iteration=1)
    exact = math.sqrt(2) * matrix.double().norm().item() / known.scale
    assert signals.sensitivity == pytest.approx(exact, rel=0.03)
    assert signals.diversity == pytest.approx(exact, rel=0.03)
    assert torch.equal(made, linear(matrix, z))


def test_drift_and_turn_follow_known_steps(known: References) -> None:
    start, step = images(64, seed=6), images(64, seed=7, spread=0.05)
    length = step.flatten(1).double().square().sum(1).mean().sqrt().item() / known.scale

    def at(now: Tensor, *before: Tensor) -> tuple[float | None, float | None]:
        signals, _ = measure(Networks(sample=lambda _: now), known, iteration=1, before=before)
        return signals.drift, signals.turn

    assert at(start + 2 * step, start + step, start) == pytest.approx((length, 1), rel=1e-4)
    assert at(start, start + step, start) == pytest.approx((length, -1), rel=1e-4)
    assert at(start, start) == (0.0, None)
    assert at(start, start, start) == (0.0, None)


def test_logits_are_compared_by_rank_and_by_side(known: References) -> None:
    def judge(examples: Tensor) -> Tensor:
        if examples is known.batch:
            return torch.tensor([2.0, 2.0, -1.0, 3.0])
        if examples is known.held_out:
            return torch.tensor([0.5, -0.5])
        return torch.tensor([-2.0, 2.0, -2.0, -2.0])

    signals = signals_of(images(64, seed=8), known, discriminator=judge)
    assert (signals.gap, signals.gap_held_out) == pytest.approx((1.5 + 1.0, 1.5))
    assert (signals.accuracy_real, signals.accuracy_held_out) == (0.75, 0.5)
    assert signals.accuracy_fake == 0.75
    # 16 pairs: of the fake 2 two real ones tie and one lies above; above -2 lie all four.
    assert signals.separation == pytest.approx((3 * 4 + 1 + 2 * 0.5) / 16)


def test_average_gap_and_images_that_are_not_finite(known: References) -> None:
    raw = images(64, seed=10)
    gap = signals_of(raw, known, average=lambda _: raw + 0.1).average_gap
    assert gap == pytest.approx(0.1 * math.sqrt(FEATURES) / known.scale, rel=1e-4)
    raw[3, 0, 0, 0] = torch.nan
    signals = signals_of(raw, known)
    assert signals.broken == "the generated images"
    assert signals.diversity is None


def test_measuring_uses_up_no_chance(known: References) -> None:
    state = torch.get_rng_state()
    references(images(200), None, size=64)
    matrix, z = torch.eye(DIM, FEATURES), latents(64)
    measure(Networks(sample=lambda z: linear(matrix, z), latents=z), known, iteration=1)
    assert torch.equal(torch.get_rng_state(), state)


def test_references_without_held_out_ask_the_data_themselves() -> None:
    known = references(images(200), None, size=64)
    flat = known.bank.double()
    apart = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
    expected = apart.fill_diagonal_(torch.inf).amin(1).mean().item()
    assert known.closeness == pytest.approx(expected, rel=1e-4)
    for real in (images(3), torch.zeros(10, *SHAPE)):  # too few, or all the same
        with pytest.raises(ValueError, match="real images"):
            references(real, None, size=64)


def test_many_samples_and_many_logits_fit_into_memory() -> None:
    windows = torch.randn(1_100_000).as_strided((1_000_000, 100_000), (1, 1))  # 400 GB in full
    assert len(references(windows, None, size=8, rows=lambda x: x[:, :4]).batch) == 8
    logits = torch.arange(300_000).float()
    assert compare_logits(logits, logits)["separation"] == 0.5
