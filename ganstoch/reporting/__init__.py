"""Tables and figures, made from finished runs' records alone: no torch, no training."""

from __future__ import annotations

from ganstoch.reporting.captions import caption
from ganstoch.reporting.curves import draw_curves
from ganstoch.reporting.exports import comma_separated, latex
from ganstoch.reporting.figures import draw_figure
from ganstoch.reporting.orderings import Ordering, check_orderings, check_published
from ganstoch.reporting.paper import PaperRow, Scores, lookup
from ganstoch.reporting.reports import write_remedies_report, write_report, write_world_report
from ganstoch.reporting.rows import Block, Row, blocks
from ganstoch.reporting.table1 import markdown, terminal

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
