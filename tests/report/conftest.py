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

DEFAULTS: dict[str, Any] = {
    **{"dataset": "svhn", "preset": "tiny", "n": 256, "m": 64, "noise": 0.0, "seed": 0},
    **{"iterations": 1000, "converged": True, "seconds": 60.0, "hardware": "2 CPU cores"},
    **{"config": CONFIG, "versions": {"torch": "2"}, "subset_sha256": "0" * 64},
}

MakeRecord = Callable[..., Record]


@pytest.fixture
def make_record() -> MakeRecord:
    """A record of n = 256 images, with what a test cares about put in."""

    def make(
        values: Sequence[float] = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0),
        *,
        baseline: Sequence[float] = (),
        history: Sequence[tuple[int, float]] = (),
        **fields: Any,
    ) -> Record:
        given = {**DEFAULTS, **fields}
        given.setdefault("bank", given["n"])
        measurements = tuple(
            Measurement(iteration=i, images_seen=i * given["m"], metrics=dict.fromkeys(KEYS, value))
            for i, value in history
        )
        return Record(
            config_hash="{dataset}-{m}-{noise:g}-{seed}".format(**given),
            images_seen=given["iterations"] * given["m"],
            metrics=dict(zip(KEYS, values, strict=True)),
            baseline=dict(zip(KEYS, baseline, strict=True)) if baseline else {},
            history=measurements,
            **given,
        )

    return make


WriteRun = Callable[..., Path]


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """Writes a run directory: the record and, if asked, its panels."""

    def write(record: Record, *, panels: bool = True) -> Path:
        folder = tmp_path / "runs" / record.config_hash
        write_record(folder / "record.json", record)
        if panels:
            rng = np.random.default_rng(record.seed)
            arrays = {
                f"{direction}_{kind}": rng.integers(0, 256, (10, 3, 32, 32), dtype=np.uint8)
                for direction in ("overfitting", "mode_drop")
                for kind in ("queries", "pixel_l1", "inception_l2")
            }
            np.savez(folder / "panels.npz", **arrays)  # type: ignore[arg-type]
        return folder

    return write
