"""Samples as pictures of a page, by their shape: images, spectrograms, points or curves.

Vectors of few numbers, as a table's rows are, have no picture; their columns have quantiles.
"""

import base64
import io
import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

from ganstoch.report.figures import figure, inline_svg, styled
from ganstoch.report.formatting import PERCENT

Kind = Literal["images", "spectrograms", "points", "curves", "columns"]

_TILE = 96  # pixels of the longer side of an image, at most
_ROW = 6  # square images in a row, rows of images, and curves
_COLUMNS = 128  # from so many numbers on a sample is a curve
_LISTED = 24  # columns whose quantiles are shown
_BINS = 400  # stretches of a long curve
_QUANTILES = (0.05, 0.5, 0.95)


def kind_of(shape: tuple[int, ...]) -> Kind:
    """What samples (S, ...) are shown as; axes of length 1 do not count, but for channels."""
    if len(shape) == 4 and shape[1] in (1, 3):
        return "images"
    axes = [length for length in shape[1:] if length > 1]
    if len(axes) == 2 and min(axes) >= 8:  # fewer are channels
        return "spectrograms"
    if axes == [2]:
        return "points"
    return "columns" if math.prod(axes) < _COLUMNS else "curves"


def draw_samples(samples: Mapping[str, Tensor], *, real: Tensor | None = None) -> dict[str, str]:
    """An HTML element for each set (S, ...), all to one scale; points stand before the real ones.

    Images are uint8, all else floats; sets of the kind "columns" are left out.
    """
    every = [*samples.values(), torch.empty(0) if real is None else real]
    finite = torch.cat([each[each.isfinite()].float() for each in every])
    low, high = (finite.min().item(), finite.max().item()) if len(finite) else (0.0, 1.0)
    limits, drawn = (low, max(high, low + 1e-9)), {}
    for name, each in samples.items():
        kind = kind_of(tuple(each.shape))
        if kind == "images":
            drawn[name] = _grid(each, name)
        elif kind == "spectrograms":  # low frequencies below
            shades = (each.nan_to_num(low) - low) / (limits[1] - low) * 255
            axes = [length for length in each.shape[1:] if length > 1]
            drawn[name] = _grid(shades.reshape(len(each), 1, *axes).flip(2).byte(), name)
        elif kind == "points":
            drawn[name] = _scatter(each, real, limits)
        elif kind == "curves":
            drawn[name] = _curves(each, limits)
    return drawn


def quantiles(samples: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """For each set (S, D) its first columns: quantiles, or of 0 and 1 the share of 1."""
    return {
        name: [_column(column) for column in each.flatten(1)[:, :_LISTED].T]
        for name, each in samples.items()
    }


def _column(values: Tensor) -> str:
    if bool(((values == 0) | (values == 1)).all()):
        return f"{100 * values.mean().item():.0f}{PERCENT}"
    found = values.nanquantile(torch.tensor(_QUANTILES)).tolist()
    return " / ".join(f"{v:,.0f}" if abs(v) >= 1000 else f"{v + 0.0:.3g}" for v in found)


def _grid(images: Tensor, name: str) -> str:
    """The first images (S, C, H, W), uint8, side by side as PNG."""
    height, width = images.shape[2:]
    if max(height, width) > _TILE:
        size = [max(1, round(length * _TILE / max(height, width))) for length in (height, width)]
        images = torch.nn.functional.interpolate(images.float(), size=size, mode="area").byte()
    across = max(1, min(_ROW, round(_ROW * math.sqrt(height / width)), len(images)))
    opaque = torch.full_like(images[:, :1], 255)
    images = torch.cat([images.expand(-1, 3, -1, -1), opaque], dim=1)[: across * _ROW]
    pixels = make_grid(images, nrow=across, padding=1, pad_value=0)
    buffer = io.BytesIO()
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(buffer, "PNG")
    content = base64.b64encode(buffer.getvalue()).decode()
    return f'<img class="sharp" src="data:image/png;base64,{content}" alt="{name}">'


@styled
def _scatter(points: Tensor, real: Tensor | None, limits: tuple[float, float]) -> str:
    made, ((axis,),) = figure(1, 1, size=(3.2, 3.2))
    if real is not None:
        axis.scatter(*real.reshape(-1, 2).T, s=6, color="#808080", alpha=0.5, label="real")
    axis.scatter(*points.reshape(-1, 2).T, s=8, color="#1f77b4", label="generated")
    margin = 0.05 * (limits[1] - limits[0])
    axis.set(xlim=(limits[0] - margin, limits[1] + margin), aspect="equal")
    axis.set_ylim(axis.get_xlim())
    made.legend(loc="outside upper left", ncols=2, fontsize="small")
    return inline_svg(made)


@styled
def _curves(samples: Tensor, limits: tuple[float, float]) -> str:
    """The first samples, each on an axis; of a long one, the ends of each short stretch."""
    rows = samples.flatten(1)[:_ROW].numpy()
    made, axes = figure(len(rows), 1, size=(3.7, 0.6), sharex=True)
    for axis, row in zip(axes.flat, rows, strict=True):
        parts = np.array_split(row, min(len(row), _BINS))
        ends = [(part.min(), part.max()) for part in parts]
        axis.plot(np.linspace(0, len(row), 2 * len(ends)), np.ravel(ends), linewidth=0.8)
        axis.set(ylim=limits, yticks=[], xlim=(0, len(row)))
        axis.spines["left"].set_visible(False)
        axis.locator_params(axis="x", nbins=4)
    return inline_svg(made)
