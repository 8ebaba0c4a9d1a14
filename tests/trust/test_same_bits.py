"""The same settings, the same bits: in another process, among other company, in bad weather."""

import itertools
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning.cli
import torch

from ganstoch.records import read_record

Make = Callable[..., Any]
PROMISE = "same bits, whatever accompanies the run"
NO_MATTER = {
    "a progress bar": ["--quiet=false"],
    "W&B, every loss logged": ["--trainer.log_every_n_steps=1", "--wandb.mode=offline"],
    "measured at every iteration": ["--evaluation.every=1"],
    "measured at the end only": ["--evaluation.every=1000"],
    "every image asked": ["--evaluation.queries=all"],
    "features": ["--evaluation.semantic=efficientnet_lite0", "--evaluation.semantic_every=4"],
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
    """Weights, the average, optimizers, of the end."""
    content = torch.load(folder / "checkpoints/step=12.ckpt", weights_only=True)
    state = dict(content["state_dict"])
    for i, optimizer in enumerate(content["optimizer_states"]):
        for j, moments in optimizer["state"].items():
            state |= {f"adam.{i}.{j}.{name}": value for name, value in moments.items()}
    return state


def assert_same(ours: Path, theirs: Path, *, metrics: bool = True) -> None:
    one, other = numbers(ours), numbers(theirs)
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    with np.load(ours / "samples.npz") as samples, np.load(theirs / "samples.npz") as others:
        assert samples["generated"].tobytes() == others["generated"].tobytes()
    last, before = (read_record(f / "record.json").history[-1] for f in (ours, theirs))
    assert last.digests == before.digests
    if metrics and last.metrics.keys() == before.metrics.keys():
        assert last == before


@pytest.mark.parametrize("what", NO_MATTER)
def test_what_does_not_matter(what: str, lab: Any, reference: Any, tally: Make) -> None:
    lab.run([*lab.fit, *NO_MATTER[what]])
    assert_same(lab.here / "run", reference[0], metrics=what != "every image asked")
    tally(PROMISE)


def other_seeds() -> None:
    """Python, NumPy and torch have global seeds of their own."""

    def seed_everything(seed: int | None = None, **options: Any) -> int:
        for set_seed in (random.seed, np.random.seed, torch.manual_seed):
            set_seed(os.getpid())
        return seed or 0

    pytorch_lightning.cli.seed_everything = seed_everything  # type: ignore


def clock_back() -> None:
    """The clock is a day earlier every time."""
    days = itertools.count()
    time.time = lambda: 2e9 - 86_400 * next(days)


@pytest.mark.parametrize("weather", [other_seeds, clock_back])
def test_seeds_and_clock_do_not_matter(
    weather: Make, lab: Any, reference: Any, tally: Make
) -> None:
    lab.run(lab.fit, first=weather)
    assert_same(lab.here / "run", reference[0])
    assert 0.0 < read_record(lab.here / "run/record.json").seconds < 600.0
    tally(PROMISE)


def test_another_seed_does_matter(lab: Any, reference: Any) -> None:
    lab.run([*lab.fit, "--seed_everything=1"])
    with pytest.raises(AssertionError):
        assert_same(lab.here / "run", reference[0])


def test_verified_in_processes_of_its_own(reference: Any, tmp_path: Path, tally: Make) -> None:

    def verify(path: Path, out: str) -> str:
        command = [sys.executable, "-m", "ganstoch.cli", "verify", str(path), f"--out={out}"]
        environment = os.environ | {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "2"}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert verify(reference[0], "again").startswith("bit-identical: ")
    assert_same(tmp_path / "again", reference[0])
    content = json.loads((reference[0] / "record.json").read_bytes())
    content["history"][1]["digests"]["average"] = "0" * 16
    (tmp_path / "record.json").write_text(json.dumps(content))
    said = verify(tmp_path / "record.json", "once_more")
    assert said.splitlines()[1] == "first differs at iteration 8: average"
    tally("verified from the record alone, bit-identical")
