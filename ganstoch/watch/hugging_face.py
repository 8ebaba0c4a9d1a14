"""A monitor as a callback of Hugging Face's Trainer, and of loops that call theirs the same way."""

from collections.abc import Callable, Mapping
from typing import Any

from ganstoch.diagnosis.monitor import Monitor
from ganstoch.diagnosis.verdicts import FATAL
from ganstoch.watch.columns import columns_of

_LOSSES = ("loss_d", "loss_g")


class MonitorCallback:
    """Calls a monitor's `step` at the end of each step and with each log, on the first process.

    It needs no package of Hugging Face. Losses are found in the logs by their names, as those of
    ``ganstoch watch``; what has another name is given by ``losses``.

    Args:
        monitor: what is told of the steps.
        losses: names in the logs by ``loss_d`` and ``loss_g``.
        stop: whether a sure verdict, after which training goes nowhere, ends training.
    """

    def __init__(
        self, monitor: Monitor, *, losses: Mapping[str, str] | None = None, stop: bool = False
    ) -> None:
        self.monitor = monitor
        self.losses = dict(losses or {})
        self.stop = stop

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Looks where that is due."""
        self._step(state, control)

    def on_log(
        self,
        args: Any,
        state: Any,
        control: Any,
        logs: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> None:
        """Takes up the losses of a step."""
        logs = logs or {}
        columns = columns_of(logs, self.losses)
        losses = {role: logs[columns[role]] for role in _LOSSES if role in columns}
        if losses:
            self._step(state, control, **losses)

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Nothing, for the other events of a trainer."""
        if not name.startswith("on_"):
            raise AttributeError(name)
        return lambda *args, **others: None

    def _step(self, state: Any, control: Any, **losses: Any) -> None:
        if self.monitor.world == 1 and not getattr(state, "is_world_process_zero", True):
            return
        self.monitor.step(state.global_step, **losses)
        diagnosed = self.monitor.diagnosed
        if self.stop and diagnosed is not None and diagnosed.due(FATAL):
            control.should_training_stop = True
