from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning import Callback, LightningModule, Trainer

from ganstoch.callbacks.evaluation import Evaluation
from ganstoch.callbacks.progress import Progress

Make = Callable[..., Any]


class Reader(Callback):
    """Reads the file after every iteration."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: list[dict[str, Any]] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any
    ) -> None:
        self.seen.append(json.loads(self.path.read_bytes()))


def evaluation() -> Evaluation:
    return Evaluation(every=2, queries=4, semantic=None)


def test_the_file_says_how_far_the_run_is(
    make_game: Make, make_data: Make, fit: Make, tmp_path: Path
) -> None:
    path = tmp_path / "progress.json"
    measured, reader = evaluation(), Reader(path)
    progress = Progress(path, quiet=True, file_every=0.0)
    fit(make_game(), make_data(), measured, progress, reader, steps=3)
    assert [(state["iteration"], state["of"]) for state in reader.seen] == [(1, 3), (2, 3), (3, 3)]
    assert set(reader.seen[0]) == {"iteration", "of"}  # nothing measured yet
    metrics = measured.history[0].metrics
    assert reader.seen[1]["overfitting"] == round(metrics["overfitting/pixel_l1/mean"], 2)
    assert reader.seen[2]["mode drop"] == round(metrics["mode_drop/pixel_l1/mean"], 2)
    last = json.loads(path.read_bytes())
    metrics = measured.history[-1].metrics
    assert last["iteration"] == 3
    assert last["overfitting"] == round(metrics["overfitting/pixel_l1/mean"], 2)
    assert list(tmp_path.glob("progress*")) == [path]


def test_the_file_is_not_written_every_iteration(
    make_game: Make, make_data: Make, fit: Make, tmp_path: Path
) -> None:
    path = tmp_path / "progress.json"
    reader = Reader(path)
    progress = Progress(path, quiet=True, file_every=1000.0)
    fit(make_game(), make_data(), evaluation(), progress, reader, steps=3)
    assert [state["iteration"] for state in reader.seen] == [1, 1, 1]
    assert json.loads(path.read_bytes())["iteration"] == 3  # but at the end


def test_quiet_leaves_the_terminal_alone(
    make_game: Make,
    make_data: Make,
    fit: Make,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress = Progress(tmp_path / "progress.json", quiet=True)
    fit(make_game(), make_data(), evaluation(), progress, steps=2)
    assert "it/s" not in capsys.readouterr().err
    progress = Progress(tmp_path / "progress.json", line_every=0.0)
    fit(make_game(), make_data(), evaluation(), progress, steps=2)
    shown = capsys.readouterr().err
    assert "2/2" in shown
    assert "overfitting=" in shown


class Breaks(Callback):
    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        raise RuntimeError("pulled the plug")


def test_the_bar_is_closed_before_an_error_is_told(
    make_game: Make, make_data: Make, fit: Make, tmp_path: Path
) -> None:
    progress = Progress(tmp_path / "progress.json")
    with pytest.raises(RuntimeError, match="pulled the plug"):
        fit(make_game(), make_data(), evaluation(), progress, Breaks(), steps=2)
    assert progress._bar is not None
    assert progress._bar.disable  # which is how tqdm marks a closed bar
