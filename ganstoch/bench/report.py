"""`ganstoch bench`: runs the race and prints what came of it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ganstoch.bench.figures import FULL, QUICK, Figure, measure
from ganstoch.bench.players import differences, make_game
from ganstoch.bench.race import say
from ganstoch.callbacks.record_writer import hardware, versions
from ganstoch.records import write_atomically

__all__ = ["EQUALITIES", "bench"]

EQUALITIES: dict[str, int | None] = {"whole batches": None, "micro-batches of 3": 3}
"""Most images at once, of a batch of 8."""

TOLERANCE = 1e-9


def equality() -> dict[str, float]:
    """For each of `EQUALITIES` the largest difference to the plain loop, 20 iterations, float64."""
    found = {}
    for name, micro_batch in EQUALITIES.items():
        game = make_game(latent_dim=16, width=128, micro_batch=micro_batch).double()
        found[name] = max(differences(game, m=8, iterations=20).values())
    return found


def bench(*, quick: bool, file: Path | None) -> int:
    """Measures, prints the table, and writes it as JSON if a file is named.

    Args:
        quick: smaller shapes, within a minute.
        file: where the JSON goes.

    Returns:
        0; a figure that misses its goal is said, not failed: machines differ.
    """
    started = time.monotonic()
    scale = QUICK if quick else FULL
    if not quick:
        say("a quarter of an hour on two cores; --quick takes a minute")
    say("the plain loop and ours on the same draws, float64")
    equal = equality()
    figures = measure(scale)
    lines = [*_table(figures), "", *_equality_lines(equal), "", *_circumstances(quick)]
    print("\n".join(lines))
    if file is not None:
        content: dict[str, Any] = {figure.key: figure.value for figure in figures}
        content |= {
            "quick": quick,
            "width": scale.width,
            "what": {figure.key: figure.what for figure in figures},
            "equality": equal,
            "hardware": hardware(),
            "versions": versions(),
            "seconds": time.monotonic() - started,
        }
        write_atomically(file, json.dumps(content, indent=1).encode() + b"\n")
    return 0


def _table(figures: Sequence[Figure]) -> list[str]:
    rows = [("figure", "value", "goal", "", "measured")]
    for figure in figures:
        goal = f">= {figure.least:g}" if figure.least is not None else f"<= {figure.most:g}"
        met = "met" if figure.met else "missed"
        rows.append((figure.key, f"{figure.value:.3f}", goal, met, figure.what))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return [
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:<{widths[2]}}  "
        f"{row[3]:<{widths[3]}}  {row[4]}".rstrip()
        for row in rows
    ]


def _equality_lines(equal: dict[str, float]) -> list[str]:
    lines = [
        "largest difference to the plain loop in weights, losses and images, 20 iterations, float64"
    ]
    for name, value in equal.items():
        verdict = "" if value <= TOLERANCE else f"  more than {TOLERANCE:g}: a defect"
        lines.append(f"  {name:<32}{value:.0e}{verdict}")
    return lines


def _circumstances(quick: bool) -> list[str]:
    lines = [f"{hardware()}; torch {torch.__version__}"]
    if quick:
        lines.append(
            f"--quick: networks of width {QUICK.width} instead of the paper's {FULL.width}, where "
            "fixed costs weigh more; the goals are for the paper's"
        )
    if not torch.cuda.is_available():
        lines.append("no CUDA device: nothing of this was measured on a GPU")
    return lines
