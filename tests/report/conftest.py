"""Records and panels written by hand, for tests that never train."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganstoch.records import Measurement, Record, write_record
from ganstoch.report.published import SCORES

KEYS = list(SCORES.values())
DEFAULTS: dict[str, Any] = {
    **{"dataset": "svhn", "preset": "tiny", "n": 256, "m": 64, "noise": 0.0, "seed": 0},
    **{"iterations": 1000, "converged": True, "seconds": 60.0, "hardware": "2 CPU cores"},
    **{"versions": {"torch": "2"}, "subset_sha256": "0" * 64},
    "config": {
        "model": {
            "generator": {"class_path": "G", "init_args": {"width": 64, "latent_dim": 512}},
            "discriminator": {"class_path": "D", "init_args": {"width": 64}},
            "optimizer": {"lr": 0.0002, "beta1": 0.0, "beta2": 0.9},
        }
    },
}


@pytest.fixture
def make_record() -> Callable[..., Record]:
    """A record of n = 256 images, with what a test cares about put in."""

    def make(
        values: Sequence[float] = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0),
        *,
        baseline: Sequence[float] = (),
        history: Sequence[tuple[int, float]] = (),
        remedy: str | None = None,
        **fields: Any,
    ) -> Record:
        given = {**DEFAULTS, "bank": fields.get("n", DEFAULTS["n"]), **fields}
        if remedy is not None:
            given["config"] = {"remedy": remedy}
        given.setdefault("metrics", dict(zip(KEYS, values, strict=True)))
        measurements = tuple(
            Measurement(iteration=i, images_seen=i * given["m"], metrics=dict.fromkeys(KEYS, value))
            for i, value in history
        )
        where = [str(given[name]) for name in ("dataset", "m", "noise", "seed")]
        return Record(
            config_hash="-".join([remedy or "", *where]),
            images_seen=given["iterations"] * given["m"],
            baseline=dict(zip(KEYS, baseline, strict=False)),
            history=measurements,
            **given,
        )

    return make


@pytest.fixture
def write_run(tmp_path: Path) -> Callable[[Record], Path]:
    """Writes a run directory: the record and its panels."""

    def write(record: Record) -> Path:
        folder = tmp_path / "runs" / record.config_hash
        write_record(folder / "record.json", record)
        rng = np.random.default_rng(record.seed)
        arrays = {
            f"{direction}_{kind}": rng.integers(0, 256, (10, 3, 32, 32), dtype=np.uint8)
            for direction in ("overfitting", "mode_drop")
            for kind in ("queries", "pixel_l1", "inception_l2")
        }
        np.savez(folder / "panels.npz", **arrays)  # type: ignore[arg-type]
        return folder

    return write
