"""`ganstoch fit`: one run, from a command line to a record. Wiring only."""

from __future__ import annotations

import dataclasses
import json
import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.loggers import Logger

from ganstoch.callbacks.chance import Chance
from ganstoch.callbacks.checkpoints import Checkpoints
from ganstoch.callbacks.journal import Journal
from ganstoch.callbacks.panels import Panels
from ganstoch.callbacks.progress import Progress
from ganstoch.callbacks.recorder import Recorder, git_sha, versions
from ganstoch.callbacks.trail import Trail
from ganstoch.data.datamodule import ImageData
from ganstoch.errors import UserError
from ganstoch.experiments.command import Command, Resolved, resolve, understand
from ganstoch.experiments.composing import compose
from ganstoch.experiments.measuring import measuring_callbacks, refuse_together
from ganstoch.experiments.sweep import asked_seeds
from ganstoch.experiments.together import Member, ensemble_of, without_seeds
from ganstoch.experiments.tracking import make_logger
from ganstoch.records import read_record, write_atomically
from ganstoch.training.game import Game

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
    if command.config.seeds is not None:
        return _fit_together(without_seeds(arguments), asked_seeds(command.config.seeds))
    resolved = resolve(command.config)
    folder: Path = command.config.out or Path("runs") / resolved.name
    if _is_finished(folder, resolved):
        _log.info("%s is finished already", folder)
        return folder
    if twin := command.config.iterations_of:
        command.config.trainer.max_steps = read_record(twin / RECORD).iterations
        command.config.stop_rule.stop = False
    compose(resolved.config)  # in fewer words than the parser would wrap a refusal in
    command.build(
        [
            *_callbacks(command, resolved, folder),
            Checkpoints(folder / "checkpoints", every=command.config.checkpoint_every),
        ]
    )
    checkpoint = command.config.ckpt_path or _latest(folder / "checkpoints")
    _train(command.trainer, command.model, command.datamodule, checkpoint)
    if command.trainer.is_global_zero and not (folder / RECORD).exists():
        raise UserError(f"{folder} was interrupted; the same command goes on from its checkpoint")
    return folder


def _fit_together(arguments: Sequence[str], seeds: Sequence[int]) -> Path:
    """Runs, or resumes, those of several seeds that are not finished, as one.

    Returns:
        The parent of the runs' folders.
    """
    commands = [understand([*arguments, f"--seed_everything={seed}"]) for seed in seeds]
    refuse_together(commands[0].config)
    parent: Path = commands[0].config.out or Path("runs")
    waiting = []
    for command in commands:
        resolved = resolve(command.config)
        if _is_finished(parent / resolved.name, resolved):
            _log.info("%s is finished already", parent / resolved.name)
        else:
            waiting.append((command, resolved))
    if not waiting:
        return parent
    compose(waiting[0][1].config)
    if len(waiting) > 1 and commands[0].config.wandb.mode != "disabled":
        _log.info("seeds that are played as one go without W&B; their records have everything")
    members: list[Member] = []
    hashes = [resolved.config_hash for _, resolved in waiting]
    for command, resolved in waiting:
        command.config.quiet = command.config.quiet or bool(members)  # one bar is enough
        folder = parent / resolved.name
        command.build(_callbacks(command, resolved, folder, shared_by=len(waiting)))
        own: list[Callback] = command.trainer.callbacks  # type: ignore[attr-defined]
        callbacks = [c for c in own if not isinstance(c, Checkpoint)]
        members.append(Member(command.model, command.datamodule, callbacks))
    first = waiting[0][0]
    ensemble, data, checkpoints = ensemble_of(
        members,
        first.trainer,
        folder=parent,
        every=first.config.checkpoint_every,
        hashes=hashes,
    )
    _train(first.trainer, ensemble, data, _latest(checkpoints))
    if not all((parent / resolved.name / RECORD).exists() for _, resolved in waiting):
        raise UserError(f"{parent} was interrupted; the same command goes on from its checkpoint")
    return parent


def _train(
    trainer: Trainer, game: LightningModule, data: LightningDataModule, checkpoint: Path | None
) -> None:
    """Trains, from a checkpoint if there is one, and tells what went wrong in one line."""
    if checkpoint:
        _check_checkpoint(checkpoint)
    try:
        trainer.fit(game, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except MisconfigurationException as error:
        raise UserError(str(error)) from error
    except torch.cuda.OutOfMemoryError as error:
        by = game.coupled_by if isinstance(game, Game) else "an ensemble"
        mend = f"lower data.m: {by} takes whole batches" if by else "lower model.micro_batch"
        raise UserError(f"the GPU's memory is full; {mend}, or narrow the networks") from error
    except SystemExit as error:  # how Lightning ends at Ctrl-C and at SIGTERM
        raise KeyboardInterrupt from error


class _Opening(Callback):
    """Lays claim to the run's folder and opens its log, once nothing can refuse the run any more.

    By now the data are read, the networks are made and a checkpoint, if any, is loaded. What a
    command that was refused leaves behind must not stand in the way of the corrected one.
    """

    def __init__(
        self, files: dict[Path, str], open_logger: Callable[[ImageData], Logger | None]
    ) -> None:
        self.files = files
        self.open_logger = open_logger

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuses data of another shape than the networks are for."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, ImageData)
        assert isinstance(pl_module, Game)
        if data.shape != tuple(pl_module.shape):
            raise UserError(
                f"model.shape is {list(pl_module.shape)}, and the examples of {data.source.name} "
                f"have shape {list(data.shape)}; give that, and networks to go with it"
            )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the files, makes the logger."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, ImageData)
        assert isinstance(pl_module, Game)
        assert pl_module.latents is not None
        pl_module.latents.draw(0, data.batch_size, device=torch.device("cpu"))  # refuses a bank < m
        if not trainer.is_global_zero:
            return
        if trainer.ckpt_path:
            _log.info("going on from %s", trainer.ckpt_path)
        for path, text in self.files.items():
            write_atomically(path, text.encode())
        logger = self.open_logger(data)
        trainer.loggers = [logger] if logger else []


def _callbacks(
    command: Command, resolved: Resolved, folder: Path, *, shared_by: int = 1
) -> list[Callback]:
    """What accompanies a run, in the order in which it happens after each iteration."""

    def open_logger(data: ImageData) -> Logger | None:
        if shared_by > 1:
            return None  # a process has one W&B run, and these are several
        described = {**resolved.config, "config_hash": resolved.config_hash, "git_sha": git_sha()}
        return make_logger(
            command.config_init.wandb,
            folder=folder,
            run_id=resolved.config_hash[:16],
            config={**described, "versions": versions(), "subset_sha256": data.subset.sha256},
        )

    settings = command.parser.dump(command.asked, skip_none=False)
    state = json.dumps(dataclasses.asdict(resolved), indent=1)
    return [
        _Opening({folder / CONFIG: settings, folder / STATE: state}, open_logger),
        Journal(),
        Panels(folder / "panels.npz"),
        Trail(folder / "trail.npz"),
        *measuring_callbacks(command.config, folder),
        Chance(),
        Recorder(
            folder,
            config=resolved.config,
            config_hash=resolved.config_hash,
            preset=command.config.preset,
            shared_by=shared_by,
        ),
        Progress(folder / "progress.json", quiet=command.config.quiet),
    ]


def _check_checkpoint(path: Path) -> None:
    """Opens a checkpoint, without reading its numbers, to tell a bad file in one line.

    Raises:
        UserError: if there is none, or it is none of a run.
    """
    fix = "give another --ckpt_path, or remove it to start from the beginning"
    if not path.is_file():
        raise UserError(f"there is no checkpoint {path}; give another --ckpt_path")
    try:
        with warnings.catch_warnings(action="ignore"):  # on a bad file, the error says enough
            content = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except Exception as error:  # a damaged file raises almost anything
        raise UserError(f"{path} is damaged, or no checkpoint at all; {fix}") from error
    parts = {"state_dict", "optimizer_states", "callbacks", "loops"}
    if not isinstance(content, dict) or not parts <= set(content):
        raise UserError(f"{path} is no checkpoint of ganstoch fit; {fix}")


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
