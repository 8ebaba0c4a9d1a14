"""Nearest neighbours by l1 among images, found on their bytes and certain on their floats.

A sum of absolute differences of bytes is what processors have an instruction for, many at a time.
Generated images are no integers, but rounding moves a distance by no more than the rounding errors
of the two images add up to, so that only members within that of the best need be looked at again.
"""

from __future__ import annotations

from itertools import pairwise
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from ganstoch.types import Neighbours

__all__ = ["fits_bytes", "load_opencv", "search_bytes"]

_CANDIDATES = 16
_TILE_BYTES = 3 * 2**19
"""Of the bank at once: what stays in a core's cache while all queries pass."""
_EXACT_ELEMENTS = 2**22
"""Numbers in one float64 block of pairs: 32 MiB."""


def load_opencv() -> ModuleType | None:
    """OpenCV, whose `batchDistance` uses those instructions, or None where it is not installed."""
    try:
        import cv2
    except ImportError:
        return None
    cv2.setNumThreads(torch.get_num_threads())
    return cv2


def fits_bytes(rows: Tensor) -> bool:
    """Whether rows (N, F) are grey levels in [0, 255], few enough to be summed in 32 bits."""
    if rows.shape[1] > 2**23:
        return False
    if rows.dtype == torch.uint8:
        return True
    low, high = torch.aminmax(rows)
    return bool(low >= 0.0) and bool(high <= 255.0)


def search_bytes(query: Tensor, bank: Tensor, *, cv2: ModuleType) -> tuple[Neighbours, Tensor]:
    """For each query the nearest member of the bank by l1, where bytes tell it for certain.

    Args:
        query: shape (Q, F), grey levels in [0, 255], uint8 or floats.
        bank: shape (B, F), idem.
        cv2: OpenCV.

    Returns:
        Exact distances (Q,) float64 and ids (Q,) int64, of equally near ones the lowest; and which
        queries are unsure, because too many members are as near as bytes can tell, bool (Q,): their
        entries mean nothing.
    """
    asked, asked_error = _rounded(query)
    members, member_error = _rounded(bank)
    k = min(_CANDIDATES, len(bank))
    sums = np.empty((len(asked), k), np.int32)
    ids = np.empty((len(asked), k), np.int32)
    tiles = max(1, len(members) // max(k, _TILE_BYTES // bank.shape[1]))
    edges = [i * len(members) // tiles for i in range(tiles + 1)]  # no tile is smaller than k
    for start, stop in pairwise(edges):  # a start above 0 goes on with what was found
        sums, ids = cv2.batchDistance(
            asked, members[start:stop], cv2.CV_32S, sums, ids, cv2.NORM_L1, k, None, start
        )
    near, found = torch.from_numpy(sums).double(), torch.from_numpy(ids).long()
    # The true distance of a pair is within both rounding errors of the sum over its bytes.
    slack = member_error[found]
    best = (near + slack).amin(1) + asked_error
    open_ = near - slack - asked_error[:, None] <= best[:, None]
    unlisted = near[:, -1] - member_error.max() - asked_error  # the least any other can have
    unsure = (unlisted <= best) & (len(bank) > k)
    open_[unsure] = False

    distances = torch.full_like(near, torch.inf)
    rows, places = open_.nonzero(as_tuple=True)
    step = max(1, _EXACT_ELEMENTS // query.shape[1])
    for i in range(0, len(rows), step):
        row, place = rows[i : i + step], places[i : i + step]
        left = query[row.to(query.device)].to("cpu", torch.float64)
        right = bank[found[row, place].to(bank.device)].to("cpu", torch.float64)
        distances[row, place] = left.sub_(right).abs_().sum(1)
    least = distances.amin(1)
    tied = torch.where(distances == least[:, None], found, len(bank))
    return Neighbours(distances=least, ids=tied.amin(1)), unsure


def _rounded(rows: Tensor) -> tuple[np.ndarray, Tensor]:
    """The nearest bytes, and by how much each row differs from them, l1, float64 (N,)."""
    if rows.dtype == torch.uint8:
        return rows.cpu().contiguous().numpy(), torch.zeros(len(rows), dtype=torch.float64)
    bytes_ = torch.empty(rows.shape, dtype=torch.uint8)
    error = torch.empty(len(rows), dtype=torch.float64)
    step = max(1, _EXACT_ELEMENTS // rows.shape[1])
    for start in range(0, len(rows), step):
        part = rows[start : start + step].to("cpu", torch.float64)
        whole = part.round()
        bytes_[start : start + step] = whole.to(torch.uint8)
        # What float64 itself loses in sums of this size is far below a millionth of a grey level.
        error[start : start + step] = (part - whole).abs_().sum(1).add_(1e-6)
    return bytes_.numpy(), error
