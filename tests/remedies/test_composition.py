"""Any two remedies go together, or are refused in one line before anything is trained."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import Any

import pytest

from ganstoch import objectives, remedies
from ganstoch.errors import UserError
from ganstoch.objectives import Objective
from ganstoch.remedies import Remedy
from ganstoch.training.gan import GAN

ACTIVE: dict[str, tuple[str, dict[str, Any]]] = {
    "acgan": ("ACGAN", {"classes": 3}),
    "batch norm apart": ("DiscriminatorBatchNorm", {"apart": True}),
    "batch norm together": ("DiscriminatorBatchNorm", {"apart": False}),
    "feature matching": ("FeatureMatching", {"share": 0.5}),
    "flipping": ("LabelFlipping", {"probability": 0.5}),
    "smoothing": ("LabelSmoothing", {}),
    "minibatch discrimination": ("MinibatchDiscrimination", {"kernels": 4, "dims": 2}),
    "mixture": ("Mixture", {"generators": 2}),
    "identified mixture": ("Mixture", {"generators": 2, "identity": 0.5}),
    "packs": ("Packing", {"size": 2}),
    "as many packs": ("Packing", {"size": 2, "matched": "packs"}),
    "pretraining": ("Pretraining", {"iterations": 1}),
    "r1": ("R1", {}),
    "ratio": ("Ratio", {"discriminator": 2, "generator": 2}),
    "replay": ("ExperienceReplay", {}),
    "svre": ("SVRE", {}),
    "extragradient": ("SVRE", {"variance_reduction": False}),
    "old generators": ("Snapshots", {"every": 1, "lasting": 1}),
    "old discriminators": ("Snapshots", {"of": "discriminator", "every": 1, "lasting": 1}),
    "timescales": ("Timescales", {"discriminator": 2.0, "scale": "sqrt"}),
    "unrolling": ("Unrolling", {"steps": 2}),
    "wgan-gp": ("WGANGP", {}),
    "clipping": ("WeightClipping", {"limit": 0.1}),
}
"""Settings worth telling apart here: the remedy's name and its arguments."""

OBJECTIVES = [name for name in objectives.__all__ if name not in ("Objective", "Pointwise")]

COUPLED = {
    "batch norm apart": "DiscriminatorBatchNorm",
    "batch norm together": "DiscriminatorBatchNorm",
    "feature matching": "FeatureMatching",
    "minibatch discrimination": "MinibatchDiscrimination",
    "unrolling": "Unrolling",
}
"""What must see a batch whole, and the name that a refusal gives."""

REFUSED = {
    ("acgan", "packs"),
    ("acgan", "as many packs"),
    ("acgan", "replay"),
    ("identified mixture", "packs"),
    ("identified mixture", "as many packs"),
    ("identified mixture", "replay"),
    *itertools.product(
        ("batch norm apart", "batch norm together", "minibatch discrimination"), ("r1", "wgan-gp")
    ),
    ("batch norm together", "minibatch discrimination"),
    ("old discriminators", "unrolling"),
    *itertools.product(
        ("pretraining", "ratio", "replay", "old generators", "old discriminators", "unrolling"),
        ("svre", "extragradient"),
    ),
    *((each, "svre") for each in COUPLED if each != "unrolling"),
    *((each, "svre") for each in ("flipping", "smoothing", "packs", "as many packs", "wgan-gp")),
}
"""Pairs of remedies that cannot go together; all others can."""


def made(name: str) -> Remedy:
    kind, settings = ACTIVE[name]
    remedy = getattr(remedies, kind)(**settings)
    assert isinstance(remedy, Remedy)
    assert not remedy.spec.is_noop
    return remedy


def composed(tiny: SimpleNamespace, *names: str, objective: Objective | None = None) -> GAN | str:
    """A game, or why there is none."""
    try:
        game = tiny.make(*map(made, names), objective=objective)
    except UserError as error:
        return str(error)
    assert isinstance(game, GAN)
    return game


def in_one_line(reason: str) -> bool:
    return "\n" not in reason and 20 < len(reason) < 250


def finite(losses: list[dict[str, float]]) -> bool:
    return all(math.isfinite(loss) for each in losses for loss in each.values())


@pytest.mark.parametrize("first", ACTIVE)
def test_pairs_play_or_are_refused(tiny: SimpleNamespace, first: str) -> None:
    """In this order and in the other; the third iteration meets what the second has left."""
    for second in ACTIVE:
        pair = ACTIVE[first], ACTIVE[second]
        if pair[0][0] == pair[1][0]:
            continue
        game = composed(tiny, first, second)
        if isinstance(game, str):
            assert (first, second) in REFUSED or (second, first) in REFUSED, (second, game)
            assert in_one_line(game), game
        else:
            assert (first, second) not in REFUSED, second
            assert (second, first) not in REFUSED, second
            assert finite(tiny.play(game, iterations=3 if first < second else 1)), second


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_remedies_play_with_every_objective_or_are_refused(
    tiny: SimpleNamespace, objective: str
) -> None:
    kind: type[Objective] = getattr(objectives, objective)
    pointwise = ("flipping", "smoothing", "svre")
    for name in ACTIVE:
        refused = objective.startswith("Relativistic") and name in pointwise
        game = composed(tiny, name, objective=kind())
        if isinstance(game, str):
            assert refused, (name, game)
            assert in_one_line(game), game
        else:
            assert not refused, name
            assert finite(tiny.play(game, iterations=2)), name


@pytest.mark.parametrize("points", [True, False])
def test_many_at_once(tiny: SimpleNamespace, points: bool) -> None:
    """As many as go together, with both players' structure changed and every loss hook in use."""
    names = ["acgan", "identified mixture", "minibatch discrimination", "feature matching"]
    names += ["smoothing", "flipping", "old generators", "unrolling", "ratio", "timescales"]
    names += ["pretraining", "clipping"]
    game = tiny.make(*map(made, names), points=points)
    assert len(game.remedies) == len(names)
    assert finite(tiny.play(game, iterations=3))


def test_one_of_a_kind(tiny: SimpleNamespace) -> None:
    with pytest.raises(UserError, match=r"model\.remedies has Packing twice; give it once"):
        tiny.make(made("packs"), made("r1"), made("as many packs"))
