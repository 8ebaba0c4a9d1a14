"""One convolution computed in several ways, the fastest of them chosen by a fixed rule.

On maps of 4 x 4 to 16 x 16 most taps of a 5 x 5 kernel meet nothing but padding. All ways add up
the same numbers, in another order.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.amp import is_autocast_available
from torch.nn import functional as F

# How the three passes of a convolution are computed. "direct" is the library's own way. "convolved"
# takes the gradient of the weight as a forward convolution of the input by the output's gradient.
# "taps" adds up matrix products, one for each tap and row, of what meets the image and not its
# padding; stride 1 only.
Form = Literal["direct", "convolved", "taps"]


class Geometry(NamedTuple):
    """A square convolution, or its transpose, that computes no padding of its own on the output."""

    stride: int
    padding: int
    transposed: bool = False

    @property
    def has_taps(self) -> bool:
        """Whether the form "taps" can compute it."""
        return self.stride == 1 and not self.transposed


def conv_form(geometry: Geometry, weight: Tensor, device: torch.device) -> Form:
    """The form that nearly always took least time on CPUs; the direct one on GPUs."""
    if device.type != "cpu":
        return "direct"
    narrow = min(weight.shape[:2])
    if geometry.has_taps and narrow >= 512:
        return "taps"
    return "convolved" if narrow >= (64 if geometry.has_taps else 256) else "direct"


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, form: Form | None = None
) -> Tensor:
    """Convolution of a batch (N, in, H, W), as torch's own, by weights (out, in, k, k) likewise."""
    kind = x.device.type
    mixed = is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    if mixed and x.dtype != torch.float64:  # which autocast leaves alone
        dtype = torch.get_autocast_dtype(kind)
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    form = form or conv_form(geometry, weight, x.device)
    if form == "direct":
        return _direct(x, weight, bias, geometry)
    if form == "taps":
        # Laid out once for both passes; to every other form it looks like the weight it is.
        weight = _from_columns(_columns(weight))
    result: Tensor = _Convolution.apply(x, weight, bias, geometry, form)
    return result


def in_full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Suspends autocast, for sums that steer the whole network."""
    kind = device.type
    return torch.autocast(kind, enabled=False) if is_autocast_available(kind) else nullcontext()


def _direct(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    stride, padding, transposed = geometry
    function = F.conv_transpose2d if transposed else F.conv2d
    return function(x, weight, bias, stride=stride, padding=padding)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, form: Form
    ) -> Tensor:
        if form == "taps":
            maps = _taps_forward(x, weight, geometry.padding)
            return maps if bias is None else maps.add_(bias.view(-1, 1, 1))
        return _direct(x, weight, bias, geometry)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, _, ctx.geometry, ctx.form = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        stride, padding, transposed = ctx.geometry
        # A gradient that is itself differentiated needs operations that autograd knows.
        form: Form = "direct" if torch.is_grad_enabled() else ctx.form
        of_x: Tensor | None = None
        of_weight: Tensor | None = None
        if form == "taps":
            of_x = _taps_grad_input(gradient, weight, padding) if wants_x else None
        else:
            direct_weight = wants_weight and form == "direct"
            of_x, of_weight, _ = torch.ops.aten.convolution_backward(
                gradient, x, weight, None, [stride] * 2, [padding] * 2, [1, 1], transposed,
                [0, 0], 1, [wants_x, direct_weight, False],
            )  # fmt: skip
        if wants_weight and form != "direct":
            grad_weight = _convolved if form == "convolved" else _taps_grad_weight
            of_weight = grad_weight(x, gradient, weight.shape[2], ctx.geometry)
        of_bias = gradient.sum((0, 2, 3)) if wants_bias else None
        return of_x, of_weight, of_bias, None, None


def _convolved(x: Tensor, gradient: Tensor, size: int, geometry: Geometry) -> Tensor:
    """The gradient of the weight: one map is the image, the other the kernel, dilated."""
    stride, padding, transposed = geometry
    image, kernel = (gradient, x) if transposed else (x, gradient)
    sums = F.conv2d(image.transpose(0, 1), kernel.transpose(0, 1), padding=padding, dilation=stride)
    return sums[:, :, :size, :size].transpose(0, 1)  # a stride may leave a row that no tap reaches


class _Term(NamedTuple):
    tap: int  # column of the kernel
    taps: slice  # its rows
    outs: slice  # columns of the output
    row: slice  # its row
    ins: slice  # columns of the input that they meet
    rows: slice  # its rows


def _terms(height: int, width: int, size: int, padding: int) -> Iterator[_Term]:
    out_height, out_width = (extent + 2 * padding - size + 1 for extent in (height, width))
    for tap in range(size):
        shift = tap - padding
        low, high = max(0, -shift), min(out_width, width - shift)
        outs, ins = slice(low, high), slice(low + shift, high + shift)
        for row in range(out_height):
            first, last = max(0, row - padding), min(height, row - padding + size)
            taps = slice(first - row + padding, last - row + padding)
            if low < high and first < last:
                yield _Term(tap, taps, outs, slice(row, row + 1), ins, slice(first, last))


def _columns(maps: Tensor) -> Tensor:
    """(N, C, H, W) as (W, N, H, C), whose columns lie side by side; kernels likewise."""
    return maps.permute(3, 0, 2, 1).contiguous()


def _from_columns(columns: Tensor) -> Tensor:
    return columns.permute(1, 3, 2, 0)


def _block(columns: Tensor, some: slice, rows: slice) -> Tensor:
    """Some columns and rows of maps (W, N, H, C) as a matrix (columns * N, rows * C); a view."""
    *_, height, channels = columns.shape
    flat = columns[some].view(-1, height * channels)
    return flat[:, rows.start * channels : rows.stop * channels]


def _taps_forward(x: Tensor, weight: Tensor, padding: int) -> Tensor:
    n, _, height, width = x.shape
    out, _, size, _ = weight.shape
    maps, kernel = _columns(x), _columns(weight)
    grow = 2 * padding - size + 1
    result = x.new_zeros(width + grow, n, height + grow, out)
    for t in _terms(height, width, size, padding):
        taps = _block(kernel, slice(t.tap, t.tap + 1), t.taps)
        _block(result, t.outs, t.row).addmm_(_block(maps, t.ins, t.rows), taps.t())
    return _from_columns(result).contiguous()


def _taps_grad_input(gradient: Tensor, weight: Tensor, padding: int) -> Tensor:
    n, _, out_height, out_width = gradient.shape
    _, channels, size, _ = weight.shape
    maps, kernel = _columns(gradient), _columns(weight)
    shrink = 2 * padding - size + 1
    height, width = out_height - shrink, out_width - shrink
    result = gradient.new_zeros(width, n, height, channels)
    for t in _terms(height, width, size, padding):
        taps = _block(kernel, slice(t.tap, t.tap + 1), t.taps)
        _block(result, t.ins, t.rows).addmm_(_block(maps, t.outs, t.row), taps)
    return _from_columns(result).contiguous()


def _taps_grad_weight(x: Tensor, gradient: Tensor, size: int, geometry: Geometry) -> Tensor:
    _, channels, height, width = x.shape
    out = gradient.shape[1]
    maps, slopes = _columns(x), _columns(gradient)
    result = x.new_zeros(size, out, size, channels)
    for t in _terms(height, width, size, geometry.padding):
        _block(result, slice(t.tap, t.tap + 1), t.taps).addmm_(
            _block(slopes, t.outs, t.row).t(), _block(maps, t.ins, t.rows)
        )
    return _from_columns(result)
