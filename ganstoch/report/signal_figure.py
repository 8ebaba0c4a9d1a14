"""The signals of one run, as its diagnosis saw them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ganstoch.records import read_json, write_atomically
from ganstoch.report.figures import figure, png, styled
from ganstoch.report.run_files import PLAYERS

_NEAREST = {"closeness": "generated to training", "reach": "training to generated"}
_VARIETY = {"diversity": "between generated images", "sensitivity": "moved by z"}
# Title of each panel, its signals with their labels, and the value that real images would have.
_PANELS: dict[str, tuple[dict[str, str], float | None]] = {
    "distance to the nearest, relative to real images": (_NEAREST, 1.0),
    "variety, relative to real images": (_VARIETY, 1.0),
    "share of a batch nearly equal to another image": ({"collisions": "generated"}, 0.05),
    "share of pairs that D ranks correctly": ({"separation": "training, generated"}, 0.5),
    "gradient norm": ({f"gradient_{player}": player for player in PLAYERS}, None),
    "change since the last measurement": ({"drift": "size", "turn": "direction"}, 0.0),
}


@styled
def draw_signals(signals: Mapping[str, Sequence[float | None]], *, verdict: str) -> bytes:
    """Six panels of signals (columns of ``diagnosis.json``, None where not measured), PNG."""
    made, axes = figure(2, 3, size=(3.6, 2.4), sharex=True)
    made.suptitle(f"Verdict: {verdict.replace('_', ' ')}")
    for axis, (title, (lines, reference)) in zip(axes.flat, _PANELS.items(), strict=True):
        axis.set_title(title, fontsize="medium", loc="left")
        if reference is not None:
            axis.axhline(reference, color="0.45", linestyle=":")
        for name, label in lines.items():
            values = np.array(signals.get(name, []), dtype=float)  # None becomes NaN, a gap
            axis.plot(signals["iteration"][: len(values)], values, label=label)
        if title == "gradient norm":
            axis.set_yscale("log")
        axis.legend(loc="best", fontsize="small")
    for axis in axes[-1]:
        axis.set_xlabel("iteration")
    return png(made)


def write_signals(file: Path) -> None:
    """A picture beside a run's ``diagnosis.json``; none if it never looked."""
    content = read_json(file, fix="train the run again")
    if content["signals"]["iteration"]:
        picture = draw_signals(content["signals"], verdict=content["verdict"])
        write_atomically(file.with_suffix(".png"), picture)
