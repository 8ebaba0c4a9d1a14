"""HTML pages: one file each, escaped, without scripts, nothing from outside.

Names of files, classes, data sets and machines are whatever somebody called them. Templates escape
all of them, and characters that cannot be seen but change how a name looks are written out.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ganstoch.errors import visible
from ganstoch.report.tables import Section

__all__ = ["picture", "render_page", "report_page"]

_TEMPLATES = Path(__file__).parent / "templates"


def render_page(template: str, context: Mapping[str, object]) -> str:
    """Fills a template of this package in.

    Args:
        template: its file name, e.g. ``audit.html.j2``.
        context: what the template names; every value is escaped.
    """
    return _environment().get_template(template).render(dict(context)) + "\n"


def picture(image: bytes) -> Markup:
    """A PNG as a ``data:`` address that a page can hold."""
    return Markup("data:image/png;base64,") + Markup(base64.b64encode(image).decode())


def report_page(
    heading: str, caption: str, sections: Sequence[Section], pictures: Sequence[str]
) -> str:
    """A table page: its sections, then its pictures, by name of the files beside it."""
    return render_page(
        "report.html.j2",
        {"heading": heading, "caption": caption, "sections": sections, "pictures": pictures},
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else visible(str(value)),
        trim_blocks=True,
        lstrip_blocks=True,
    )
