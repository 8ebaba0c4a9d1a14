"""`ganstoch fit`: one run, from a command line to a record, with its W&B logger."""

import atexit
import gc
import json
import logging
import netrc
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlparse

import torch
from filelock import FileLock, Timeout
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities.exceptions import SIGTERMException

from ganstoch import records
from ganstoch.callbacks import run_folder
from ganstoch.callbacks.checkpoints import (
    Checkpoints,
    newest_checkpoint,
    read_checkpoint,
    step_of,
)
from ganstoch.callbacks.diagnosis import Diagnosis
from ganstoch.callbacks.gradient_noise import FILE, GradientNoise, GradientNoiseSettings
from ganstoch.callbacks.probe import Probe, ProbeSettings
from ganstoch.callbacks.progress import (
    LossLogger,
    Progress,
    RandomnessReport,
    callback_of,
    data_of,
)
from ganstoch.environment import git_sha, versions
from ganstoch.errors import UserError
from ganstoch.runs.pool import BUSY, sigterm_interrupts
from ganstoch.runs.resume import differences, goes_on, refuse_other_settings
from ganstoch.runs.settings import Command, Resolved, Tracking, compose, resolve, understand
from ganstoch.training.gan import GAN

_log = logging.getLogger("ganstoch")

SETTINGS = "run.json"  # a run's settings, in its folder from the first moment
# Seconds for W&B's first answer and for the end of the upload; variables WANDB_... go before.
_LIMITS = {"init_timeout": 30.0, "finish_timeout": 60.0}


class Busy(UserError):
    """Another process is at work on the run."""

    status: ClassVar[int] = BUSY


def fit(arguments: Sequence[str]) -> Path:
    """Runs or resumes a command line, with half the images at a time where memory is too small."""
    command = understand(arguments)
    while True:
        try:
            return _fit_once(command)
        except torch.OutOfMemoryError:
            smaller = _half(command)
        for logger in command.trainer.loggers:
            logger.finalize("success")  # the next one goes on under the same id
        # What the error held on to is free by now.
        del command.trainer, command.model, command.datamodule
        gc.collect()
        torch.cuda.empty_cache()
        command = understand([*arguments, f"--model.micro_batch={smaller}"])


def _fit_once(command: Command) -> Path:
    config = command.config
    resolved = resolve(config)
    folder: Path = config.out or Path("runs") / resolved.name
    if _is_this_run_finished(folder, resolved):
        _log.info("%s is finished already", folder)
        return folder
    if config.iterations_of:
        twin = records.read_record(config.iterations_of / records.RECORD)
        config.trainer.max_steps = twin.iterations
        config.stop_rule.stop = False
    compose(resolved.config)  # in fewer words than the parser would wrap a refusal in
    checkpoints = folder / "checkpoints"
    # Under Slurm Lightning goes on from any file of a certain name there; ours are named otherwise.
    config.trainer.default_root_dir = str(checkpoints)
    _name_run(config.trainer.logger, folder.name)
    with ExitStack() as held:
        command.build(_callbacks(config, resolved, folder, held))
        named, own = config.ckpt_path, None
        if named is None or _began_with(named, folder):
            own = newest_checkpoint(checkpoints, run=resolved.config_hash)
        if own is None and named is not None:
            content, steps = read_checkpoint(named), config.trainer.max_steps
            refuse_other_settings(named, content, config=resolved.config, steps=steps)
        _train(command, own or named)
    first = command.trainer.is_global_zero
    if first and not (folder / records.RECORD).exists():
        raise UserError(f"{folder} was interrupted; the same command goes on from its checkpoint")
    if first and config.diagnosis is not None:
        from ganstoch.runs.diagnose import write_run_page  # brings matplotlib

        write_run_page(folder)
    return folder


def _name_run(loggers: Any, name: str) -> None:
    """Has Lightning's loggers call a run as its folder is called, unless they are told a name."""
    for logger in loggers if isinstance(loggers, list) else [loggers]:
        options = getattr(logger, "init_args", {})
        key = "run_name" if "run_name" in options else "name"  # MLflow's `name` is an experiment's
        if options.get(key, name) in (None, "lightning_logs"):
            options[key] = name


def _callbacks(config: Any, resolved: Resolved, folder: Path, held: ExitStack) -> list[Callback]:
    """What accompanies a run, in the order in which it happens after each iteration."""
    callbacks: list[Callback] = [
        LossLogger(),
        run_folder.NeighbourGrid(folder / "panels.npz"),
        run_folder.SampleHistory(folder / "trail.npz"),
    ]
    if config.diagnosis is not None:
        callbacks.append(Diagnosis(**config.diagnosis.as_dict(), path=folder / "diagnosis.json"))
    if config.probe is not None:
        callbacks.append(Probe(ProbeSettings(**config.probe.as_dict()), folder / "probe.json"))
    if config.gradient_noise is not None:
        noise = GradientNoiseSettings(**config.gradient_noise.as_dict())
        callbacks.append(GradientNoise(noise, folder / FILE))
    config_hash = resolved.config_hash
    return [
        *callbacks,
        RunFolder(folder, resolved, Tracking(**config.wandb.as_dict()), held),
        RandomnessReport(),
        run_folder.RecordWriter(
            folder, config=resolved.config, config_hash=config_hash, preset=config.preset
        ),
        Progress(folder / "progress.json", quiet=config.quiet),
        Checkpoints(folder / "checkpoints", every=config.checkpoint_every, run=config_hash),
    ]


def _is_this_run_finished(folder: Path, resolved: Resolved) -> bool:
    """Whether the folder holds this very run, finished; a UserError if it holds another."""
    earlier = _settings_in(folder)
    if earlier is not None and earlier.config_hash != resolved.config_hash:
        before = records.converted_config(earlier.config)
        names = [name for name, *_ in differences(before, resolved.config)]
        changed = ", ".join(names) or "the version"
        fix, steps = "remove it or give --out", resolved.config["trainer"]["max_steps"]
        last = newest_checkpoint(folder / "checkpoints", run=earlier.config_hash)
        if last and step_of(last) <= steps and goes_on(before, resolved.config):
            fix = f"to go on from it, give --ckpt_path={last} and another --out"
        raise UserError(f"{folder} is of other settings ({changed}); {fix}")
    return records.is_finished(folder, resolved.config_hash)


def _settings_in(folder: Path) -> Resolved | None:
    """Those of the run in a folder, if there is one."""
    file, fix = folder / SETTINGS, f"remove {folder}"
    if not file.exists():
        return None
    content = records.read_json(file, fix=fix)
    settings: Resolved = records.decode(Resolved, content, str(file), fix=fix)
    return settings


def _began_with(checkpoint: Path, folder: Path) -> bool:
    """Whether the run in the folder, which then goes on itself, began at another's checkpoint."""
    if checkpoint.resolve().parent == (folder / "checkpoints").resolve():
        return False
    settings = _settings_in(folder)
    return settings is not None and settings.config.get("ckpt_path") == str(checkpoint)


def _state_of(folder: Path) -> set[Path]:
    """What shows how far a run is."""
    return {*folder.glob(records.RECORD), *folder.glob("checkpoints/step=*.ckpt")}


def _train(command: Command, checkpoint: Path | None) -> None:
    """Trains, from a checkpoint if there is one, and tells what went wrong in one line."""
    trainer = command.trainer
    try:
        # While ranks start, and until they take signals over, SIGTERM ends them with this process.
        with nullcontext() if trainer.world_size == 1 else sigterm_interrupts():
            trainer.fit(command.model, command.datamodule, ckpt_path=checkpoint, weights_only=True)
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        if checkpoint is None or callback_of(trainer, Checkpoints).begun:
            raise
        raise UserError(
            f"{checkpoint} holds something else than this version saves ({error}); give another "
            "--ckpt_path, or remove it"
        ) from error
    except MisconfigurationException as error:
        raise UserError(str(error)) from error
    except RuntimeError as error:
        if not str(error).startswith("Early stopping conditioned on metric"):
            raise
        raise UserError(" ".join(str(error).split())) from error
    except SystemExit as error:  # how Lightning ends at Ctrl-C and at SIGTERM
        raise KeyboardInterrupt from error


def _half(command: Command) -> int:
    """How many images at once may fit where those of this run did not; a UserError if none."""
    gan: GAN = command.model
    by = gan.full_batch_for
    at_once = 0 if gan.micro_batch == "auto" else min(gan.micro_batch or gan.m, gan.m)
    # "auto" still: the networks alone do not fit.
    if by or at_once < 2 or command.trainer.world_size > 1:
        mend = f"lower data.m: {by} takes whole batches" if by else "lower model.micro_batch"
        raise UserError(f"the GPU's memory is full; {mend}, or narrow the networks")
    smaller = -(-at_once // 2)
    _log.warning("the GPU's memory is full with %d images; on with %d at once", at_once, smaller)
    return smaller


@dataclass(eq=False)
class RunFolder(Callback):
    """Claims the run's folder, writes its settings and opens its W&B log, once all is read."""

    folder: Path
    resolved: Resolved
    tracking: Tracking
    held: ExitStack  # keeps the claim until whoever made it has finished

    def __post_init__(self) -> None:
        self._before = _state_of(self.folder)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuses data of another shape than the networks are for."""
        data = data_of(trainer)
        assert isinstance(pl_module, GAN)
        if data.shape != tuple(pl_module.shape):
            raise UserError(
                f"model.shape is {list(pl_module.shape)}, and the examples of {data.source.name} "
                f"have shape {list(data.shape)}; give that, and networks to go with it"
            )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Claims, writes, and makes the logger; `Busy` if another process is at work on the run."""
        data = data_of(trainer)
        assert isinstance(pl_module, GAN)
        assert pl_module.latents is not None
        pl_module.latents.draw(0, data.batch_size, device=torch.device("cpu"))  # refuses a bank < m
        if not trainer.is_global_zero:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            # A moment's patience: whoever looks whether it is held holds it for an instant.
            self.held.enter_context(FileLock(self.folder / records.RUN_LOCK, timeout=1.0))
        except Timeout as error:
            raise Busy(
                f"another process is at work on {self.folder}; wait for it, or choose another --out"
            ) from error
        if _state_of(self.folder) != self._before:
            raise Busy(f"another process was at work on {self.folder}; the same command goes on")
        records.sweep_up(self.folder)
        records.sweep_up(self.folder / "checkpoints")
        if trainer.ckpt_path:
            _log.info("going on from %s", trainer.ckpt_path)
        settings = json.dumps(asdict(self.resolved), indent=1)
        records.write_atomically(self.folder / SETTINGS, settings.encode())
        sha256, config_hash = data.subset.sha256, self.resolved.config_hash
        facts: dict[str, Any] = {"git_sha": git_sha(), "versions": versions()}
        facts |= {"config_hash": config_hash, "subset_sha256": sha256}
        config, run_id = self.resolved.config | facts, config_hash[:16]
        for logger in trainer.loggers:
            try:
                logger.log_hyperparams(config)
            except Exception as error:
                name = type(logger).__name__
                raise UserError(f"trainer.logger {name}: {first_line(error)}") from error
        if any(isinstance(logger, WandbLogger) for logger in trainer.loggers):
            return  # a process has one run of W&B, and it is the user's own
        ours = make_logger(self.tracking, folder=self.folder, run_id=run_id, config=config)
        trainer.loggers = [*([ours] if ours else []), *trainer.loggers]

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Where somebody stops the run, has its W&B sweep hand it out again."""
        if isinstance(exception, KeyboardInterrupt | SIGTERMException):
            for logger in trainer.loggers:
                if isinstance(logger, SteadyLogger):
                    logger.mark_preempting()


def logged_in() -> bool:
    """Whether a W&B API key is at hand, without asking the server."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc.netrc().authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def end_wandb() -> None:
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


def first_line(error: Exception) -> str:
    """An error's first line, or its kind if it has none, without the API key."""
    line = next(iter(str(error).splitlines()), "") or type(error).__name__
    key = os.environ.get("WANDB_API_KEY")
    return line.replace(key, "(the key)") if key else line


class SteadyLogger(WandbLogger):
    """Lightning's W&B logger with an end to every wait, none of whose failures reach the caller.

    Opening can raise. It is closed when training has succeeded, else when the process ends.
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

    def log_metrics(self, *arguments: Any, **options: Any) -> None:
        """Logs numbers."""
        self._safely(super().log_metrics, *arguments, **options)

    def log_hyperparams(self, *arguments: Any, **options: Any) -> None:
        """Logs settings."""
        self._safely(super().log_hyperparams, *arguments, **options)

    def log_image(self, *arguments: Any, **options: Any) -> None:
        """Logs pictures, which W&B first writes to files of its own."""
        self._safely(super().log_image, *arguments, **options)

    def log_config(self, config: dict[str, Any]) -> None:
        """Sets the run's configuration, also where a resumed run has another."""
        self._safely(self._run.config.update, config, allow_val_change=True)

    def alert(self, title: str, text: str) -> None:
        """Has W&B send a message."""
        self._safely(self._run.alert, title=title, text=text)

    def mark_preempting(self) -> None:
        """Tells W&B that the run is stopped from outside, so that its sweep hands it out again."""
        self._safely(self._run.mark_preempting)

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
            why, folder = first_line(error), self.folder
            _log.warning("W&B stopped (%s); to upload what it has: wandb sync %s", why, folder)
            end_wandb()

    def _close(self, exit_code: int = 1) -> None:
        # Left to itself W&B takes an interrupted run for a good one, and a sweep then ends there.
        self._safely(self._run.finish, exit_code=exit_code)
        self._silent = True
        atexit.unregister(self._close)


def make_logger(
    tracking: Tracking, *, folder: Path, run_id: str, config: dict[str, Any]
) -> SteadyLogger | None:
    """A logger whose run holds the configuration; offline without a server, None where disabled."""
    options = asdict(tracking) | {"name": folder.name, "save_dir": folder}
    options["id"] = os.environ.get("WANDB_RUN_ID", run_id)
    mode: str = options.pop("mode")
    if mode == "auto":
        mode = os.environ.get("WANDB_MODE") or ("online" if logged_in() else "offline")
    if mode == "disabled":
        return None
    os.environ.setdefault("WANDB_SILENT", "true")
    # Reports of W&B's own errors, which a process would wait for at its end.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    folder.mkdir(parents=True, exist_ok=True)
    why = ""
    for each in ["offline"] if mode in ("offline", "dryrun") else [mode, "offline"]:
        resumes = each != "offline" and "WANDB_SWEEP_ID" not in os.environ
        try:
            logger = SteadyLogger(mode=each, resume="allow" if resumes else None, **options)
        except Exception as error:
            why = why or f" ({first_line(error)})"
            end_wandb()
            continue
        logger.log_config(config)
        if each == "offline":
            _log.info("W&B is offline%s; to upload this run: wandb sync %s", why, logger.folder)
        return logger
    _log.warning("W&B does not start%s; the run goes on without it", why)
    return None
