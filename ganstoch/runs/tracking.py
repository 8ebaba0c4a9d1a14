"""Weights & Biases for one run: online where there is a login, offline otherwise, or not at all."""

from __future__ import annotations

import logging
import netrc
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse

from pytorch_lightning.loggers import Logger

__all__ = ["Tracking", "logged_in", "make_logger"]

_log = logging.getLogger("ganstoch")


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


def _resolved_mode(mode: str) -> str:
    if mode == "auto":
        mode = os.environ.get("WANDB_MODE") or ("online" if logged_in() else "offline")
    return mode


def make_logger(
    tracking: Tracking, *, folder: Path, run_id: str, config: dict[str, Any]
) -> Logger | None:
    """A logger whose run holds the resolved configuration, or None where W&B is disabled.

    Where the server is out of reach, or refuses, the run is logged offline, which is said. Under a
    W&B agent the agent's own run id is kept; otherwise the id is the run's own, so that a resumed
    run goes on in the same place.
    """
    mode = _resolved_mode(tracking.mode)
    if mode == "disabled":
        return None
    from ganstoch.runs.steady_logger import SteadyLogger, let_go, reason  # brings wandb

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
            why = why or f" ({reason(error)})"
            let_go()
    else:
        _log.warning("W&B does not start%s; the run goes on without it", why)
        return None
    logger.experiment.config.update(config, allow_val_change=True)
    if mode == "offline":
        _log.info("W&B is offline%s; to upload this run: wandb sync %s", why, logger.folder)
    return logger
