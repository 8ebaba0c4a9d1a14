"""When to measure and what to log; no mathematics.

`Diagnosis` and `NeighbourMonitor` work in anybody's LightningModule. Names are imported when first
used, because Lightning takes seconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganstoch.callbacks.diagnosis import Diagnosis
    from ganstoch.callbacks.neighbour_monitor import NeighbourMonitor

__all__ = ["Diagnosis", "NeighbourMonitor"]

_HOME = {"Diagnosis": "diagnosis", "NeighbourMonitor": "neighbour_monitor"}


def __getattr__(name: str) -> Any:
    """Imports a name of `__all__` from its module (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
