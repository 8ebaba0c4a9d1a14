"""How many different images a generator makes: the birthday test, on a sample.

Two images are the same here if they are nearer than all but 1 % of the real images come to their
nearest other real image. Unlike a threshold on the nearest pair of a batch it does not depend on
the batch, so that blurred images, which all lie somewhat nearer to each other, are not taken for
one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ganstoch.auditing.searches import Space
from ganstoch.metrics.birthday import Support, estimate_support
from ganstoch.types import Neighbours

__all__ = ["same_below", "support_size"]

_SAMPLE = 200
_REPEATS = 40
_SAME = 0.01
_BLOCK_ELEMENTS = 2**22


def same_below(space: Space, within: Neighbours) -> float:
    """The distance, l2, below or at which two images are the same.

    Args:
        space: whose real images set it.
        within: for each real image its nearest other, by the space's own norm.
    """
    apart = within.distances
    if space.norm != "l2":
        step = max(1, _BLOCK_ELEMENTS // space.real.shape[1])
        pairs = zip(torch.split(space.real, step), torch.split(within.ids, step), strict=True)
        apart = torch.cat([(a.double() - space.real[i].double()).norm(dim=1) for a, i in pairs])
    return apart.quantile(_SAME).item()


def support_size(space: Space, features: Tensor, *, threshold: float, part: str) -> Support:
    """The support that a set of images points to.

    Args:
        space: whose seed draws the sample.
        features: of at least 2 images, in the space.
        threshold: `same_below`.
        part: tells the sets' samples apart.
    """
    rows = space.sample(features, _SAMPLE, f"variety/{part}").double()
    # Distances are all that counts, and as many coordinates as images keep them.
    u, s, _ = torch.linalg.svd(rows - rows[0], full_matrices=False)
    rounding = 1e-9 * (threshold + s.max().item())
    return estimate_support(
        u * s, threshold=threshold + rounding, repeats=_REPEATS, seed=space.seed
    )
