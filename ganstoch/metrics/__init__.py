"""How close a generator is to its data, and how much of the data it reaches.

Needs nothing of our trainer: give it images. Names are imported when first used, because
torchmetrics alone takes seconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganstoch.metrics.authpct import Authenticity, AuthPct
    from ganstoch.metrics.birthday import Pair, Support, calibrate, estimate_support, nearest_pair
    from ganstoch.metrics.copies import (
        CopiedShare,
        Copies,
        copied_share,
        replication_share,
        share_of_copies,
    )
    from ganstoch.metrics.copy_score import Nearness, left_out
    from ganstoch.metrics.ct_score import CT, Cell, DataCopying, rank_z
    from ganstoch.metrics.features import (
        EfficientNetLite0,
        Extractor,
        FeatureSpace,
        Inception,
        Pixels,
        make_extractor,
    )
    from ganstoch.metrics.fid import FID, Moments, frechet_distance, frechet_of
    from ganstoch.metrics.functional import (
        OneWay,
        Tail,
        TwoWays,
        overfitting_mode_drop,
        tail_means,
    )
    from ganstoch.metrics.inception_score import InceptionScore, SplitScores, inception_score_of
    from ganstoch.metrics.k_nearest import kth_distances, within_set_nearest
    from ganstoch.metrics.kid import (
        KID,
        SubsetDistances,
        kernel_distance,
        kernel_distance_of_subsets,
    )
    from ganstoch.metrics.latent_recovery import Recovery, RecoveryGap, recover, recovery_gap
    from ganstoch.metrics.mifid import MemorizationInformed, MiFID, cosine_distance
    from ganstoch.metrics.modes import (
        ModeScores,
        floor_and_ceiling,
        make_judge,
        score_classes,
        score_gaussians,
    )
    from ganstoch.metrics.neighbours import check_faiss, faiss_flavour, nearest_neighbours
    from ganstoch.metrics.overfitting import OverfittingModeDrop
    from ganstoch.metrics.prdc import PRDC, ManifoldScores, prdc
    from ganstoch.metrics.train_vs_held_out import Nearer, NearerToTrain, nearer_to_train
    from ganstoch.metrics.weights import inception_weights_path, load_inception
    from ganstoch.metrics.within_radii import WithinRadii, pairs_within

__all__ = [
    "CT",
    "FID",
    "KID",
    "PRDC",
    "AuthPct",
    "Authenticity",
    "Cell",
    "CopiedShare",
    "Copies",
    "DataCopying",
    "EfficientNetLite0",
    "Extractor",
    "FeatureSpace",
    "Inception",
    "InceptionScore",
    "ManifoldScores",
    "MemorizationInformed",
    "MiFID",
    "ModeScores",
    "Moments",
    "Nearer",
    "NearerToTrain",
    "Nearness",
    "OneWay",
    "OverfittingModeDrop",
    "Pair",
    "Pixels",
    "Recovery",
    "RecoveryGap",
    "SplitScores",
    "SubsetDistances",
    "Support",
    "Tail",
    "TwoWays",
    "WithinRadii",
    "calibrate",
    "check_faiss",
    "copied_share",
    "cosine_distance",
    "estimate_support",
    "faiss_flavour",
    "floor_and_ceiling",
    "frechet_distance",
    "frechet_of",
    "inception_score_of",
    "inception_weights_path",
    "kernel_distance",
    "kernel_distance_of_subsets",
    "kth_distances",
    "left_out",
    "load_inception",
    "make_extractor",
    "make_judge",
    "nearer_to_train",
    "nearest_neighbours",
    "nearest_pair",
    "overfitting_mode_drop",
    "pairs_within",
    "prdc",
    "rank_z",
    "recover",
    "recovery_gap",
    "replication_share",
    "score_classes",
    "score_gaussians",
    "share_of_copies",
    "tail_means",
    "within_set_nearest",
]

_HOMES = {
    "authenticity": ("AuthPct", "Authenticity"),
    "birthday": ("Pair", "Support", "calibrate", "estimate_support", "nearest_pair"),
    "copied": ("CopiedShare", "Copies", "copied_share", "replication_share", "share_of_copies"),
    "data_copying": ("CT", "Cell", "DataCopying", "rank_z"),
    "features": (
        "EfficientNetLite0",
        "Extractor",
        "FeatureSpace",
        "Inception",
        "Pixels",
        "make_extractor",
    ),
    "frechet": ("FID", "Moments", "frechet_distance", "frechet_of"),
    "functional": ("OneWay", "Tail", "TwoWays", "overfitting_mode_drop", "tail_means"),
    "inception_score": ("InceptionScore", "SplitScores", "inception_score_of"),
    "k_nearest": ("kth_distances", "within_set_nearest"),
    "kernel": ("KID", "SubsetDistances", "kernel_distance", "kernel_distance_of_subsets"),
    "manifold": ("PRDC", "ManifoldScores", "prdc"),
    "mifid": ("MemorizationInformed", "MiFID", "cosine_distance"),
    "modes": (
        "ModeScores",
        "floor_and_ceiling",
        "make_judge",
        "score_classes",
        "score_gaussians",
    ),
    "nearer": ("Nearer", "NearerToTrain", "nearer_to_train"),
    "nearness": ("Nearness", "left_out"),
    "neighbours": ("check_faiss", "faiss_flavour", "nearest_neighbours"),
    "overfitting": ("OverfittingModeDrop",),
    "recovery": ("Recovery", "RecoveryGap", "recover", "recovery_gap"),
    "weights": ("inception_weights_path", "load_inception"),
    "within_radii": ("WithinRadii", "pairs_within"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Imports a name of `__all__` from its module (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
