"""Keeps some of the points that a generator made along training, to be drawn afterwards."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from ganstoch.callbacks.evaluation import Evaluation
from ganstoch.data.datamodule import ImageData
from ganstoch.records import write_atomically

__all__ = ["SampleHistory"]

POINTS = 512
"""Points kept of a measurement."""
MOMENTS = 64
"""Most measurements kept; of more, every second one is let go."""


class SampleHistory(Callback):
    """Leaves `trail.npz` beside the record of a run on points; nothing for images.

    The file holds ``iterations`` int64 (T,), ``samples`` float32 (T, S, D), the same latents at
    every moment, and ``real`` float32 (R, D).

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kept: dict[int, Tensor] = {}
        self._stride = 1
        self._seen = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keeps a measurement just made."""
        self._keep(trainer, last=False)

    def _keep(self, trainer: Trainer, *, last: bool) -> None:
        outcome = next(c.latest for c in trainer.callbacks if isinstance(c, Evaluation))  # type: ignore[attr-defined]
        if outcome is None or outcome.generated.ndim != 2 or outcome.iteration in self.kept:
            return
        if outcome.iteration != trainer.global_step:
            return
        if last or self._seen % self._stride == 0:
            self.kept[outcome.iteration] = outcome.generated[:POINTS].clone()
        self._seen += 1
        if len(self.kept) > MOMENTS:
            self._stride *= 2
            self.kept = dict(list(self.kept.items())[::2])

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keeps the last measurement, also of a run resumed after its end, and leaves the file."""
        self._keep(trainer, last=True)
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, ImageData)
        if not self.kept or not trainer.is_global_zero:
            return
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            iterations=np.array(list(self.kept), dtype=np.int64),
            samples=torch.stack(list(self.kept.values())).numpy(),
            real=data.subset.pixels[:POINTS].cpu().numpy(),
        )
        write_atomically(self.path, buffer.getvalue())

    def state_dict(self) -> dict[str, Any]:
        """What has been kept so far."""
        return {"kept": self.kept, "stride": self._stride, "seen": self._seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with the trail of the run that is resumed."""
        self.kept = dict(state_dict["kept"])
        self._stride, self._seen = state_dict["stride"], state_dict["seen"]
