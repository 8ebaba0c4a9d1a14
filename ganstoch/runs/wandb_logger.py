"""Weights & Biases for one run: online, offline, or not at all; its failures never end a run.

What W&B is given goes to a file in the run's folder first, and can be uploaded from there at any
later time.
"""

from __future__ import annotations

import atexit
import logging
import netrc
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse

from pytorch_lightning.loggers import Logger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

__all__ = ["SteadyLogger", "Tracking", "logged_in", "make_logger"]

_log = logging.getLogger("ganstoch")

_LIMITS = {"init_timeout": 30.0, "finish_timeout": 60.0}
"""Seconds for the server's first answer, and for the rest of the upload at the end. The variables
WANDB_INIT_TIMEOUT and WANDB_FINISH_TIMEOUT go before them."""


@dataclass(frozen=True)
class Tracking:
    """Where the run's curves go.

    Attributes:
        mode: "online", "offline", "disabled", or "auto": what WANDB_MODE says, else online where
            there is a login, else offline.
        project: name of the W&B project.
        group: name that holds runs together, such as a sweep's.
        entity: W&B user or team; None for the default one.
    """

    mode: Literal["auto", "online", "offline", "disabled"] = "auto"
    project: str = "ganstoch"
    group: str | None = None
    entity: str | None = None


def logged_in() -> bool:
    """Whether an API key is at hand, without asking the server."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc.netrc().authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def make_logger(
    tracking: Tracking, *, folder: Path, run_id: str, config: dict[str, Any]
) -> Logger | None:
    """A logger whose run holds the resolved configuration, or None where W&B is disabled.

    Where the server is out of reach, or refuses, the run is logged offline, which is said. Under a
    W&B agent the agent's own run id is kept; otherwise the id is the run's own, so that a resumed
    run goes on in the same place.
    """
    mode: str = tracking.mode
    if mode == "auto":
        mode = os.environ.get("WANDB_MODE") or ("online" if logged_in() else "offline")
    if mode == "disabled":
        return None
    os.environ.setdefault("WANDB_SILENT", "true")
    # Reports of W&B's own errors, which a process would wait for at its end.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    folder.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {
        "name": folder.name,
        "save_dir": folder,
        "project": tracking.project,
        "group": tracking.group,
        "entity": tracking.entity,
        "id": os.environ.get("WANDB_RUN_ID", run_id),
    }
    modes = ["offline"] if mode in ("offline", "dryrun") else [mode, "offline"]
    why = ""
    for mode in modes:
        resumes = mode != "offline" and "WANDB_SWEEP_ID" not in os.environ
        try:
            logger = SteadyLogger(mode=mode, resume="allow" if resumes else None, **options)
            break
        except Exception as error:
            why = why or f" ({_reason(error)})"
            _end_wandb()
    else:
        _log.warning("W&B does not start%s; the run goes on without it", why)
        return None
    logger.log_config(config)
    if mode == "offline":
        _log.info("W&B is offline%s; to upload this run: wandb sync %s", why, logger.folder)
    return logger


class SteadyLogger(WandbLogger):
    """Lightning's logger with an end to every wait, none of whose failures reach the caller.

    The W&B run is opened at once, which alone can raise. It is closed when training has succeeded;
    otherwise when the process ends, so that until then it can be marked as preempting.

    Args:
        mode: as of `wandb.init`.
        options: further ones of `wandb.init`.
    """

    def __init__(self, *, mode: str, **options: Any) -> None:
        import wandb

        limits = {k: v for k, v in _LIMITS.items() if f"WANDB_{k.upper()}" not in os.environ}
        settings = wandb.Settings(finish_timeout_raises=True, **limits)
        super().__init__(mode=mode, settings=settings, **options)
        self._wandb_init.pop("anonymous")  # Lightning passes it, W&B complains
        self._silent = False
        self._run: Any = self.experiment
        self.folder = Path(self._run.dir).parent
        atexit.register(self._close)  # after W&B's own, hence carried out before it

    @rank_zero_only
    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Logs numbers."""
        self._safely(super().log_metrics, metrics, step)

    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        """Logs settings."""
        self._safely(super().log_hyperparams, params)

    @rank_zero_only
    def log_image(
        self, key: str, images: list[Any], step: int | None = None, **kwargs: Any
    ) -> None:
        """Logs pictures, which W&B first writes to files of its own."""
        self._safely(super().log_image, key, images, step, **kwargs)

    def log_config(self, config: dict[str, Any]) -> None:
        """Sets the run's configuration, also where a resumed run has another."""
        self._safely(self._run.config.update, config, allow_val_change=True)

    def alert(self, title: str, text: str) -> None:
        """Has W&B send a message."""
        self._safely(self._run.alert, title=title, text=text)

    def mark_preempting(self) -> None:
        """Tells W&B that the run is stopped from outside, so that its sweep hands it out again.

        That takes an exit status other than 0 besides. The same run id comes back.
        """
        self._safely(self._run.mark_preempting)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Closes the W&B run if training has succeeded."""
        if status == "success":
            self._close(exit_code=0)

    def _safely(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        """Calls; a failure is told in a line, and nothing is called from then on."""
        if self._silent:
            return
        try:
            call(*arguments, **options)
        except Exception as error:
            self._silent = True
            _log.warning(
                "W&B stopped (%s), which changes nothing else; to upload what it has: "
                "wandb sync %s",
                *(_reason(error), self.folder),
            )
            _end_wandb()

    def _close(self, exit_code: int = 1) -> None:
        # Left to itself W&B takes an interrupted run for a good one, and a sweep then ends there.
        self._safely(self._run.finish, exit_code=exit_code)
        self._silent = True
        atexit.unregister(self._close)


def _end_wandb() -> None:
    """Ends what there is of W&B in this process, which could otherwise fail anew at its end."""
    import wandb
    from wandb.sdk.lib.module import unset_globals

    for end in (wandb.finish, wandb.teardown):
        try:
            end()
        except (Exception, SystemExit) as error:
            _log.debug("W&B: %s", error)
    if wandb.run is not None:  # its process died before it could be ended: no next run may take it
        unset_globals()


def _reason(error: Exception) -> str:
    """An error's first line, or its kind if it has none, without the API key."""
    line = next(iter(str(error).splitlines()), "") or type(error).__name__
    key = os.environ.get("WANDB_API_KEY")
    return line.replace(key, "(the key)") if key else line
