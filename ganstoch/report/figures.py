"""Figures 1 and 2: images with their nearest neighbours, a block per row of Table 1.

[1] Yazici et al. 2020, Fig. 1 and 2. As there, datasets stand side by side, mini-batches shrink
downwards and the noisy rows come last; in a block the queries are on top, below them the nearest
neighbours by pixel and by feature. Pixels are enlarged by whole factors, never smoothed.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

from ganstoch.report.panels import Bytes, Panel, read_panel
from ganstoch.report.paper import SHARES, title
from ganstoch.report.rows import Block, Row, RunKey, run_key
from ganstoch.report.words import enumerate_words, row_words

__all__ = ["Direction", "draw_figure"]

Direction = Literal["overfitting", "mode_drop"]

_TILE = 64  # pixels of an image in the figure, as nearly as a whole factor allows
_GAP = 2  # between images
_STEP = 8  # between the queries and their neighbours
_HEADING = 34  # from the top of a block to its images
_GUTTER = 36  # between blocks, both ways
_MARGIN = 24  # around everything
_INK, _GREY, _PAPER = "#1a1a1a", "#6b6b6b", "#ffffff"

_WORDS: dict[Direction, tuple[str, str, str]] = {
    "overfitting": ("overfitting", "generated", "nearest data"),
    "mode_drop": ("mode drop", "data", "nearest generated"),
}


@dataclass(frozen=True, slots=True)
class _Fonts:
    heading: ImageFont.FreeTypeFont
    block: ImageFont.FreeTypeFont
    small: ImageFont.FreeTypeFont


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    """One block of the figure, or the reason why it is empty."""

    heading: str
    panel: Panel | None
    note: str


def draw_figure(
    blocks: Sequence[Block], *, folders: Mapping[RunKey, Path], direction: Direction
) -> bytes:
    """Draws Figure 1 (``overfitting``) or Figure 2 (``mode_drop``) as PNG.

    Args:
        blocks: the table's blocks, one per dataset.
        folders: run directories, whose ``panels.npz`` hold the images.
        direction: whose neighbours are shown.

    Raises:
        UserError: if a ``panels.npz`` cannot be read or its arrays do not fit together.
    """
    columns = [_aligned(block) for block in blocks]
    grid = [
        [_cell(rows.get(key), folders=folders, direction=direction) for rows in columns]
        for key in sorted({key for rows in columns for key in rows})
    ]
    panels = [cell.panel for cells in grid for cell in cells if cell.panel is not None]
    features = sorted({panel.feature_name for panel in panels if panel.feature is not None})
    _, query_word, nearest_word = _WORDS[direction]
    labels = [query_word, f"{nearest_word}\nby pixel"]
    if features:
        by = features[0] if len(features) == 1 else "feature"
        labels.append(f"{nearest_word}\nby {by}")
    return _draw(
        grid,
        headings=[f"{title(block.dataset)} (n = {block.n:,})" for block in blocks],
        labels=labels,
        footer=_footer(blocks, features, drawn=bool(panels)),
    )


_Key = tuple[float, float, float, int]


def _aligned(block: Block) -> dict[_Key, Row]:
    """A dataset's rows by what puts them on a line of the figure.

    Subsets of different size have different m; rows stand beside each other if noise, n / m and
    k / n agree. n / m is rounded, since m is a whole number; the last part of the key parts rows
    of one dataset that rounding would merge.
    """
    rows: dict[_Key, Row] = {}
    for row in block.rows:
        bank = math.inf if row.bank is None else row.bank / row.n
        near = [share for share in SHARES if abs(row.n / row.m / share - 1.0) <= 0.05]
        share = float(near[0]) if near else float(f"{row.n / row.m:.2g}")
        count = 0
        while (row.noise, share, bank, count) in rows:
            count += 1
        rows[row.noise, share, bank, count] = row
    return rows


def _cell(row: Row | None, *, folders: Mapping[RunKey, Path], direction: Direction) -> _Cell:
    if row is None:
        return _Cell(heading="", panel=None, note="not run")
    run = row.runs[0]
    word = _WORDS[direction][0]
    value = run.metrics[f"{direction}/pixel_l1/mean"]
    panel = read_panel(folders[run_key(run)] / "panels.npz", direction=direction)
    note = "" if panel is not None else "this run left no images"
    return _Cell(heading=f"{row_words(row)}: {word} {value:.2f}", panel=panel, note=note)


def _footer(blocks: Sequence[Block], features: Sequence[str], *, drawn: bool) -> str:
    seeds = sorted({row.runs[0].seed for block in blocks for row in block.rows})
    seed = f"Seed {enumerate_words(str(seed) for seed in seeds)}"
    footer = f"{seed}; the number above a block is its run's mean pixel l1 to the nearest "
    footer += "neighbour, in grey levels."
    if drawn and not features:
        footer += " No feature network in these runs: no neighbours by feature."
    elif len(features) > 1:
        footer += f" Features: {enumerate_words(features)}."
    return footer


def _draw(
    grid: Sequence[Sequence[_Cell]],
    *,
    headings: Sequence[str],
    labels: Sequence[str],
    footer: str,
) -> bytes:
    fonts = _fonts()
    widths = [
        max(
            _strip_width([cells[column].panel for cells in grid]),
            _length(fonts.heading, heading),
            *(_length(fonts.block, cells[column].heading) for cells in grid),
        )
        for column, heading in enumerate(headings)
    ]
    label_width = max(_length(fonts.small, line) for label in labels for line in label.split("\n"))
    lefts = [
        _MARGIN + label_width + 16 + sum(widths[:column]) + _GUTTER * column
        for column in range(len(widths))
    ]
    strips = len(labels)
    block_height = _strip_top(strips - 1) + _TILE
    top = _MARGIN + 48
    width = lefts[-1] + widths[-1] + _MARGIN
    lines = _wrap(footer, fonts.small, width=width - 2 * _MARGIN)
    height = top + len(grid) * (block_height + _GUTTER) + 26 * len(lines) + _MARGIN // 2
    canvas = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(canvas)
    for left, heading in zip(lefts, headings, strict=True):
        pen.text((left, _MARGIN), heading, font=fonts.heading, fill=_INK)
    for number, cells in enumerate(grid):
        y = top + number * (block_height + _GUTTER)
        for strip, label in enumerate(labels):
            middle = y + _strip_top(strip) + _TILE // 2
            place = (_MARGIN + label_width, middle)
            pen.multiline_text(
                place, label, font=fonts.small, fill=_GREY, anchor="rm", align="right", spacing=3
            )
        for left, cell in zip(lefts, cells, strict=True):
            _draw_cell(canvas, pen, cell, at=(left, y), strips=strips, fonts=fonts)
    for number, line in enumerate(lines):
        place = (_MARGIN, height - _MARGIN // 2 - 26 * (len(lines) - number))
        pen.text(place, line, font=fonts.small, fill=_GREY)
    buffer = io.BytesIO()
    canvas.save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


def _strip_width(panels: Sequence[Panel | None]) -> int:
    count = max((len(panel.queries) for panel in panels if panel is not None), default=0)
    return count * (_TILE + _GAP) - _GAP


def _strip_top(strip: int) -> int:
    """From the top of a block to the top of its strip; the first holds the queries."""
    return _HEADING + strip * (_TILE + _GAP) + (_STEP if strip else 0)


def _draw_cell(
    canvas: Image.Image,
    pen: ImageDraw.ImageDraw,
    cell: _Cell,
    *,
    at: tuple[int, int],
    strips: int,
    fonts: _Fonts,
) -> None:
    left, y = at
    pen.text((left, y), cell.heading, font=fonts.block, fill=_INK)
    if cell.panel is None:
        pen.text((left, y + _HEADING), cell.note, font=fonts.small, fill=_GREY)
        return
    arrays = [cell.panel.queries, cell.panel.pixel, cell.panel.feature][:strips]
    for strip, array in enumerate(arrays):
        place = (left, y + _strip_top(strip))
        if array is None:
            note = (left, place[1] + _TILE // 2)
            pen.text(note, "no feature network", font=fonts.small, fill=_GREY, anchor="lm")
        else:
            _paste(canvas, array, at=place)


def _paste(canvas: Image.Image, images: Bytes, *, at: tuple[int, int]) -> None:
    """Images (N, H, W, 3), uint8, in a strip."""
    for number, pixels in enumerate(images):
        height, width = pixels.shape[:2]
        image = Image.fromarray(pixels)
        # A whole factor keeps every pixel a square; what is too large for a tile is averaged down.
        factor = _TILE // max(height, width)
        if factor >= 1:
            size = (width * factor, height * factor)
            image = image.resize(size, Image.Resampling.NEAREST)
        else:
            image.thumbnail((_TILE, _TILE), Image.Resampling.BOX)
        offset = ((_TILE - image.width) // 2, (_TILE - image.height) // 2)
        canvas.paste(image, (at[0] + number * (_TILE + _GAP) + offset[0], at[1] + offset[1]))


def _fonts() -> _Fonts:
    """DejaVu Sans as matplotlib ships it: the same letters on every machine."""
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"

    def font(name: str, size: int) -> ImageFont.FreeTypeFont:
        engine = ImageFont.Layout.BASIC
        return ImageFont.truetype(str(folder / name), size, layout_engine=engine)

    return _Fonts(
        heading=font("DejaVuSans-Bold.ttf", 26),
        block=font("DejaVuSans.ttf", 22),
        small=font("DejaVuSans.ttf", 19),
    )


def _length(font: ImageFont.FreeTypeFont, text: str) -> int:
    return int(font.getlength(text)) + 1


def _wrap(text: str, font: ImageFont.FreeTypeFont, *, width: int) -> list[str]:
    """Text in lines no wider than ``width`` pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _length(font, longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
