"""Pictures of the 1-NN search: ten queries above their nearest neighbours [1, Figs. 1 and 2]."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import WandbLogger
from torch import Tensor

from ganstoch.callbacks.evaluation import Evaluation, Outcome
from ganstoch.data.datamodule import ImageData
from ganstoch.records import write_atomically
from ganstoch.types import to_bytes

__all__ = ["NeighbourGrid", "panels"]

COLUMNS = 10


def panels(outcome: Outcome, data: Tensor) -> dict[str, Tensor]:
    """The rows of both figures.

    Args:
        outcome: a measurement.
        data: all data images, uint8, shape (n, C, H, W).

    Returns:
        uint8 images of shape (10, C, H, W), or fewer where fewer were asked: under
        ``overfitting_queries`` generated images, under ``overfitting_<space>`` the data image
        nearest to each; under ``mode_drop_queries`` data images, under ``mode_drop_<space>`` the
        generated image nearest to each.
    """
    generated = to_bytes(outcome.generated)
    rows: dict[str, Tensor] = {}
    for space, ways in outcome.pairs.items():
        for name, way, asking, answering in (
            ("overfitting", ways.overfitting, generated, data),
            ("mode_drop", ways.mode_drop, data, generated),
        ):
            # Spread over the queries rather than the first ten, which may be of one class.
            count = len(way.queries)
            chosen = torch.linspace(0, count - 1, min(COLUMNS, count)).round().long()
            rows[f"{name}_queries"] = asking[way.queries[chosen]]
            rows[f"{name}_{space}"] = answering[way.neighbours.ids[chosen]]
    return rows


class NeighbourGrid(Callback):
    """Shows the panels in W&B at every measurement and leaves the last ones in a file.

    Args:
        path: the file, `panels.npz` in the run's folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._shown: Outcome | None = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Shows a measurement just made."""
        self._show(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Shows the last measurement, which alone may have every feature space."""
        self._show(trainer)

    def _show(self, trainer: Trainer) -> None:
        outcome = self._outcome(trainer)
        if outcome is None or not outcome.pairs or outcome is self._shown:
            return
        self._shown = outcome
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger) and trainer.is_global_zero:
                rows = panels(outcome, self._data(trainer))
                for name in ("overfitting", "mode_drop"):
                    grid = _grid([row for key, row in rows.items() if key.startswith(name)])
                    logger.log_image(f"panels/{name}", [grid], step=trainer.global_step)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leaves the last panels in the run's folder."""
        outcome = self._outcome(trainer)
        if outcome is not None and outcome.pairs and trainer.is_global_zero:
            rows = panels(outcome, self._data(trainer))
            buffer = io.BytesIO()
            arrays: dict[str, Any] = {name: row.numpy() for name, row in rows.items()}
            np.savez(buffer, **arrays)
            write_atomically(self.path, buffer.getvalue())

    @staticmethod
    def _outcome(trainer: Trainer) -> Outcome | None:
        return next(c.latest for c in trainer.callbacks if isinstance(c, Evaluation))  # type: ignore[attr-defined]

    @staticmethod
    def _data(trainer: Trainer) -> Tensor:
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, ImageData)
        return data.subset.pixels.cpu()


def _grid(rows: list[Tensor]) -> np.ndarray[Any, Any]:
    """Rows of images as one picture, twice as large; uint8, shape (H, W, C)."""
    lines = [torch.cat(list(row), dim=2) for row in rows]
    picture = torch.cat(lines, dim=1).repeat_interleave(2, 1).repeat_interleave(2, 2)
    return picture.permute(1, 2, 0).numpy()
