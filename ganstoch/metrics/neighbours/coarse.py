"""Lower bounds of l1 distances between images of bytes, by one product of small whole numbers.

Cut an image's numbers into groups of g that lie together. With m the mean of a group, rounded, and
e what rounding all of them has moved,

    |x - y|_1  >=  sum over groups |sum x - sum y|  >=  g sum |m_x - m_y| - e_x - e_y.

A mean is written as sixteen numbers u_t = clip(m - 16 t, 0, 16), which fill up one by one. So

    |m_x - m_y|  =  sum_t |u_t - v_t|  >=  sum_t (u_t - v_t)^2 / 16,

and expanded squares are products of matrices, here without any rounding. What these leave is looked
at again at half the side, in groups of four.
"""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

_GRID = 8  # groups along a side, at most
_CHUNKS = 64  # groups of what is no square image
_STEP = 16  # grey levels that one number of a code stands for
_PER_GROUP = 8  # grey levels and more numbers a group: fewer are compared in full at once
_ROWS = 1024  # encoded at a time
STRIDE = 16  # members of which only the nearest is looked at


class Codes(NamedTuple):
    """Images as whole numbers from 0 to 16 and what their bounds are made of."""

    numbers: Tensor  # (N, 16 G), int8 or float32: what products are fastest in
    squares: Tensor  # of each row, summed, int32 or float32, (N,)
    error: Tensor  # e, float64, (N,)
    group: int  # g


class Halves(NamedTuple):
    """Images at half the side."""

    means: np.ndarray  # of four bytes each, rounded, uint8, (N, F / 4)
    error: Tensor  # how far that moves a row's sum, float64, (N,)


def encode(rows: np.ndarray) -> Codes | None:
    """Codes of rows of bytes (N, F); None for rows too short to be worth it."""
    count, width = rows.shape
    square = _square(width)
    side = 0 if square is None else _along(square[1])
    groups = side**2 or _CHUNKS
    if width < _PER_GROUP * groups or 255 * width > 2**24:
        return None
    group = -(-width // groups)
    ladder = (torch.arange(256)[:, None] - _STEP * torch.arange(256 // _STEP)).clamp_(0, _STEP)
    squares, ladder = ladder.square().sum(1), ladder.to(_kind())
    kind = torch.int32 if ladder.dtype == torch.int8 else torch.float32
    parts = []
    for start in range(0, count, _ROWS):
        values = torch.from_numpy(rows[start : start + _ROWS]).float()
        if square is None or not side:
            sums = pad(values, (0, groups * group - width)).view(-1, groups, group).sum(2)
        else:
            flat = values.view(-1, *square, square[1]).sum(1, keepdim=True)
            sums = avg_pool2d(flat, square[1] // side, divisor_override=1).flatten(1)
        means = ((sums + group // 2) / group).floor_()
        error = (sums - group * means).abs_().sum(1).double()
        of = means.long()
        numbers = ladder.index_select(0, of.flatten()).view(len(of), -1)
        parts.append((numbers, squares[of].sum(1).to(kind), error))
    numbers, squared, errors = (torch.cat(each) for each in zip(*parts, strict=True))
    return Codes(numbers, squared, errors, group)


def halve(rows: np.ndarray) -> Halves | None:
    """Rows of bytes (N, F) at half the side, or in fours; None where F is no multiple of four."""
    count, width = rows.shape
    square = _square(width)
    by_squares = square is not None and square[1] % 2 == 0
    if width % 4 and not by_squares:
        return None
    means, error = np.empty((count, width // 4), np.uint8), torch.empty(count).double()
    for start in range(0, count, _ROWS):
        some = slice(start, start + _ROWS)
        values = torch.from_numpy(rows[some]).short()
        if square is not None and by_squares:
            values = values.view(len(values), *square, square[1])
            pairs = values[:, :, ::2] + values[:, :, 1::2]
            sums = (pairs[..., ::2] + pairs[..., 1::2]).flatten(1)
        else:
            sums = values.view(len(values), -1, 4).sum(2, dtype=torch.int16)
        mean = (sums + 2) >> 2
        means[some] = mean.to(torch.uint8).numpy()
        error[some] = (sums - 4 * mean).abs_().sum(1).double()
    return Halves(means, error)


def bounds(queries: Codes, members: Codes) -> Tensor:
    """Squares of members less twice their products with queries, (Q, B); see `limits`."""
    taken = _STEP / members.group * members.error  # a member's error lowers its bounds
    base = members.squares - taken.ceil().to(members.squares.dtype)
    if members.numbers.dtype == torch.float32:
        return torch.addmm(base, queries.numbers, members.numbers.T, alpha=-2)
    return torch.sub(base, torch._int_mm(queries.numbers, members.numbers.T), alpha=2)


def limits(queries: Codes, reach: Tensor) -> Tensor:
    """What `bounds` of members within l1 distances ``reach`` (Q,) never exceed, (Q, 1)."""
    units = _STEP / queries.group * (reach + queries.error) - queries.squares
    most = 2**30 if queries.squares.dtype == torch.int32 else 2**24
    return units.floor().clamp(-most, most).to(queries.squares.dtype)[:, None]


def likely(bounds: Tensor, count: int) -> Tensor:
    """Ids (Q, <= count) of members of low bounds, not surely of the lowest."""
    width = bounds.shape[1] // STRIDE
    strides = bounds[:, : STRIDE * width].view(len(bounds), STRIDE, width)
    columns = strides.amin(1).topk(min(count, width), dim=1, largest=False).indices
    places = strides.gather(2, columns[:, None].expand(-1, STRIDE, -1)).argmin(1)
    ids: Tensor = places * width + columns
    return ids


def _square(width: int) -> tuple[int, int] | None:
    """Channels and side of a square image of so many numbers; None for others."""
    for channels in (3, 1):
        side = math.isqrt(width // channels)
        if channels * side * side == width:
            return channels, side
    return None


def _along(side: int) -> int:
    """Groups along a side; 0 where it cannot be cut into about eight."""
    most = max(n for n in range(1, _GRID + 1) if side % n == 0)
    return most if most > _GRID // 2 else 0


def _kind() -> torch.dtype:
    return torch.int8 if multiplies_bytes() else torch.float32


@cache
def multiplies_bytes() -> bool:
    """Whether this processor multiplies matrices of bytes faster than float32."""
    known = torch.cpu.get_capabilities()
    return hasattr(torch, "_int_mm") and any(known.get(k) for k in ("avx512_vnni", "avx_vnni"))
