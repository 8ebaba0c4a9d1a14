"""Overfitting and mode drop in GAN training, with every source of randomness under control."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganstoch.auditing.audit import audit
    from ganstoch.callbacks.diagnosis import Diagnosis
    from ganstoch.callbacks.neighbour_monitor import NeighbourMonitor
    from ganstoch.data.datamodule import ImageData
    from ganstoch.metrics.overfitting import OverfittingModeDrop
    from ganstoch.training.gan import GAN

__version__ = "0.5.0"

__all__ = ["GAN", "Diagnosis", "ImageData", "NeighbourMonitor", "OverfittingModeDrop", "audit"]

_HOME = {
    "GAN": "ganstoch.training.gan",
    "Diagnosis": "ganstoch.callbacks.diagnosis",
    "ImageData": "ganstoch.data.datamodule",
    "NeighbourMonitor": "ganstoch.callbacks.neighbour_monitor",
    "OverfittingModeDrop": "ganstoch.metrics.overfitting",
    "audit": "ganstoch.auditing.audit",
}


def __getattr__(name: str) -> Any:
    """Imports a name of `__all__` when it is first used (PEP 562): torch takes seconds."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    """What is offered, imported or not."""
    return sorted({*globals(), *__all__})
