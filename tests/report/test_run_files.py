import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganstoch.errors import UserError
from ganstoch.report import run_files
from ganstoch.report.run_files import GRADIENT_NOISE

PLAYER = {"signal": 2.0, "noise": 1.0, "ratio": 2.0, "critical_batch": None}
POINT = {"iteration": 3, "discriminator": PLAYER, "generator": PLAYER}
NOISE: dict[str, Any] = dict(schema=1, every=2, n=64, m=4, draws=None, history=[POINT])
MOMENT = {"iteration": 3, "accuracy": 0.5, "train_accuracy": 1.0}
PROBE: dict[str, Any] = {
    **{"schema": 1, "moments": [MOMENT], "pixels": 0.4, "pixels_train": 0.9, "chance": 0.1},
    **{"fitted_on": 8, "tested_on": 20, "test": "held_out"},
}
FILES = {
    GRADIENT_NOISE: (run_files.read_gradient_noise, NOISE),
    "probe.json": (run_files.read_probe, PROBE),
}


@pytest.mark.parametrize(
    ("name", "change", "key"),
    [
        (GRADIENT_NOISE, {"schema": 2}, "schema"),
        (GRADIENT_NOISE, {"history": [POINT, POINT]}, "rise"),
        (GRADIENT_NOISE, {"history": [POINT | {"generator": {}}]}, "history.0.generator.signal"),
        ("probe.json", {"test": "elsewhere"}, "test"),
        ("probe.json", {"more": 1}, "more"),
        ("probe.json", None, ""),
    ],
)
def test_a_damaged_field_is_named(tmp_path: Path, name: str, change: Any, key: str) -> None:
    read, content = FILES[name]
    (tmp_path / name).write_text(json.dumps([] if change is None else content | change))
    with pytest.raises(UserError, match=rf"{name}: .*{key}"):
        read(tmp_path)


def images(count: int, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    kinds = ("queries", "pixel_l1", "inception_64px_l2")
    shape = (count, 3, 4, 4)
    return {f"mode_drop_{k}": rng.integers(0, 256, shape, np.uint8) for k in kinds} | changes


def test_strips_hold_ten_images_upright(tmp_path: Path) -> None:
    arrays = images(12)
    np.savez(tmp_path / "panels.npz", **arrays)
    strips = run_files.read_strips(tmp_path, direction="mode_drop")
    assert strips is not None
    assert list(strips) == ["queries", "pixel", "inception 64px"]
    assert strips["queries"].shape == (10, 4, 4, 3)
    first = arrays["mode_drop_queries"][0].transpose(1, 2, 0)
    np.testing.assert_array_equal(strips["queries"][0], first)
    assert run_files.read_strips(tmp_path / "no", direction="mode_drop") is None


SAMPLES: dict[str, Any] = {
    "iterations": np.array([2, 5]),
    "samples": np.arange(12, dtype=np.float32).reshape(2, 3, 2),
    "real": np.zeros((4, 2), np.float32),
}


def test_samples_are_those_of_the_last_iteration_so_far(tmp_path: Path) -> None:
    np.savez(tmp_path / "trail.npz", **SAMPLES)
    history = run_files.read_samples(tmp_path)
    assert history is not None
    for iteration, place in ((0, 0), (4, 0), (5, 1), (99, 1)):
        np.testing.assert_array_equal(history.at(iteration), SAMPLES["samples"][place])


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"mode_drop_queries": images(3)["mode_drop_queries"]},
        images(3, mode_drop_pixel_l1=np.zeros((3, 3, 4, 4), np.float32)),
        images(3, mode_drop_pixel_l1=np.zeros((2, 3, 4, 4), np.uint8)),
        images(3, mode_drop_queries=np.array([object()])),
        images(3, mode_drop_queries=np.uint8(3)),
        SAMPLES | {"iterations": np.array([5, 2])},
        SAMPLES | {"samples": np.zeros((2, 3, 2))},
        SAMPLES | {"samples": np.zeros((2, 0, 2), np.float32)},
        SAMPLES | {"real": np.zeros((4, 3), np.float32)},
        SAMPLES | {"real": np.full((4, 2), np.nan, np.float32)},
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, arrays: dict[str, Any]) -> None:
    for name in ("panels.npz", "trail.npz"):
        np.savez(tmp_path / name, **arrays)
    with pytest.raises(UserError, match=r"panels\.npz"):
        run_files.read_strips(tmp_path, direction="mode_drop")
    with pytest.raises(UserError, match=r"trail\.npz"):
        run_files.read_samples(tmp_path)
