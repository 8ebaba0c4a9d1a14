"""`panels.npz`: the images a run leaves for Figures 1 and 2, read back and checked."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ganstoch.errors import UserError

__all__ = ["Bytes", "Panel", "read_panel"]

Bytes = npt.NDArray[np.uint8]
"""Images, shape (N, H, W, 3), range [0, 255]."""

COUNT = 10
"""Images in a strip, as in the paper's figures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A block of a figure.

    Attributes:
        queries: the images whose neighbours were sought, shape (N, H, W, 3).
        pixel: their nearest neighbours by pixel l1, shape (N, H, W, 3).
        feature: their nearest neighbours by feature l2, shape (N, H, W, 3), or None.
        feature_name: the feature network in words, empty without one.
    """

    queries: Bytes
    pixel: Bytes
    feature: Bytes | None
    feature_name: str


def read_panel(path: Path, *, direction: str) -> Panel | None:
    """Reads one direction's images, at most ten of each kind; None if the run left none.

    Args:
        path: a run's ``panels.npz``.
        direction: ``overfitting`` or ``mode_drop``.

    Raises:
        UserError: if the file is damaged or its arrays do not fit together.
    """
    if not path.exists():
        return None
    fix = "remove the run's folder to run that row again"
    try:
        # `allow_pickle=False`: a file of images must not be able to run code.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            kinds = [name.removeprefix(f"{direction}_") for name in stored.files]
            feature = _preferred(
                kind
                for kind, name in zip(kinds, stored.files, strict=True)
                if name != kind and kind not in ("queries", "pixel_l1")
            )
            wanted = ["queries", "pixel_l1", *([feature] if feature else [])]
            arrays = [stored[f"{direction}_{kind}"][:COUNT] for kind in wanted]
    except KeyError as error:
        raise UserError(f"{path} lacks {direction}_queries or {direction}_pixel_l1; {fix}") from (
            error
        )
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read ({error}); {fix}") from error
    for array in arrays:
        fits = array.dtype == np.uint8 and array.ndim == 4 and array.shape[1] in (1, 3)
        if not fits or array.shape != arrays[0].shape:
            raise UserError(
                f"{path}: the {direction} arrays must be uint8 of one shape (N, 3, H, W); {fix}"
            )
    queries, pixel, *rest = (_upright(array) for array in arrays)
    return Panel(
        queries=queries,
        pixel=pixel,
        feature=rest[0] if rest else None,
        feature_name=_words(feature) if feature else "",
    )


def _preferred(kinds: Iterable[str]) -> str | None:
    """The paper's feature network where there is a choice, else the first by name."""
    return min(kinds, key=lambda kind: ("inception" not in kind, kind), default=None)


def _words(kind: str) -> str:
    """``efficientnet_lite0_l2`` as ``efficientnet lite0``."""
    return kind.removesuffix("_l2").removesuffix("_l1").replace("_", " ")


def _upright(images: Bytes) -> Bytes:
    """(N, C, H, W) with one channel or three to (N, H, W, 3)."""
    last = images.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(np.broadcast_to(last, (*last.shape[:3], 3)))
