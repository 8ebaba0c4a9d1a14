"""What a finished run leaves in its folder: pictures, samples, the record."""

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from ganstoch.callbacks.evaluation import AfterEvaluation, Evaluation, Outcome, StopRule
from ganstoch.callbacks.progress import callback_of, data_of, log_picture
from ganstoch.environment import git_sha, hardware, versions
from ganstoch.records import Record, write_atomically, write_record
from ganstoch.training.gan import GAN
from ganstoch.types import to_bytes

COLUMNS = 10  # queries in a picture, as in the paper
POINTS = 512  # points kept of a measurement
MOMENTS = 64  # most measurements kept; of more, every second one is dropped


def panels(outcome: Outcome, data: Tensor) -> dict[str, Tensor]:
    """The rows of the 1-NN search's figures (arXiv:2006.14265, Figs. 1 and 2), at most 10 each.

    Under ``overfitting_queries`` generated images, under ``overfitting_<space>`` the data image
    nearest to each; under ``mode_drop_queries`` and ``mode_drop_<space>`` the other way round.
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


class NeighbourGrid(AfterEvaluation):
    """Shows the panels at every measurement and leaves the last ones in `panels.npz`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._panels: dict[str, Tensor] = {}

    def on_evaluation(self, trainer: Trainer, evaluation: Evaluation) -> None:
        """Shows a measurement just made."""
        assert evaluation.latest is not None
        if not evaluation.latest.pairs or not trainer.is_global_zero:
            return
        self._panels = panels(evaluation.latest, data_of(trainer).subset.pixels.cpu())
        if trainer.loggers:
            for name in ("overfitting", "mode_drop"):
                grid = _grid([row for key, row in self._panels.items() if key.startswith(name)])
                log_picture(trainer, f"panels/{name}", grid)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leaves the last panels in the run's folder."""
        if self._panels and trainer.is_global_zero:
            arrays = {name: row.numpy() for name, row in self._panels.items()}
            _save_arrays(self.path, compressed=False, **arrays)


def _grid(rows: list[Tensor]) -> np.ndarray[Any, Any]:
    """Rows of images as one picture, twice as large; uint8, shape (H, W, C)."""
    picture = torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)
    return picture.repeat_interleave(2, 1).repeat_interleave(2, 2).permute(1, 2, 0).numpy()


class SampleHistory(AfterEvaluation):
    """Leaves points of the same latents along training in `trail.npz`; nothing for images.

    ``iterations`` int64 (T,), ``samples`` float32 (T, S, D), ``real`` float32 (R, D).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.samples: dict[int, Tensor] = {}
        self._stride = 1
        self._count = 0
        self._latest: Outcome | None = None

    def on_evaluation(self, trainer: Trainer, evaluation: Evaluation) -> None:
        """Keeps a measurement just made, if it is of points."""
        assert evaluation.latest is not None
        if evaluation.latest.generated.ndim == 2:
            self._latest = evaluation.latest
            self._keep(self._latest, last=False)

    def _keep(self, outcome: Outcome, *, last: bool) -> None:
        if outcome.iteration in self.samples:
            return
        if last or self._count % self._stride == 0:
            self.samples[outcome.iteration] = outcome.generated[:POINTS].clone()
        self._count += 1
        if len(self.samples) > MOMENTS:
            self._stride *= 2
            self.samples = dict(list(self.samples.items())[::2])

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keeps the last measurement in any case, and leaves the file."""
        if self._latest is not None:
            self._keep(self._latest, last=True)
        if self.samples and trainer.is_global_zero:
            _save_arrays(
                self.path,
                iterations=np.array(list(self.samples), dtype=np.int64),
                samples=torch.stack(list(self.samples.values())).numpy(),
                real=data_of(trainer).subset.pixels[:POINTS].cpu().numpy(),
            )

    def state_dict(self) -> dict[str, Any]:
        """What has been kept so far."""
        return {"kept": self.samples, "stride": self._stride, "seen": self._count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with the history of the run that is resumed."""
        self.samples = dict(state_dict["kept"])
        self._stride, self._count = state_dict["stride"], state_dict["seen"]


def _save_arrays(path: Path, *, compressed: bool = True, **arrays: np.ndarray[Any, Any]) -> None:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)  # type: ignore[arg-type]
    write_atomically(path, buffer.getvalue())


class RecordWriter(Callback):
    """Writes `record.json` and `samples.npz` when a run has finished, and not before."""

    def __init__(
        self, folder: Path, *, config: dict[str, Any], config_hash: str, preset: str
    ) -> None:
        self.folder = folder
        self.config = config
        self.config_hash = config_hash
        self.preset = preset
        self._before = 0.0
        self._started = time.monotonic()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock."""
        self._started = time.monotonic()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leaves the samples, then the record, whose presence says that the run is whole."""
        if not trainer.is_global_zero:
            return
        data = data_of(trainer)
        assert isinstance(pl_module, GAN)
        assert pl_module.latents is not None
        evaluation = callback_of(trainer, Evaluation)
        assert evaluation.latest is not None
        generated = evaluation.latest.generated
        images = to_bytes(generated) if generated.ndim == 4 else generated
        _save_arrays(self.folder / "samples.npz", generated=images.numpy())
        last = evaluation.history[-1]
        # What was left to the machine is filled in, so that the run repeats.
        model = self.config.get("model", {}) | {"micro_batch": pl_module.micro_batch}
        record = Record(
            config_hash=self.config_hash,
            seed=pl_module.seed,
            preset=self.preset,
            dataset=data.source.name,
            n=len(data.subset.ids),
            m=data.batch_size,
            bank=pl_module.latents.count,
            noise=pl_module.latents.noise,
            iterations=trainer.global_step,
            images_seen=trainer.global_step * pl_module.images_per_iteration,
            converged=callback_of(trainer, StopRule).converged,
            seconds=self._seconds(),
            subset_sha256=data.subset.sha256,
            metrics=last.metrics,
            baseline=evaluation.baseline,
            history=tuple(evaluation.history),
            config=self.config | {"model": model},
            versions=versions(),
            hardware=hardware(),
            git_sha=git_sha(),
            threads=torch.get_num_threads(),
        )
        write_record(self.folder / "record.json", record)

    def state_dict(self) -> dict[str, Any]:
        """The time spent so far, over all segments, and the settings that it was spent on."""
        return {"seconds": self._seconds(), "config": self.config}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from the time the earlier segments took."""
        self._before = float(state_dict["seconds"])

    def _seconds(self) -> float:
        return self._before + time.monotonic() - self._started
