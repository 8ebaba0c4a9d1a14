"""A W&B logger that never harms a run: what fails there ends in one line, and the run goes on.

W&B can fail at any moment: its server out of reach, its process killed, the disk full. What it is
given goes to a file in the run's folder first, and can be uploaded from there at any later time.
"""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import wandb
from pytorch_lightning.loggers import Logger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only
from wandb.sdk.lib.module import unset_globals

__all__ = ["SteadyLogger", "let_go", "mark_preempting", "reason"]

_log = logging.getLogger("ganstoch")

LIMITS = {"init_timeout": 30.0, "finish_timeout": 60.0}
"""Seconds for the server's first answer, and for the rest of the upload at the end. The variables
WANDB_INIT_TIMEOUT and WANDB_FINISH_TIMEOUT go before them."""


class SteadyLogger(WandbLogger):
    """Lightning's logger with an end to every wait, none of whose failures reach the caller.

    The W&B run is opened at once, which alone can raise. It is closed when training has succeeded;
    otherwise when the process ends, so that until then it can be marked as preempting.

    Args:
        mode: as of `wandb.init`.
        options: further ones of `wandb.init`.
    """

    def __init__(self, *, mode: str, **options: Any) -> None:
        limits = {k: v for k, v in LIMITS.items() if f"WANDB_{k.upper()}" not in os.environ}
        settings = wandb.Settings(finish_timeout_raises=True, **limits)
        super().__init__(mode=mode, settings=settings, **options)
        self._wandb_init.pop("anonymous")  # Lightning passes it, W&B complains
        self._silent = False
        self._run: Any = super().experiment
        self.folder = Path(self._run.dir).parent
        atexit.register(self._close)  # after W&B's own, hence carried out before it

    @property
    def experiment(self) -> Any:
        """The W&B run, none of whose methods can raise."""
        return _Steady(self._run, self._safely)

    @rank_zero_only
    def log_image(
        self, key: str, images: list[Any], step: int | None = None, **kwargs: Any
    ) -> None:
        """Logs pictures, which W&B first writes to files of its own."""
        self._safely(super().log_image, key, images, step, **kwargs)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Closes the W&B run if training has succeeded."""
        if status == "success":
            self._close(exit_code=0)

    def _safely(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """What a call returns; None where it fails, and from then on."""
        if self._silent:
            return None
        try:
            return call(*arguments, **options)
        except Exception as error:
            self._silent = True
            _log.warning(
                "W&B stopped (%s), which changes nothing else; to upload what it has: "
                "wandb sync %s",
                *(reason(error), self.folder),
            )
            let_go()
            return None

    def _close(self, exit_code: int = 1) -> None:
        # Left to itself W&B takes an interrupted run for a good one, and a sweep then ends there.
        self._safely(self._run.finish, exit_code=exit_code)
        self._silent = True
        atexit.unregister(self._close)


class _Steady:
    """Something of W&B's whose methods are called safely."""

    def __init__(self, target: Any, safely: Callable[..., Any]) -> None:
        self._target = target
        self._safely = safely

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        plain = value is None or isinstance(value, (str, int, float))
        return value if plain else _Steady(value, self._safely)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._safely(self._target, *arguments, **options)


def mark_preempting(logger: Logger | None) -> None:
    """Tells W&B that the run is stopped from outside, so that its sweep hands it out again.

    That takes an exit status other than 0 besides. The same run id comes back; see `make_logger`.
    """
    if isinstance(logger, SteadyLogger):
        logger.experiment.mark_preempting()


def let_go() -> None:
    """Ends what there is of W&B in this process, which could otherwise fail anew at its end."""
    for end in (wandb.finish, wandb.teardown):
        try:
            end()
        except (Exception, SystemExit) as error:
            _log.debug("W&B: %s", error)
    if wandb.run is not None:  # its process died before it could be ended: no next run may take it
        unset_globals()


def reason(error: Exception) -> str:
    """An error's first line, or its kind if it has none, without the API key."""
    line = next(iter(str(error).splitlines()), "") or type(error).__name__
    key = os.environ.get("WANDB_API_KEY")
    return line.replace(key, "(the key)") if key else line
