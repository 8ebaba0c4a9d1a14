"""Table 1 for other programs: CSV for a spreadsheet, LaTeX for an article."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from ganstoch.records import Record
from ganstoch.report.captions import caption
from ganstoch.report.markup import cell
from ganstoch.report.paper import SCORES, Scores, title
from ganstoch.report.rows import Block, Row, blocks
from ganstoch.report.words import bank_words, convergence, share, span

__all__ = ["COLUMNS", "comma_separated", "latex"]

COLUMNS = (
    *("dataset", "m", "noise", "seeds"),
    *SCORES,
    *(f"{name}_paper" for name in SCORES),
    *(f"{name}_sd" for name in SCORES),
    *("iterations", "images_seen", "converged", "seconds", "n", "preset"),
)
"""Columns of `table1.csv`; means over seeds, an empty cell where there is no value."""


def comma_separated(records: Sequence[Record]) -> str:
    """The table as CSV, one line per row and one more per dataset for held-out real images.

    Where some row's bank of latents is not the paper's (k = n), a last column ``bank`` tells such
    rows apart; it holds a number or ``fresh``.

    Raises:
        UserError: if the records make no table, see `rows.blocks`.
    """
    grouped = blocks(records)
    banks = any(row.bank != row.n for block in grouped for row in block.rows)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*COLUMNS, *(["bank"] if banks else [])])
    for block in grouped:
        if block.baseline is not None:
            writer.writerow(_baseline_cells(block) + ([""] if banks else []))
        for row in block.rows:
            bank = "fresh" if row.bank is None else str(row.bank)
            writer.writerow(_row_cells(row) + ([bank] if banks else []))
    return buffer.getvalue()


def _baseline_cells(block: Block) -> list[str]:
    assert block.baseline is not None
    return [
        *(cell(block.dataset), "held-out", "", str(len(block.baseline.by_seed))),
        *_numbers(block.baseline.mean),
        *_numbers(None),
        *_numbers(block.baseline.spread),
        *("", "", "", "", str(block.n), cell(block.preset)),
    ]


def _row_cells(row: Row) -> list[str]:
    count = len(row.runs)
    return [
        *(cell(row.dataset), str(row.m), f"{row.noise:g}", str(count)),
        *_numbers(row.mean),
        *_numbers(row.paper.scores if row.paper else None),
        *_numbers(row.spread),
        f"{sum(run.iterations for run in row.runs) / count:.10g}",
        f"{sum(run.images_seen for run in row.runs) / count:.15g}",
        f"{row.converged} of {count}",
        f"{sum(run.seconds for run in row.runs) / count:.1f}",
        str(row.n),
        cell(row.preset),
    ]


def _numbers(scores: Scores | None) -> list[str]:
    return [""] * len(SCORES) if scores is None else [f"{value:.6g}" for value in scores.values()]


def latex(records: Sequence[Record], *, missing: Sequence[str] = ()) -> str:
    """The table in LaTeX (package booktabs), the paper's values on a line below ours.

    Raises:
        UserError: if the records make no table, see `rows.blocks`.
    """
    grouped = blocks(records)
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table*}",
        r"\centering\scriptsize\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{_escape(caption(records))}}}",
        r"\label{tab:table1}",
        r"\begin{tabular}{@{}ll rrr rrr rr@{}}",
        r"\toprule",
        r" & & \multicolumn{3}{c}{Overfitting} & \multicolumn{3}{c}{Mode drop} & & \\",
        r"\cmidrule(lr){3-5} \cmidrule(lr){6-8}",
        r"$m$ & Noise & Avg & 10\,\% & 5\,\% & Avg & 10\,\% & 5\,\% & Iterations & Converged \\",
    ]
    for block in grouped:
        heading = f"{title(block.dataset)} (n = {block.n:,})"
        lines += [r"\midrule", rf"\multicolumn{{10}}{{@{{}}l}}{{{_escape(heading)}}} \\"]
        if block.baseline is not None:
            held = block.baseline
            lines.append(_line("held-out real", "", *_ours(held.mean, held.spread), "", ""))
        for row in block.rows:
            bank = f", {bank_words(row)}" if bank_words(row) else ""
            lines.append(
                _line(
                    f"{row.m:,} ({share(row.n, row.m)}){bank}",
                    f"{row.noise:g}" if row.noise else "no",
                    *_ours(row.mean, row.spread),
                    span([run.iterations for run in row.runs]),
                    convergence(block, row),
                )
            )
            if row.paper is not None:
                theirs = [f"({value:.2f})" for value in row.paper.scores.values()]
                lines.append(_line("  paper", "", *theirs, "", ""))
    lines += [r"\bottomrule", r"\end{tabular}"]
    if missing:
        lines.append(rf"\par\smallskip not run: {_escape(', '.join(missing))}")
    return "\n".join([*lines, r"\end{table*}"]) + "\n"


def _ours(scores: Scores, spread: Scores | None) -> list[str]:
    cells = [f"{value:.2f}" for value in scores.values()]
    if spread is None:
        return cells
    return [f"{c}±{s:.2f}" for c, s in zip(cells, spread.values(), strict=True)]


def _line(*cells: str) -> str:
    return " & ".join(_escape(cell) for cell in cells) + r" \\"


_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "\N{EN DASH}": "--",
    "\N{EM DASH}": "---",
    "\N{NO-BREAK SPACE}": "~",
    "\n": " ",
    "\r": " ",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def _escape(text: str) -> str:
    """Text as LaTeX prints it; a digit group's comma keeps its narrow space outside math."""
    return "".join(_SPECIAL.get(character, character) for character in text)
