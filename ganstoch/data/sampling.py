"""Which images of the subset an iteration sees: a function of seed and iteration, with no state."""

from __future__ import annotations

import re
from typing import Literal

import torch
from torch import Tensor

from ganstoch.errors import UserError
from ganstoch.rng import rng_for, with_replacement, without_replacement

__all__ = ["BatchSize", "Sampling", "draw_ids", "is_rounded"]
__all__ += ["resolve_batch_size", "resolve_sampling"]

Sampling = Literal["with_replacement", "permutation", "exactly_once"]
"""How a batch is drawn.

* ``with_replacement``: every image independently, as in the paper.
* ``permutation``: shuffled epochs. Where m does not divide n a batch takes the end of one epoch and
  the start of the next, and may hold an image twice.
* ``exactly_once``: every image in every iteration, in order; needs m = n. No chance at all.
"""

BatchSize = int | str
"""m: a number, or a share of the subset such as ``n`` or ``n/4``."""


def resolve_batch_size(m: BatchSize, *, n: int) -> int:
    """The batch size in images; a share such as ``n/4`` is rounded down, but at least 1.

    Raises:
        UserError: if m is neither a number nor a share, or not in 1 .. n.
    """
    divisor = _divisor(m)
    if divisor is not None:
        return max(1, n // divisor)
    try:
        size = int(m)
    except ValueError:
        size = 0
    if not 1 <= size <= n:
        raise UserError(f"data.m is {m!r}; give a number from 1 to n = {n}, or a share such as n/4")
    return size


def is_rounded(m: BatchSize, *, n: int) -> bool:
    """Whether m is a share of n that is no whole number."""
    divisor = _divisor(m)
    return divisor is not None and n % divisor != 0


def _divisor(m: BatchSize) -> int | None:
    """4 of ``n/4``, 1 of ``n``; None if m is no share."""
    share = re.fullmatch(r"n(?:/([1-9]\d*))?", m.replace(" ", "")) if isinstance(m, str) else None
    return None if share is None else int(share[1] or 1)


def resolve_sampling(sampling: Sampling | None, *, m: int, n: int) -> Sampling:
    """The rule to draw by.

    Args:
        sampling: the rule asked for; None for the paper's, which becomes ``exactly_once`` at m = n,
            where a bootstrap would bring back the chance that the full batch takes away.
        m: batch size.
        n: size of the subset.

    Raises:
        UserError: if ``exactly_once`` is asked for and m is not n.
    """
    if sampling is None:
        return "exactly_once" if m == n else "with_replacement"
    if sampling == "exactly_once" and m != n:
        raise UserError(f"data.sampling exactly_once needs m = n, not m = {m}; set --data.m n")
    return sampling


def draw_ids(
    rule: Sampling, *, count: int, m: int, seed: int, iteration: int, repeat: int = 0
) -> Tensor:
    """The images of one iteration, for all ranks together.

    Args:
        rule: how to draw.
        count: images to draw from, n.
        m: images to draw; for ``exactly_once`` a multiple of n, so that each comes as often.
        seed: the run's seed.
        iteration: the iteration, from 0.
        repeat: which of the iteration's draws, from 0; they are independent of each other, except
            that ``exactly_once`` leaves nothing to differ in.

    Returns:
        Positions in the subset, int64, shape (m,).
    """
    part = f"repeat{repeat}" if repeat else ""
    if rule == "with_replacement":
        return with_replacement(count, m, rng_for(seed, "data", iteration, part=part))
    if rule == "exactly_once":
        assert m % count == 0, (m, count)
        return torch.arange(count).repeat(m // count)
    first, last = iteration * m, iteration * m + m  # in the endless sequence of epochs
    epochs = range(first // count, (last - 1) // count + 1)
    drawn = [
        without_replacement(count, count, rng_for(seed, "data", epoch, part=part))
        for epoch in epochs
    ]
    skipped = first - epochs.start * count
    return torch.cat(drawn)[skipped : skipped + m]
