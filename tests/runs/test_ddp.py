"""A run that cannot be shared among devices is refused before a process is started or a file made.

What can be is played in tests/training/test_ranks.py and tests/trust/test_ranks.py.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning.strategies import DDPStrategy, StrategyRegistry

from ganstoch.cli import main
from ganstoch.runs.settings import understand
from ganstoch.training.distributed import Ranks

LINE = ["--config=mini", "--wandb.mode=disabled", "--trainer.accelerator=cpu"]


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (
            ["--remedy=minibatch_discrimination"],
            "MinibatchDiscrimination looks at a whole batch at once, and each of 2 devices",
        ),
        (["--data.m=1"], "data.m is 1, too few for 2 devices"),
        (["--diagnosis.every=5"], "diagnosis measures on one device, and there are 2"),
        (["--probe.every=5"], "probe measures on one device, and there are 2"),
        (["--gradient_noise.every=5"], "gradient_noise measures on one device, and there are 2"),
        (["--trainer.strategy=ddp_spawn"], "trainer.strategy ddp_spawn is not offered"),
    ],
)
def test_refused_in_one_line(
    words: list[str],
    refusal: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", never)
    out = tmp_path / "run"
    assert main(["fit", *LINE, *words, "--trainer.devices=2", f"--out={out}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"ganstoch: {refusal}")
    assert not out.exists()


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("strategy", ["auto", "ddp"])
def test_several_devices_share_our_way(devices: int, strategy: str) -> None:
    theirs = StrategyRegistry["ddp"]
    command = understand([*LINE, f"--trainer.devices={devices}", f"--trainer.strategy={strategy}"])
    command.build([])
    shared = devices > 1 or strategy == "ddp"
    assert isinstance(command.trainer.strategy, Ranks) == shared
    assert command.trainer.world_size == devices
    assert StrategyRegistry["ddp"] == theirs
    assert StrategyRegistry.get("ddp").__class__ is DDPStrategy
