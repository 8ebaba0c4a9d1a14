"""What the two losses tell, which is less than is often read into them.

A discriminator's loss, over its value at chance, estimates how far the generated distribution
overlaps with the real one: 1 - JSD / ln 2 for the logistic loss, 1 - TV for the hinge loss (Nowozin
et al. 2016; Lim and Ye 2017). Where it stays near 0, the generator has next to no signal (Arjovsky
and Bottou 2017). Levels between say nothing: a discriminator that sinks slowly may be of a run that
does well. A Wasserstein critic's values have neither scale nor zero.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganstoch.watch.opinion import CANNOT_TELL, Opinion
from ganstoch.watch.series import Array

_WINDOWS = 50
_FEWEST = 12  # points
_WON = 0.1  # of the loss at chance: the discriminator knows nearly every image
_OPEN = 0.15
_LASTS = 0.2  # of the run so far must show a failure
_FOOLED = 2.5, 0.15  # D's loss above 1.25 times any at chance, G's below a fifth of ln 2
_SILENT = 1e-4  # of a loss: what it tells apart
_JUMP = 1.5, 3.0  # interquartile ranges; D's loss has 0 below it, and cannot fall by many


@dataclass(frozen=True)
class Windows:
    """A run in at most 50 windows of equal numbers of points: a median and a spread of each."""

    steps: Array  # the first of each
    d: Array
    g: Array
    d_spread: Array  # interquartile ranges
    g_spread: Array
    d_swing: Array  # median change from one point to the next
    g_swing: Array

    @classmethod
    def of(cls, steps: Array, d: Array, g: Array) -> "Windows":
        """From aligned points, at least `_FEWEST`."""
        parts = np.array_split(np.arange(len(steps)), min(_WINDOWS, len(steps) // 3))
        quartiles = np.array([np.percentile([d[p], g[p]], [25, 50, 75], axis=1) for p in parts])
        spread = quartiles[:, 2] - quartiles[:, 0]
        swing = np.array([[np.median(np.abs(np.diff(one[p]))) for one in (d, g)] for p in parts])
        first = np.array([steps[p[0]] for p in parts])
        return cls(first, *quartiles[:, 1].T, *spread.T, *swing.T)


def family_of(d: Array, g: Array) -> tuple[str, float]:
    """The loss's family, and the discriminator's loss at chance, at the least that it may be.

    Seen from values: a critic's loss goes below 0; so does a generator's hinge loss, and no other;
    a least-squares one stays below 1, though the discriminator is far ahead.
    """
    if np.mean(d < 0) > 0.05:
        return "Wasserstein", math.nan
    level = float(np.median(d[: len(d) // 2]))
    if level > 2.2:
        return "with terms of its own, or of several discriminators", level
    if np.percentile(g, 95) < 1.2 and g.min() > -0.01:
        # The logistic loss obeys D >= -log(1 - exp(-G)); a smaller one is least squares.
        least = -np.log1p(-np.exp(-np.clip(g, 1e-6, None)))
        if np.mean(d < 0.5 * least) > 0.5:
            return "least squares", 0.25
    return ("hinge", 2.0) if np.mean(g < 0) > 0.01 else ("logistic or hinge", 2 * math.log(2))


def judge_losses(steps: Array, d: Array, g: Array, *, reconstructs: bool = False) -> Opinion:
    """A verdict from aligned, finite losses (N,) of discriminator and generator.

    Args:
        steps: of each point, ascending.
        d: the discriminator's losses.
        g: the generator's.
        reconstructs: whether the generator has other aims, and may do well though it has lost.
    """
    if len(steps) < _FEWEST:
        because = f"{len(steps)} points of both losses: at least {_FEWEST} are needed"
        return Opinion(CANNOT_TELL, "losses", because)
    windows, (family, chance) = Windows.of(steps, d, g), family_of(d, g)
    basis = f"losses ({family})"
    wild = _runs_away(windows, basis) or _jumps(windows, basis)
    if wild or family == "Wasserstein":
        return wild or _of_critic(windows, basis)
    share = windows.d / chance
    if (start := _stretch((windows.d > _FOOLED[0]) & (windows.g < _FOOLED[1]))) is not None:
        because = "the discriminator's loss is far above its value at chance, and the generator's "
        because += "is next to nothing: it takes generated images for real ones"
        since = float(windows.steps[start])
        return Opinion("generator_dominates", basis, because, since, 0.8)
    if (start := _stretch(share < _WON)) is not None and not _comes_down(windows, start):
        level = float(np.median(share[start:]))
        length = math.log10(len(steps) * (1 - start / len(share))) / 3.5
        sure = 0.4 + 0.2 * (1 - level / _WON) + 0.3 * min(1.0, length) - 0.2 * reconstructs
        because = f"the discriminator's loss stays at {level:.1%} of its value at chance "
        because += f"({chance:.3g}), and the generator's does not come down"
        since = float(windows.steps[start])
        return Opinion("discriminator_dominates", basis, because, since, sure)
    if _is_constant(windows, chance):
        because = "the discriminator's loss has never left its value at chance: it learned nothing"
        return Opinion("vanishing_gradient", basis, because, float(windows.steps[0]), 0.7)
    late = float(np.median(share[-max(1, len(share) // 5) :]))
    because = f"the discriminator's loss is at {late:.0%} of its value at chance"
    if late < _OPEN:
        return Opinion(CANNOT_TELL, basis, f"{because}: such runs go either way")
    because += ", without a jump; it does not see collapse"
    return Opinion("healthy", basis, because, sure=0.6)


def _stretch(shown: NDArray[np.bool_]) -> int | None:
    """The window from which on most of the last fifth have shown a failure, to the end, or None."""
    length = max(3, math.ceil(_LASTS * len(shown)))
    most = [np.mean(shown[i : i + length]) > 0.5 for i in range(len(shown) - length + 1)]
    if not most[-1]:
        return None
    start = max((i + 1 for i, holds in enumerate(most) if not holds), default=0)
    return start + int(shown[start:].argmax())


def _comes_down(windows: Windows, start: int) -> bool:
    """Whether the generator's loss falls along a stretch by more than it swings."""
    g = windows.g[start:]
    third = max(1, len(g) // 3)
    fall = np.median(g[:third]) - np.median(g[-third:])
    return bool(fall > max(np.median(windows.g_spread[start:]), 0.1 * abs(np.median(g))))


def _runs_away(windows: Windows, basis: str) -> Opinion | None:
    """Losses of over a thousand, a hundred times what they were."""
    for name, values in (("discriminator", windows.d), ("generator", windows.g)):
        size = np.abs(values)
        early = float(np.median(size[: max(1, len(size) // 5)]))
        if (start := _stretch(size > max(1e3, 100 * early))) is not None:
            because = f"the {name}'s loss has grown from {early:.3g} to {size[-1]:.3g}"
            return Opinion("diverged", basis, because, float(windows.steps[start]), 0.9)
    return None


def _jumps(windows: Windows, basis: str) -> Opinion | None:
    """Both losses leave their range at once and stay away: the discriminator's down, G's up.

    A few windows before are compared with all after; a slow change passes.
    """
    n, near = len(windows.d), 4
    for i in range(max(near, n // 10), n - 2):
        before, after = slice(i - near, i), slice(i, n)
        moves = []
        for values, spreads in ((windows.d, windows.d_spread), (windows.g, windows.g_spread)):
            spread = max(float(np.median(spreads[before])), float(np.ptp(values[before])), 1e-9)
            moves.append((values[after] - np.median(values[before])) / spread)
        halved = np.abs(windows.d[after]) < 0.5 * abs(np.median(windows.d[before]))
        left = (moves[0] < -_JUMP[0]) & (moves[1] > _JUMP[1]) & halved
        if left.mean() >= 0.85:
            because = "both losses left their range at once, the discriminator's down, the "
            because += "generator's up, and have not come back"
            sure = min(0.9, 0.6 + 0.05 * int(left.sum()))
            since = float(windows.steps[i + left.argmax()])
            return Opinion("diverged", basis, because, since, sure)
    return None


def _is_constant(windows: Windows, chance: float) -> bool:
    """Whether D's loss has been what a constant output gives, in every window.

    One that looks at images at all swings with its batches, in an equilibrium too.
    """
    near = [
        np.abs(windows.d - at) + windows.d_spread < _SILENT * at
        for at in (chance, 2.0, 2 * math.log(2), math.log(2), 0.25, 0.5)
    ]
    return any(bool(one.all()) for one in near)


def _of_critic(windows: Windows, basis: str) -> Opinion:
    """A critic that tells nothing apart, or whose values are thrown about; else not known."""
    size = np.maximum(np.abs(windows.g), windows.g_spread)
    nothing = np.abs(windows.d) + windows.d_spread < _SILENT * size
    if (start := _stretch(nothing)) is not None:
        because = "the critic gives real and generated images the same value"
        return Opinion("vanishing_gradient", basis, because, float(windows.steps[start]), 0.8)
    wild = (windows.g_swing > 0.5 * np.abs(windows.g)) & (windows.g_swing > 50 * windows.d_swing)
    if len(wild) >= 10 and wild[len(wild) // 2 :].mean() > 0.5:
        because = "the critic's values swing by more than half their size from one entry to the "
        because += "next, and by 50 times what they tell apart"
        return Opinion("oscillating", basis, because, float(windows.steps[wild.argmax()]), 0.55)
    return Opinion(CANNOT_TELL, basis, "a critic's loss has neither a scale nor a zero")
