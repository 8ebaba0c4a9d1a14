"""When each thing that can go wrong is seen: one rule a failure, of the signals so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from ganstoch.diagnosis import failures
from ganstoch.diagnosis.failures import History

__all__ = ["RULES", "Rule", "Verdict"]

Verdict = Literal[
    "healthy",
    "partial_collapse",
    "complete_collapse",
    "ignores_latent",
    "discriminator_dominates",
    "vanishing_gradient",
    "generator_dominates",
    "oscillating",
    "diverged",
    "non_finite",
    "memorization",
    "stalled",
]


@dataclass(frozen=True, slots=True)
class Rule:
    """One failure.

    Attributes:
        verdict: its name.
        holds: whether the last moment of a history shows it.
        shown: signals that are its evidence.
        means: what they say, in words.
        remedies: packaged remedies and settings that are known to help.
        at_once: whether one moment is enough.
        lasts: whether the last moment of a history is still of a failure that was found before it:
            wider bounds than those that it takes to find one.
    """

    verdict: Verdict
    holds: Callable[[History], bool]
    shown: tuple[str, ...]
    means: str
    remedies: tuple[str, ...]
    at_once: bool = False
    lasts: Callable[[History], bool] = lambda history: False

    def evidence(self, history: History) -> tuple[str, ...]:
        """What the signals say, then each at the last moment."""
        found = [self.means]
        for name in self.shown:
            value = getattr(history[-1], name)
            if value not in (None, ""):
                number = value if isinstance(value, str) else f"{value:.3g}"
                found.append(f"{name.replace('_', ' ')} {number}")
        return tuple(found)


_MORE_DIVERSITY = ("packing2", "minibatch_discrimination", "unrolled5", "feature_matching", "r1")

RULES: tuple[Rule, ...] = (
    Rule(
        "non_finite",
        failures.non_finite,
        ("broken",),
        "a number that is not finite",
        ("lower model.optimizer.lr", "trainer.precision 32-true", "r1"),
        at_once=True,
    ),
    Rule(
        "ignores_latent",
        failures.ignores_z,
        ("sensitivity", "diversity"),
        "the gradient with respect to z is next to nothing",
        ("see that z reaches the generator", *_MORE_DIVERSITY),
        lasts=partial(failures.ignores_z, times=2),
    ),
    Rule(
        "complete_collapse",
        failures.complete_collapse,
        ("diversity", "collisions", "isolation"),
        "all images are one",
        _MORE_DIVERSITY,
        lasts=failures.still_collapsed,
    ),
    Rule(
        "generator_dominates",
        failures.generator_dominates,
        ("separation", "gap", "closeness", "reach"),
        "the discriminator takes generated images for real ones, which they are not",
        ("see that the discriminator learns, and from the right labels", "ttur", "ratio_d5"),
        lasts=partial(failures.generator_dominates, times=2),
    ),
    Rule(
        "diverged",
        failures.diverged,
        ("gap", "sensitivity", "closeness", "loss_discriminator"),
        "logits, or images, without bound",
        ("lower model.optimizer.lr", "r1", "wgan_gp", "lower model.optimizer.beta1"),
        lasts=failures.still_lost,
    ),
    Rule(
        "partial_collapse",
        failures.partial_collapse,
        ("isolation", "collisions", "reach"),
        "images come in a few kinds",
        (*_MORE_DIVERSITY, "mixture3", "a larger data.m"),
        lasts=partial(failures.partial_collapse, times=2),
    ),
    Rule(
        "vanishing_gradient",
        failures.vanishing,
        ("gradient_generator", "separation", "gap"),
        "the generator's gradient is gone",
        ("the non-saturating objective", "relativistic", "wgan_gp", "label_smoothing"),
        lasts=partial(failures.vanishing, times=10),
    ),
    Rule(
        "discriminator_dominates",
        failures.discriminator_dominates,
        ("separation", "gap", "drift"),
        "every image is told apart, and they get no better",
        ("label_smoothing", "label_flipping", "ratio_g2", "r1", "pretraining"),
    ),
    Rule(
        "oscillating",
        failures.oscillating,
        ("drift", "turn"),
        "images go back and forth",
        ("lower model.optimizer.lr", "lower model.optimizer.beta1", "r1", "a larger data.m"),
    ),
    Rule(
        "memorization",
        failures.memorization,
        ("closeness", "reach"),
        "images are nearer to training images than held-out ones are, and reach them all",
        ("more data", "a smaller data.m", "model.latents.noise 0.5"),
    ),
    Rule(
        "stalled",
        failures.stalled,
        ("closeness", "reach"),
        "the best is long past",
        ("--diagnosis.act restore", "lower model.optimizer.lr", "a larger data.m"),
    ),
)
"""The gravest first; of several that hold, the first is the verdict."""
