"""`gradient_noise` on the command line: what it leaves, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ganstoch.cli import main
from ganstoch.records import read_record
from ganstoch.report.run_files import GRADIENT_NOISE, read_gradient_noise
from ganstoch.runs.settings import resolve_all

Ask = Callable[..., Any]
LINE = ["--config=bimodal", "--data.n=32", "--data.m=8", "--trainer.max_steps=4"]
LINE += ["--evaluation.every=2", "--checkpoint_every=2", "--wandb.mode=disabled", "--quiet=true"]
EVERY = "--gradient_noise.every=2"


def test_only_a_measured_run_is_another_run() -> None:
    lines = [[], ["--gradient_noise=null"], ["--gradient_noise.every=50"]]
    plain, null, asked = resolve_all([["--config", "mini", *line] for line in lines])
    assert null.config_hash == plain.config_hash
    assert asked.config_hash != plain.config_hash
    assert asked.config["gradient_noise"] == {"every": 50, "draws": 4}
    # The hash of every mini run that there was before this setting.
    assert plain.name == "digits-n256-m64-seed0-" + plain.config_hash[:8]


def test_a_measured_run_makes_the_same_numbers(here: Path) -> None:
    assert main(["fit", *LINE, "--out=plain"]) == 0
    assert main(["fit", *LINE, EVERY, "--out=measured"]) == 0
    plain, measured = (read_record(here / name / "record.json") for name in ("plain", "measured"))
    assert plain.history == measured.history
    with np.load("plain/samples.npz") as ours, np.load("measured/samples.npz") as theirs:
        np.testing.assert_array_equal(ours["generated"], theirs["generated"])
    found = read_gradient_noise(here / "measured")
    assert found is not None
    assert [moment.iteration for moment in found.history] == [0, 2, 4]
    assert found.history[-1].generator.noise > 0
    assert not (here / "plain" / GRADIENT_NOISE).exists()


def test_a_finished_run_is_not_taken_for_a_measured_one(here: Path, capfd: Any) -> None:
    assert main(["fit", *LINE, "--out=run"]) == 0
    capfd.readouterr()
    assert main(["fit", *LINE, EVERY, "--out=run"]) == 2
    assert "holds a run with other settings (gradient_noise)" in capfd.readouterr().err
    assert main(["fit", *LINE, EVERY]) == 0  # in a folder of its own name
    assert len(list((here / "runs").glob(f"*/{GRADIENT_NOISE}"))) == 1


def test_a_remedy_that_adds_to_the_gradient_is_refused_in_one_line(here: Path, capfd: Any) -> None:
    assert main(["fit", *LINE, EVERY, "--remedy=r1", "--out=run"]) == 2
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("ganstoch: gradient_noise is exact only where")
    assert "R1" in last
    assert not (here / "run" / "run.json").exists()  # the folder is free for the mended command
