"""Images that belong together: duplicates and near-duplicates, over any number of links."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["grouped"]


def grouped(neighbours: Tensor, linked: Tensor, *, first: Tensor | None = None) -> Tensor:
    """Groups of images that are linked to each other, over any number of links.

    Args:
        neighbours: for each image the id of another, int64, shape (N,).
        linked: whether the two belong together, bool, shape (N,).
        first: for each image the id of one it belongs with in any case, at most its own, int64,
            shape (N,).

    Returns:
        For each image an id that its whole group shares, int64, shape (N,).
    """
    group = list(range(len(neighbours))) if first is None else first.tolist()

    def lowest(i: int) -> int:
        while group[i] != i:
            group[i] = group[group[i]]
            i = group[i]
        return i

    ids = linked.nonzero()[:, 0]
    for i, j in zip(ids.tolist(), neighbours[ids].tolist(), strict=True):
        one, other = sorted((lowest(i), lowest(j)))
        group[other] = one
    return torch.tensor([lowest(i) for i in range(len(group))], dtype=torch.int64)
