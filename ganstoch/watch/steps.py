"""Which number of a row is its step: iterations before thousands of images before epochs."""

import re
from collections.abc import Mapping

STEPS = (  # the surest first, in lower case
    *("step", "global_step", "trainer/global_step", "global step", "_step", "steps", "itr"),
    *("iteration", "iterations", "iter", "total_iters", "n_iter", "update", "updates"),
    *("progress/kimg", "kimg", "cur_nimg"),
)
_EPOCHS = ("epoch", "epochs", "progress/tick", "tick", "round")
_WITHIN = ("batch", "iters", "i", "minibatch")  # begins anew every epoch
LEADING = "#"  # the number that a line of text begins with
WHOLE = "batches"  # in an epoch
_OTHERS = re.compile(r"time|elapsed|\beta\b|\bsec|runtime|gpu|cpu|\bmem|\blr\b|learning.rate", re.I)


class Clock:
    """Tells the step of each row of one log; ``name`` is the column to count by, if it is known."""

    def __init__(self, name: str | None = None) -> None:
        self.unit = "row" if name is None else name
        self._name = None if name is None else name.lower()
        self._epoch, self._within = -1.0, -1.0
        self._starts: list[tuple[float, float]] = []  # epochs, and the steps before each

    def step(self, numbers: Mapping[str, float]) -> float | None:
        """The row's step, None if it has none."""
        lower = {name.lower(): value for name, value in numbers.items()}
        epoch = next((lower[name] for name in _EPOCHS if name in lower), None)
        for name in STEPS if self._name is None else (self._name,):
            if name in lower:
                self.unit = name.rpartition("/")[2].strip("_")
                stated = epoch is None or self._name is not None
                return lower[name] if stated else self._in_epoch(epoch, lower[name], 0.0)
        if self._name is not None:
            return None
        within = next((lower[name] for name in _WITHIN if name in lower), None)
        if within is not None:
            self.unit = "iteration"
            return self._in_epoch(epoch, within, lower.get(WHOLE, 0.0))
        at = lower.get(LEADING, epoch)
        if at is not None and self.unit in ("row", "epoch"):
            self.unit = "epoch"
            return at
        return None

    def _in_epoch(self, epoch: float | None, within: float, whole: float) -> float:
        if epoch is None or whole:
            return (epoch or 0.0) * whole + within
        if epoch > self._epoch and within < self._within:
            before = self._starts[-1][1] if self._starts else 0.0
            self._starts.append((epoch, before + self._within))
        while self._starts and self._starts[-1][0] > epoch:  # taken up again, or another run
            self._starts.pop()
        self._epoch, self._within = epoch, within
        return within + (self._starts[-1][1] if self._starts else 0.0)


def is_measure(name: str) -> bool:
    """Whether a name is of something that is measured, in place of a step, a time or a rate."""
    clocks = {*STEPS, *_EPOCHS, *_WITHIN, LEADING, WHOLE}
    return name.lower() not in clocks and not _OTHERS.search(name)
