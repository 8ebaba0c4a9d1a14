"""MLflow's file stores: ``mlruns/EXPERIMENT/RUN/metrics/NAME``, lines of time, value and step."""

from collections.abc import Iterator
from pathlib import Path

from ganstoch.watch.series import Log, Row
from ganstoch.watch.tail import Tail

_MOST = 2000  # metrics


class MLflowRows:
    """The metrics of a run's folder, each in a file of its own."""

    def __init__(self, log: Log, folder: Path, *, waits: bool) -> None:
        self._log, self._folder, self._waits = log, folder, waits
        self._tails: dict[Path, Tail] = {}
        log.unit = "step"

    def rows(self) -> Iterator[Row]:
        """What is new, one metric after the other."""
        metrics = self._folder / "metrics"
        for path in sorted(path for path in metrics.rglob("*") if path.is_file())[:_MOST]:
            tail = self._tails.setdefault(path, Tail(path, waits=self._waits))
            name = path.relative_to(metrics).as_posix()
            for line in tail.lines():
                try:
                    _, value, step = map(float, line.split()[:3])
                except ValueError:
                    self._log.note("lines that are no metric of MLflow are passed over")
                    continue
                yield step, {name: value}
