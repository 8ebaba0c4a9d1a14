"""A remedy whose settings change nothing leaves the plain game as it is, to the bit."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from ganstoch import remedies
from ganstoch.remedies import Remedy
from ganstoch.training.gan import GAN

NEUTRAL: dict[str, dict[str, Any]] = {
    "ACGAN": {"classes": 3, "weight": 0.0},
    "DiscriminatorBatchNorm": {"apart": None},
    "FeatureMatching": {"share": 0.0},
    "LabelFlipping": {"probability": 0.0},
    "LabelSmoothing": {"real": (1.0, 1.0), "fake": (0.0, 0.0)},
    "MinibatchDiscrimination": {"kernels": 0},
    "Mixture": {"generators": 1, "identity": 0.5},
    "Packing": {"size": 1, "matched": "packs"},
    "Pretraining": {"iterations": 0},
    "R1": {"gamma": 0.0},
    "Ratio": {"discriminator": 1, "generator": 1},
    "Replay": {"share": 0.0},
    "SVRE": {"extrapolate": False, "variance_reduction": False},
    "Snapshots": {"lasting": 0},
    "Timescales": {"discriminator": 1.0, "generator": 1.0, "scale": "none", "reference": 7},
    "Unrolling": {"steps": 0},
    "WGANGP": {"weight": 0.0},
    "WeightClipping": {"limit": math.inf},
}
"""Settings that change nothing."""

ACTIVE: dict[str, dict[str, Any]] = {
    **{name: {} for name in NEUTRAL},
    "ACGAN": {"classes": 3},
    "LabelFlipping": {"probability": 0.5},
    "Pretraining": {"iterations": 1},
    "Ratio": {"discriminator": 2},
    "Snapshots": {"every": 1, "lasting": 1},
    "Timescales": {"discriminator": 2.0},
    "WeightClipping": {"limit": 0.01},
}
"""Settings that change three iterations of a tiny game; the defaults, where those do."""


def registry() -> dict[str, type[Remedy]]:
    """Every remedy of the package, by its name."""
    found, new = set[type[Remedy]](), [Remedy]
    while new:
        below = new.pop().__subclasses__()
        new += below
        found |= set(below)
    ours = [kind for kind in found if kind.__module__.startswith("ganstoch.")]
    return {kind.__name__: kind for kind in sorted(ours, key=lambda kind: kind.__name__)}


def trace(game: GAN, tiny: SimpleNamespace) -> tuple[list[dict[str, float]], dict[str, Tensor]]:
    """Losses of three iterations, and every number afterwards; Adam's too."""
    optimizers = game.configure_optimizers()
    losses = tiny.play(game, iterations=3, optimizers=optimizers)
    state = dict(game.state_dict())
    for player, optimizer in zip("dg", optimizers, strict=True):
        for i, moments in optimizer.state_dict()["state"].items():
            state |= {f"adam.{player}.{i}.{name}": value for name, value in moments.items()}
    return losses, state


def differences(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    return [name for name in one.keys() | other.keys() if not same(one.get(name), other.get(name))]


def same(one: Tensor | None, other: Tensor | None) -> bool:
    return one is not None and other is not None and torch.equal(one, other)


def test_the_tables_know_every_remedy() -> None:
    assert set(NEUTRAL) == set(ACTIVE) == set(registry())
    assert set(registry()) | {"Remedies", "Remedy"} == set(remedies.__all__)


@pytest.mark.parametrize("name", NEUTRAL)
def test_says_whether_it_is_neutral(name: str) -> None:
    kind = registry()[name]
    assert kind(**NEUTRAL[name]).spec.is_noop
    assert not kind(**ACTIVE[name]).spec.is_noop
    defaults = inspect.signature(kind).parameters
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in defaults.values())


@pytest.mark.parametrize("points", [True, False])
@pytest.mark.parametrize("name", [*NEUTRAL, "all"])
def test_neutral_is_the_plain_game_to_the_bit(
    tiny: SimpleNamespace, name: str, points: bool
) -> None:
    names = list(NEUTRAL) if name == "all" else [name]
    given = [registry()[each](**NEUTRAL[each]) for each in names]
    plain, neutral = tiny.make(points=points), tiny.make(*given, points=points)
    (losses, state), (our_losses, our_state) = trace(plain, tiny), trace(neutral, tiny)
    assert our_losses == losses
    assert differences(our_state, state) == []


@pytest.mark.parametrize("name", ACTIVE)
def test_active_is_not(tiny: SimpleNamespace, name: str) -> None:
    """Otherwise the test before this one would see nothing."""
    game = tiny.make(registry()[name](**ACTIVE[name]))
    _, plain = trace(tiny.make(), tiny)
    _, state = trace(game, tiny)
    assert differences(state, plain)


@pytest.mark.parametrize("name", ACTIVE)
def test_the_same_seed_gives_the_same_bits(tiny: SimpleNamespace, name: str) -> None:
    make: Callable[[], GAN] = lambda: tiny.make(registry()[name](**ACTIVE[name]))  # noqa: E731
    (losses, state), (again, other) = trace(make(), tiny), trace(make(), tiny)
    assert losses == again
    assert differences(state, other) == []
