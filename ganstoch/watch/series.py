"""A log's numbers over time, each under its name, in bounded memory."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ganstoch.errors import visible

MOST = 4096  # points of a series; a longer one holds means of windows, each twice as long as before
_MOST_NAMES = 500  # series of one log
_INFINITE = 1e100  # beyond any number of 32 bits; a square of less is a number

Row = tuple[float | None, Mapping[str, float]]  # a step, None where none is written, and numbers
Array = NDArray[np.float64]


@dataclass
class Series:
    """One number over time: means of windows of ``stride`` values, finite ones, in order."""

    steps: list[float] = field(default_factory=list)  # the last of each window
    values: list[float] = field(default_factory=list)
    stride: int = 1
    count: int = 0  # numbers so far
    last: float = -math.inf  # step
    broken_since: float | None = None  # step from which on it has not been finite
    was_broken: int = 0  # numbers that were not finite
    went_back: float | None = None  # the last step at which the run was taken up again
    began_again: bool = False  # whether that was its first: another run
    _sum: float = 0.0
    _waiting: int = 0

    def add(self, step: float, value: float) -> None:
        """Takes up the next value; one of a step that has been before replaces what followed it."""
        if step < self.last:
            self._go_back(step)
        self.last = step
        self.count += 1
        if not abs(value) < _INFINITE:
            self.was_broken += 1
            self.broken_since = step if self.broken_since is None else self.broken_since
            return
        self.broken_since = None
        self._sum, self._waiting = self._sum + value, self._waiting + 1
        if self._waiting == self.stride:
            self.steps.append(step)
            self.values.append(self._sum / self.stride)
            self._sum, self._waiting = 0.0, 0
            if len(self.values) == MOST:
                pairs = np.reshape(self.values, (-1, 2)).mean(1)
                self.values, self.steps = pairs.tolist(), self.steps[1::2]
                self.stride *= 2

    def _go_back(self, step: float) -> None:
        keep = int(np.searchsorted(self.steps, step))
        self.began_again = self.began_again or (keep == 0 and len(self.steps) > 1)
        self.went_back = step
        del self.steps[keep:], self.values[keep:]
        self._sum, self._waiting = 0.0, 0
        if self.broken_since is not None and self.broken_since >= step:
            self.broken_since = None

    def arrays(self) -> tuple[Array, Array]:
        """Steps and values; of steps that never move, the numbers of the values."""
        steps, values = np.array(self.steps), np.array(self.values)
        if len(steps) > 1 and steps[0] == steps[-1]:  # a setting, as of how many there will be
            steps = self.stride * np.arange(1.0, len(steps) + 1)
        return steps, values


@dataclass
class Log:
    """One run's numbers, and what was odd about the log."""

    path: Path
    kind: str  # e.g. "TensorBoard"
    series: dict[str, Series] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    unit: str = "row"  # of steps, as far as it is known
    _row: int = 0
    _step: float | None = None  # the last, at which rows without one stand

    def clear(self) -> None:
        """Forgets all that was read, of a file that was written anew."""
        self.series.clear()
        self._row, self._step = 0, None

    def note(self, text: str) -> None:
        """Keeps a remark, once."""
        text = visible(text)
        if text not in self.notes and len(self.notes) < 20:
            self.notes.append(text)

    def add(self, rows: Iterable[Row]) -> bool:
        """Takes up what was read; returns whether there was anything."""
        anything = False
        for step, numbers in rows:
            anything = True
            self._row += 1
            if step is not None and math.isfinite(step):
                self._step = step
            at = float(self._row) if self._step is None else self._step
            for name, value in numbers.items():
                series = self.series.get(name)
                if series is None:
                    if len(self.series) >= _MOST_NAMES:
                        self.note(f"more than {_MOST_NAMES} names: the rest is passed over")
                        continue
                    series = self.series[name] = Series()
                series.add(at, value)
        return anything
