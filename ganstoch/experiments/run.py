"""`ganstoch fit`: one run, from a command line to a record. Wiring only."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback
from pytorch_lightning.callbacks import ModelCheckpoint

from ganstoch.callbacks.chance import Chance
from ganstoch.callbacks.journal import Journal
from ganstoch.callbacks.panels import Panels
from ganstoch.callbacks.progress import Progress
from ganstoch.callbacks.recorder import Recorder, git_sha, versions
from ganstoch.errors import UserError
from ganstoch.experiments.command import Command, Resolved, resolve, understand
from ganstoch.experiments.tracking import make_logger
from ganstoch.records import read_record, write_atomically

__all__ = ["fit"]

_log = logging.getLogger("ganstoch")

RECORD = "record.json"
STATE = "run.json"
CONFIG = "cli_config.yaml"


def fit(arguments: Sequence[str]) -> Path:
    """Runs, or resumes, or recognises as finished, what a command line of `ganstoch fit` asks for.

    Returns:
        The run's folder.

    Raises:
        UserError: for anything the user can mend.
    """
    command = understand(arguments)
    resolved = resolve(command.config)
    folder: Path = command.config.out or Path("runs") / resolved.name
    if _is_finished(folder, resolved):
        _log.info("%s is finished already", folder)
        return folder
    if twin := command.config.iterations_of:
        command.config.trainer.max_steps = read_record(twin / RECORD).iterations
        command.config.stop_rule.stop = False
    settings = command.parser.dump(command.config, skip_none=False)
    write_atomically(folder / CONFIG, settings.encode())
    write_atomically(folder / STATE, json.dumps(dataclasses.asdict(resolved), indent=1).encode())

    command.build(_callbacks(command, resolved, folder))
    described = {**resolved.config, "config_hash": resolved.config_hash, "versions": versions()}
    logger = make_logger(
        command.config_init.wandb,
        folder=folder,
        run_id=resolved.config_hash[:16],
        config={**described, "git_sha": git_sha()},
    )
    command.trainer.loggers = [logger] if logger else []
    checkpoint = command.config.ckpt_path or _latest(folder / "checkpoints")
    if checkpoint:
        _log.info("going on from %s", checkpoint)
    command.trainer.fit(
        command.model, datamodule=command.datamodule, ckpt_path=checkpoint, weights_only=True
    )
    if not (folder / RECORD).exists():
        raise UserError(f"{folder} was interrupted; the same command goes on from its checkpoint")
    return folder


def _callbacks(command: Command, resolved: Resolved, folder: Path) -> list[Callback]:
    """What accompanies a run, in the order in which it happens after each iteration."""
    return [
        Journal(),
        Panels(folder / "panels.npz"),
        Chance(),
        Recorder(
            folder,
            config=resolved.config,
            config_hash=resolved.config_hash,
            preset=command.config.preset,
        ),
        Progress(folder / "progress.json", quiet=command.config.quiet),
        ModelCheckpoint(
            folder / "checkpoints",
            filename="{step}",
            every_n_train_steps=command.config.checkpoint_every,
            save_top_k=1,
            save_on_exception=True,
            enable_version_counter=False,
        ),
    ]


def _is_finished(folder: Path, resolved: Resolved) -> bool:
    """Whether the folder holds this very run, finished.

    Raises:
        UserError: if it holds a run with other settings, naming them.
    """
    if (folder / STATE).exists():
        try:
            state = json.loads((folder / STATE).read_bytes())
            earlier, earlier_hash = state["config"], state["config_hash"]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{folder / STATE} is damaged; remove {folder}") from error
        if earlier_hash != resolved.config_hash:
            changed = ", ".join(_differences(earlier, resolved.config)) or "the version"
            raise UserError(
                f"{folder} holds a run with other settings ({changed}); choose another --out or "
                "remove it"
            )
    if not (folder / RECORD).exists():
        return False
    return read_record(folder / RECORD).config_hash == resolved.config_hash


def _differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Dotted names of the settings that differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted(set(one) | set(other))
        return [
            name
            for key in keys
            for name in _differences(one.get(key), other.get(key), f"{where}.{key}".lstrip("."))
        ]
    return [] if one == other else [where]


def _latest(folder: Path) -> Path | None:
    """The checkpoint of the highest iteration, if there is any."""
    found = {
        int(path.stem.removeprefix("step=")): path
        for path in folder.glob("step=*.ckpt")
        if path.stem.removeprefix("step=").isdigit()
    }
    return found[max(found)] if found else None
