"""Games small enough to be played in a test."""

from __future__ import annotations

import os
import signal
import socket
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.loggers import Logger
from torch import Tensor

from ganstoch.data import Digits
from ganstoch.data.datamodule import ImageData
from ganstoch.latents import LatentSettings
from ganstoch.models import PaperDiscriminator, PaperGenerator, convolution
from ganstoch.models.convolution import Forms, Geometry
from ganstoch.training.gan import GAN, AdamSettings

# Networks this small lose more by waiting for a second thread than it gives, above all where
# several test processes share the processor. The variable is for FAISS and for tests' processes.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")

UNRELATED = (
    ".*LeafSpec.*is deprecated",
    "Using ModelCheckpoint with manual optimization",
    "GPU available but not used",
    "Be aware that when using `ckpt_path`, callbacks used",
    "Checkpoint directory .* exists and is not empty",
    "Found .* in eval mode at the start of training",
)
"""Warnings of Lightning and torch about themselves, or about what a test does on purpose."""


@pytest.fixture
def make_gan() -> Callable[..., GAN]:
    """A GAN of the paper's networks at a 64th of their width, with the paper's defaults else."""

    def make(
        *,
        width: int = 16,
        bank: int | str = "n",
        noise: float = 0.0,
        seed: int = 0,
        lr: float = 1e-3,
        ema_decay: float = 0.9,
        micro_batch: int | None = None,
    ) -> GAN:
        return GAN(
            partial(PaperGenerator, width=width, latent_dim=8),
            partial(PaperDiscriminator, width=width),
            latents=LatentSettings(bank=bank, noise=noise),
            optimizer=AdamSettings(lr=lr),
            ema_decay=ema_decay,
            micro_batch=micro_batch,
            seed=seed,
        )

    return make


@pytest.fixture
def use_forms(monkeypatch: pytest.MonkeyPatch) -> Callable[[Forms], None]:
    """Has every convolution computed like this, taps only where there is no stride."""

    def use(forms: Forms) -> None:
        def chosen(geometry: Geometry, weight: Tensor, device: torch.device) -> Forms:
            return forms if geometry.has_taps or "taps" not in astuple(forms) else Forms()

        monkeypatch.setattr(convolution, "conv_forms", chosen)

    return use


@pytest.fixture
def make_data() -> Callable[..., ImageData]:
    """64 handwritten digits."""
    return partial(ImageData, Digits(), n=64, m=16)


@pytest.fixture
def fit(tmp_path: Path) -> Callable[..., Trainer]:
    """Plays a GAN as `ganstoch fit` does, for a given number of iterations in all."""

    def fit(
        gan: GAN,
        data: ImageData,
        *callbacks: Callback,
        steps: int,
        resume: Path | None = None,
        loggers: Sequence[Logger] = (),
    ) -> Trainer:
        with warnings.catch_warnings():
            for message in UNRELATED:
                warnings.filterwarnings("ignore", message=message)
            trainer = Trainer(
                accelerator="cpu",
                devices=1,
                max_epochs=-1,
                max_steps=steps,
                logger=list(loggers) or False,
                log_every_n_steps=1,
                callbacks=list(callbacks),
                enable_checkpointing=any(isinstance(c, Checkpoint) for c in callbacks),
                enable_progress_bar=False,
                enable_model_summary=False,
                default_root_dir=tmp_path,
            )
            trainer.fit(gan, datamodule=data, ckpt_path=resume, weights_only=True)
        return trainer

    return fit


@pytest.fixture
def state_of() -> Callable[[Trainer], dict[str, Tensor]]:
    """Every number that training has made: weights, start vectors, the average, Adam's moments."""

    def state_of(trainer: Trainer) -> dict[str, Tensor]:
        state = {
            name: value.clone() for name, value in trainer.lightning_module.state_dict().items()
        }
        for player, optimizer in zip(("d", "g"), trainer.optimizers, strict=True):
            for i, moments in optimizer.state_dict()["state"].items():
                state |= {f"adam.{player}.{i}.{k}": v.clone() for k, v in moments.items()}
        return state

    return state_of


@pytest.fixture
def assert_same_bits() -> Callable[[dict[str, Tensor], dict[str, Tensor]], None]:
    """Compares two states bit by bit, naming what differs."""

    def compare(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
        assert one.keys() == other.keys()
        assert [name for name in one if not torch.equal(one[name], other[name])] == []

    return compare


class Losses(Callback):
    """Both players' losses after every iteration, by its number."""

    def __init__(self) -> None:
        self.trace: dict[int, tuple[float, float]] = {}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, GAN)
        d, g = pl_module.losses["loss/discriminator"], pl_module.losses["loss/generator"]
        self.trace[trainer.global_step] = (d.item(), g.item())


@pytest.fixture
def make_losses() -> Callable[[], Losses]:
    return Losses


class Journalist(Logger):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.metrics: list[tuple[int | None, dict[str, float]]] = []
        self.settings: list[dict[str, Any]] = []

    @property
    def name(self) -> str:
        return "journalist"

    @property
    def version(self) -> str:
        return "0"

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self.settings.append(params)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.metrics.append((step, dict(metrics)))


@pytest.fixture
def journalist() -> Journalist:
    return Journalist()


@pytest.fixture
def on_ranks(tmp_path: Path) -> Callable[..., list[Any]]:
    """Does the same work in several processes, which Lightning takes for ranks; what each returns.

    They are forked, so that nothing is imported again; what they return must be tensors and plain
    values. A rank that fails, or takes more than two minutes, fails the test.
    """

    def on_ranks(work: Callable[[], Any], world: int = 2) -> list[Any]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        files = [tmp_path / f"rank{rank}.pt" for rank in range(world)]
        children = []
        with warnings.catch_warnings(action="ignore"):  # of forks beside threads
            for rank, file in enumerate(files):
                if (child := os.fork()) == 0:
                    _work_as_rank(work, file, rank=rank, world=world, port=port)
                children.append(child)
        deadline = time.monotonic() + 120
        waiting, failed = set(children), False
        while waiting and not failed and time.monotonic() < deadline:
            for child in list(waiting):
                done, status = os.waitpid(child, os.WNOHANG)
                if done:
                    waiting.remove(child)
                    failed = failed or status != 0
            time.sleep(0.01)
        for child in waiting:  # for ever, once another has failed
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        assert not failed, "a rank failed; see what it printed"
        assert not waiting, "a rank takes too long"
        return [torch.load(file, weights_only=True) for file in files]

    return on_ranks


def _work_as_rank(work: Callable[[], Any], file: Path, *, rank: int, world: int, port: int) -> None:
    """Never returns."""
    place = {"LOCAL_RANK": rank, "NODE_RANK": 0, "WORLD_SIZE": world, "MASTER_PORT": port}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", **{name: str(n) for name, n in place.items()}}
    try:
        torch.save(work(), file)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
