"""What each failure looks like in the signals so far: one rule a failure, the gravest first.

Thresholds were set by one set of labelled runs and are judged on others: `ganstoch cases`. A
failure lasts within wider bounds than those that it takes to find it: ``times`` says how much.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Literal

from ganstoch.diagnosis.signals import Signals

History = Sequence[Signals]
Verdict = Literal[
    "non_finite",
    "ignores_latent",
    "complete_collapse",
    "generator_dominates",
    "diverged",
    "partial_collapse",
    "vanishing_gradient",
    "discriminator_dominates",
    "oscillating",
    "memorization",
    "stalled",
    "healthy",
]

_CHAOTIC = 6.0  # sensitivity above which images are flung about rather than made from z
_MORE_DIVERSITY = ("packing2", "minibatch_discrimination", "unrolled5", "feature_matching", "r1")


@dataclass(frozen=True, slots=True)
class Rule:
    """One failure."""

    verdict: Verdict
    means: str  # what its signals say, in words
    holds: Callable[[History], bool]  # whether the end of a history shows it
    signals: tuple[str, ...]  # that are its evidence
    remedies: tuple[str, ...]  # packaged remedies and settings that are known to help
    # Whether the end of a history is still of a failure that was found before it, within wider
    # bounds; None where it lasts as long as it holds.
    lasts: Callable[[History], bool] | None = None
    at_once: bool = False  # whether one measurement is enough

    def evidence(self, history: History) -> tuple[str, ...]:
        """What the signals say, then each at the last measurement."""
        evidence = [self.means]
        for name in self.signals:
            value = getattr(history[-1], name)
            if value not in (None, ""):
                number = value if isinstance(value, str) else f"{value:.3g}"
                evidence.append(f"{name.replace('_', ' ')} {number}")
        return tuple(evidence)


def quality(signals: Signals) -> float:
    """The geometric mean of closeness and reach; 1 is the data's own, inf where it is unknown."""
    if signals.closeness is None or signals.reach is None:
        return math.inf
    return math.sqrt(max(signals.closeness, 0.0) * max(signals.reach, 0.0))


def _at(history: History, name: str) -> float:
    """A signal at the end; NaN, which every comparison fails, where there is none."""
    value = getattr(history[-1], name)
    return math.nan if value is None else float(value)


def _progress(history: History, back: int = 4) -> bool:
    """Whether the images are nearer to the data than some time ago, by 3 %, or more diverse."""
    if len(history) <= back:
        return True  # early on all images look alike, which ends when diversity takes off
    nearer = quality(history[-1]) < 0.97 * quality(history[-1 - back])
    rising = _at(history, "diversity") > 1.1 * max(s.diversity or 0.0 for s in history[:-1])
    return nearer or rising


def _left_behind(history: History) -> bool:
    """Whether the average, whose images count, stands still far away from the generator."""
    last = [quality(signals) for signals in history[-5:]]
    return len(last) == 5 and _at(history, "average_gap") > 0.5 and max(last) < 1.002 * min(last)


def _nothing_moves(history: History) -> bool:
    """Whether neither player changes, though the discriminator has something to learn."""
    gaps = [math.nan if s.gap is None else s.gap for s in history[-3:]]
    same = len(gaps) == 3 and all(abs(gap - gaps[0]) < 0.003 * abs(gaps[0]) for gap in gaps)
    return same and _at(history, "drift") == 0 and _at(history, "gradient_discriminator") > 0


def _stands(history: History) -> bool:
    """Whether the generator has stopped moving; or its average has, far away from it."""
    if len(history) < 5 or (_one_image(history) and not _nothing_moves(history)):
        return False
    still = all(s.drift is not None and s.drift < 0.05 for s in history[-4:])
    return still or _left_behind(history)


def _motion(history: History) -> tuple[float, float]:
    """Median drift and mean turn at the last four measurements; NaN where one is not known."""
    drifts = [s.drift for s in history[-4:] if s.drift is not None]
    turns = [s.turn for s in history[-4:] if s.turn is not None]
    if len(drifts) < 4 or len(turns) < 4:
        return math.nan, math.nan
    return statistics.median(drifts), statistics.mean(turns)


def _swings(history: History) -> bool:
    """Whether images change by as much as they differ from each other, or half of it goes back."""
    drift, turn = _motion(history)
    return (drift > 0.92 and turn < 0.2) or drift * turn < -0.55


def _alternate(history: History) -> bool:
    """Whether the players won by turns, twice at least, at the last five measurements."""
    known = [s.separation for s in history[-5:] if s.separation is not None]
    winners = [value > 0.5 for value in known if not 0.2 < value < 0.8]
    return sum(a != b for a, b in pairwise(winners)) >= 2


def _bad(history: History) -> bool:
    """Whether the images are clearly not the data's yet."""
    return quality(history[-1]) > 1.25


def _flung(history: History) -> bool:
    """Whether z has ever flung the images about."""
    return any((s.sensitivity or 0.0) > _CHAOTIC for s in history)


def _lost(history: History) -> bool:
    """Whether images are far worse than soon after the start, which may itself see a ruin."""
    now, early = quality(history[-1]), [quality(s) for s in history[:4]]
    return 1.4 * min(early) < now < math.inf and now > 0.95 * early[0]


def _still_lost(history: History) -> bool:
    """Whether the images are far off and hardly better than at first, or still flung about by z."""
    far = quality(history[-1]) > max(1.5, 0.75 * min(quality(s) for s in history[:4]))
    return far or _at(history, "sensitivity") > _CHAOTIC / 2


def _one_image(history: History, *, times: float = 1.0) -> bool:
    """Whether all images are one."""
    diversity, isolation = _at(history, "diversity"), _at(history, "isolation")
    few = diversity < 0.12 * times and isolation < 0.08 * times
    return few or (diversity < 0.08 * times and not math.isnan(isolation))


def _takes_off(history: History) -> bool:
    """Whether diversity is on its way up, as at every start, by half at least."""
    before = max((s.diversity or 0.0 for s in history[:-1]), default=math.inf)
    return _at(history, "diversity") > max(2e-3, 1.5 * before)


def _nowhere(history: History) -> bool:
    """Whether the images are hardly better than at first, and get no better."""
    return quality(history[-1]) > 0.75 * quality(history[0]) and not _progress(history)


def _non_finite(history: History) -> bool:
    return bool(history[-1].broken)


def _ignores_latent(history: History, *, times: float = 1.0) -> bool:
    """Many images, none of which z decides; or one, from a z that is not looked at at all."""
    sensitivity, diversity = _at(history, "sensitivity"), _at(history, "diversity")
    kinds = _at(history, "isolation") < 0.05  # a few modes have no gradient within each either
    unheard = sensitivity < 0.02 * times * diversity and diversity > 0.02 and not kinds
    unheard = unheard and not _flung(history)
    never = all((s.sensitivity or 0.0) < 1e-9 for s in history) and sensitivity < 1e-9
    return len(history) > 1 and (unheard or never)


def _complete_collapse(history: History) -> bool:
    """One image, of a generator that made more, or moves, or whose images do not differ at all."""
    was_more = any((s.diversity or 0) > 0.3 for s in history[:-1])
    stands = _at(history, "drift") <= 0.15  # as at a slow start; not known at first
    # Without a gradient and a discriminator no other rule tells a generator that never begins.
    others = history[-1].gradient_generator, history[-1].separation
    begins = len(history) <= 8 or others != (None, None)
    ill = was_more or not (stands and begins) or _at(history, "diversity") < 1e-7
    return _one_image(history) and ill and not _takes_off(history)


def _generator_dominates(history: History, *, times: float = 1.0) -> bool:
    is_fooled = _at(history, "separation") < 0.2 * times and _at(history, "gap") < 0
    return is_fooled and _bad(history)


def _diverged(history: History) -> bool:
    """Logits or losses in the hundreds, images that z flings about, or ever farther away."""
    names = ("gap", "loss_discriminator", "loss_generator")
    loud = any(abs(_at(history, name)) > 200 for name in names)
    sensitivity, diversity = _at(history, "sensitivity"), _at(history, "diversity")
    saturated = _flung(history) and sensitivity < 0.02 * diversity  # no gradient any more
    chaotic = sensitivity > _CHAOTIC or saturated
    first = next((s.closeness for s in history if s.closeness is not None), math.nan)
    away = _at(history, "closeness") > 1.4 * first or _lost(history)
    return loud or chaotic or (away and len(history) > 4)


def _partial_collapse(history: History, *, times: float = 1.0) -> bool:
    few = _at(history, "isolation") < 0.05 * times and not _one_image(history)
    return few and len(history) > 2


def _vanishing_gradient(history: History, *, times: float = 1.0) -> bool:
    """A thousandth of G's first gradient, or below 1e-4, while D tells images apart."""
    norms = [s.gradient_generator for s in history if s.gradient_generator is not None]
    norms = [value for value in norms if not math.isnan(value)]
    gone = bool(norms) and norms[-1] < times * max(1e-4, 1e-3 * statistics.median(norms[:3]))
    return gone and _at(history, "separation") > 0.95


def _discriminator_dominates(history: History) -> bool:
    knows = _at(history, "separation") > 0.995
    gets_nowhere = _nowhere(history) and not _swings(history)
    stands = _at(history, "drift") < 0.02 and len(history) > 4  # as many do at first
    wins = stands or gets_nowhere
    is_lost = _nothing_moves(history) or _left_behind(history)  # not to the discriminator
    return knows and _bad(history) and wins and not is_lost


def _oscillating(history: History) -> bool:
    """Images swing; or go back and forth, far from the data, with no new best or winner."""
    drift, turn = _motion(history)
    if not _bad(history) or _stands(history) or math.isnan(drift):
        return False
    qualities = [quality(signals) for signals in history]
    is_far = qualities[-1] > 0.75 * qualities[0]
    no_best = min(qualities[-4:]) > 0.97 * min(qualities[:-4], default=math.inf)
    to_no_end = is_far and (no_best or _alternate(history))
    return _swings(history) or (to_no_end and drift > 0.4 and turn < -0.3)


def _memorization(history: History) -> bool:
    """Nearer than by chance; a blur is near everything too, but reaches nothing, or is one."""
    is_blur = _at(history, "reach") >= 1 and not _at(history, "diversity") > 0.9
    return _at(history, "closeness") < 0.75 and not is_blur


def _stalled(history: History) -> bool:
    """Images stand still; or the best is long past, and they are worse by a tenth, by medians."""
    if _stands(history) and 1.25 < quality(history[-1]) < math.inf:
        return True
    qualities = [value for value in map(quality, history) if math.isfinite(value)]
    smooth = [statistics.median(qualities[i - 2 : i + 1]) for i in range(2, len(qualities))]
    if len(smooth) < 4:
        return False
    best = min(range(len(smooth)), key=smooth.__getitem__)
    return len(smooth) - 1 - best >= 4 and smooth[-1] > 1.1 * smooth[best]


# The gravest first; of several that hold, the first is the verdict.
RULES = (
    Rule(
        "non_finite",
        "a number that is not finite",
        _non_finite,
        signals=("broken",),
        remedies=("lower model.optimizer.lr", "trainer.precision 32-true", "r1"),
        at_once=True,
    ),
    Rule(
        "ignores_latent",
        "the gradient with respect to z is next to nothing",
        _ignores_latent,
        signals=("sensitivity", "diversity"),
        remedies=("see that z reaches the generator", *_MORE_DIVERSITY),
        lasts=partial(_ignores_latent, times=2),
    ),
    Rule(
        "complete_collapse",
        "all images are one",
        _complete_collapse,
        signals=("diversity", "collisions", "isolation"),
        remedies=_MORE_DIVERSITY,
        lasts=partial(_one_image, times=2),
    ),
    Rule(
        "generator_dominates",
        "the discriminator takes generated images for real ones, which they are not",
        _generator_dominates,
        signals=("separation", "gap", "closeness", "reach"),
        remedies=(
            "see that the discriminator learns, and from the right labels",
            "ttur",
            "ratio_d5",
        ),
        lasts=partial(_generator_dominates, times=2),
    ),
    Rule(
        "diverged",
        "logits, or images, without bound",
        _diverged,
        signals=("gap", "sensitivity", "closeness", "loss_discriminator"),
        remedies=("lower model.optimizer.lr", "r1", "wgan_gp", "lower model.optimizer.beta1"),
        lasts=_still_lost,
    ),
    Rule(
        "partial_collapse",
        "images come in a few kinds",
        _partial_collapse,
        signals=("isolation", "collisions", "reach"),
        remedies=(*_MORE_DIVERSITY, "mixture3", "a larger data.m"),
        lasts=partial(_partial_collapse, times=2),
    ),
    Rule(
        "vanishing_gradient",
        "the generator's gradient is gone",
        _vanishing_gradient,
        signals=("gradient_generator", "separation", "gap"),
        remedies=(
            "see that the generator's images are not detached",
            "the non-saturating objective",
            "relativistic",
            "wgan_gp",
            "label_smoothing",
        ),
        lasts=partial(_vanishing_gradient, times=10),
    ),
    Rule(
        "discriminator_dominates",
        "every image is told apart, and they get no better",
        _discriminator_dominates,
        signals=("separation", "gap", "drift"),
        remedies=(
            "see that the generator learns, and can make what real images range over",
            "equal learning rates",
            "label_smoothing",
            "ratio_g2",
            "r1",
            "pretraining",
        ),
    ),
    Rule(
        "oscillating",
        "images go back and forth",
        _oscillating,
        signals=("drift", "turn"),
        remedies=(
            "lower model.optimizer.lr",
            "lower model.optimizer.beta1",
            "r1",
            "a larger data.m",
        ),
    ),
    Rule(
        "memorization",
        "images are nearer to training images than held-out ones are, and reach them all",
        _memorization,
        signals=("closeness", "reach"),
        remedies=("more data", "a smaller data.m", "model.latents.noise 0.5"),
    ),
    Rule(
        "stalled",
        "the best is long past",
        _stalled,
        signals=("closeness", "reach"),
        remedies=(
            "see that both networks and the average are updated",
            "--diagnosis.act restore",
            "lower model.optimizer.lr",
            "a larger data.m",
        ),
    ),
)
