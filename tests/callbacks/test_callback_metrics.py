"""What we measure is in `trainer.callback_metrics`, under its own name, on every rank."""

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from ganstoch import Diagnosis, NeighbourMonitor
from ganstoch.callbacks.evaluation import Evaluation
from ganstoch.callbacks.gradient_noise import GradientNoise, GradientNoiseSettings
from ganstoch.callbacks.probe import Probe, ProbeSettings
from ganstoch.callbacks.progress import LossLogger

Make = Callable[..., Any]


@pytest.mark.parametrize("logged", [True, False])
def test_every_metric_that_a_logger_gets_is_there_and_without_a_logger_too(
    logged: bool, run: Make, journalist: Any, tmp_path: Path
) -> None:
    callbacks = [
        LossLogger(),
        Evaluation(every=2, queries=8, semantic=None, birthday=8, held_out=True),
        Diagnosis(every=2, images=16),
        Probe(ProbeSettings(every=2, images=40), tmp_path / "probe.json"),
        GradientNoise(GradientNoiseSettings(every=2), tmp_path / "noise.json"),
    ]
    trainer = run(*callbacks, steps=4, loggers=[journalist] if logged else [])
    metrics = trainer.callback_metrics
    kinds = {name.partition("/")[0] for name in metrics}
    assert kinds >= {"loss", "overfitting", "held_out_drop", "birthday", "diagnosis", "probe"}
    assert any("noise" in name for name in metrics)
    assert all(isinstance(value, Tensor) and value.ndim == 0 for value in metrics.values())
    latest: dict[str, float] = {}
    for _, values in journalist.metrics:
        latest |= values
    assert latest.keys() == (metrics.keys() if logged else set())
    assert {name: metrics[name].item() for name in latest} == pytest.approx(latest)


class Module(LightningModule):
    """Learns a constant picture, by epochs of Lightning's own loop."""

    def __init__(self) -> None:
        super().__init__()
        self.picture = nn.Parameter(torch.full((1, 4, 4), -1.0))

    def sample(self, n: int) -> Tensor:
        return self.picture.expand(n, -1, -1, -1) + torch.linspace(0, 0.1, n).view(-1, 1, 1, 1)

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        return (batch[0] - self.picture).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.05)


@pytest.mark.parametrize("epochs", [True, False])
def test_checkpoints_and_early_stop_of_any_module_follow_them(epochs: bool, tmp_path: Path) -> None:
    rng = torch.Generator().manual_seed(0)
    real = torch.rand(64, 1, 4, 4, generator=rng) * 2 - 1
    name = "overfitting/pixel_l1/mean"
    monitor = NeighbourMonitor(every=4, images=32, queries=32, real=real)
    when: dict[str, Any] = {} if epochs else {"every_n_train_steps": 4}
    keep = ModelCheckpoint(
        tmp_path, filename="{step}", monitor=name, save_weights_only=True, **when
    )
    stop = EarlyStopping(name, patience=1, min_delta=1e6)
    with warnings.catch_warnings(action="ignore"):
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=9,
            logger=False,
            callbacks=[monitor, keep, stop],
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=1,
        )
        trainer.fit(Module(), DataLoader(TensorDataset(real), batch_size=16))
    values = dict((step, metrics[name]) for step, metrics in monitor.history)
    assert trainer.global_step == 8  # two epochs: the second is no better
    best = min(values, key=lambda step: values[step])
    assert Path(keep.best_model_path).name == f"step={best}.ckpt"
    assert keep.best_model_score is not None
    assert keep.best_model_score.item() == pytest.approx(values[best])


@pytest.mark.foreign
def test_the_other_distribution_of_lightning_takes_the_callbacks(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    code = """
import sys, torch
from lightning.pytorch.cli import LightningCLI, LightningModule
from torch.utils.data import DataLoader, TensorDataset

REAL = torch.rand(64, 1, 4, 4) * 2 - 1

class Module(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.picture = torch.nn.Parameter(torch.zeros(1, 4, 4))
    def sample(self, n):
        return self.picture.expand(n, -1, -1, -1) + torch.randn(n, 1, 4, 4)
    def training_step(self, batch, index):
        return (batch[0] - self.picture).square().mean()
    def train_dataloader(self):
        return DataLoader(TensorDataset(REAL), batch_size=16)
    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())

cli = LightningCLI(Module, run=False, save_config_callback=None, args=[
    "--trainer.callbacks=ganstoch.Diagnosis", "--trainer.callbacks.every=2",
    "--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=diagnosis/diversity",
    "--trainer.max_epochs=2", "--trainer.accelerator=cpu", "--trainer.logger=CSVLogger",
    "--trainer.logger.save_dir=log", "--trainer.enable_checkpointing=false"])
diagnosis = cli.trainer.callbacks[0]
diagnosis.real = REAL
cli.trainer.fit(cli.model)
assert [s.iteration for s in diagnosis.history] == [2, 4, 6, 8]
assert "diagnosis/diversity" in cli.trainer.callback_metrics
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "diagnosis/diversity" in next(tmp_path.rglob("metrics.csv")).read_text()
