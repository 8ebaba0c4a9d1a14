"""The signals of one run over its iterations, as panels of a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ganstoch.report.figures import figure, inline_svg, styled
from ganstoch.report.run_files import PLAYERS

_ONSET, _BEST, _REAL = "#c0392b", "#7a4fbf", "#808080"
_LOUD = 1000.0  # a size beyond which a panel's scale is logarithmic on both sides of 0


@dataclass(frozen=True)
class Panel:
    """Signals that share an axis."""

    title: str
    lines: Mapping[str, str]  # each signal with its label
    reference: float | None = None  # what real images would have


PANELS = (
    Panel(
        "Nearest neighbors, real is 1",
        {"closeness": "generated to training", "reach": "training to generated"},
        1.0,
    ),
    Panel(
        "Variety, real is 1",
        {"diversity": "all pairs", "isolation": "nearest pairs", "sensitivity": "moved by z"},
        1.0,
    ),
    Panel("Near-duplicates in a batch", {"collisions": "share of samples"}, 0.05),
    Panel("Pairs that D ranks correctly", {"separation": "share of pairs"}, 0.5),
    Panel("Change since the last look", {"drift": "size", "turn": "direction"}),
    Panel("Gradient norm", {f"gradient_{player}": player for player in PLAYERS}),
    Panel("Training logits above others'", {"gap": "generated", "gap_held_out": "held out"}, 0.0),
    Panel(
        "Accuracy of D",
        {f"accuracy_{name}": name.replace("_", " ") for name in ("real", "held_out", "fake")},
    ),
    Panel("Loss", {f"loss_{player}": player for player in PLAYERS}),
    Panel("Raw from averaged generator", {"average_gap": "distance"}),
)


@styled
def draw_panel(
    panel: Panel,
    signals: Mapping[str, Sequence[float | None]],
    *,
    onset: int | None = None,
    best: int | None = None,
) -> str:
    """A panel as SVG; None is not measured. ``onset`` and ``best`` are iterations to be marked."""
    made, ((axis,),) = figure(1, 1, size=(3.7, 2.6))
    x = np.array(signals["iteration"])
    if panel.reference is not None:
        axis.axhline(panel.reference, color=_REAL, linestyle=":", label="real")
    drawn = np.empty(0)
    for (name, label), line in zip(panel.lines.items(), ("-", "--", "-."), strict=False):
        y = np.array(signals.get(name, [None] * len(x)), dtype=float)  # None becomes NaN, a gap
        y[~np.isfinite(y)] = np.nan
        drawn = np.append(drawn, y[np.isfinite(y)])
        if np.isfinite(y).any():
            axis.plot(x, y, line, label=label, marker="." if np.isfinite(y).sum() < 3 else "")
    if best is not None:
        axis.axvline(best, color=_BEST, linestyle="-.", label="best")
    if onset is not None:
        axis.axvline(onset, color=_ONSET, label="onset")
        axis.axvspan(onset, max(x), color=_ONSET, alpha=0.08, linewidth=0)
    if drawn.size and drawn.min() > 0 and drawn.max() > 100 * drawn.min():
        axis.set_yscale("log")
    elif drawn.size and np.abs(drawn).max() > _LOUD:
        axis.set_yscale("symlog", linthresh=1.0)
    margin = 0.04 * float(np.ptp(x)) or 0.5
    axis.set_xlim(min(x) - margin, max(x) + margin)
    axis.set_xlabel("iteration")
    axis.locator_params(axis="x", nbins=5)
    wide = max(map(len, panel.lines.values())) > 14
    made.legend(loc="outside upper left", ncols=2 if wide else 3, fontsize="small")
    return inline_svg(made)
