"""What every remedy promises: its settings, its noop, micro-batches, resuming, the same bits."""

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
from ganstoch.errors import UserError
from ganstoch.remedies import R1, Remedy, Timescales, WeightClipping
from ganstoch.remedies.base import changes_gradients
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
    "ExperienceReplay": {"share": 0.0},
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


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("ACGAN", {"classes": 3, "weight": -1.0}, "weight"),
    ("ACGAN", {"classes": 1}, "classes"),
    ("ACGAN", {"classes": 3, "weight": math.inf}, "weight"),
    *(("FeatureMatching", {"share": share}, "share") for share in (-0.1, 1.1, math.nan)),
    *(("LabelFlipping", {"probability": p}, "probability") for p in (-0.1, 1.1, math.nan)),
    *(
        ("LabelSmoothing", {side: ends}, side)
        for side in ("real", "fake")
        for ends in ((0.3, 0.2), (math.nan, 1.0), (0.0, math.inf))
    ),
    ("MinibatchDiscrimination", {"kernels": -1}, "kernels"),
    ("MinibatchDiscrimination", {"dims": 0}, "dims"),
    ("Mixture", {"generators": 0}, "generators"),
    *(("Mixture", {"identity": weight}, "identity") for weight in (-0.1, math.nan)),
    ("Packing", {"size": 0}, "size"),
    ("Pretraining", {"iterations": -1}, "iterations"),
    *(("R1", {"gamma": gamma}, "gamma") for gamma in (-1.0, math.inf, math.nan)),
    *(("Ratio", {player: 0}, player) for player in ("discriminator", "generator")),
    *(("ExperienceReplay", {"share": share}, "share") for share in (-0.1, 1.5, math.nan)),
    ("ExperienceReplay", {"capacity": 0}, "capacity"),
    ("SVRE", {"every": 0}, "every"),
    ("Snapshots", {"every": 0}, "every"),
    ("Snapshots", {"keep": 0}, "keep"),
    *(("Snapshots", {"every": 5, "lasting": lasting}, "lasting") for lasting in (-1, 6)),
    ("Timescales", {"discriminator": 0.0}, "discriminator"),
    *(("Timescales", {"generator": factor}, "generator") for factor in (math.nan, math.inf)),
    ("Timescales", {"scale": "cubic"}, "scale"),
    *(("Timescales", {"reference": m}, "reference") for m in (0, "2n")),
    ("Unrolling", {"steps": -1}, "steps"),
    *(("WGANGP", {"weight": weight}, "weight") for weight in (-1.0, math.inf, math.nan)),
    *(("WeightClipping", {"limit": limit}, "limit") for limit in (0.0, -1.0, math.nan)),
]
"""Settings out of their range, and the one that a refusal names."""


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


@pytest.mark.parametrize(("kind", "settings", "named"), BAD)
def test_settings_out_of_range_are_named(kind: str, settings: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=rf"model\.remedies: .*{named} of {kind}"):
        registry()[kind](**settings)


def test_a_remedy_has_at_most_fourteen_hooks() -> None:
    hooks = [name for name in vars(Remedy) if not name.startswith("_")]
    assert len(hooks) <= 14, hooks


def test_what_changes_gradients_is_told_from_the_hooks() -> None:
    class Other(Remedy):
        def discriminator_loss(self, loss: Tensor, scores: Any) -> Tensor:
            return 2 * loss

    assert changes_gradients(Other())
    assert changes_gradients(R1())
    assert not changes_gradients(WeightClipping())
    assert not changes_gradients(Timescales(generator=2.0))


@pytest.mark.parametrize("name", ACTIVE)
def test_micro_batches_change_nothing_or_are_refused(
    tiny: SimpleNamespace, same_under_micro_batches: Callable[..., None], name: str
) -> None:
    def make() -> Remedy:
        return registry()[name](**ACTIVE[name])

    if make().spec.needs_full_batch:
        with pytest.raises(UserError, match=f"{name}.*model.micro_batch"):
            tiny.make(make(), micro_batch=4)
    else:
        same_under_micro_batches(make)


@pytest.mark.parametrize("name", ACTIVE)
def test_a_resumed_run_is_the_same(same_after_resume: Callable[..., None], name: str) -> None:
    settings = ACTIVE[name] | ({"classes": 10} if name == "ACGAN" else {})
    same_after_resume(lambda: registry()[name](**settings))


@pytest.mark.parametrize(
    ("name", "points"), [*((name, True) for name in NEUTRAL), ("all", True), ("all", False)]
)
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
