"""The same settings, the same bits: in another process, among other company, in bad weather."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganstoch.records import read_record

NO_MATTER = {
    "another process": [],
    "a progress bar": ["--quiet=false"],
    "W&B": ["--wandb.mode=offline"],
    "losses logged at every iteration": ["--trainer.log_every_n_steps=1", "--wandb.mode=offline"],
    "measured at every iteration": ["--evaluation.every=1"],
    "measured at the end only": ["--evaluation.every=1000"],
    "every image asked": ["--evaluation.queries=all"],
    "a feature space": [
        "--evaluation.semantic=efficientnet_lite0",
        "--evaluation.semantic_every=4",
    ],
    "held-out images": ["--evaluation.held_out=true"],
    "a birthday test": ["--evaluation.birthday=8"],
    "a diagnosis": ["--diagnosis.every=2"],
    "a probe": ["--probe.every=4", "--probe.images=200"],
    "gradient noise": ["--gradient_noise.every=4"],
    "other checkpoints": ["--checkpoint_every=5"],
    "a stop rule": ["--stop_rule.stop=true", "--stop_rule.after=1000"],
    "any kernels": ["--deterministic=false"],
}
"""What accompanies a run, or looks at it."""


def numbers(folder: Path) -> dict[str, Any]:
    """Weights, the average, optimisers, of the end."""
    content = torch.load(folder / "checkpoints" / "step=12.ckpt", weights_only=True)
    state = dict(content["state_dict"])
    for i, optimizer in enumerate(content["optimizer_states"]):
        for j, moments in optimizer["state"].items():
            state |= {f"adam.{i}.{j}.{name}": value for name, value in moments.items()}
    return state


def assert_same(ours: Path, reference: tuple[Path, float]) -> None:
    theirs = reference[0]
    one, other = numbers(ours), numbers(theirs)
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    with np.load(ours / "samples.npz") as samples, np.load(theirs / "samples.npz") as others:
        assert samples["generated"].tobytes() == others["generated"].tobytes()
    last, before = (read_record(f / "record.json").history[-1] for f in (ours, theirs))
    assert last.digests == before.digests
    if last.metrics.keys() == before.metrics.keys():
        assert last == before


@pytest.mark.parametrize("what", NO_MATTER)
def test_what_does_not_matter(
    what: str,
    forge: Any,
    fit: list[str],
    reference: tuple[Path, float],
    tmp_path: Path,
    tally: Callable[..., None],
) -> None:
    log = tmp_path / "log"
    status = forge.start([*fit, *NO_MATTER[what]], cwd=tmp_path, log=log).wait()
    assert status == 0, log.read_text()
    if what == "every image asked":  # other queries, other metrics
        (tmp_path / "run" / "record.json").unlink()
        shutil.copy(reference[0] / "record.json", tmp_path / "run")
    assert_same(tmp_path / "run", reference)
    tally("same bits, whatever accompanies the run")


@pytest.mark.parametrize("weather", ["seeds", "clock"])
def test_global_seeds_and_the_clock_do_not_matter(
    weather: str,
    forge: Any,
    fit: list[str],
    reference: tuple[Path, float],
    tmp_path: Path,
    tally: Callable[..., None],
) -> None:
    log = tmp_path / "log"
    running = forge.start(fit, cwd=tmp_path, log=log, weather=weather)
    assert running.wait() == 0, log.read_text()
    assert_same(tmp_path / "run", reference)
    assert 0.0 < read_record(tmp_path / "run" / "record.json").seconds < 600.0
    tally("same bits, whatever accompanies the run")


def test_another_seed_does_matter(
    forge: Any, fit: list[str], reference: tuple[Path, float], tmp_path: Path
) -> None:
    words = [*fit, "--seed_everything=1"]
    assert forge.start(words, cwd=tmp_path, log=tmp_path / "log").wait() == 0
    with pytest.raises(AssertionError):
        assert_same(tmp_path / "run", reference)


@pytest.mark.parametrize("micro_batch", [1, 7, 16, 64])
def test_parts_of_a_batch_do_not_matter_but_for_rounding(
    micro_batch: int, forge: Any, fit: list[str], tmp_path: Path, tally: Callable[..., None]
) -> None:
    """In 64 bits, at m = n = 64, against the whole batch at once."""
    words = [*fit, "--data.m=n", "--trainer.precision=64-true"]
    for out, size in (("whole", "null"), ("parts", micro_batch)):
        log = tmp_path / "log"
        running = forge.start(
            [*words, f"--out={out}", f"--model.micro_batch={size}"], cwd=tmp_path, log=log
        )
        assert running.wait() == 0, log.read_text()
    one, other = numbers(tmp_path / "whole"), numbers(tmp_path / "parts")
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, rtol=1e-9, atol=1e-11)
    ours, theirs = (read_record(tmp_path / f / "record.json") for f in ("whole", "parts"))
    assert ours.metrics == pytest.approx(theirs.metrics, rel=1e-9)
    tally("same result in parts of a batch, in float64")


def test_verified_in_processes_of_its_own(
    reference: tuple[Path, float], tmp_path: Path, tally: Callable[..., None]
) -> None:
    """Nothing is forked here, and Python hashes otherwise."""
    command = [sys.executable, "-m", "ganstoch.cli", "verify", str(reference[0]), "--out=again"]
    environment = os.environ | {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("bit-identical: "), done.stdout
    assert_same(tmp_path / "again", reference)

    content = json.loads((reference[0] / "record.json").read_bytes())
    content["history"][1]["digests"]["average"] = "0" * 16
    (tmp_path / "record.json").write_text(json.dumps(content))
    command = [*command[:4], "record.json", "--out=once_more"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1] == "first differs at iteration 8: average"
    tally("verified from the record alone, bit-identical")
