"""The HTML page of a table: one file, escaped, without scripts, nothing from outside.

Names of data sets and machines are whatever somebody called them. The template escapes all of them,
and characters that cannot be seen but change how a name looks are written out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ganstoch.errors import visible
from ganstoch.report.tables import Section

__all__ = ["report_page"]


def report_page(
    heading: str, caption: str, sections: Sequence[Section], pictures: Sequence[str]
) -> str:
    """A table page: its sections, then its pictures, by name of the files beside it."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: visible(str(value)),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("page.html.j2").render(
        heading=heading, caption=caption, sections=sections, pictures=pictures
    )
    return page + "\n"
