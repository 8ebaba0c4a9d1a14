"""What a run tells as it trains: metrics for the loggers, a bar, its sources of randomness."""

import json
import logging
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from tqdm import tqdm

from ganstoch.data.datamodule import ImageData
from ganstoch.errors import UserError
from ganstoch.records import write_atomically
from ganstoch.training.gan import GAN

_log = logging.getLogger("ganstoch")
_C = TypeVar("_C", bound=Callback)
# "fixed" is drawn once, the same for the same seed; "on" is drawn anew at every iteration.
State = Literal["off", "fixed", "on"]
Randomness = tuple[str, State, str, str]  # a source's name, state, what is random, its setting

# Metrics beside the bar.
SHOWN = {"overfitting/pixel_l1/mean": "overfitting", "mode_drop/pixel_l1/mean": "mode drop"}
LINE_EVERY = 30.0  # seconds between lines of progress where the output is no terminal
FILE_EVERY = 1.0  # seconds between updates of the file


if TYPE_CHECKING:
    _Callback = Callback
elif "lightning.pytorch" in sys.modules:
    # The distribution `lightning` has a Callback of its own, and its parser takes no other.
    _Callback = type("_Callback", (Callback, sys.modules["lightning.pytorch"].Callback), {})
else:
    _Callback = Callback


def data_of(trainer: Trainer) -> ImageData:
    """The data of a run."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    assert isinstance(data, ImageData)
    return data


def callback_of(trainer: Trainer, kind: type[_C]) -> _C:
    """The first callback of a class."""
    return next(c for c in trainer.callbacks if isinstance(c, kind))  # type: ignore[attr-defined]


def log_metrics(trainer: Trainer, metrics: Mapping[str, float], step: int | None = None) -> None:
    """Writes metrics to every logger at ``step``, by default `global_step`; first rank only.

    On every rank they are in `trainer.callback_metrics` too, for Lightning's own callbacks.
    """
    trainer.callback_metrics.update({k: torch.tensor(float(v)) for k, v in metrics.items()})
    if trainer.is_global_zero:
        for logger in trainer.loggers:
            logger.log_metrics(dict(metrics), step=trainer.global_step if step is None else step)
            logger.save()  # as Lightning does; else CSVLogger keeps them to itself until the end
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Progress):
                callback.show(metrics)


def log_picture(trainer: Trainer, name: str, picture: np.ndarray[Any, Any]) -> None:
    """Shows a picture, uint8 of shape (H, W, 3), in every logger that can; on the first rank."""
    step = trainer.global_step
    for logger in trainer.loggers:
        # By their names, as `lightning` and `pytorch_lightning` have a class each.
        kinds, theirs = {kind.__name__ for kind in type(logger).__mro__}, cast(Any, logger)
        if "WandbLogger" in kinds:
            theirs.log_image(name, [picture], step=step)
        elif "TensorBoardLogger" in kinds:
            theirs.experiment.add_image(name, picture, step, dataformats="HWC")
        elif "MLFlowLogger" in kinds:
            theirs.experiment.log_image(theirs.run_id, picture, key=name, step=step)
        elif "CometLogger" in kinds:
            theirs.experiment.log_image(picture, name=name, step=step)


class Periodic(_Callback, ABC):
    """Measures every so many iterations and at the end, and leaves a file; base of all that do."""

    at_start = False  # whether to measure before the first iteration too
    at_end = True  # whether to measure the last iteration if it is off the interval
    is_end = False  # whether the measurement that is being taken is that of the end

    def __init__(self, every: int, *, name: str, path: Path | None = None) -> None:
        if every < 1:
            raise UserError(f"{name}.every must be 1 or more, got {every}")
        self.every = every
        self.path = path

    @abstractmethod
    def measure(self, trainer: Trainer, module: LightningModule, iteration: int) -> None:
        """Takes one measurement after so many iterations."""

    @abstractmethod
    def is_measured(self, iteration: int) -> bool:
        """Whether the measurement of the end has been taken at this iteration."""

    def content(self, trainer: Trainer, module: LightningModule) -> dict[str, Any] | None:
        """What goes to the file, as JSON; None for no file."""
        return None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measures the beginning, of callbacks that do."""
        if self.at_start and iteration_of(trainer) == 0:
            self.measure(trainer, pl_module, 0)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Measures at the interval."""
        iteration = iteration_of(trainer)
        if iteration % self.every == 0:
            self.measure(trainer, pl_module, iteration)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measures the end."""
        iteration = iteration_of(trainer)
        if self.at_end and not self.is_measured(iteration):
            pl_module.to(trainer.strategy.root_device)  # Lightning moves it away after training
            self.is_end = True
            self.measure(trainer, pl_module, iteration)
            self.is_end = False

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measures the end of a run that was resumed after it; leaves the file."""
        Periodic.on_train_end(self, trainer, pl_module)
        if self.path is not None and trainer.is_global_zero:
            content = self.content(trainer, pl_module)
            if content is not None:
                write_atomically(self.path, json.dumps(content, allow_nan=False).encode() + b"\n")


def iteration_of(trainer: Trainer) -> int:
    """The iteration going on or just ended, from 1; `global_step` counts all optimizers' steps."""
    return trainer.fit_loop.epoch_loop.total_batch_idx + 1


class LossLogger(Callback):
    """Writes the losses every `trainer.log_every_n_steps` iterations; reading stalls a device."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Writes the losses at the interval, as means over the ranks."""
        assert isinstance(pl_module, GAN)
        if trainer.global_step % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        losses = pl_module.losses
        if trainer.world_size > 1:  # then only the first rank knows whether anybody reads
            stacked = torch.stack([loss.double() for loss in losses.values()])
            means = trainer.strategy.reduce(stacked)
            assert isinstance(means, Tensor)
            log_metrics(trainer, dict(zip(losses, means.tolist(), strict=True)))
        elif trainer.loggers:
            log_metrics(trainer, {name: loss.item() for name, loss in losses.items()})
        else:
            trainer.callback_metrics.update(losses)


class Progress(Callback):
    """Iterations per second, time left and metrics: always a file, and unless ``quiet`` a bar."""

    def __init__(self, path: Path, *, quiet: bool = False) -> None:
        self.path = path
        self.quiet = quiet
        self._bar: tqdm[Any] | None = None
        self._written = 0.0
        self._shown: dict[str, float] = {}

    def show(self, metrics: Mapping[str, float]) -> None:
        """Takes up the latest metrics."""
        latest = {word: round(metrics[name], 2) for name, word in SHOWN.items() if name in metrics}
        self._shown |= latest

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Opens the bar where the run, or what is left of it, starts."""
        self._written = 0.0
        terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=trainer.max_steps,
            initial=trainer.global_step,
            unit="it",
            file=sys.stderr,
            disable=self.quiet or not trainer.is_global_zero,
            mininterval=0.5 if terminal else LINE_EVERY,
            ncols=None if terminal else 100,
            dynamic_ncols=terminal,
        )

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Moves on by one iteration."""
        assert self._bar is not None
        self._bar.update(1)
        now = time.monotonic()
        if now - self._written >= FILE_EVERY:
            self._written = now
            self._write(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Closes the bar."""
        self._write(trainer)
        self.on_exception()

    def on_exception(self, *_: Any) -> None:
        """Leaves the terminal clean for the message that follows."""
        if self._bar is not None:
            self._bar.close()

    def _write(self, trainer: Trainer) -> None:
        if self._bar is not None:
            self._bar.set_postfix(self._shown, refresh=False)
        if trainer.is_global_zero:
            state = {"iteration": trainer.global_step, "of": trainer.max_steps, **self._shown}
            # Not worth an fsync, and its loss costs nothing; still never seen half-written.
            temporary = self.path.with_suffix(".tmp")
            temporary.write_text(json.dumps(state))
            temporary.replace(self.path)


def sources_of_randomness(trainer: Trainer, gan: GAN, data: ImageData) -> list[Randomness]:
    """All of them, for a run whose data and latents are set up."""
    seed, subset = f"seed {gan.seed}", f"{len(data.subset.ids)} images, seed {data.subset_seed}"
    return [
        ("initial weights", "fixed", seed, "seed_everything"),
        ("start of spectral norm", "fixed", seed, "seed_everything"),
        ("choice of subset", "fixed", subset, "data.subset_seed"),
        ("augmentation and dequantization", "off", "there is none", "none"),
        ("data-loader workers", "off", "the subset lies on the device", "none"),
        ("evaluation", "off", "a stream of its own, no part in training", "none"),
        *_drawn_in_batches(gan, data),
        *_numerical(trainer, gan),
    ]


def _on(is_random: object) -> State:
    return "on" if is_random else "off"


def _drawn_in_batches(gan: GAN, data: ImageData) -> list[Randomness]:
    assert gan.latents is not None
    times, pack = gan.remedies.spec.images_factor, gan.remedies.spec.pack
    n, m, bank = len(data.subset.ids), data.batch_size * times, gan.latents.count
    whole, noise = data.sampling == "exactly_once", gan.latents.noise
    images = f"{m} of {n}, {data.sampling.replace('_', ' ')}"
    if whole:
        images = "every image once" if times == 1 else f"every image {times} times"
    fixed = "fresh every iteration" if bank is None else f"k = {bank} fixed"
    drawn = "see latents" if bank is None else f"{m} of {bank}, without replacement"
    drawn = "every latent once" if bank == m else drawn
    coupled = f"packs of {pack}" if pack > 1 else ""
    coupled = f"{gan.full_batch_for} looks at a whole batch" if gan.full_batch_for else coupled
    together = _on(coupled and not (whole and bank == m and not noise))
    alone = coupled or "every image is judged by itself"
    drawing = [type(remedy).__name__ for remedy in gan.remedies if remedy.spec.stochastic]
    variance = f"variance {noise:g}" if noise else "none"
    return [
        ("sampling of images", _on(not whole), images, "data.m, data.sampling"),
        ("latents", "on" if bank is None else "fixed", fixed, "model.latents.bank"),
        ("sampling of latents", _on(bank != m), drawn, "data.m"),
        ("noise on latents", _on(noise), variance, "model.latents.noise"),
        ("batch-coupled layers", together, alone, "model.remedies, model.objective, networks"),
        ("draws of remedies", _on(drawing), ", ".join(drawing) or "none", "model.remedies"),
    ]


def _numerical(trainer: Trainer, gan: GAN) -> list[Randomness]:
    deterministic = torch.are_deterministic_algorithms_enabled()
    kernels = "deterministic kernels" if deterministic else "any kernels"
    tf32 = "on" if torch.backends.cuda.matmul.allow_tf32 else "off"
    state: State = "fixed" if deterministic else "on"
    precision = str(trainer.precision)
    reduced: State = "off" if precision in ("32-true", "64-true") else state
    sums: State = state if gan.micro_batch == "auto" else "fixed"
    devices = f"{trainer.world_size} device(s), {torch.get_num_threads()} thread(s)"
    how = f"{precision}, {kernels}, tf32 {tf32}, {devices}"
    return [
        ("floating point", state, how, "trainer.precision, trainer.deterministic"),
        ("reduced precision", reduced, precision, "trainer.precision"),
        ("order of sums", sums, f"micro-batch {gan.micro_batch or 'none'}", "model.micro_batch"),
    ]


class RandomnessReport(Callback):
    """Prints the sources of randomness at start-up and hands them to the loggers."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Names every source once, on the first rank."""
        assert isinstance(pl_module, GAN)
        if not trainer.is_global_zero:
            return
        sources = sources_of_randomness(trainer, pl_module, data_of(trainer))
        lines = [f"  {name:<32}{state:<7}{what}  [{key}]" for name, state, what, key in sources]
        _log.info("sources of randomness\n%s", "\n".join(lines))
        states = {name: f"{state}: {what}" for name, state, what, _ in sources}
        for logger in trainer.loggers:
            logger.log_hyperparams({"randomness": states})

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hands the loggers the size of the micro-batch, which is settled by now."""
        assert isinstance(pl_module, GAN)
        for logger in trainer.loggers:
            logger.log_hyperparams({"arithmetic": {"micro_batch": pl_module.micro_batch}})
