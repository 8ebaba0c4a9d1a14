"""What follows from a verdict that is sure: words, an alert, the end of training."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Literal

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.loggers import WandbLogger
from torch import Tensor

from ganstoch.callbacks.evaluation import Evaluation
from ganstoch.diagnosis import VERDICTS, Diagnosed, Verdict
from ganstoch.diagnosis.verdicts import FATAL

__all__ = ["Acting", "Action", "put_back"]

_log = logging.getLogger("ganstoch")

Action = Literal["log", "alert", "stop", "restore"]


class Acting:
    """Acts on each finding once, when it first becomes due.

    Args:
        act: what to do.
        on: the verdicts that are acted on; None for all in an alert, which ends nothing, and
            otherwise for those after which training goes nowhere.

    Attributes:
        done: what was done, each with its iteration, act, verdict and words.
    """

    def __init__(self, act: Action, on: Sequence[Verdict] | None) -> None:
        self.act = act
        self.on = tuple((VERDICTS if act == "alert" else FATAL) if on is None else on)
        self.done: list[dict[str, Any]] = []
        self._due: list[str] = []

    def ends(self, diagnosed: Diagnosed) -> bool:
        """Whether training is to end."""
        return self.act in ("stop", "restore") and bool(diagnosed.due(self.on))

    def follow(self, trainer: Trainer, diagnosed: Diagnosed) -> None:
        """Says what has become due since the last time, and alerts W&B where it is a logger."""
        due = diagnosed.due(self.on)
        new = [finding for finding in due if finding.verdict not in self._due]
        self._due = [finding.verdict for finding in due]
        for finding in new if self.act != "log" else ():
            iteration = diagnosed.iteration
            words = f"diagnosis.act {self.act} at iteration {iteration}: {finding.words}"
            done = {"iteration": iteration, "act": self.act, "verdict": finding.verdict}
            self.done.append({**done, "words": words})
            if trainer.is_global_zero:
                _log.warning("%s", words)
                for logger in trainer.loggers:
                    if isinstance(logger, WandbLogger):
                        logger.experiment.alert(title=f"ganstoch: {finding.verdict}", text=words)

    def state_dict(self) -> dict[str, Any]:
        """What was done, and what was due."""
        return {"done": self.done, "due": self._due}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up what the resumed run had done."""
        self.done, self._due = state_dict.get("done", []), state_dict.get("due", [])


def put_back(trainer: Trainer, module: LightningModule, best: dict[str, Tensor]) -> None:
    """Puts the best weights back, so that all that is yet to come of the run is of them.

    Args:
        trainer: of the run, whose evaluation is to measure them.
        module: what is trained.
        best: its state at the best measurement; empty where none had finite images.
    """
    if best:
        module.load_state_dict(best)
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Evaluation):
                callback.latest = None  # of the weights that are gone
    if trainer.is_global_zero:
        back = "the weights of the best measurement are back in place"
        _log.warning("%s", back if best else "no measurement was finite: the weights stay")
