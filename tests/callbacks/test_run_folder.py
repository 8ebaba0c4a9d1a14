"""What a run leaves in its folder: pictures, samples along training, the record."""

import platform
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning.loggers import WandbLogger
from torch import Tensor

from ganstoch import environment
from ganstoch.callbacks import run_folder
from ganstoch.callbacks.evaluation import Evaluation, Outcome, StopRule
from ganstoch.callbacks.run_folder import NeighbourGrid, RecordWriter, SampleHistory, panels
from ganstoch.metrics import overfitting_mode_drop
from ganstoch.records import Record, read_record
from ganstoch.rng import rng_for, with_replacement
from ganstoch.types import to_bytes, to_signed

Make = Callable[..., Any]
Patch = pytest.MonkeyPatch
CONFIG: dict[str, Any] = {"data": {"m": "n/4"}, "model": {"width": 16}}


def images(count: int, draw: int) -> Tensor:
    drawn = with_replacement(256, count * 3 * 16, rng_for(0, "data", draw))
    return drawn.to(torch.uint8).view(count, 3, 4, 4)


def outcome_of(data: Tensor, generated: Tensor, *, queries: int | None) -> Outcome:
    """A measurement in two spaces: the pixels, and the first colour alone."""
    spaces = {"pixel_l1": data.flatten(1), "red_l2": data[:, 0].flatten(1)}
    answers = {"pixel_l1": generated.flatten(1), "red_l2": generated[:, 0].flatten(1)}
    pairs = {
        name: overfitting_mode_drop(
            spaces[name], answers[name], norm="l1" if name == "pixel_l1" else "l2", queries=queries
        )
        for name in spaces
    }
    return Outcome(iteration=1, generated=to_signed(generated), pairs=pairs)


@pytest.mark.parametrize(("queries", "columns"), [(None, 10), (12, 10), (1, 1)])
def test_under_each_query_lies_its_nearest_neighbour(queries: int | None, columns: int) -> None:
    data, generated = images(30, 0), images(40, 1)
    rows = panels(outcome_of(data, generated, queries=queries), data)
    sides = {"overfitting": (generated, data), "mode_drop": (data, generated)}
    assert set(rows) == {f"{d}_{what}" for d in sides for what in ("queries", "pixel_l1", "red_l2")}
    for direction, (asking, answering) in sides.items():
        asked = rows[f"{direction}_queries"]
        assert asked.shape == (columns, 3, 4, 4)
        assert asked.dtype == torch.uint8
        apart = torch.cdist(asked.double().flatten(1), asking.double().flatten(1), p=1.0)
        assert (apart.amin(dim=1) == 0).all()  # members of the asking side,
        assert len(torch.unique(asked, dim=0)) == columns  # all different
        for space, seen in (("pixel_l1", slice(0, 3)), ("red_l2", slice(0, 1))):
            one, bank = asked[:, seen].flatten(1), answering[:, seen].flatten(1)
            p = 1.0 if space == "pixel_l1" else 2.0
            nearest = torch.cdist(one.double(), bank.double(), p=p).argmin(dim=1)
            assert torch.equal(rows[f"{direction}_{space}"], answering[nearest])


def measure(every: int, queries: int | None = None) -> Evaluation:
    return Evaluation(every=every, queries=queries, semantic=None)


def read(path: Path) -> dict[str, Any]:
    with np.load(path) as file:
        return dict(file)


class Gallery(WandbLogger):
    def __init__(self) -> None:
        self.pictures: list[tuple[str, int, Any]] = []

    def ignore(self, *_: Any, **__: Any) -> None:
        pass

    log_hyperparams = log_metrics = finalize = ignore
    name, version, save_dir = "gallery", "0", None

    def log_image(self, key: str, images: list[Any], step: int | None = None, **_: Any) -> None:
        assert step is not None
        self.pictures.append((key, step, images[0]))


def test_shows_each_measurement(make_gan: Make, make_data: Make, fit: Make, tmp_path: Path) -> None:
    gallery, data, evaluation = Gallery(), make_data(), measure(2, 6)
    shown = NeighbourGrid(tmp_path / "panels.npz")
    fit(make_gan(), data, evaluation, shown, steps=5, loggers=[gallery])
    keys = ("panels/overfitting", "panels/mode_drop")
    expected = [(key, step) for step in (2, 4, 5) for key in keys]
    assert [(key, step) for key, step, _ in gallery.pictures] == expected
    # Two rows of six images, each pixel shown as 2 x 2.
    picture = gallery.pictures[-1][2]
    assert (picture.shape, picture.dtype) == ((2 * 2 * 32, 6 * 2 * 32, 3), np.uint8)
    assert evaluation.latest is not None
    rows = panels(evaluation.latest, data.subset.pixels)
    file = read(tmp_path / "panels.npz")
    assert set(file) == set(rows)
    assert all(np.array_equal(file[name], rows[name]) for name in rows)
    top = rows["mode_drop_queries"].permute(2, 0, 3, 1).reshape(32, 6 * 32, 3)
    below = rows["mode_drop_pixel_l1"].permute(2, 0, 3, 1).reshape(32, 6 * 32, 3)
    assert np.array_equal(picture[1::2, ::2], torch.cat([top, below]).numpy())


@pytest.mark.parametrize(
    ("steps", "iterations"), [(4, [1, 2, 3, 4]), (5, [1, 3, 5]), (20, [1, 9, 17, 20])]
)
def test_every_second_is_let_go_where_they_are_too_many(
    run_points: Make, tmp_path: Path, monkeypatch: Patch, steps: int, iterations: list[int]
) -> None:
    monkeypatch.setattr(run_folder, "MOMENTS", 4)
    history, evaluation = SampleHistory(tmp_path / "t.npz"), measure(1)
    run_points(evaluation, history, steps=steps)
    file = read(tmp_path / "t.npz")
    assert file["iterations"].tolist() == iterations
    assert evaluation.latest is not None
    points = run_folder.POINTS
    assert file["samples"].shape == (len(iterations), points, 2)
    assert np.array_equal(file["samples"][-1], evaluation.latest.generated[:points])


@pytest.mark.parametrize("killed_after", [1, 2, 5])
def test_a_resumed_run_leaves_the_same_trail(
    run_points: Make, keep: Make, tmp_path: Path, killed_after: int
) -> None:
    trails = [SampleHistory(tmp_path / f"{name}.npz") for name in ("whole", "resumed")]
    run_points(measure(2), trails[0], keep(), steps=5)
    checkpoint = tmp_path / f"step={killed_after}.ckpt"
    run_points(measure(2), trails[1], steps=5, resume=checkpoint)
    whole, resumed = (read(trail.path) for trail in trails)
    assert whole["iterations"].tolist() == [2, 4, 5]
    for key in whole:
        assert np.array_equal(resumed[key], whole[key]), key


def test_a_finished_run_leaves_its_record_and_samples(
    make_gan: Make, make_data: Make, fit: Make, tmp_path: Path, monkeypatch: Patch
) -> None:
    # The working tree may be edited while tests run.
    monkeypatch.setattr(run_folder, "git_sha", lambda: "0123abcd+")
    gan, data = make_gan(bank="2n", noise=0.5, seed=3), make_data(seed=3)
    evaluation = measure(2, 4)
    rule = StopRule(window=2, threshold=0.999, stop=False)
    writer = RecordWriter(tmp_path, config=CONFIG, config_hash="abc", preset="tiny")
    fit(gan, data, evaluation, rule, writer, steps=5)
    record = read_record(tmp_path / "record.json")
    assert record.seconds > 0
    expected = {
        **{"config_hash": "abc", "seed": 3, "preset": "tiny", "dataset": "digits"},
        **{"n": 64, "m": 16, "bank": 128, "noise": 0.5, "iterations": 5, "images_seen": 80},
        **{"converged": True, "seconds": record.seconds, "subset_sha256": data.subset.sha256},
        **{"metrics": evaluation.history[-1].metrics, "baseline": evaluation.baseline},
        "history": tuple(evaluation.history),
        "config": {**CONFIG, "model": {"width": 16, "micro_batch": None}},
        **{"versions": run_folder.versions(), "hardware": run_folder.hardware()},
        "git_sha": "0123abcd+",
        "threads": torch.get_num_threads(),
    }
    assert record == Record(**expected)
    assert [m.iteration for m in record.history] == [2, 4, 5]
    generated = read(tmp_path / "samples.npz")["generated"]
    assert np.array_equal(generated, to_bytes(gan.sample(gan.latents.evaluation())))
    assert generated.shape == (64, 3, 32, 32)


def test_the_record_of_points(run_points: Make, tmp_path: Path) -> None:
    rule = StopRule(window=1, threshold=0.999)
    recorder = RecordWriter(tmp_path, config={}, config_hash="abc", preset="ring")
    run_points(measure(1), rule, recorder, steps=4)
    record = read_record(tmp_path / "record.json")
    assert (record.dataset, record.bank, record.converged) == ("ring", None, False)
    generated = read(tmp_path / "samples.npz")["generated"]
    assert (generated.shape, generated.dtype) == ((2500, 2), np.float32)


def test_what_a_record_says_of_the_machine(monkeypatch: Patch) -> None:
    packages = environment.versions()
    assert packages["python"] == platform.python_version()
    assert {"torch", "ganstoch", "pytorch-lightning", "numpy"} <= set(packages)
    assert "thread(s)" in environment.hardware()
    sha = environment.git_sha()
    assert sha is None or re.fullmatch(r"[0-9a-f]{40}\+?", sha)

    here = Path(environment.__file__).parent
    changed = subprocess.run(
        ["git", "-C", str(here), "status", "--porcelain", "--untracked-files=no", "."],
        capture_output=True,
        check=False,
    )
    if sha is not None:  # of the whole package, not of one of its folders
        assert sha.endswith("+") is bool(changed.stdout)

    def no_git(*_: Any, **__: Any) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", no_git)
    assert environment.git_sha() is None
