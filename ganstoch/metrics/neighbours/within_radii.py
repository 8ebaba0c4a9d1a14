"""Which pairs of two sets lie within given radii, counted exactly.

What `bounds` leave undecided is computed in float64. Work is done on a GPU if first features are.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ganstoch.metrics.neighbours.bounds import Loaded, LoadedBlocks, Ruler, rulers
from ganstoch.metrics.neighbours.byte_search import as_rows, exact_distances, row_blocks
from ganstoch.metrics.progress import progress_bar
from ganstoch.types import Norm

_FIRST_ROWS = 4096
_SECOND_ROWS = 1024
_MANY = 2**14  # undecided pairs of a block that are worth a finer ruler


@dataclass(frozen=True, slots=True, kw_only=True)
class WithinRadii:
    """How many pairs (i, j) of a first and a second set are nearer than a radius, int64."""

    in_ball_of_first: Tensor  # for each i, #{j : d_ij < radius of i}, shape (N,)
    balls_of_first_around: Tensor  # for each j, #{i : d_ij < radius of i}, shape (M,)
    balls_of_second_around: Tensor  # for each i, #{j : d_ij < radius of j}, shape (N,)


def pairs_within(
    first: Tensor, second: Tensor, *, first_radii: Tensor, second_radii: Tensor, norm: Norm
) -> WithinRadii:
    """Counts pairs of sets (N, F...), (M, F...) that are nearer than radii (N,), and than (M,)."""
    first, second = as_rows(first=first, second=second)
    radii = first_radii.detach().cpu().double(), second_radii.detach().cpu().double()
    for each, rows in zip(radii, (first, second), strict=True):
        if each.shape != (len(rows),) or not bool((each >= 0).all()):
            raise ValueError(f"expected {len(rows)} radii of at least 0")
    counts = WithinRadii(
        in_ball_of_first=torch.zeros(len(first), dtype=torch.int64),
        balls_of_first_around=torch.zeros(len(second), dtype=torch.int64),
        balls_of_second_around=torch.zeros(len(first), dtype=torch.int64),
    )
    blocks = row_blocks(second, _SECOND_ROWS)
    tools = rulers(first, second, norm=norm)
    seconds = LoadedBlocks(tools[0], second, blocks)
    for i in progress_bar(row_blocks(first, _FIRST_ROWS), "pairs within radii"):
        left = tools[0].load(first[i])
        for b, j in enumerate(blocks):
            loaded, limits = (left, seconds[b]), (radii[0][i], radii[1][j])
            rows, columns, within = _near(tools, loaded, first[i], second[j], limits, norm=norm)
            m, n = i.stop - i.start, j.stop - j.start
            counts.in_ball_of_first[i] += rows[within[0]].bincount(minlength=m)
            counts.balls_of_first_around[j] += columns[within[0]].bincount(minlength=n)
            counts.balls_of_second_around[i] += rows[within[1]].bincount(minlength=m)
    return counts


def _near(
    tools: list[Ruler],
    loaded: tuple[Loaded, Loaded],
    first: Tensor,
    second: Tensor,
    radii: tuple[Tensor, Tensor],
    *,
    norm: Norm,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Rows and columns (P,) of pairs of two blocks, and which lie within each set's radii."""
    left, right = loaded
    for ruler in tools:
        if ruler is not tools[0]:
            left, right = ruler.load(first), ruler.load(second)
        low = ruler.low(left, right)
        # Nothing is strictly within a radius of 0.
        limits = [ruler.units(each).masked_fill_(each == 0, -torch.inf) for each in radii]
        ours, theirs = (_above(limit, low) for limit in limits)
        near = _true(low < torch.maximum(ours[:, None], theirs))
        row = near // low.shape[1]
        column = near - low.shape[1] * row
        least = low[row, column].cpu().double()
        row, column = row.cpu(), column.cpu()
        most = least + left.slack.cpu()[row] + right.slack.cpu()[column]
        bounds = limits[0][row], limits[1][column]
        sure = [most < limit for limit in bounds]
        maybe = [(least < limit) & ~yes for limit, yes in zip(bounds, sure, strict=True)]
        undecided = (maybe[0] | maybe[1]).nonzero()[:, 0]
        if len(undecided) <= _MANY:
            break
    some, others = row[undecided], column[undecided]
    exact = exact_distances(first, second, some, others, norm=norm)
    sure[0][undecided] |= maybe[0][undecided] & (exact < radii[0][some])
    sure[1][undecided] |= maybe[1][undecided] & (exact < radii[1][others])
    return row, column, sure


def _above(limits: Tensor, low: Tensor) -> Tensor:
    """The next number up in the precision of the bounds, so that rounding drops no pair."""
    if not low.is_floating_point():
        most = torch.iinfo(low.dtype).max
        return limits.ceil().clamp(-1, most).to(low.dtype)
    limits = limits.to(low.dtype)
    return limits.nextafter(torch.full_like(limits, torch.inf)).to(low.device)


def _true(mask: Tensor) -> Tensor:
    """Where a flattened mask is true, int64."""
    if mask.device.type != "cpu":
        return mask.flatten().nonzero()[:, 0]
    return torch.from_numpy(np.flatnonzero(mask.numpy()))  # several times faster where few are
