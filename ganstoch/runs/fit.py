"""`ganstoch fit`: one run, from a command line to a record."""

from __future__ import annotations

import dataclasses
import gc
import json
import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar

import torch
from filelock import FileLock, Timeout
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.exceptions import SIGTERMException

from ganstoch.callbacks.checkpoints import Checkpoints, newest_checkpoint, read_checkpoint
from ganstoch.callbacks.diagnosis import Diagnosis
from ganstoch.callbacks.gradient_noise import FILE as GRADIENT_NOISE
from ganstoch.callbacks.gradient_noise import GradientNoise, GradientNoiseSettings
from ganstoch.callbacks.probe import Probe, ProbeSettings
from ganstoch.callbacks.progress import LossLogger, Progress, RandomnessReport
from ganstoch.callbacks.run_folder import NeighbourGrid, RecordWriter, SampleHistory
from ganstoch.data.datamodule import ImageData
from ganstoch.errors import UserError
from ganstoch.records import (
    RECORD,
    RUN_LOCK,
    is_finished,
    read_record,
    sweep_up,
    write_atomically,
)
from ganstoch.runs.pool import BUSY
from ganstoch.runs.resume import differences, refuse_other_settings
from ganstoch.runs.settings import Command, Resolved, compose, resolve, understand
from ganstoch.runs.wandb_logger import SteadyLogger, make_logger
from ganstoch.training.fingerprint import git_sha, versions
from ganstoch.training.gan import GAN

__all__ = ["Busy", "RunFolder", "fit"]

_log = logging.getLogger("ganstoch")

SETTINGS = "run.json"
"""A run's settings, in its folder from the first moment."""
_CPUINFO = Path("/proc/cpuinfo")
_NATIVE_BF16 = {"amx_bf16", "avx512_bf16", "bf16", "svebf16"}
"""What Linux calls a processor's instructions for bfloat16, Intel's and AMD's, then ARM's."""


class Busy(UserError):
    """Another process is at work on the run."""

    status: ClassVar[int] = BUSY


def fit(arguments: Sequence[str]) -> Path:
    """Runs, or resumes, or recognises as finished, what a command line of `ganstoch fit` asks for.

    Where a GPU's memory turns out too small, it goes on with half the images at a time.

    Returns:
        The run's folder.

    Raises:
        Busy: if another process is at work on the run.
        UserError: for anything the user can mend.
    """
    command = understand(arguments)
    while True:
        try:
            return _fit_once(command)
        except torch.OutOfMemoryError:
            smaller = _half(command)
        _let_go(command)  # what the error held on to is free by now
        command = understand([*arguments, f"--model.micro_batch={smaller}"])


def _fit_once(command: Command) -> Path:
    """Runs, or resumes, a run.

    Raises:
        torch.OutOfMemoryError: if a GPU's memory is too small for the images at once.
    """
    resolved = resolve(command.config)
    folder: Path = command.config.out or Path("runs") / resolved.name
    if _is_this_run_finished(folder, resolved):
        _log.info("%s is finished already", folder)
        return folder
    if twin := command.config.iterations_of:
        command.config.trainer.max_steps = read_record(twin / RECORD).iterations
        command.config.stop_rule.stop = False
    compose(resolved.config)  # in fewer words than the parser would wrap a refusal in
    checkpoints = folder / "checkpoints"
    # Under Slurm Lightning goes on from any file of a certain name there; ours are named otherwise.
    command.config.trainer.default_root_dir = str(checkpoints)
    before = _names(checkpoints)

    def moved_on() -> bool:
        return _is_this_run_finished(folder, resolved) or _names(checkpoints) != before

    with ExitStack() as held:
        command.build(
            [
                *_callbacks(command, resolved, folder, held=held, moved_on=moved_on),
                Checkpoints(
                    checkpoints, every=command.config.checkpoint_every, run=resolved.config_hash
                ),
            ]
        )
        named, own = command.config.ckpt_path, None
        if named is None or _began_with(named, folder):
            own = newest_checkpoint(checkpoints, run=resolved.config_hash)
        if own is None and named is not None:
            refuse_other_settings(
                named,
                read_checkpoint(named),
                config=resolved.config,
                steps=command.config.trainer.max_steps,
            )
        _train(command.trainer, command.model, command.datamodule, own or named)
    if command.trainer.is_global_zero and not (folder / RECORD).exists():
        raise UserError(f"{folder} was interrupted; the same command goes on from its checkpoint")
    return folder


def _callbacks(
    command: Command,
    resolved: Resolved,
    folder: Path,
    *,
    held: ExitStack,
    moved_on: Callable[[], bool],
) -> list[Callback]:
    """What accompanies a run, in the order in which it happens after each iteration."""

    def open_logger(data: ImageData) -> Logger | None:
        described = {**resolved.config, "config_hash": resolved.config_hash, "git_sha": git_sha()}
        return make_logger(
            command.config_init.wandb,
            folder=folder,
            run_id=resolved.config_hash[:16],
            config={**described, "versions": versions(), "subset_sha256": data.subset.sha256},
        )

    return [
        LossLogger(),
        NeighbourGrid(folder / "panels.npz"),
        SampleHistory(folder / "trail.npz"),
        *_measuring_callbacks(command, folder),  # which may refuse their settings
        RunFolder(
            folder,
            json.dumps(dataclasses.asdict(resolved), indent=1),
            open_logger,
            held=held,
            moved_on=moved_on,
        ),
        RandomnessReport(),
        RecordWriter(
            folder,
            config=resolved.config,
            config_hash=resolved.config_hash,
            preset=command.config.preset,
        ),
        Progress(folder / "progress.json", quiet=command.config.quiet),
    ]


def _measuring_callbacks(command: Command, folder: Path) -> list[Callback]:
    """What measures a run beside its evaluation, each with its file in the run's folder."""
    callbacks: list[Callback] = []
    config = command.config
    if config.diagnosis is not None:
        callbacks.append(Diagnosis(**config.diagnosis.as_dict(), path=folder / "diagnosis.json"))
    if config.probe is not None:
        callbacks.append(Probe(ProbeSettings(**config.probe.as_dict()), folder / "probe.json"))
    if config.gradient_noise is not None:
        noise = GradientNoiseSettings(**config.gradient_noise.as_dict())
        callbacks.append(GradientNoise(noise, folder / GRADIENT_NOISE, quiet=config.quiet))
    return callbacks


def _is_this_run_finished(folder: Path, resolved: Resolved) -> bool:
    """Whether the folder holds this very run, finished.

    Raises:
        UserError: if it holds a run with other settings, naming them.
    """
    if (folder / SETTINGS).exists():
        try:
            state = json.loads((folder / SETTINGS).read_bytes())
            earlier, earlier_hash = state["config"], state["config_hash"]
        except (ValueError, RecursionError, KeyError, TypeError) as error:
            raise UserError(f"{folder / SETTINGS} is damaged; remove {folder}") from error
        if earlier_hash != resolved.config_hash:
            names = [name for name, *_ in differences(earlier, resolved.config)]
            changed = ", ".join(names) or "the version"
            raise UserError(
                f"{folder} holds a run with other settings ({changed}); choose another --out or "
                "remove it"
            )
    return is_finished(folder, resolved.config_hash)


def _began_with(checkpoint: Path, folder: Path) -> bool:
    """Whether the run in the folder went on from this very checkpoint of another: it has its own.

    So the same command goes on where it was interrupted, and not at the beginning once more.
    """
    if checkpoint.resolve().parent == (folder / "checkpoints").resolve():
        return False
    try:
        config = json.loads((folder / SETTINGS).read_bytes())["config"]
    except FileNotFoundError:
        return False
    return bool(config.get("ckpt_path") == str(checkpoint))


def _names(folder: Path) -> set[str]:
    """Of the checkpoints there."""
    return {path.name for path in folder.glob("step=*.ckpt")}


def _train(
    trainer: Trainer, game: LightningModule, data: LightningDataModule, checkpoint: Path | None
) -> None:
    """Trains, from a checkpoint if there is one, and tells what went wrong in one line."""
    try:
        with _ending_together(trainer):
            trainer.fit(game, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        saving = trainer.checkpoint_callback
        if checkpoint is None or not isinstance(saving, Checkpoints) or saving.begun:
            raise
        raise UserError(
            f"{checkpoint} holds something else than this version saves ({error}); give another "
            "--ckpt_path, or remove it"
        ) from error
    except MisconfigurationException as error:
        raise UserError(str(error)) from error
    except SystemExit as error:  # how Lightning ends at Ctrl-C and at SIGTERM
        raise KeyboardInterrupt from error


@contextmanager
def _ending_together(trainer: Trainer) -> Iterator[None]:
    """While ranks start, and until they take signals over, SIGTERM ends them with this process."""
    if trainer.world_size == 1 or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _half(command: Command) -> int:
    """How many images at once may fit where those of this run did not; says so in a line.

    Raises:
        UserError: if they cannot be fewer, or other processes wait for this one.
    """
    game: GAN = command.model
    if game.micro_batch == "auto" or game.full_batch_for or command.trainer.world_size > 1:
        raise _out_of_memory(command)  # "auto": the networks alone do not fit
    at_once = min(game.micro_batch or game.m, game.m)
    if at_once < 2:
        raise _out_of_memory(command)
    smaller = -(-at_once // 2)
    _log.warning(
        "the GPU's memory is full with %d images at once; going on with %d, which gives the same "
        "result to rounding",
        at_once,
        smaller,
    )
    return smaller


def _out_of_memory(command: Command) -> UserError:
    """The one line for it."""
    by = command.model.full_batch_for
    mend = f"lower data.m: {by} takes whole batches" if by else "lower model.micro_batch"
    return UserError(f"the GPU's memory is full; {mend}, or narrow the networks")


def _let_go(command: Command) -> None:
    """Ends a run's log and frees its memory; the command is of no use afterwards."""
    for logger in command.trainer.loggers:
        logger.finalize("success")  # the next one goes on under the same id
    del command.trainer, command.model, command.datamodule
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class RunFolder(Callback):
    """Claims the run's folder, writes its settings and opens its log.

    By now the data are read, the networks are made and a checkpoint, if any, is loaded. What a
    command that was refused leaves behind must not stand in the way of the corrected one.

    Args:
        folder: the run's folder.
        settings: of the run, as JSON.
        open_logger: makes the logger, once the data are known.
        held: keeps the claim until whoever made it has finished.
        moved_on: whether another process has taken the run further since this one looked.
    """

    def __init__(
        self,
        folder: Path,
        settings: str,
        open_logger: Callable[[ImageData], Logger | None],
        *,
        held: ExitStack,
        moved_on: Callable[[], bool],
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.open_logger = open_logger
        self.held = held
        self.moved_on = moved_on

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuses data of another shape than the networks are for."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, ImageData)
        assert isinstance(pl_module, GAN)
        if data.shape != tuple(pl_module.shape):
            raise UserError(
                f"model.shape is {list(pl_module.shape)}, and the examples of {data.source.name} "
                f"have shape {list(data.shape)}; give that, and networks to go with it"
            )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Claims, writes, and makes the logger.

        Raises:
            Busy: if another process is at work on the run, or was a moment ago.
        """
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, ImageData)
        assert isinstance(pl_module, GAN)
        assert pl_module.latents is not None
        pl_module.latents.draw(0, data.batch_size, device=torch.device("cpu"))  # refuses a bank < m
        if not trainer.is_global_zero:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            # A moment's patience: whoever looks whether it is held holds it for an instant.
            self.held.enter_context(FileLock(self.folder / RUN_LOCK, timeout=1.0))
        except Timeout as error:
            raise Busy(
                f"another process is at work on {self.folder}; wait for it, or choose another --out"
            ) from error
        if self.moved_on():
            raise Busy(f"another process was at work on {self.folder}; the same command goes on")
        sweep_up(self.folder)
        sweep_up(self.folder / "checkpoints")
        if trainer.ckpt_path:
            _log.info("going on from %s", trainer.ckpt_path)
        if slow := _emulated(trainer.precision, trainer.strategy.root_device):
            _log.warning("%s", slow)
        write_atomically(self.folder / SETTINGS, self.settings.encode())
        logger = self.open_logger(data)
        trainer.loggers = [*([logger] if logger else []), *trainer.loggers]

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Where somebody stops the run, has its sweep hand it out again."""
        if isinstance(exception, KeyboardInterrupt | SIGTERMException):
            for logger in trainer.loggers:
                if isinstance(logger, SteadyLogger):
                    logger.mark_preempting()


def _emulated(precision: str, device: torch.device) -> str | None:
    """One line on a precision that a device does not have; None where it does, or nobody knows.

    Args:
        precision: as Lightning names it, such as ``bf16-mixed``.
        device: on which a run is to be computed.
    """
    if not precision.startswith("bf16"):
        return None
    if device.type == "cpu":
        flags = _flags()
        lacks = "amx_bf16 or avx512_bf16" if flags and not flags & _NATIVE_BF16 else ""
    elif device.type == "cuda":
        lacks = "" if torch.cuda.is_bf16_supported(including_emulation=False) else "bfloat16 units"
    else:
        lacks = ""
    if not lacks:
        return None
    return (
        f"trainer.precision {precision} is emulated here, as this {device.type.upper()} has no "
        f"{lacks}: an iteration takes two to five times as long as in 32-true"
    )


def _flags() -> set[str]:
    """Of the first processor; empty where Linux does not say."""
    try:
        lines = _CPUINFO.read_text(errors="replace").splitlines()
    except OSError:
        return set()
    found = (line for line in lines if line.startswith(("flags", "Features")))
    return set(next(found, "").partition(":")[2].split())
