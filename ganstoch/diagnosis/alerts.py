"""Alerts: a line to whoever watches from afar, by W&B, by trackio, or by a command of the user's.

An alert that fails is told in one line and never reaches the training that it is about.
"""

import logging
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from ganstoch.errors import UserError

_log = logging.getLogger("ganstoch")

Level = Literal["info", "warn", "error"]
LIMIT = 30.0  # seconds that a command may take


def check_command(command: Sequence[str]) -> tuple[str, ...]:
    """The words of a command; a `UserError` if the first is no program that can be run."""
    if isinstance(command, str) or not command or shutil.which(command[0]) is None:
        raise UserError(f"an alert's command is a list that begins with a program, not {command!r}")
    return tuple(command)


def raise_alert(
    title: str,
    text: str,
    *,
    level: Level = "warn",
    loggers: Iterable[object] = (),
    command: Sequence[str] = (),
) -> None:
    """Raises an alert wherever there is somebody to tell.

    In loggers that have an ``alert(title=, text=)``; in the runs of W&B and trackio that are open
    in this process; and by a command: its words, then title and text, without a shell.

    Args:
        title: at most 63 characters, W&B's limit.
        text: one line.
        level: how grave it is, for W&B and trackio.
        loggers: any, of which those without an alert are passed over.
        command: a program and its first arguments, as `check_command` returns them.
    """
    own = [logger for logger in loggers if hasattr(logger, "alert")]
    for logger in own:
        _try(type(logger).__name__, logger.alert, title=title, text=text)
    run: Any = getattr(sys.modules.get("wandb"), "run", None)
    if run is not None and not own:  # ours is the logger of that run
        _try("W&B", run.alert, title=title, text=text, level=level.upper())
    if hasattr(sys.modules.get("trackio"), "alert"):
        _try("trackio", _tell_trackio, title, text, level)
    if command:
        _try(command[0], _run, [*command, title, text])


def _tell_trackio(title: str, text: str, level: Level) -> None:
    trackio: Any = sys.modules["trackio"]
    if trackio.context_vars.current_run.get() is not None:
        trackio.alert(title, text, trackio.AlertLevel(level))


def _run(words: list[str]) -> None:
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, check=False
    )
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise OSError(": ".join([f"status {done.returncode}", *last]))


def _try(name: str, call: Callable[..., Any], *arguments: Any, **options: Any) -> None:
    try:
        call(*arguments, **options)
    except Exception as error:
        why = next(iter(str(error).splitlines()), "") or type(error).__name__
        _log.warning("the alert did not reach %s (%s)", name, why)
