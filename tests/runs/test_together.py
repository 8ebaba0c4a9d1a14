"""Several seeds in one run: each leaves what it would have left alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganstoch.callbacks.record_writer import RecordWriter
from ganstoch.cli import main
from ganstoch.records import Record, read_record
from ganstoch.runs.sweep import asked_seeds
from ganstoch.runs.together import without_seeds

LINE = [
    "--config=bimodal",
    "--data.n=64",
    "--data.m=16",
    "--trainer.max_steps=6",
    "--evaluation.every=2",
    "--checkpoint_every=2",
    "--trainer.precision=64-true",
    "--wandb.mode=disabled",
    "--quiet=true",
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def records(folder: Path) -> dict[int, tuple[Path, Record]]:
    found = {}
    for path in folder.glob("*/record.json"):
        record = read_record(path)
        found[record.seed] = (path.parent, record)
    return found


def test_each_seed_leaves_what_it_would_alone(here: Path) -> None:
    assert main(["fit", *LINE, "--seeds=0,3", "--out=together"]) == 0
    both = records(here / "together")
    assert sorted(both) == [0, 3]
    for seed, (folder, record) in both.items():
        alone = [f"--seed_everything={seed}", f"--out=alone/{seed}"]
        assert main(["fit", *LINE, *alone]) == 0
        ((other, by_itself),) = records(here / "alone").values()
        assert record.config_hash == by_itself.config_hash
        assert record.images_seen == by_itself.images_seen == 6 * 16
        assert [m.iteration for m in record.history] == [2, 4, 6]
        with np.load(folder / "samples.npz") as ours, np.load(other / "samples.npz") as theirs:
            assert np.abs(ours["generated"] - theirs["generated"]).max() < 1e-10
        assert record.config["seed_everything"] == seed
        assert json.loads((folder / "progress.json").read_text())["iteration"] == 6
        shutil.rmtree(here / "alone")


def test_goes_on_and_ends_the_same(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = ["fit", *LINE, "--trainer.precision=32-true", "--seeds", "0,3"]
    assert main([*line, "--out=whole"]) == 0

    from ganstoch.training.ensemble import Ensemble

    step, calls = Ensemble.training_step, []

    def failing(self: Ensemble, *arguments: object) -> None:
        calls.append(self.global_step)
        if self.global_step == 3:
            raise KeyboardInterrupt
        step(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Ensemble, "training_step", failing)
    assert main([*line, "--out=cut"]) == 130
    assert not list(here.glob("cut/*/record.json"))
    monkeypatch.setattr(Ensemble, "training_step", step)
    assert main([*line, "--out=cut"]) == 0
    assert calls == [0, 1, 2, 3]
    whole, cut = records(here / "whole"), records(here / "cut")
    for seed in (0, 3):
        assert cut[seed][1].history == whole[seed][1].history
        one, other = (found[seed][0] / "samples.npz" for found in (whole, cut))
        assert one.read_bytes() == other.read_bytes()


def test_killed_between_two_records_all_go_on(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone, the seed whose record is missing would begin anew, and round otherwise."""
    line = ["fit", *LINE, "--trainer.precision=32-true", "--seeds", "0,3"]
    assert main([*line, "--out=whole"]) == 0
    end, ended = RecordWriter.on_fit_end, []

    def once(self: RecordWriter, *arguments: Any) -> None:
        if ended:
            raise KeyboardInterrupt
        ended.append(self.folder)
        end(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(RecordWriter, "on_fit_end", once)
        assert main([*line, "--out=cut"]) == 130
    assert len(records(here / "cut")) == 1
    assert main([*line, "--out=cut"]) == 0
    whole, cut = records(here / "whole"), records(here / "cut")
    assert {seed: r.history for seed, (_, r) in cut.items()} == {
        seed: r.history for seed, (_, r) in whole.items()
    }
    assert len(list((here / "cut").glob("together-*"))) == 1


def test_finished_seeds_are_left_alone(here: Path) -> None:
    assert main(["fit", *LINE, "--seeds=0,3", "--out=x"]) == 0
    before = {path: path.stat().st_mtime_ns for path in here.glob("x/*/record.json")}
    assert main(["fit", *LINE, "--seeds=3,0,5", "--out=x"]) == 0
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())
    assert sorted(records(here / "x")) == [0, 3, 5]
    assert main(["fit", *LINE, "--seeds=0,3,5", "--out=x"]) == 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--seeds=0,0"], "--seeds wants different whole numbers"),
        (["--seeds=a"], "--seeds wants different whole numbers"),
        (["--seeds=0,1", "--trainer.precision=bf16-mixed"], "in full precision only"),
        (["--seeds=0,1", "--remedy=unrolled1"], "Unrolling needs a game of its own"),
        (["--seeds=0,1", "--remedy=packing2+packing3"], "has Packing twice"),
    ],
)
def test_refused(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
) -> None:
    assert main(["fit", *LINE, *words, "--out=x"]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert complaint in said[-1]
    assert not list(here.glob("x/*/record.json"))


def test_the_words_of_the_line() -> None:
    line = ["--config", "ring", "--seeds", "0,1", "--seeds=2", "--quiet=true"]
    assert without_seeds(line) == ["--config", "ring", "--quiet=true"]
    assert asked_seeds(" 3, 1") == [3, 1]


def test_a_rule_that_ends_a_run_early_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["fit", *LINE, "--seeds=0,1", "--stop_rule.stop=true", "--out=x"]
    assert main(line) == 2
    assert "set stop_rule.stop to false" in capsys.readouterr().err


def test_seeds_share_no_tracking(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["fit", *LINE, "--wandb.mode=offline", "--seeds=0,1", "--trainer.max_steps=1"]
    assert main([*line, "--out=x"]) == 0
    assert not list(here.glob("x/**/wandb"))
    assert sorted(records(here / "x")) == [0, 1]
