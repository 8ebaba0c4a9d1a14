"""What a table must say beside its numbers: at which size, on what, how far from the paper's."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from ganstoch.report.formatting import duration, enumerate_words, span
from ganstoch.report.frame import setting
from ganstoch.report.published import PAPER, published_table1

__all__ = ["DISTANCE", "caption"]

DISTANCE = (
    "Mean pixel l1 distance to the nearest neighbor, in grey levels; lower is closer to the "
    "training data. Overfitting: generated to data. Mode drop: data to generated."
)
_PATHS = {
    "width": ("model", "generator", "init_args", "width"),
    "latent size": ("model", "generator", "init_args", "latent_dim"),
    "learning rate": ("model", "optimizer", "lr"),
    "beta1": ("model", "optimizer", "beta1"),
    "beta2": ("model", "optimizer", "beta2"),
}


def caption(runs: pd.DataFrame, *, what: str = DISTANCE, paper: bool = False) -> str:
    """How often, on what and how long the runs of a table were trained.

    Args:
        runs: as `frame.frame` returns.
        what: what the table's numbers are.
        paper: whether to name each setting that is not the paper's.
    """
    seeds = ", ".join(str(seed) for seed in sorted(runs.seed.unique()))
    hardware = "; ".join(dict.fromkeys(runs.hardware))
    repeated = runs.seed.nunique() > 1
    sentences = [
        what,
        f"Preset {enumerate_words(sorted(runs.preset.unique()))}; seeds {seeds}"
        + ("; ± is the deviation over seeds." if repeated else "."),
        f"Trained on {hardware}: {len(runs)} runs, {duration(runs.seconds.sum())} in all, "
        f"{span(list(runs.iterations))} iterations, {span(list(runs.images_seen))} images seen.",
    ]
    if paper:
        differing = list(_differences(runs))
        sentences += [f"Not as in the paper: {', '.join(differing)}."] if differing else []
        if runs.dataset.isin(published_table1().dataset).any():
            sentences.append("Lines 'paper': its Table 1 at the same n/m and noise.")
    return " ".join(sentences)


def _differences(runs: pd.DataFrame) -> Iterator[str]:
    """Settings with other values than the paper's, both named."""
    for name, theirs in PAPER.items():
        path = _PATHS.get(name)
        found = set(runs.n) if path is None else {setting(r, *path) for r in runs.record}
        values = sorted(v for v in found if isinstance(v, int | float) and not isinstance(v, bool))
        if values and values != [theirs]:
            ours = enumerate_words(f"{value:,}" for value in values)
            yield f"{name} {ours} (paper {theirs:,})"
