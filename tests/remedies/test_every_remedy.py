"""What every remedy promises, by itself and beside any other.

Settings are checked, a no-op is the plain GAN, a batch in parts trains as the whole does, a resumed
run goes on as if it had not stopped, and a pair goes together or is refused.
"""

import inspect
import math
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor

from ganstoch import objectives, remedies
from ganstoch.errors import UserError
from ganstoch.models import PaperDiscriminator, PaperGenerator
from ganstoch.objectives import Objective
from ganstoch.remedies import R1, Remedy, Timescales, WeightClipping
from ganstoch.remedies.base import changes_gradients
from ganstoch.training.gan import GAN

NAMES = [name for name in remedies.__all__ if name not in ("Remedies", "Remedy")]
OBJECTIVES = [name for name in objectives.__all__ if name not in ("Objective", "Pointwise")]

NOOP: dict[str, dict[str, Any]] = {
    "ACGAN": {"classes": 3, "weight": 0.0},
    "DiffAugment": {"policy": ()},
    "DiscriminatorBatchNorm": {"apart": None},
    "FeatureMatching": {"share": 0.0},
    "LabelFlipping": {"probability": 0.0},
    "LabelSmoothing": {"real": (1.0, 1.0), "fake": (0.0, 0.0)},
    "LearnableLatents": {"rate": 0.0},
    "MemorizationRejection": {"threshold": 0.0},
    "MinibatchDiscrimination": {"kernels": 0},
    "Mixture": {"generators": 1, "identity": 0.5},
    "Packing": {"size": 1, "matched": "packs"},
    "Pretraining": {"iterations": 0},
    "R1": {"gamma": 0.0},
    "R2": {"gamma": 0.0},
    "Ratio": {"discriminator": 1, "generator": 1},
    "ExperienceReplay": {"share": 0.0},
    "SVRE": {"extrapolate": False, "variance_reduction": False},
    "Snapshots": {"lasting": 0},
    "Timescales": {"discriminator": 1.0, "generator": 1.0, "scale": "none", "reference": 7},
    "Unrolling": {"steps": 0},
    "WGANGP": {"weight": 0.0},
    "WeightClipping": {"limit": math.inf},
}

ACTIVE: dict[str, tuple[str, dict[str, Any]]] = {
    "acgan": ("ACGAN", {"classes": 3}),
    "augmentation": ("DiffAugment", {}),
    "batch norm apart": ("DiscriminatorBatchNorm", {"apart": True}),
    "batch norm together": ("DiscriminatorBatchNorm", {"apart": False}),
    "feature matching": ("FeatureMatching", {"share": 0.5}),
    "flipping": ("LabelFlipping", {"probability": 0.5}),
    "smoothing": ("LabelSmoothing", {}),
    "learnable": ("LearnableLatents", {"rate": 10.0}),
    "rejection": ("MemorizationRejection", {"threshold": 3.0}),
    "minibatch discrimination": ("MinibatchDiscrimination", {"kernels": 4, "dims": 2}),
    "mixture": ("Mixture", {"generators": 2}),
    "identified mixture": ("Mixture", {"generators": 2, "identity": 0.5}),
    "packs": ("Packing", {"size": 2}),
    "as many packs": ("Packing", {"size": 2, "matched": "packs"}),
    "pretraining": ("Pretraining", {"iterations": 1}),
    "r1": ("R1", {}),
    "r2": ("R2", {}),
    "ratio": ("Ratio", {"discriminator": 2, "generator": 2}),
    "replay": ("ExperienceReplay", {}),
    "svre": ("SVRE", {}),
    "extragradient": ("SVRE", {"variance_reduction": False}),
    "old generators": ("Snapshots", {"every": 1, "lasting": 1}),
    "old discriminators": ("Snapshots", {"of": "discriminator", "every": 1, "lasting": 1}),
    "timescales": ("Timescales", {"discriminator": 2.0, "scale": "sqrt"}),
    "unrolling": ("Unrolling", {"steps": 2}),
    "wgan-gp": ("WGANGP", {}),
    "clipping": ("WeightClipping", {"limit": 0.01}),
}
"""Settings worth telling apart: the remedy's name and its arguments."""

COUPLED = [
    "batch norm apart",
    "batch norm together",
    "feature matching",
    "minibatch discrimination",
    "unrolling",
]

REFUSED = {
    *product(("acgan", "identified mixture"), ("packs", "as many packs", "replay")),
    *product(
        ("batch norm apart", "batch norm together", "minibatch discrimination"),
        ("r1", "r2", "wgan-gp"),
    ),
    ("batch norm together", "minibatch discrimination"),
    ("old discriminators", "unrolling"),
    *product(
        ("pretraining", "ratio", "replay", "old generators", "old discriminators", "unrolling"),
        ("svre", "extragradient"),
    ),
    *product((each for each in COUPLED if each != "unrolling"), ("svre",)),
    *product(
        ("augmentation", "flipping", "smoothing", "packs", "as many packs", "wgan-gp"), ("svre",)
    ),
    *product(("learnable",), ("pretraining", "svre", "extragradient")),
    *product(
        ("rejection",),
        ("flipping", "smoothing", "packs", "as many packs", "replay"),
    ),
    *product(("rejection",), ("old generators", "old discriminators")),
}
"""Pairs of remedies that cannot go together; all others can."""

NOT_A_SHARE = (-0.1, 1.1, math.nan)
NOT_A_WEIGHT = (-1.0, math.inf, math.nan)
NOT_A_RANGE = ((0.3, 0.2), (math.nan, 1.0), (0.0, math.inf))
BAD: dict[tuple[str, str], tuple[Any, ...]] = {
    ("ACGAN", "classes"): (1,),
    ("ACGAN", "weight"): NOT_A_WEIGHT,
    ("DiffAugment", "policy"): (("color", "flip"),),
    ("FeatureMatching", "share"): NOT_A_SHARE,
    ("LabelFlipping", "probability"): NOT_A_SHARE,
    ("LabelSmoothing", "real"): NOT_A_RANGE,
    ("LabelSmoothing", "fake"): NOT_A_RANGE,
    ("LearnableLatents", "rate"): NOT_A_WEIGHT,
    ("MemorizationRejection", "threshold"): NOT_A_WEIGHT,
    ("MinibatchDiscrimination", "kernels"): (-1,),
    ("MinibatchDiscrimination", "dims"): (0,),
    ("Mixture", "generators"): (0,),
    ("Mixture", "identity"): NOT_A_WEIGHT,
    ("Packing", "size"): (0,),
    ("Pretraining", "iterations"): (-1,),
    ("R1", "gamma"): NOT_A_WEIGHT,
    ("R2", "gamma"): NOT_A_WEIGHT,
    ("Ratio", "discriminator"): (0,),
    ("Ratio", "generator"): (0,),
    ("ExperienceReplay", "share"): NOT_A_SHARE,
    ("ExperienceReplay", "capacity"): (0,),
    ("SVRE", "every"): (0,),
    ("Snapshots", "every"): (0,),
    ("Snapshots", "keep"): (0,),
    ("Snapshots", "lasting"): (-1, 101),
    ("Timescales", "discriminator"): (0.0,),
    ("Timescales", "generator"): (math.nan, math.inf),
    ("Timescales", "scale"): ("cubic",),
    ("Timescales", "reference"): (0, "2n"),
    ("Unrolling", "steps"): (-1,),
    ("WGANGP", "weight"): NOT_A_WEIGHT,
    ("WeightClipping", "limit"): (0.0, -1.0, math.nan),
}
"""Values of a setting that are out of its range."""


def made(name: str, **settings: Any) -> Remedy:
    """The remedy of a line of ``ACTIVE``, or of a class's name."""
    kind, given = ACTIVE.get(name, (name, {}))
    remedy = getattr(remedies, kind)(**given | settings)
    assert isinstance(remedy, Remedy)
    return remedy


def composed(tiny: SimpleNamespace, *names: str, objective: Objective | None = None) -> GAN | str:
    """A GAN, or why there is none."""
    try:
        points = "augmentation" not in names
        gan = tiny.make(*map(made, names), objective=objective, points=points)
    except UserError as error:
        return str(error)
    assert isinstance(gan, GAN)
    return gan


def finite(losses: list[dict[str, float]]) -> bool:
    return all(math.isfinite(loss) for each in losses for loss in each.values())


def trace(gan: GAN, tiny: SimpleNamespace) -> tuple[list[dict[str, float]], dict[str, Tensor]]:
    """Losses of three iterations, and every number afterwards; Adam's too."""
    optimizers = gan.configure_optimizers()
    losses = tiny.train(gan, iterations=3, optimizers=optimizers)
    state = dict(gan.state_dict())
    for player, optimizer in zip("dg", optimizers, strict=True):
        for i, moments in optimizer.state_dict()["state"].items():
            state |= {f"adam.{player}.{i}.{name}": value for name, value in moments.items()}
    return losses, state


def test_the_tables_know_every_remedy() -> None:
    assert set(NOOP) == {kind for kind, _ in ACTIVE.values()} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_says_whether_it_is_a_noop(name: str) -> None:
    assert made(name, **NOOP[name]).spec.is_noop
    assert not any(made(each).spec.is_noop for each in ACTIVE if ACTIVE[each][0] == name)
    defaults = inspect.signature(getattr(remedies, name)).parameters
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in defaults.values())


@pytest.mark.parametrize(("kind", "setting"), BAD)
def test_settings_out_of_range_are_named(kind: str, setting: str) -> None:
    others = {"classes": 3} if kind == "ACGAN" else {}
    for value in BAD[kind, setting]:
        with pytest.raises(UserError, match=rf"model\.remedies: .*{setting} of {kind}"):
            made(kind, **others | {setting: value})


def test_what_changes_gradients_is_told_from_the_hooks() -> None:
    class Other(Remedy):
        def discriminator_loss(self, loss: Tensor, scores: Any) -> Tensor:
            return 2 * loss

    assert changes_gradients(Other())
    assert changes_gradients(R1())
    assert not changes_gradients(WeightClipping())
    assert not changes_gradients(Timescales(generator=2.0))


@pytest.mark.parametrize("points", [True, False])
@pytest.mark.parametrize("name", ACTIVE)
def test_micro_batches_change_nothing(tiny: SimpleNamespace, name: str, points: bool) -> None:
    if name in COUPLED:
        with pytest.raises(UserError, match=f"{ACTIVE[name][0]}.*model.micro_batch"):
            tiny.make(made(name), points=points, micro_batch=3)
        return
    if points and name == "augmentation":
        with pytest.raises(UserError, match="DiffAugment"):
            tiny.make(made(name), points=points)
        return
    whole = tiny.make(made(name), points=points).double()
    parts = tiny.make(made(name), points=points, micro_batch=3).double()
    losses = (tiny.train(gan, iterations=3) for gan in (whole, parts))
    for one, other in zip(*losses, strict=True):
        assert one == pytest.approx(other, abs=1e-12)
    pairs = zip(whole.parameters(), parts.parameters(), strict=True)
    # Adam's first steps divide rounding by rounding where a gradient is 0.
    assert max((a - b).abs().max().item() for a, b in pairs) < 1e-9


@pytest.mark.parametrize("name", ACTIVE)
def test_a_resumed_run_is_the_same(
    make_data: Callable[..., Any],
    fit: Callable[..., Any],
    state_of: Callable[..., dict[str, Tensor]],
    assert_same_bits: Callable[..., None],
    tmp_path: Path,
    name: str,
) -> None:
    def make() -> GAN:
        return GAN(
            partial(PaperGenerator, width=8, latent_dim=8),
            partial(PaperDiscriminator, width=8),
            remedies=[made(name, **({"classes": 10} if name == "acgan" else {}))],
            ema_decay=0.9,
        )

    whole = fit(make(), make_data(), steps=6)
    assert whole.global_step == 6
    saver = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=4, save_top_k=-1)
    fit(make(), make_data(), saver, steps=5)
    rest = fit(make(), make_data(), steps=6, resume=tmp_path / "step=4.ckpt")
    assert_same_bits(state_of(rest), state_of(whole))


@pytest.mark.parametrize("points", [True, False])
def test_noops_are_the_plain_gan_to_the_bit(
    tiny: SimpleNamespace, assert_same_bits: Callable[..., None], points: bool
) -> None:
    losses, state = trace(tiny.make(points=points), tiny)
    for names in (NAMES, *([name] for name in NAMES)):
        gan = tiny.make(*(made(name, **NOOP[name]) for name in names), points=points)
        our_losses, our_state = trace(gan, tiny)
        assert our_losses == losses, names
        assert_same_bits(our_state, state)


@pytest.mark.parametrize("name", ACTIVE)
def test_changes_training_and_always_in_the_same_way(
    tiny: SimpleNamespace, assert_same_bits: Callable[..., None], name: str
) -> None:
    points = name != "augmentation"
    (losses, state), (again, other) = (
        trace(tiny.make(made(name), points=points), tiny) for _ in range(2)
    )
    assert losses == again
    assert_same_bits(state, other)
    plain = trace(tiny.make(points=points), tiny)[1]
    assert state.keys() != plain.keys() or any((state[k] != plain[k]).any() for k in plain)


@pytest.mark.parametrize("first", ACTIVE)
def test_pairs_train_or_are_refused(tiny: SimpleNamespace, first: str) -> None:
    for second in ACTIVE:
        if ACTIVE[first][0] == ACTIVE[second][0]:
            continue
        gan = composed(tiny, first, second)
        refused = bool({(first, second), (second, first)} & REFUSED)
        assert isinstance(gan, str) == refused, (second, gan)
        assert not refused or "\n" not in str(gan)
        if isinstance(gan, GAN):
            assert finite(tiny.train(gan, iterations=3 if first < second else 1)), second


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_trains_or_is_refused(tiny: SimpleNamespace, objective: str) -> None:
    for name in ACTIVE:
        gan = composed(tiny, name, objective=getattr(objectives, objective)())
        pointwise = name in ("flipping", "rejection", "smoothing", "svre")
        assert isinstance(gan, str) == (objective.startswith("Relativistic") and pointwise), name
        if isinstance(gan, GAN):
            assert finite(tiny.train(gan, iterations=2)), name


def test_one_of_a_kind(tiny: SimpleNamespace) -> None:
    with pytest.raises(UserError, match=r"model\.remedies has Packing twice; give it once"):
        tiny.make(made("packs"), made("r1"), made("as many packs"))
