"""How close a generator is to its data, and how much of the data it reaches.

Needs nothing of our trainer: give it images. Names are imported when first used, because
torchmetrics alone takes seconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganstoch.metrics.authpct import AuthPct as AuthPct
    from ganstoch.metrics.copies import Copies as Copies
    from ganstoch.metrics.ct_score import CT as CT
    from ganstoch.metrics.features import Extractor as Extractor
    from ganstoch.metrics.features import make_extractor as make_extractor
    from ganstoch.metrics.fid import FID as FID
    from ganstoch.metrics.inception_score import InceptionScore as InceptionScore
    from ganstoch.metrics.kid import KID as KID
    from ganstoch.metrics.latent_recovery import recover as recover
    from ganstoch.metrics.mifid import MiFID as MiFID
    from ganstoch.metrics.neighbours import nearest_neighbours as nearest_neighbours
    from ganstoch.metrics.overfitting import OverfittingModeDrop as OverfittingModeDrop
    from ganstoch.metrics.overfitting import overfitting_mode_drop as overfitting_mode_drop
    from ganstoch.metrics.prdc import PRDC as PRDC
    from ganstoch.metrics.train_vs_held_out import TrainVsHeldOut as TrainVsHeldOut

_MODULES = {
    "CT": "ct_score",
    "FID": "fid",
    "KID": "kid",
    "PRDC": "prdc",
    "AuthPct": "authpct",
    "Copies": "copies",
    "Extractor": "features",
    "InceptionScore": "inception_score",
    "MiFID": "mifid",
    "OverfittingModeDrop": "overfitting",
    "TrainVsHeldOut": "train_vs_held_out",
    "make_extractor": "features",
    "nearest_neighbours": "neighbours",
    "overfitting_mode_drop": "overfitting",
    "recover": "latent_recovery",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    """Imports a name of `__all__` from its module (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
