"""Watches a generator in training and says what is wrong with it, with evidence.

Works on our game and on any LightningModule that has networks called ``generator`` and
``discriminator``, or a method ``sample(n)``, or is given a function that makes images.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from ganstoch.callbacks.acting import Acting, Action, put_back
from ganstoch.callbacks.generator_adapter import (
    Sampler,
    iteration_of,
    players_of,
    real_images,
    sampler_of,
    undisturbed,
)
from ganstoch.diagnosis import Diagnosed, References, Signals, diagnose, measure, references
from ganstoch.diagnosis.failures import quality
from ganstoch.diagnosis.non_finite import NonFiniteDetector
from ganstoch.diagnosis.signals import to_columns
from ganstoch.diagnosis.verdicts import Verdict
from ganstoch.errors import UserError
from ganstoch.records import write_atomically

__all__ = ["Diagnosis", "DiagnosisSettings"]

_log = logging.getLogger("ganstoch")


@dataclass(frozen=True)
class DiagnosisSettings:
    """What `ganstoch fit` may be told of it.

    Attributes:
        every: iterations between measurements.
        act: what follows from a verdict that is sure: "log", or "alert" of any; "stop" or "restore"
            of one after which training goes nowhere.
        images: in a batch that is looked at.
    """

    every: int = 100
    act: Action = "log"
    images: int = 64


class Diagnosis(Callback):
    """Measures signals every so many iterations and draws a verdict from their history.

    Signals go to the loggers as ``diagnosis/<signal>``; a verdict is told when it changes. Nothing
    is measured in between but the sum of each layer's output, which tells where a number that is
    not finite came from. Training goes the same way with it or without, bit for bit, unless it is
    asked to act.

    Args:
        every: iterations between measurements.
        act: what follows from a verdict of `on` once it is sure, which takes six measurements that
            show it (one for what is not finite): "log" tells of it, "alert" also raises an alert,
            in W&B where it is one of the loggers, "stop" also ends training, "restore" ends it and
            puts back the weights of the best measurement. Each says so when it first becomes due,
            and once more only if the verdict has passed in between.
        on: the verdicts that are acted on; None for all in an alert, which ends nothing, and
            otherwise for those after which training goes nowhere.
        images: in a batch that is looked at, at least 8.
        sample: makes n images, shape (n, *shape), floats in [-1, 1]; None for the module's own way.
        latent_dim: length of z, where neither the module nor its ``generator`` has it as an
            attribute.
        real: training images (N, C, H, W), uint8 or floats in [-1, 1]; None for our own data's.
        held_out: real images that are not trained on, or None.
        path: file that the signals are left in when training ends, or None.

    Attributes:
        history: the signals so far.
        diagnosed: what follows from them; None before the first measurement.

    Raises:
        UserError: for an interval below 1 or fewer than 8 images; at the start of training, where
            there is no way to make images or nothing to compare them with.
    """

    def __init__(
        self,
        *,
        every: int = 100,
        act: Action = "log",
        on: Sequence[Verdict] | None = None,
        images: int = 64,
        sample: Callable[[int], Tensor] | None = None,
        latent_dim: int | None = None,
        real: Tensor | None = None,
        held_out: Tensor | None = None,
        path: Path | None = None,
    ) -> None:
        if every < 1:
            raise UserError(f"diagnosis.every must be 1 or more, got {every}")
        if images < 8:
            raise UserError(f"diagnosis.images must be 8 or more, got {images}")
        self.every = every
        self.act = act
        self._acting = Acting(act, on)
        self.images = images
        self.sample = sample
        self.latent_dim = latent_dim
        self.real = real
        self.held_out = held_out
        self.path = path
        self.history: list[Signals] = []
        self.diagnosed: Diagnosed | None = None
        self._told = ""
        self._before: list[Tensor] = []
        self._best: dict[str, Tensor] = {}
        self._best_quality = math.inf
        self._gradients: dict[str, Tensor] = {}
        self._handles: list[RemovableHandle] = []
        self._sampler: Sampler | None = None
        self._known: References | None = None
        self._tripwire: NonFiniteDetector | None = None
        self._due = False

    @property
    def acts(self) -> list[dict[str, Any]]:
        """What was done so far, each with its iteration, act, verdict and words."""
        return self._acting.done

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws the real images, and listens to the networks and their optimisers."""
        real, held_out = real_images(trainer, self.real, self.held_out)
        try:
            known = references(real, held_out, size=self.images)
        except ValueError as error:
            raise UserError(f"diagnosis: {error}") from error
        self._known = dataclasses.replace(
            known,
            batch=known.batch.to(pl_module.device),
            bank=known.bank.to(pl_module.device),
            held_out=None if known.held_out is None else known.held_out.to(pl_module.device),
        )
        self._sampler = sampler_of(pl_module, self.sample, self.latent_dim)
        players = players_of(pl_module)
        self._tripwire = NonFiniteDetector(players or {"module": pl_module})
        owners = {p: name for name, player in players.items() for p in player.parameters()}
        for optimizer in trainer.optimizers:
            names = {owners.get(p) for group in optimizer.param_groups for p in group["params"]}
            if len(names) == 1 and (name := names.pop()) is not None:
                self._handles.append(optimizer.register_step_pre_hook(self._weigh(name)))
        if self._before and len(self._before[0]) != self.images:
            self._before = []  # of a run that looked at another number of images
        if self.diagnosed is not None and self._acting.ends(self.diagnosed):
            trainer.should_stop = True  # it was killed when it had been stopped, before its record

    def _weigh(self, name: str) -> Callable[[Optimizer, Any, Any], None]:
        def hook(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
            if self._due:
                parameters = (p for group in optimizer.param_groups for p in group["params"])
                gradients = [p.grad for p in parameters if p.grad is not None]
                if gradients:
                    norms = torch.stack(torch._foreach_norm(gradients))
                    self._gradients[name] = norms.norm()

        return hook

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Knows beforehand that gradients are wanted."""
        self._due = iteration_of(trainer) % self.every == 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Measures where it is due."""
        assert self._tripwire is not None
        iteration = iteration_of(trainer)
        self._tripwire.end_iteration(iteration)
        if iteration % self.every == 0:
            self._look(trainer, pl_module, iteration)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lets go of the networks; leaves the signals in a file where that was asked for."""
        if self._tripwire is not None:
            self._tripwire.remove()
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        if self.path is not None and self.diagnosed is not None and trainer.is_global_zero:
            kept = {
                "verdict": self.diagnosed.verdict,
                "acts": self.acts,
                "signals": to_columns(self.history),
            }
            write_atomically(self.path, json.dumps(kept, allow_nan=False).encode() + b"\n")

    def state_dict(self) -> dict[str, Any]:
        """The history so far, so that a resumed run is diagnosed as a whole."""
        return {
            "history": [dataclasses.asdict(signals) for signals in self.history],
            "before": self._before,
            "told": self._told,
            "acting": self._acting.state_dict(),
            "best": self._best,
            "best_quality": self._best_quality,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up the history of the run that is resumed."""
        self.history = [Signals(**entry) for entry in state_dict["history"]]
        self._before, self._told = state_dict["before"], state_dict["told"]
        self._best, self._best_quality = state_dict["best"], state_dict["best_quality"]
        self._acting.load_state_dict(state_dict.get("acting", {}))  # of earlier versions none
        self.diagnosed = diagnose(self.history) if self.history else None

    def _look(self, trainer: Trainer, module: LightningModule, iteration: int) -> None:
        assert self._tripwire is not None
        assert self._sampler is not None
        assert self._known is not None
        with self._tripwire.deaf(), undisturbed(module):
            subject = self._sampler.subject(self.images)
            signals, made = measure(subject, self._known, iteration=iteration, before=self._before)
        self._before = [made, *self._before[:1]]
        losses: dict[str, Tensor] = getattr(module, "losses", {})
        weights = {name: norm.item() for name, norm in self._gradients.items()}
        signals = dataclasses.replace(
            signals,
            loss_discriminator=_number(losses.get("loss/discriminator")),
            loss_generator=_number(losses.get("loss/generator")),
            gradient_discriminator=weights.get("discriminator"),
            gradient_generator=weights.get("generator"),
            broken=self._broken(signals),
        )
        self.history.append(signals)
        self.diagnosed = diagnose(self.history)
        self._keep_best(module, signals)
        self._log(trainer, signals, iteration)
        self._tell(trainer)
        self._act(trainer, module)

    def _broken(self, signals: Signals) -> str:
        """Where the first number that was not finite came from; once known, it stays known."""
        assert self._tripwire is not None
        earlier = self.history[-1].broken if self.history else ""
        return earlier or self._tripwire.first() or signals.broken

    def _keep_best(self, module: LightningModule, signals: Signals) -> None:
        if self.act == "restore" and (now := quality(signals)) < self._best_quality:
            self._best_quality = now
            self._best = {k: v.detach().cpu().clone() for k, v in module.state_dict().items()}

    def _log(self, trainer: Trainer, signals: Signals, iteration: int) -> None:
        if trainer.is_global_zero:
            values = dataclasses.asdict(signals)
            numbers = {
                f"diagnosis/{name}": value
                for name, value in values.items()
                if isinstance(value, float) and math.isfinite(value)
            }
            for logger in trainer.loggers:
                logger.log_metrics(numbers, step=iteration)

    def _tell(self, trainer: Trainer) -> None:
        """Says a new verdict."""
        assert self.diagnosed is not None
        if self.diagnosed.verdict != self._told and trainer.is_global_zero:
            self._told = self.diagnosed.verdict
            level = logging.INFO if self._told == "healthy" else logging.WARNING
            _log.log(level, "%s", self.diagnosed.words)

    def _act(self, trainer: Trainer, module: LightningModule) -> None:
        """Does what was asked for where a finding has become due."""
        assert self.diagnosed is not None
        self._acting.follow(trainer, self.diagnosed)
        if self._acting.ends(self.diagnosed):
            trainer.should_stop = True
            if self.act == "restore":
                put_back(trainer, module, self._best)


def _number(loss: Tensor | None) -> float | None:
    return None if loss is None else loss.item()
