"""Measures beside the evaluation, from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganstoch.errors import UserError
from ganstoch.runs.fit import fit


def test_a_run_is_diagnosed_and_leaves_its_signals(tmp_path: Path) -> None:
    words = ["--config=mini", "--data.n=64", "--trainer.max_steps=4", "--diagnosis.every=2"]
    words += [f"--model.{player}.init_args.width=16" for player in ("generator", "discriminator")]
    words += ["--evaluation.semantic=null", "--wandb.mode=disabled", "--quiet=true"]
    out = fit([*words, f"--out={tmp_path / 'run'}"])
    assert (out / "diagnosis.json").exists()
    with pytest.raises(UserError, match=r"a run with other settings \(diagnosis"):
        fit([*words, "--diagnosis.every=1", f"--out={out}"])
