"""What callbacks with an interval share: when they measure, resuming, and no trace in training."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from ganstoch import Diagnosis, NeighbourMonitor
from ganstoch.callbacks.evaluation import Evaluation, StopRule
from ganstoch.callbacks.gradient_noise import GradientNoise, GradientNoiseSettings
from ganstoch.callbacks.probe import Probe, ProbeSettings
from ganstoch.callbacks.progress import Periodic
from ganstoch.errors import UserError

Make = Callable[..., Any]


class Times(Periodic):
    """Notes when it is to measure."""

    at_start = True

    def __init__(self, every: int) -> None:
        super().__init__(every, name="times")
        self.seen: list[int] = []

    def measure(self, trainer: Trainer, module: LightningModule, iteration: int) -> None:
        assert iteration == trainer.global_step
        assert not self.is_end or iteration == trainer.max_steps
        self.seen.append(iteration)

    def is_measured(self, iteration: int) -> bool:
        return iteration in self.seen


@pytest.mark.parametrize(
    ("every", "steps", "at"), [(1, 2, [0, 1, 2]), (2, 5, [0, 2, 4, 5]), (9, 2, [0, 2])]
)
def test_measures_the_interval_and_ends(run: Make, every: int, steps: int, at: list[int]) -> None:
    times = Times(every)
    run(times, steps=steps)
    assert times.seen == at


REFUSED: dict[str, Callable[[], Callback]] = {
    "times.every": lambda: Times(0),
    "diagnosis.images": lambda: Diagnosis(images=4),
    "gradient_noise.draws": lambda: GradientNoise(GradientNoiseSettings(1, draws=1), Path()),
    "probe.images": lambda: Probe(ProbeSettings(1, images=1), Path()),
    "stop_rule.window": lambda: StopRule(window=0),
    "stop_rule.threshold": lambda: StopRule(threshold=math.nan),
}


@pytest.mark.parametrize("key", REFUSED)
def test_a_setting_out_of_range_is_named(key: str) -> None:
    with pytest.raises(UserError, match=re.escape(key)):
        REFUSED[key]()


def evaluation(folder: Path) -> Evaluation:
    return Evaluation(every=2, queries=4, semantic=None, held_out=True, birthday=4)


def probe(folder: Path) -> Probe:
    return Probe(ProbeSettings(every=2, images=40), folder / "file.json")


def gradient_noise(folder: Path) -> GradientNoise:
    return GradientNoise(GradientNoiseSettings(every=2), folder / "file.json")


def diagnosis(folder: Path) -> Diagnosis:
    return Diagnosis(every=2, images=16, path=folder / "file.json")


def monitor(folder: Path) -> NeighbourMonitor:
    return NeighbourMonitor(every=2, images=16, queries=4)


CALLBACKS = pytest.mark.parametrize(
    "make", [evaluation, probe, gradient_noise, diagnosis, monitor], ids=lambda make: make.__name__
)


@CALLBACKS
def test_measuring_changes_no_bit_of_training(
    make: Make, run: Make, state_of: Make, assert_same_bits: Make, make_losses: Make, tmp_path: Path
) -> None:
    states, others = [], []
    for callbacks in ([], [make(tmp_path)]):
        losses = make_losses()
        torch.manual_seed(0)
        states.append(state_of(run(*callbacks, losses, steps=4)))
        others.append((losses.trace, torch.rand(1).item()))  # of the RNG that everybody shares
    assert_same_bits(*states)
    assert others[0] == others[1]


@CALLBACKS
@pytest.mark.parametrize("killed_after", [3, 5])
def test_a_resumed_run_has_measured_the_same(
    run: Make, make: Make, killed_after: int, keep: Make, tmp_path: Path
) -> None:
    whole, resumed = make(tmp_path / "whole"), make(tmp_path / "resumed")
    run(whole, keep(), steps=5)
    run(make(tmp_path / "first"), keep(tmp_path / "k"), steps=3)
    folder = tmp_path / "k" if killed_after == 3 else tmp_path
    checkpoint = folder / f"step={killed_after}.ckpt"
    run(resumed, steps=5, resume=checkpoint)
    if whole.path is not None:
        assert resumed.path.read_bytes() == whole.path.read_bytes()
    else:
        assert resumed.history == whole.history
        assert resumed.baseline == whole.baseline
