from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import ModelCheckpoint

import ganstoch.callbacks.run_folder
from ganstoch.callbacks.evaluation import Evaluation
from ganstoch.callbacks.run_folder import RecordWriter, git_sha, hardware, versions
from ganstoch.callbacks.stop_rule import StopRule
from ganstoch.records import Record, read_record
from ganstoch.types import to_bytes

Make = Callable[..., Any]
CONFIG: dict[str, Any] = {"data": {"m": "n/4"}, "model": {"width": 16}}


@pytest.fixture(autouse=True)
def commit(monkeypatch: pytest.MonkeyPatch) -> str:
    """The working tree may be edited while tests run."""
    monkeypatch.setattr(ganstoch.callbacks.run_folder, "git_sha", lambda: "0123abcd+")
    return "0123abcd+"


def callbacks(folder: Path) -> tuple[Evaluation, StopRule, RecordWriter]:
    return (
        Evaluation(every=2, queries=4, semantic=None),
        StopRule(window=2, threshold=0.999, stop=False),
        RecordWriter(folder, config=CONFIG, config_hash="abc", preset="tiny"),
    )


def test_a_finished_run_leaves_its_record_and_samples(
    make_game: Make, make_data: Make, fit: Make, tmp_path: Path, commit: str
) -> None:
    game, data = make_game(bank="2n", noise=0.5, seed=3), make_data(seed=3)
    accompany = callbacks(tmp_path)
    evaluation = accompany[0]
    fit(game, data, *accompany, steps=5)
    record = read_record(tmp_path / "record.json")
    assert evaluation.latest is not None
    expected = Record(
        config_hash="abc",
        seed=3,
        preset="tiny",
        dataset="digits",
        n=64,
        m=16,
        bank=128,
        noise=0.5,
        iterations=5,
        images_seen=80,
        converged=True,
        seconds=record.seconds,
        subset_sha256=data.subset.sha256,
        metrics=evaluation.history[-1].metrics,
        baseline=evaluation.baseline,
        history=tuple(evaluation.history),
        config={**CONFIG, "model": {"width": 16, "micro_batch": None}},
        versions=versions(),
        hardware=hardware(),
        git_sha=commit,
        threads=torch.get_num_threads(),
    )
    assert record == expected
    assert [m.iteration for m in record.history] == [2, 4, 5]
    assert record.seconds > 0
    with np.load(tmp_path / "samples.npz") as file:
        generated = torch.from_numpy(file["generated"])
    assert torch.equal(generated, to_bytes(game.sample(game.latents.evaluation())))
    assert generated.shape == (64, 3, 32, 32)


def test_a_record_says_where_nothing_was_fixed(
    make_game: Make, make_data: Make, fit: Make, tmp_path: Path
) -> None:
    fit(make_game(bank="fresh"), make_data(), *callbacks(tmp_path), steps=1)
    record = read_record(tmp_path / "record.json")
    assert record.bank is None
    assert record.noise == 0.0
    assert not record.converged


class Breaks(Callback):
    """Ends a run from without, in its third iteration."""

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == 2:
            raise RuntimeError("pulled the plug")


def test_an_unfinished_run_leaves_no_record(
    make_game: Make, make_data: Make, fit: Make, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError, match="pulled the plug"):
        fit(make_game(), make_data(), *callbacks(tmp_path), Breaks(), steps=4)
    assert not list(tmp_path.rglob("record.json"))
    assert not list(tmp_path.rglob("samples.npz"))


@pytest.mark.parametrize("killed_after", [2, 3, 4])
def test_a_resumed_run_leaves_the_same_record(
    make_game: Make, make_data: Make, fit: Make, tmp_path: Path, killed_after: int
) -> None:
    keep = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=1, save_top_k=-1)
    fit(make_game(), make_data(), *callbacks(tmp_path / "whole"), keep, steps=4)
    fit(
        make_game(),
        make_data(),
        *callbacks(tmp_path / "resumed"),
        steps=4,
        resume=tmp_path / f"step={killed_after}.ckpt",
    )
    whole, resumed = (read_record(tmp_path / n / "record.json") for n in ("whole", "resumed"))
    assert resumed.model_copy(update={"seconds": whole.seconds}) == whole
    samples = [(tmp_path / name / "samples.npz").read_bytes() for name in ("whole", "resumed")]
    assert samples[0] == samples[1]


def test_time_adds_up_over_the_segments_of_a_run(tmp_path: Path) -> None:
    *_, recorder = callbacks(tmp_path)
    recorder.load_state_dict({"seconds": 1000.0})
    assert 1000.0 <= recorder.state_dict()["seconds"] < 2000.0


def test_versions_of_what_decides_numbers() -> None:
    found = versions()
    assert found["python"] == platform.python_version()
    assert found["torch"] == version("torch")
    assert {"ganstoch", "pytorch-lightning", "numpy"} <= set(found)
    assert "thread(s)" in hardware()


def test_commit_is_that_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    sha = git_sha()
    assert sha is None or re.fullmatch(r"[0-9a-f]{40}\+?", sha)

    def no_git(*_: Any, **__: Any) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", no_git)
    assert git_sha() is None
