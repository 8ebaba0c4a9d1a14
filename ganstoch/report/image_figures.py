"""Figures 1 and 2: images with their nearest neighbors, a block per row of Table 1.

[1] Yazici et al. 2020, Fig. 1 and 2. As there, data sets stand side by side, mini-batches shrink
downwards and noisy rows come last; in a block the queries are on top, below them the nearest
neighbors by pixel and by feature. Pixels are enlarged by whole factors, never smoothed.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from ganstoch.report.figures import figure, png, settings, styled
from ganstoch.report.formatting import setting_words
from ganstoch.report.published import title
from ganstoch.report.run_files import ImageStrips, read_strips

__all__ = ["Direction", "draw_neighbors"]

Direction = Literal["overfitting", "mode_drop"]
_WORDS: dict[Direction, tuple[str, str]] = {
    "overfitting": ("generated", "nearest data"),
    "mode_drop": ("data", "nearest generated"),
}
_TILE = 64  # pixels of an image, as nearly as a whole factor allows
_GAP = 2


@styled
def draw_neighbors(runs: pd.DataFrame, *, direction: Direction) -> bytes:
    """Figure 1 (``overfitting``) or Figure 2 (``mode_drop``) as PNG, of each row's first seed.

    Args:
        runs: as `frame.frame` returns, with folders.
        direction: whose neighbors are shown.

    Raises:
        UserError: if a ``panels.npz`` cannot be read or its arrays do not fit together.
    """
    datasets = [list(settings(own)) for _, own in runs.groupby("dataset", sort=False)]
    lines = max(len(own) for own in datasets)
    made, axes = figure(lines, len(datasets), size=(6.4, 1.95))
    for ax in axes.flat:
        ax.axis("off")
    for column, own in enumerate(datasets):
        for line, (row, _) in enumerate(own):
            ax = axes[line][column]
            distance = row[f"{direction}/pixel_l1/mean"]
            ax.set_title(f"{setting_words(row)}: {distance:.2f}", loc="left")
            strips = None if row.folder is None else read_strips(row.folder, direction=direction)
            if strips is None:
                ax.text(0, 0.5, "this run left no images")
                continue
            grid, labels = _grid(strips, *_WORDS[direction])
            ax.imshow(grid, interpolation="nearest")
            for place, label in enumerate(labels):
                y = (place + 0.5) * grid.shape[0] / len(labels)
                ax.text(-8, y, label, ha="right", va="center", color="0.4")
        first = own[0][0]
        heading = f"{title(first.dataset)} (n = {first.n:,})"
        axes[0][column].set_title(f"{heading}\n{axes[0][column].get_title(loc='left')}", loc="left")
    words = direction.replace("_", " ")
    made.supxlabel(
        f"Above a block: its run's {words}, mean pixel l1 in grey levels; lower is closer to the "
        "training data.",
        fontsize=9,
    )
    return png(made)


def _grid(strips: ImageStrips, query: str, nearest: str) -> tuple[npt.NDArray[np.uint8], list[str]]:
    """The images of a block, a line a kind, and the names of the lines."""
    kinds = {query: strips.queries, f"{nearest}\nby pixel": strips.pixel}
    if strips.feature is not None:
        kinds[f"{nearest}\nby {strips.feature_name}"] = strips.feature
    factor = max(_TILE // max(strips.queries.shape[1:3]), 1)
    lines = []
    for images in kinds.values():
        large = images.repeat(factor, axis=1).repeat(factor, axis=2)
        framed = np.pad(large, ((0, 0), (0, _GAP), (0, _GAP), (0, 0)), constant_values=255)
        lines.append(np.concatenate(list(framed), axis=1))
    return np.concatenate(lines), list(kinds)
