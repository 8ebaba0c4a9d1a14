"""What a finished run leaves behind: its record, its samples, its subset's manifest."""

from __future__ import annotations

import io
import os
import platform
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from ganstoch import __version__
from ganstoch.callbacks.evaluation import Evaluation
from ganstoch.callbacks.stop_rule import StopRule
from ganstoch.data.datamodule import ImageData
from ganstoch.records import Record, write_atomically, write_record
from ganstoch.training.gan import GAN
from ganstoch.types import to_bytes

__all__ = ["RecordWriter", "git_sha", "hardware", "versions"]

_C = TypeVar("_C", bound=Callback)
PACKAGES = (
    "torch",
    "pytorch-lightning",
    "torchmetrics",
    "numpy",
    "faiss-cpu",
    "faiss-gpu",
)


class RecordWriter(Callback):
    """Writes `record.json` and `samples.npz` when a run has finished, and not before.

    Args:
        folder: the run's folder.
        config: the resolved configuration.
        config_hash: digest of what in it decides the run's numbers.
        preset: name of the preset.
    """

    def __init__(
        self,
        folder: Path,
        *,
        config: dict[str, Any],
        config_hash: str,
        preset: str,
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
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(pl_module, GAN)
        assert isinstance(data, ImageData)
        assert pl_module.latents is not None
        evaluation = _find(trainer, Evaluation)
        assert evaluation.latest is not None
        buffer = io.BytesIO()
        generated = evaluation.latest.generated
        images = generated.ndim == 4
        np.savez_compressed(
            buffer, generated=(to_bytes(generated) if images else generated).numpy()
        )
        write_atomically(self.folder / "samples.npz", buffer.getvalue())
        last = evaluation.history[-1]
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
            converged=_find(trainer, StopRule).converged,
            seconds=self._seconds(),
            subset_sha256=data.subset.sha256,
            metrics=last.metrics,
            baseline=evaluation.baseline,
            history=tuple(evaluation.history),
            config=self._as_computed(pl_module),
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

    def _as_computed(self, game: GAN) -> dict[str, Any]:
        """The configuration with what was left to the machine filled in, so that it repeats."""
        chosen = {"micro_batch": game.micro_batch}
        return {**self.config, "model": {**self.config.get("model", {}), **chosen}}

    def _seconds(self) -> float:
        return self._before + time.monotonic() - self._started


def _find(trainer: Trainer, kind: type[_C]) -> _C:
    return next(c for c in trainer.callbacks if isinstance(c, kind))  # type: ignore[attr-defined]


def versions() -> dict[str, str]:
    """Versions of the packages that decide numbers, without those that are not here."""
    found = {"python": platform.python_version(), "ganstoch": __version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def hardware() -> str:
    """The processor and the GPUs, in words."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    words = [f"{os.cpu_count()} x {model}", f"{torch.get_num_threads()} thread(s)"]
    words += [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return ", ".join(words)


def git_sha() -> str | None:
    """The commit this package was run from, with `+` where its files differ; None outside git."""
    here = Path(__file__)

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here.parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)  # an installed copy is in nobody's history
        differs = git("status", "--porcelain", "--untracked-files=no", str(here.parents[1]))
        return git("rev-parse", "HEAD") + ("+" if differs else "")
    except (OSError, subprocess.CalledProcessError):
        return None
