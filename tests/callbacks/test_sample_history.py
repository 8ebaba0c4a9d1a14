from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor

import ganstoch.callbacks.run_folder
from ganstoch.callbacks.evaluation import Evaluation
from ganstoch.callbacks.run_folder import POINTS, SampleHistory
from ganstoch.training.gan import GAN

Make = Callable[..., Any]


class Made(Callback):
    """What the generator makes of the evaluation's latents, after every iteration."""

    def __init__(self) -> None:
        self.points: dict[int, Tensor] = {}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any
    ) -> None:
        assert isinstance(pl_module, GAN)
        assert pl_module.latents is not None
        self.points[trainer.global_step] = pl_module.sample(pl_module.latents.evaluation(POINTS))


def measure(every: int) -> Evaluation:
    return Evaluation(every=every, queries=None, semantic=None)


def read(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    with np.load(path) as file:
        return dict(file)


def test_keeps_every_measurement(
    make_point_game: Make, make_ring: Make, fit: Make, tmp_path: Path
) -> None:
    data, made = make_ring(), Made()
    fit(make_point_game(), data, measure(2), made, SampleHistory(tmp_path / "trail.npz"), steps=5)
    file = read(tmp_path / "trail.npz")
    assert {key: str(value.dtype) for key, value in file.items()} == {
        **{"iterations": "int64", "samples": "float32", "real": "float32"},
    }
    assert file["iterations"].tolist() == [2, 4, 5]
    assert file["samples"].shape == (3, 512, 2)
    for iteration, points in zip(file["iterations"], file["samples"], strict=True):
        assert np.allclose(points, made.points[iteration].numpy(), atol=1e-6)
    assert not np.allclose(file["samples"][0], file["samples"][1], atol=1e-3)
    assert np.array_equal(file["real"], data.subset.pixels[:512].numpy())


def test_a_world_of_fewer_points_is_drawn_whole(
    make_point_game: Make, make_ring: Make, fit: Make, tmp_path: Path
) -> None:
    data = make_ring(n=64)
    fit(make_point_game(), data, measure(1), SampleHistory(tmp_path / "trail.npz"), steps=1)
    file = read(tmp_path / "trail.npz")
    assert np.array_equal(file["real"], data.subset.pixels.numpy())
    assert file["samples"].shape == (1, 512, 2)


@pytest.mark.parametrize(
    ("steps", "kept"),
    [
        (4, [1, 2, 3, 4]),
        (5, [1, 3, 5]),
        (7, [1, 3, 5, 7]),
        (8, [1, 5, 8]),
        (9, [1, 5, 9]),
        (17, [1, 9, 17]),
        (20, [1, 9, 17, 20]),
    ],
)
def test_every_second_is_let_go_where_they_are_too_many(
    make_point_game: Make,
    make_ring: Make,
    fit: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    steps: int,
    kept: list[int],
) -> None:
    """The first and the last always stay, and those between are evenly spread."""
    monkeypatch.setattr(ganstoch.callbacks.run_folder, "MOMENTS", 4)
    made = Made()
    fit(
        make_point_game(),
        make_ring(),
        measure(1),
        made,
        SampleHistory(tmp_path / "t.npz"),
        steps=steps,
    )
    file = read(tmp_path / "t.npz")
    assert file["iterations"].tolist() == kept
    for iteration, points in zip(file["iterations"], file["samples"], strict=True):
        assert np.allclose(points, made.points[iteration].numpy(), atol=1e-6)


def test_nothing_of_images(make_game: Make, make_data: Make, fit: Make, tmp_path: Path) -> None:
    trail = SampleHistory(tmp_path / "trail.npz")
    fit(make_game(), make_data(), Evaluation(every=1, queries=4, semantic=None), trail, steps=2)
    assert trail.samples == {}
    assert list(tmp_path.glob("*.npz")) == []


@pytest.mark.parametrize("killed_after", [1, 2, 4, 5])
def test_a_resumed_run_leaves_the_same_trail(
    make_point_game: Make, make_ring: Make, fit: Make, tmp_path: Path, killed_after: int
) -> None:
    """Even one that was killed after its last iteration, where nothing is left to train."""

    def accompany(name: str) -> tuple[Callback, ...]:
        keep = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=1, save_top_k=-1)
        return measure(2), SampleHistory(tmp_path / f"{name}.npz"), keep

    fit(make_point_game(), make_ring(), *accompany("whole"), steps=5)
    checkpoint = tmp_path / f"step={killed_after}.ckpt"
    fit(make_point_game(), make_ring(), *accompany("resumed"), steps=5, resume=checkpoint)
    whole, resumed = read(tmp_path / "whole.npz"), read(tmp_path / "resumed.npz")
    assert whole["iterations"].tolist() == [2, 4, 5]
    for key in whole:
        assert np.array_equal(resumed[key], whole[key]), key


def test_thinning_goes_on_after_resuming(
    make_point_game: Make,
    make_ring: Make,
    fit: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ganstoch.callbacks.run_folder, "MOMENTS", 4)
    trail = SampleHistory(tmp_path / "trail.npz")
    fit(make_point_game(), make_ring(), measure(1), trail, steps=6)
    again = SampleHistory(tmp_path / "trail.npz")
    again.load_state_dict(torch.load(as_saved(trail, tmp_path), weights_only=True))
    assert again.state_dict().keys() == trail.state_dict().keys()
    assert list(again.samples) == list(trail.samples) == [1, 3, 5, 6]
    again.samples.clear()
    assert len(trail.samples) == 4


def as_saved(trail: SampleHistory, folder: Path) -> Path:
    """A file as a checkpoint is: tensors and plain values, nothing that runs code."""
    torch.save(trail.state_dict(), folder / "state.pt")
    return folder / "state.pt"
