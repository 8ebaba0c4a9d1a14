"""Watches a generator in training, of any LightningModule, and says what is wrong with it."""

import dataclasses
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from ganstoch.callbacks.evaluation import Evaluation
from ganstoch.callbacks.progress import Periodic, iteration_of, log_metrics
from ganstoch.diagnosis import adapters
from ganstoch.diagnosis.alerts import check_command, raise_alert
from ganstoch.diagnosis.given import number
from ganstoch.diagnosis.monitor import Monitor
from ganstoch.diagnosis.non_finite import NonFiniteDetector
from ganstoch.diagnosis.signals import Signals, flat, to_columns
from ganstoch.diagnosis.spaces import AnySpace
from ganstoch.diagnosis.undisturbed import undisturbed
from ganstoch.diagnosis.verdicts import FATAL, VERDICTS, Diagnosed
from ganstoch.errors import UserError

_log = logging.getLogger("ganstoch")

Action = Literal["log", "alert", "stop", "restore"]


@dataclass(frozen=True)
class DiagnosisSettings:
    """Settings of the diagnosis for `ganstoch fit`.

    Attributes:
        every: iterations between measurements.
        act: on a sure verdict: "log" or "alert" of any; "stop" or "restore" where training is lost.
        images: in a batch that is looked at.
        command: to run where it acts: a program and its first words; title and text come after.
    """

    every: int = 100
    act: Action = "log"
    images: int = 64
    command: list[str] | None = None


class Diagnosis(Periodic):
    """`Monitor` of a LightningModule: measures signals every so many iterations, draws a verdict.

    Signals go to the loggers as ``diagnosis/<signal>``; a verdict is told when it changes. Training
    goes the same way with it or without, bit for bit, unless it is asked to act.

    Args:
        every: iterations between measurements.
        act: what follows from a sure verdict (six measurements): "log" or "alert" of any; "stop" or
            "restore" of the best measurement's weights, of one after which training goes nowhere.
        images: in a batch that is looked at, at least 8.
        sample: makes n images, shape (n, *shape), floats in [-1, 1]; None for the module's own way.
        latent_dim: length of z, where neither the module nor its ``generator`` has that attribute.
        real: training images (N, C, H, W), uint8 or floats in [-1, 1], also floats of another range
            if their ends tell which (`checked_set`); None for our own data's.
        held_out: real images that are not trained on, or None.
        command: what else an alert runs, with its title and its text as the last two words.
        space: of samples that are no images, as of `Monitor`.
        sample_rate: of waveforms, in hertz.
    """

    at_end = False

    def __init__(
        self,
        *,
        every: int = 100,
        act: Action = "log",
        images: int = 64,
        sample: Callable[[int], Any] | None = None,
        latent_dim: int | None = None,
        real: Any = None,
        held_out: Any = None,
        space: AnySpace = None,
        sample_rate: int | None = None,
        command: Sequence[str] | None = None,
        path: Path | None = None,
    ) -> None:
        super().__init__(every, name="diagnosis", path=path)
        if command is not None and act == "log":
            raise UserError("diagnosis.command runs where diagnosis.act is alert, stop or restore")
        self.command = () if command is None else check_command(command)
        if images < 8:
            raise UserError(f"diagnosis.images must be 8 or more, got {images}")
        self.act = act
        self.monitor = Monitor(every=every, images=images)
        self.monitor.past.on = VERDICTS if act == "alert" else FATAL
        self.acts: list[dict[str, Any]] = []  # each with its iteration, act, verdict and words
        self.images = images
        self.sample = sample
        self.latent_dim = latent_dim
        self.real = real
        self.held_out = held_out
        self.space = space
        self.sample_rate = sample_rate
        self._best: dict[str, Tensor] = {}
        self._gradients: dict[str, Tensor] = {}
        self._handles: list[RemovableHandle] = []
        self._adapter: adapters.GeneratorAdapter | None = None
        self._detector: NonFiniteDetector | None = None
        self._measures_next = False

    @property
    def history(self) -> list[Signals]:
        """The signals so far."""
        return self.monitor.history

    @property
    def diagnosed(self) -> Diagnosed | None:
        """What follows from the signals; None before the first measurement."""
        return self.monitor.diagnosed

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws the real images, and listens to the networks and their optimizers."""
        real, held_out, space = self.real, self.held_out, self.space
        if space is None:
            real, held_out = adapters.real_images(trainer, real, held_out)
            space = flat if real.ndim == 2 else "image"
        self._adapter = adapters.adapter_for(pl_module, self.sample, self.latent_dim)
        self.monitor.world = trainer.world_size
        self.monitor.refer_to(real, held_out, space=space, sample_rate=self.sample_rate)
        with undisturbed(pl_module):
            self.monitor.try_once(self._adapter.networks(self.images))
        players = adapters.players_of(pl_module)
        self._detector = NonFiniteDetector(players or {"module": pl_module})
        owners = {p: name for name, player in players.items() for p in player.parameters()}
        for optimizer in trainer.optimizers:
            names = {owners.get(p) for group in optimizer.param_groups for p in group["params"]}
            if len(names) == 1 and (name := names.pop()) is not None:
                self._handles.append(optimizer.register_step_pre_hook(self._gradient_hook(name)))
        if self._ends_training():
            trainer.should_stop = True  # it was killed when it had been stopped, before its record

    def _gradient_hook(self, name: str) -> Callable[[Optimizer, Any, Any], None]:
        def hook(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
            if self._measures_next:
                parameters = (p for group in optimizer.param_groups for p in group["params"])
                gradients = [p.grad for p in parameters if p.grad is not None]
                if gradients:
                    self._gradients[name] = torch.stack(torch._foreach_norm(gradients)).norm()

        return hook

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Sees to it that gradients are measured where that is due."""
        self._measures_next = iteration_of(trainer) % self.every == 0

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Measures at the interval."""
        assert self._detector is not None
        self._detector.end_iteration(iteration_of(trainer))
        super().on_train_batch_end(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Removes all hooks from the networks."""
        if self._detector is not None:
            self._detector.remove()
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leaves the signals and, beside them, samples of the looks that matter."""
        super().on_fit_end(trainer, pl_module)
        pictures = self.monitor.pictures
        if self.path is not None and trainer.is_global_zero and pictures and pictures.looks:
            pictures.save(self.path.with_suffix(".npz"))

    def content(self, trainer: Trainer, module: LightningModule) -> dict[str, Any] | None:
        """The last verdict, the acts, the signals, and what could not be judged."""
        if self.diagnosed is None:
            return None
        return {
            "verdict": self.diagnosed.verdict,
            "acts": self.acts,
            "signals": to_columns(self.history),
            "not_judged": self.monitor.not_judged,
            "notes": self.monitor.notes,
        }

    def state_dict(self) -> dict[str, Any]:
        """The history so far, so that a resumed run is diagnosed as a whole."""
        return {**self.monitor.state_dict(), "acts": self.acts, "best": self._best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with the history of the run that is resumed."""
        monitor = state_dict.get("monitor")
        if monitor is None:  # of 0.5.0
            acting = state_dict.get("acting", {})
            monitor = state_dict | {"due": acting.get("due", [])}
            state_dict = state_dict | {"acts": acting.get("done", [])}
        self.acts, self._best = state_dict["acts"], state_dict["best"]
        if not self._best:  # of a run that was not to put any weights back
            monitor = monitor | {"best_quality": math.inf}
        self.monitor.load_state_dict(state_dict | {"monitor": monitor})

    def is_measured(self, iteration: int) -> bool:
        """Whether the last measurement is of this iteration."""
        return bool(self.history) and self.history[-1].iteration == iteration

    def measure(self, trainer: Trainer, module: LightningModule, iteration: int) -> None:
        """Measures the signals, tells a new verdict and acts where that is due."""
        assert self._detector is not None
        assert self._adapter is not None
        losses = getattr(module, "losses", None)  # of other modules, it may be anything
        values = dict(losses) if isinstance(losses, Mapping) else {}
        values |= {f"gradient_{name}": norm for name, norm in self._gradients.items()}
        known: dict[str, float] = {}
        for name, value in values.items():
            if (signal := str(name).replace("/", "_")) in Signals.__slots__:
                with suppress(TypeError, ValueError):
                    known[signal] = number(value)
        broken = self._detector.first()
        with self._detector.deaf(), undisturbed(module):
            networks = self._adapter.networks(self.images)
            self.monitor.look(iteration, networks, broken=broken, **known)
        if self.act == "restore" and self.monitor.past.is_best:
            self._best = {k: v.detach().cpu().clone() for k, v in module.state_dict().items()}
        numbers = {
            f"diagnosis/{name}": value
            for name, value in dataclasses.asdict(self.history[-1]).items()
            if isinstance(value, float) and math.isfinite(value)
        }
        log_metrics(trainer, numbers, step=iteration)
        if self.act != "log":
            self._act(trainer, module, iteration)

    def _act(self, trainer: Trainer, module: LightningModule, iteration: int) -> None:
        for finding in self.monitor.past.newly_due:
            words = f"diagnosis.act {self.act} at iteration {iteration}: {finding.words}"
            act = {"iteration": iteration, "act": self.act, "verdict": finding.verdict}
            self.acts.append({**act, "words": words})
            if trainer.is_global_zero:
                _log.warning("%s", words)
                raise_alert(
                    f"ganstoch: {finding.verdict}",
                    words,
                    level="error" if finding.verdict in FATAL else "warn",
                    loggers=trainer.loggers,
                    command=self.command,
                )
        if self._ends_training():
            trainer.should_stop = True
            if self.act == "restore":
                self._restore(trainer, module)

    def _ends_training(self) -> bool:
        return self.act in ("stop", "restore") and self.monitor.past.is_due

    def _restore(self, trainer: Trainer, module: LightningModule) -> None:
        """Puts the best weights back, so that all that is yet to come of the run is of them."""
        if self._best:
            module.load_state_dict(self._best)
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, Evaluation):
                    callback.latest = None  # of the weights that are gone
        if trainer.is_global_zero:
            back = "the weights of the best measurement are back in place"
            _log.warning("%s", back if self._best else "no measurement was finite: weights stay")
