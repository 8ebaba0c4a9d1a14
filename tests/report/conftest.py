"""Records, panels and reports written by hand, for tests that never train."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganstoch.records import Measurement, Record, write_record

KEYS = [
    f"{direction}/pixel_l1/{statistic}"
    for direction in ("overfitting", "mode_drop")
    for statistic in ("mean", "worst10", "worst5")
]

CONFIG: dict[str, Any] = {
    "equal": "iterations",
    "model": {
        "generator": {"class_path": "G", "init_args": {"width": 64, "latent_dim": 512}},
        "discriminator": {"class_path": "D", "init_args": {"width": 64}},
        "optimizer": {"lr": 0.0002, "beta1": 0.0, "beta2": 0.9},
        "ema": {"decay": 0.999},
    },
}

MakeRecord = Callable[..., Record]


@pytest.fixture
def make_record() -> MakeRecord:
    """A record of n = 256 images, with what a test cares about put in."""

    def make(
        values: Sequence[float] = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0),
        *,
        dataset: str = "svhn",
        m: int = 64,
        noise: float = 0.0,
        seed: int = 0,
        n: int = 256,
        bank: int | None = -1,
        preset: str = "tiny",
        iterations: int = 1000,
        converged: bool = True,
        seconds: float = 60.0,
        baseline: Sequence[float] = (),
        history: Sequence[tuple[int, float]] = (),
        config: dict[str, Any] | None = None,
        hardware: str = "2 CPU cores",
    ) -> Record:
        return Record(
            config_hash=f"{dataset}-{m}-{noise:g}-{seed}",
            seed=seed,
            preset=preset,
            dataset=dataset,
            n=n,
            m=m,
            bank=n if bank == -1 else bank,
            noise=noise,
            iterations=iterations,
            images_seen=iterations * m,
            converged=converged,
            seconds=seconds,
            subset_sha256="0" * 64,
            metrics=dict(zip(KEYS, values, strict=True)),
            baseline=dict(zip(KEYS, baseline, strict=True)) if baseline else {},
            history=tuple(
                Measurement(
                    iteration=iteration,
                    images_seen=iteration * m,
                    metrics=dict(zip(KEYS, [value] * 6, strict=True)),
                )
                for iteration, value in history
            ),
            config=CONFIG if config is None else config,
            versions={"torch": "2"},
            hardware=hardware,
        )

    return make


WriteRun = Callable[..., Path]


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """Writes a run directory: the record and, if asked, its panels."""

    def write(
        record: Record, *, features: Sequence[str] = ("inception_l2",), panels: bool = True
    ) -> Path:
        folder = tmp_path / "runs" / record.config_hash
        write_record(folder / "record.json", record)
        if panels:
            rng = np.random.default_rng(record.seed)
            arrays = {
                f"{direction}_{kind}": rng.integers(0, 256, (10, 3, 32, 32), dtype=np.uint8)
                for direction in ("overfitting", "mode_drop")
                for kind in ("queries", "pixel_l1", *features)
            }
            np.savez(folder / "panels.npz", **arrays)  # type: ignore[arg-type]
        return folder

    return write
