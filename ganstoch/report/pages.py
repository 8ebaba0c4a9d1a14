"""The frame that all pages share: one file each, escaped, without scripts, nothing from outside.

Names of files, classes, data sets and machines are whatever somebody called them. Templates escape
all of them, and characters that cannot be seen but change how a name looks are written out.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ganstoch.errors import visible

__all__ = ["Tile", "flattened", "png_size", "render_page", "tile"]

_TEMPLATES = Path(__file__).parent / "templates"

_SIGNATURE = b"\x89PNG\r\n\x1a\n"

_WIDE, _NARROW = 96, 64  # pixels of a tile on a wide screen and on a telephone


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """An image inside a page.

    Attributes:
        source: the whole image as a ``data:`` address.
        width: in its own pixels.
        height: in its own pixels.
        wide: pixels of the screen its width takes.
        narrow: the same on a telephone.
        sharp: whether it is enlarged, so that its pixels should stay squares.
    """

    source: Markup
    width: int
    height: int
    wide: int
    narrow: int
    sharp: bool


def render_page(template: str, context: Mapping[str, object]) -> str:
    """Fills a template of this package in.

    Args:
        template: its file name, e.g. ``audit.html.j2``.
        context: what the template names; every value is escaped.
    """
    return _environment().get_template(template).render(dict(context)) + "\n"


def png_size(png: bytes) -> tuple[int, int]:
    """Width and height of a PNG file.

    Raises:
        ValueError: if it is none.
    """
    if png[:8] != _SIGNATURE or png[12:16] != b"IHDR" or len(png) < 24:
        raise ValueError("a picture of a page must be a PNG file")
    width, height = struct.unpack(">II", png[16:24])
    if not width or not height:
        raise ValueError("a picture of a page must have pixels")
    return width, height


def tile(png: bytes) -> Tile:
    """A PNG file to be shown in a page; small images are enlarged by a whole factor.

    Args:
        png: the file.

    Raises:
        ValueError: if it is no PNG file.
    """
    width, height = png_size(png)
    side = max(width, height)
    factors = [size // side if side <= size else size / side for size in (_WIDE, _NARROW)]
    return Tile(
        source=Markup("data:image/png;base64,") + Markup(base64.b64encode(png).decode()),
        width=width,
        height=height,
        wide=round(width * factors[0]),
        narrow=round(width * factors[1]),
        sharp=factors[0] >= 1,
    )


def flattened(settings: Mapping[str, object], *, above: str = "") -> list[tuple[str, str]]:
    """Nested settings as (dotted key, value in words), in their order; lists stay on one line."""
    lines: list[tuple[str, str]] = []
    for key, value in settings.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping) and value:
            lines += flattened(value, above=f"{name}.")
        else:
            lines.append((name, _words(value)))
    return lines


def _words(value: object) -> str:
    if value is None or value == {} or value == []:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value))
    return str(value)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _finalize(value: object) -> object:
    """Every value on its way into a page; `Markup` was made here, so it has been through this."""
    return value if isinstance(value, Markup) else visible(str(value))
