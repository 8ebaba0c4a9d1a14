"""How close a generator is to its data, and how much of the data it reaches.

Needs nothing of our trainer: give it images. Names are imported when first used, because
torchmetrics alone takes seconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganstoch.metrics.features import (
        EfficientNetLite0,
        Extractor,
        FeatureSpace,
        Inception,
        Pixels,
        make_extractor,
    )
    from ganstoch.metrics.functional import (
        OneWay,
        Tail,
        TwoWays,
        overfitting_mode_drop,
        tail_means,
    )
    from ganstoch.metrics.neighbours import check_faiss, faiss_flavour, nearest_neighbours
    from ganstoch.metrics.overfitting import OverfittingModeDrop
    from ganstoch.metrics.weights import inception_weights_path, load_inception

__all__ = [
    "EfficientNetLite0",
    "Extractor",
    "FeatureSpace",
    "Inception",
    "OneWay",
    "OverfittingModeDrop",
    "Pixels",
    "Tail",
    "TwoWays",
    "check_faiss",
    "faiss_flavour",
    "inception_weights_path",
    "load_inception",
    "make_extractor",
    "nearest_neighbours",
    "overfitting_mode_drop",
    "tail_means",
]

_HOMES = {
    "features": (
        "EfficientNetLite0",
        "Extractor",
        "FeatureSpace",
        "Inception",
        "Pixels",
        "make_extractor",
    ),
    "functional": ("OneWay", "Tail", "TwoWays", "overfitting_mode_drop", "tail_means"),
    "neighbours": ("check_faiss", "faiss_flavour", "nearest_neighbours"),
    "overfitting": ("OverfittingModeDrop",),
    "weights": ("inception_weights_path", "load_inception"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Imports a name of `__all__` from its module (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
