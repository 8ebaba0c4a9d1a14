"""Tables and figures, made from finished runs' records alone: no torch, no training."""

from __future__ import annotations

from ganstoch.report.captions import caption
from ganstoch.report.curves import draw_curves
from ganstoch.report.exports import comma_separated, latex
from ganstoch.report.figures import draw_figure
from ganstoch.report.orderings import Ordering, check_orderings, check_published
from ganstoch.report.paper import PaperRow, Scores, lookup
from ganstoch.report.reports import write_remedies_report, write_report, write_world_report
from ganstoch.report.rows import Block, Row, blocks
from ganstoch.report.table1 import markdown, terminal

__all__ = [
    "Block",
    "Ordering",
    "PaperRow",
    "Row",
    "Scores",
    "blocks",
    "caption",
    "check_orderings",
    "check_published",
    "comma_separated",
    "draw_curves",
    "draw_figure",
    "latex",
    "lookup",
    "markdown",
    "terminal",
    "write_remedies_report",
    "write_report",
    "write_world_report",
]
