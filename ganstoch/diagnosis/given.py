"""What a training loop hands over between two looks, kept as it comes and read at a look."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed

from ganstoch.diagnosis.signals import Signals, compare_logits
from ganstoch.diagnosis.spaces import first_tensor

_WAITING = 4096  # most losses that wait to be looked at
_LOGITS = 1024  # most logits of a side that are compared
_SIGNALS = {"loss_d": "loss_discriminator", "loss_g": "loss_generator"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The signals of one look on one rank."""

    signals: Signals  # of generated samples, and what else is known
    values: dict[str, float]  # further signals, such as losses
    logits: dict[str, Tensor] = field(default_factory=dict)  # (N,), under "real" and "fake"
    broken: str = ""  # where the first number that was not finite came from

    def merged(self, world: int) -> Signals:
        """All ranks' signals: the first one's, of mean values and of the logits of all."""
        readings: list[Any] = [self]
        if world > 1:
            readings = [None] * world
            distributed.all_gather_object(readings, self)
        names = dict.fromkeys(name for reading in readings for name in reading.values)
        known = {name: [r.values[name] for r in readings if name in r.values] for name in names}
        values: dict[str, Any] = {name: sum(each) / len(each) for name, each in known.items()}
        sides = {
            side: torch.cat([r.logits.get(side, torch.empty(0)) for r in readings])
            for side in ("real", "fake")
        }
        broken = next((r.broken for r in readings if r.broken), "")
        first: Signals = readings[0].signals
        if first.separation is None and all(len(logits) for logits in sides.values()):
            values |= compare_logits(**sides)
        return dataclasses.replace(first, **values, broken=broken or first.broken)


class Given:
    """The losses since the last look and the last logits, as tensors that nobody waits for."""

    def __init__(self, note: Callable[[str, str], None]) -> None:
        self._note = note
        self._last: dict[str, Any] = {}
        self._losses: list[tuple[int, str, Any]] = []
        self._broken = ""

    def add(self, iteration: int, **given: Any) -> None:
        """Takes up what is not None: ``loss_d``, ``loss_g``, ``real_logits``, ``fake_logits``."""
        for name, value in given.items():
            if value is None:
                continue
            try:
                value = _waiting(value) if name in _SIGNALS else _of_samples(value)
            except (TypeError, ValueError) as error:
                self._note(name, f"{name} at iteration {iteration}: {error}")
                continue
            self._last[name] = value
            if name in _SIGNALS:
                self._losses.append((iteration, name, value))
        if len(self._losses) > _WAITING:
            self._check()

    def read(self, signals: Signals) -> Reading:
        """All of it with signals of the samples; forgets it, but for the losses."""
        self._check()
        logits = {
            side: flat_logits(self._last.pop(f"{side}_logits"))[:_LOGITS].cpu()
            for side in ("real", "fake")
            if f"{side}_logits" in self._last
        }
        values = {
            signal: number(self._last[name])
            for name, signal in _SIGNALS.items()
            if name in self._last
        }
        broken, self._broken = self._broken, ""
        if not broken and not all(bool(side.isfinite().all()) for side in logits.values()):
            broken, logits = f"the logits, iteration {signals.iteration}", {}
        return Reading(signals=signals, values=values, logits=logits, broken=broken)

    def _check(self) -> None:
        """Looks for the first loss that was not finite."""
        for iteration, name, value in self._losses:
            if not self._broken and not math.isfinite(number(value)):
                self._broken = f"{name}, iteration {iteration}"
        self._losses = []


def number(value: Any) -> float:
    """A loss as a number, the mean of one of several; `TypeError` or `ValueError` for no number."""
    if isinstance(value, Tensor):
        return value.detach().double().mean().item()
    return float(np.mean(value))


def flat_logits(output: Any) -> Tensor:
    """Logits (N,), float32: the first tensor of what is given, a mean over all axes but N."""
    logits = first_tensor(output).detach().float()
    return logits.reshape(len(logits), -1).mean(1)


def _waiting(value: Any) -> Any:
    """A tensor without its graph, to be read later, or a number."""
    return value.detach() if isinstance(value, Tensor) else number(value)


def _of_samples(value: Any) -> Tensor:
    """Logits without their graph, to be read later; `ValueError` for a mean, or for none."""
    logits = first_tensor(value).detach()
    if 0 in (logits.ndim, logits.numel()):
        raise ValueError(f"expected logits (N, ...), got shape {tuple(logits.shape)}")
    return logits
