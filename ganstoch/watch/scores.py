"""What a score over time tells: FID, KID and mode drop, lower is better; IS, recall, coverage."""

from dataclasses import dataclass

import numpy as np

from ganstoch.watch.opinion import CANNOT_TELL, Opinion
from ganstoch.watch.series import Array

SCORES = ("fid", "kid", "mode_drop", "is", "recall", "coverage")  # the first that there is decides
_HIGHER = {"is", "recall", "coverage"}
_FEWEST = 4
_LOST = 1.5  # times the best: farther than any noise of a score
_PAST = 1.3  # times the best, where that is long past
_POOR = 100.0  # FID of no use


@dataclass(frozen=True)
class Best:
    """A score's best point."""

    step: float
    value: float
    last: float  # value
    after: float  # share of the steps that came after it


def best_of(name: str, steps: Array, values: Array) -> Best:
    """The best point of at least one."""
    at = int(np.argmax(values) if name in _HIGHER else np.argmin(values))
    after = 1 - steps[at] / steps[-1] if steps[-1] > 0 else 0.0
    return Best(float(steps[at]), float(values[at]), float(values[-1]), float(after))


def judge_score(name: str, steps: Array, values: Array) -> Opinion:
    """A verdict from one of `SCORES`, values (N,) over time; medians of three pass over noise."""
    shown = "inception_score" if name == "is" else name
    if len(values) < _FEWEST:
        because = f"{len(values)} values of {shown}: at least {_FEWEST} are needed"
        return Opinion(CANNOT_TELL, shown, because)
    smooth = np.array([np.median(values[max(0, i - 1) : i + 2]) for i in range(len(values))])
    best = best_of(name, steps, values)
    told = f"{shown} was best at {best.value:.4g} and is {best.last:.4g}"
    if smooth.min() < 0 or (name not in _HIGHER and smooth.min() == 0):
        return Opinion(CANNOT_TELL, shown, f"{told}: a ratio to that means nothing")
    worse = smooth.max() / np.maximum(smooth, 1e-9) if name in _HIGHER else smooth / smooth.min()
    turn = int(worse.argmin())

    def since(limit: float) -> int | None:
        """Where values pass a limit for good, at least two of them."""
        start = turn + int(np.flatnonzero(worse[turn:] < limit)[-1]) + 1
        return start if len(worse) - start >= 2 else None

    def ill(verdict: str, start: int, because: str = "") -> Opinion:
        sure = 1 - 0.5 ** min(len(steps) - start, 7)
        return Opinion(verdict, shown, told + because, float(steps[start]), sure)

    past, lost = since(_PAST), since(_LOST)
    if past is not None and name == "is" and smooth[-3:].max() < 1.5:
        return ill("complete_collapse", past, ": 1 is of images that are all of one class")
    if past is not None and lost is not None:
        return ill("diverged" if worse[-1] > 0.9 * worse[0] else "stalled", past)
    if past is not None and best.after > 0.3:
        return ill("stalled", past)
    half = len(smooth) // 2
    comes_down = smooth[half:].min() < 0.9 * smooth[:half].min()
    if name == "fid" and len(values) >= 10 and smooth.min() > _POOR and not comes_down:
        return ill("stalled", half, ": it hardly comes down, and is poor")
    return Opinion("healthy", shown, told, sure=0.9)
