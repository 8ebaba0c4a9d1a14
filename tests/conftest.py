"""Games small enough to be played in a test."""

import gzip
import multiprocessing
import os
import socket
import struct
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.loggers import Logger
from torch import Tensor

from ganstoch.data import Digits
from ganstoch.data.datamodule import ImageData
from ganstoch.diagnosis import VERDICTS, Diagnosed, Finding, Signals, Verdict
from ganstoch.latents import LatentSettings
from ganstoch.models import PaperDiscriminator, PaperGenerator, convolution
from ganstoch.models.convolution import Form, Geometry
from ganstoch.training.distributed import Ranks
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
        *, bank: Any = "n", noise: float = 0.0, width: int = 16, lr: float = 1e-3, **others: Any
    ) -> GAN:
        return GAN(
            partial(PaperGenerator, width=width, latent_dim=8),
            partial(PaperDiscriminator, width=width),
            latents=LatentSettings(bank=bank, noise=noise),
            optimizer=AdamSettings(lr=lr),
            **({"ema_decay": 0.9} | others),
        )

    return make


@pytest.fixture
def use_form(monkeypatch: pytest.MonkeyPatch) -> Callable[[Form], None]:
    """Has every convolution computed like this, taps only where there is no stride."""

    def use(form: Form) -> None:
        def chosen(geometry: Geometry, weight: Tensor, device: torch.device) -> Form:
            return form if geometry.has_taps or form != "taps" else "direct"

        monkeypatch.setattr(convolution, "conv_form", chosen)

    return use


@pytest.fixture
def make_data() -> Callable[..., ImageData]:
    """64 handwritten digits."""
    return partial(ImageData, Digits(), n=64, m=16)


@pytest.fixture
def write_grey() -> Callable[..., None]:
    """Writes images in files as MNIST is published, labelled 0, 1, .., 9, 0, .. by brightness."""

    def write(folder: Path, *, zipped: bool = False, **counts: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        for prefix, count in counts.items():
            labels = np.arange(count, dtype=np.uint8) % 10
            grey = labels[:, None, None] * 25 + rng.integers(0, 9, (count, 28, 28), np.uint8)
            for kind, values in (("images-idx3-ubyte", grey), ("labels-idx1-ubyte", labels)):
                head = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
                content = head + values.tobytes()
                path = folder / f"{prefix}-{kind}{'.gz' * zipped}"
                path.write_bytes(gzip.compress(content) if zipped else content)

    return write


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
        devices: int = 1,
        **settings: Any,
    ) -> Trainer:
        with warnings.catch_warnings():
            for message in UNRELATED:
                warnings.filterwarnings("ignore", message=message)
            trainer = Trainer(
                accelerator="cpu",
                devices=devices,
                strategy=Ranks() if devices > 1 else "auto",
                max_epochs=-1,
                max_steps=steps,
                logger=list(loggers) or False,
                callbacks=list(callbacks),
                enable_checkpointing=any(isinstance(c, Checkpoint) for c in callbacks),
                enable_progress_bar=False,
                enable_model_summary=False,
                default_root_dir=tmp_path,
                **{"log_every_n_steps": 1, **settings},
            )
            trainer.fit(gan, datamodule=data, ckpt_path=resume, weights_only=True)
        return trainer

    return fit


@pytest.fixture
def diagnosing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has every measurement from the third on show some verdicts, surer each time."""

    def diagnosing(*verdicts: Verdict) -> None:
        def finding(name: Verdict, count: int) -> Finding:
            sure = 1.0 if name == "non_finite" else 1 - 2.0**-count
            return Finding(verdict=name, since=1, sure=sure, evidence=("seen",), remedies=())

        def diagnose(history: Sequence[Signals], known: object = None) -> Diagnosed:
            count, names = len(history), sorted(verdicts, key=VERDICTS.index)
            findings = tuple(finding(name, count) for name in names if count > 2)
            return Diagnosed(iteration=history[-1].iteration, findings=findings)

        monkeypatch.setattr("ganstoch.diagnosis.history.diagnose", diagnose)

    return diagnosing


@pytest.fixture
def state_of() -> Callable[[Trainer], dict[str, Tensor]]:
    """Every number that training has made: weights, start vectors, the average, Adam's moments."""

    def state_of(trainer: Trainer) -> dict[str, Tensor]:
        state = dict(trainer.lightning_module.state_dict())
        for player, optimizer in zip("dg", trainer.optimizers, strict=True):
            for i, moments in optimizer.state_dict()["state"].items():
                state |= {f"adam.{player}.{i}.{name}": value for name, value in moments.items()}
        return {name: value.clone() for name, value in state.items()}

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
            place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
        place |= {"NODE_RANK": "0", "WORLD_SIZE": str(world)}
        files = [tmp_path / f"rank{rank}.pt" for rank in range(world)]

        def work_as(rank: int) -> None:
            os.environ |= {**place, "LOCAL_RANK": str(rank)}
            torch.save(work(), files[rank])
            os._exit(0)

        fork = multiprocessing.get_context("fork")
        ranks = [fork.Process(target=work_as, args=(rank,)) for rank in range(world)]
        with warnings.catch_warnings(action="ignore"):  # of forks beside threads
            for process in ranks:
                process.start()
        deadline = time.monotonic() + 120
        while any(process.exitcode is None for process in ranks):
            time.sleep(0.01)
            if time.monotonic() > deadline or any(process.exitcode for process in ranks):
                break
        for process in ranks:  # those that wait for ever, once another has failed
            process.kill()
            process.join()
        assert [process.exitcode for process in ranks] == [0] * world, "see what they printed"
        return [torch.load(file, weights_only=True) for file in files]

    return on_ranks
