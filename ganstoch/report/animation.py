"""`modes.png` and `modes.gif`: where the generated points lie, over training, beside the data.

As in Fig. 2 of Metz et al. 2017, "Unrolled generative adversarial networks": a row per method, a
column per moment of training, the data last. The film shows every moment, all remedies at once.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ganstoch.report.density import PALETTE, Ink, Painter
from ganstoch.report.trails import Scene
from ganstoch.report.words import enumerate_words

__all__ = ["LIMIT", "animate_modes", "draw_modes"]

LIMIT = 3_000_000
"""Bytes that the film stays under; it loses moments until it does."""

_MOMENTS = 6  # columns of the picture
_FRAMES = 80  # of the film, at most
_FRAME, _HOLD = 100, 2000  # milliseconds a moment, and the last one
_BIG, _SMALL = 150, 132  # pixels of a panel in the picture and in the film
_ACROSS = 7  # panels of the film beside each other
_GAP, _MARGIN, _HEADING, _LABEL = 10, 20, 34, 22
_INK, _GREY, _EDGE = 255, 170, 48


@dataclass(frozen=True, slots=True)
class _Fonts:
    heading: ImageFont.FreeTypeFont
    label: ImageFont.FreeTypeFont


def draw_modes(scenes: Sequence[Scene]) -> bytes:
    """Draws about six moments of every remedy as PNG.

    A world of one coordinate has a panel per remedy instead, with training running downwards.

    Args:
        scenes: worlds with their trails, at least one.
    """
    fonts = _fonts()
    sheets = [(_timelines if scene.flat else _moments)(scene, fonts=fonts) for scene in scenes]
    return _png(_stacked([*sheets, _footer(scenes, fonts=fonts)]))


def animate_modes(scenes: Sequence[Scene]) -> bytes:
    """Draws every moment of every remedy as GIF, which stays on the last one for two seconds.

    Args:
        scenes: worlds with their trails, at least one.
    """
    iterations = np.unique(np.concatenate([scene.iterations for scene in scenes]))
    chosen = iterations[_spaced(len(iterations), _FRAMES)].tolist()
    painters = [Painter(scene, size=_SMALL) for scene in scenes]
    fonts = _fonts()
    frames = [_frame(scenes, painters, iteration, fonts=fonts) for iteration in chosen]
    count = len(frames)
    while True:
        film = _gif([frames[place] for place in _spaced(len(frames), count)])
        if len(film) < LIMIT or count == 1:
            return film
        # As many as would fit were all moments alike, and surely fewer.
        count = max(min(int(count * 0.95 * LIMIT / len(film)), count - 1), 1)


def _spaced(length: int, count: int) -> list[int]:
    """At most ``count`` indices from the first to the last, evenly; the last alone for one."""
    if count == 1:
        return [length - 1]
    count = min(count, length)
    return sorted({round(place) for place in np.linspace(0, length - 1, count).tolist()})


def _moments(scene: Scene, *, fonts: _Fonts) -> Image.Image:
    """One row a remedy, one column a moment, the data in the last column."""
    chosen = scene.iterations[_spaced(len(scene.iterations), _MOMENTS)].tolist()
    left = _MARGIN + max(_width(fonts.label, label) for label in scene.labels) + 12
    top = _HEADING + _MARGIN + _LABEL
    pitch = _BIG + _GAP
    width = max(left + pitch * (len(chosen) + 1) + _MARGIN, _heading_width(scene, fonts))
    sheet, pen = _sheet(width, top + pitch * len(scene.trails))
    _heading(pen, scene, fonts)
    painter = Painter(scene, size=_BIG)
    last = _framed(painter.data())
    for column, text in enumerate([*(f"{iteration:,}" for iteration in chosen), "data"]):
        x = left + column * pitch + _BIG // 2
        pen.text((x, top - 6), text, font=fonts.label, fill=_INK, anchor="ms")
    for line, (label, trail) in enumerate(zip(scene.labels, scene.trails, strict=True)):
        y = top + line * pitch
        pen.text((left - 12, y + _BIG // 2), label, font=fonts.label, fill=_INK, anchor="rm")
        for column, iteration in enumerate(chosen):
            made = _framed(painter.panel(trail, iteration=iteration))
            sheet.paste(made, (left + column * pitch, y))
        sheet.paste(last, (left + len(chosen) * pitch, y))
    return sheet


def _timelines(scene: Scene, *, fonts: _Fonts) -> Image.Image:
    """One panel a remedy, iterations downwards, the data last."""
    painter = Painter(scene, size=2 * _BIG)
    moments = scene.iterations.tolist()
    words = tuple(f"{moments[place]:,}" for place in (0, len(moments) // 2, -1))
    left = _MARGIN + max(_width(fonts.label, word) for word in words) + 12
    return _panels(scene, painter, moments[-1], left=left, axis=words, fonts=fonts, across=4)


def _frame(
    scenes: Sequence[Scene], painters: Sequence[Painter], iteration: int, *, fonts: _Fonts
) -> Image.Image:
    """All worlds and remedies at one iteration."""
    head, pen = _sheet(360, _MARGIN + 18)
    text = f"iteration {iteration:,}"
    pen.text((_MARGIN, _MARGIN + 16), text, font=fonts.heading, fill=_INK, anchor="ls")
    sheets = [
        _panels(scene, painter, iteration, fonts=fonts)
        for scene, painter in zip(scenes, painters, strict=True)
    ]
    return _stacked([head, *sheets])


def _panels(
    scene: Scene,
    painter: Painter,
    iteration: int,
    *,
    fonts: _Fonts,
    across: int = _ACROSS,
    left: int = _MARGIN,
    axis: tuple[str, ...] = (),
) -> Image.Image:
    """A panel a remedy below its label, and the data's, in lines of about equal length."""
    inks = [*(painter.panel(trail, iteration=iteration) for trail in scene.trails), painter.data()]
    labels = [*scene.labels, "data"]
    lines = -(-len(inks) // across)
    across = -(-len(inks) // lines)
    pitch = max(painter.size, *(_width(fonts.label, label) for label in labels)) + _GAP
    height = _LABEL + painter.size + _GAP
    top = _HEADING + _MARGIN
    width = max(left + pitch * across + _MARGIN, _heading_width(scene, fonts))
    sheet, pen = _sheet(width, top + lines * height)
    _heading(pen, scene, fonts)
    for number, (label, ink) in enumerate(zip(labels, inks, strict=True)):
        x, y = left + number % across * pitch, top + number // across * height + _LABEL
        pen.text((x, y - 6), label, font=fonts.label, fill=_INK, anchor="ls")
        sheet.paste(_framed(ink), (x, y))
        for place, text in enumerate(axis if number % across == 0 else ()):
            at = (x - 10, y + place * painter.size // 2)
            anchor = ("ra", "rm", "rs")[place]
            pen.text(at, text, font=fonts.label, fill=_GREY, anchor=anchor)
    return sheet


def _caption(scene: Scene) -> str:
    return scene.heading + (": iterations downwards" if scene.flat else "")


def _heading_width(scene: Scene, fonts: _Fonts) -> int:
    return 2 * _MARGIN + _width(fonts.heading, _caption(scene))


def _heading(pen: ImageDraw.ImageDraw, scene: Scene, fonts: _Fonts) -> None:
    pen.text((_MARGIN, _MARGIN + 18), _caption(scene), font=fonts.heading, fill=_INK, anchor="ls")


def _footer(scenes: Sequence[Scene], *, fonts: _Fonts) -> Image.Image:
    seeds = sorted({seed for scene in scenes for seed in scene.seeds})
    text = f"Seed {enumerate_words(map(str, seeds))}; above a column its iteration; darker: denser."
    sheet, pen = _sheet(2 * _MARGIN + _width(fonts.label, text), 2 * _MARGIN)
    pen.text((_MARGIN, _MARGIN), text, font=fonts.label, fill=_GREY, anchor="lm")
    return sheet


def _sheet(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Blank paper of inks; drawing on inks keeps letters in the palette's colours."""
    sheet = Image.new("L", (width, height), 0)
    return sheet, ImageDraw.Draw(sheet)


def _framed(ink: Ink) -> Image.Image:
    """A panel with a thin frame around it."""
    image = Image.fromarray(ink)
    outline = (0, 0, image.width - 1, image.height - 1)
    ImageDraw.Draw(image).rectangle(outline, outline=_EDGE)
    return image


def _stacked(sheets: Sequence[Image.Image]) -> Image.Image:
    whole, _ = _sheet(max(sheet.width for sheet in sheets), sum(sheet.height for sheet in sheets))
    top = 0
    for sheet in sheets:
        whole.paste(sheet, (0, top))
        top += sheet.height
    return whole


def _png(sheet: Image.Image) -> bytes:
    sheet.putpalette(PALETTE)
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


def _gif(frames: Sequence[Image.Image]) -> bytes:
    for frame in frames:
        frame.putpalette(PALETTE)
    buffer = io.BytesIO()
    first, *rest = frames
    durations = [*[_FRAME] * len(rest), _HOLD]
    first.save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=rest,
        duration=durations if rest else _HOLD,
        loop=0,
        optimize=False,
    )
    return buffer.getvalue()


def _width(font: ImageFont.FreeTypeFont, text: str) -> int:
    return int(font.getlength(text)) + 1


def _fonts() -> _Fonts:
    """DejaVu Sans as matplotlib ships it: the same letters on every machine."""
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"

    def font(name: str, size: int) -> ImageFont.FreeTypeFont:
        engine = ImageFont.Layout.BASIC
        return ImageFont.truetype(str(folder / name), size, layout_engine=engine)

    return _Fonts(heading=font("DejaVuSans-Bold.ttf", 16), label=font("DejaVuSans.ttf", 14))
