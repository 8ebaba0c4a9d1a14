"""How close a generator is to its data, and how much of the data it reaches.

Needs nothing of our trainer: give it images. Names are imported when first used, because
torchmetrics alone takes seconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganstoch.metrics.birthday import Pair, Support, calibrate, estimate_support, nearest_pair
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
    from ganstoch.metrics.modes import (
        ModeScores,
        floor_and_ceiling,
        make_judge,
        score_classes,
        score_gaussians,
    )
    from ganstoch.metrics.neighbours import check_faiss, faiss_flavour, nearest_neighbours
    from ganstoch.metrics.overfitting import OverfittingModeDrop
    from ganstoch.metrics.weights import inception_weights_path, load_inception

__all__ = [
    "EfficientNetLite0",
    "Extractor",
    "FeatureSpace",
    "Inception",
    "ModeScores",
    "OneWay",
    "OverfittingModeDrop",
    "Pair",
    "Pixels",
    "Support",
    "Tail",
    "TwoWays",
    "calibrate",
    "check_faiss",
    "estimate_support",
    "faiss_flavour",
    "floor_and_ceiling",
    "inception_weights_path",
    "load_inception",
    "make_extractor",
    "make_judge",
    "nearest_neighbours",
    "nearest_pair",
    "overfitting_mode_drop",
    "score_classes",
    "score_gaussians",
    "tail_means",
]

_HOMES = {
    "birthday": ("Pair", "Support", "calibrate", "estimate_support", "nearest_pair"),
    "features": (
        "EfficientNetLite0",
        "Extractor",
        "FeatureSpace",
        "Inception",
        "Pixels",
        "make_extractor",
    ),
    "functional": ("OneWay", "Tail", "TwoWays", "overfitting_mode_drop", "tail_means"),
    "modes": (
        "ModeScores",
        "floor_and_ceiling",
        "make_judge",
        "score_classes",
        "score_gaussians",
    ),
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
