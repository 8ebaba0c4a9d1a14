"""The callbacks in other people's kinds of modules: a small diffusion model, and a plain DCGAN."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from ganstoch import Diagnosis, NeighbourMonitor
from ganstoch.errors import UserError

SIDE = 8


def pictures(count: int, seed: int) -> Tensor:
    """Bright bars on a dark ground, in [-1, 1], no two alike."""
    rng = torch.Generator().manual_seed(seed)
    images = torch.full((count, 1, SIDE, SIDE), -0.9)
    for image in images:
        row, shade = torch.randint(SIDE, (1,), generator=rng).item(), torch.rand(1, generator=rng)
        image[0, int(row)] = shade
        image[0, :, int(row)] = 1 - shade
    return (images + 0.05 * torch.randn(images.shape, generator=rng)).clamp(-1, 1)


class Diffusion(LightningModule):
    """Denoising diffusion, automatic optimisation, one optimiser, `sample(n)`; no GAN at all."""

    STEPS = 10

    def __init__(self) -> None:
        super().__init__()
        size = SIDE * SIDE
        self.network = nn.Sequential(nn.Linear(size + 1, 64), nn.SiLU(), nn.Linear(64, size))
        self.signal = nn.Buffer(torch.linspace(0.98, 0.05, self.STEPS))

    def noise_of(self, x: Tensor, t: Tensor) -> Any:
        return self.network(torch.cat([x, t[:, None] / self.STEPS], dim=1))

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        x, t = batch[0].flatten(1), torch.randint(self.STEPS, (len(batch[0]),))
        noise, signal = torch.randn_like(x), self.signal[t][:, None]
        noisy = signal.sqrt() * x + (1 - signal).sqrt() * noise
        return nn.functional.mse_loss(self.noise_of(noisy, t), noise)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        x = torch.randn(n, SIDE * SIDE)
        for t in reversed(range(self.STEPS)):
            signal, less = self.signal[t], self.signal[t - 1] if t else torch.ones(())
            noise = self.noise_of(x, torch.full((n,), float(t)))
            clean = ((x - (1 - signal).sqrt() * noise) / signal.sqrt()).clamp(-1, 1)
            x = less.sqrt() * clean + (1 - less).sqrt() * noise
        return x.view(n, 1, SIDE, SIDE)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class PlainDCGAN(LightningModule):
    """Two optimisers stepped by hand through Lightning, batch norm, dropout, logits in a tuple."""

    latent_dim: int | None = 4

    def __init__(self, *, poison_at: int | None = None) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.poison_at = poison_at
        self.generator: Any = nn.Sequential(
            *(nn.Linear(4, 8 * 4 * 4), nn.Unflatten(1, (8, 4, 4)), nn.BatchNorm2d(8), nn.ReLU()),
            *(nn.ConvTranspose2d(8, 1, 4, stride=2, padding=1), nn.Tanh()),
        )
        self.discriminator: Any = nn.Sequential(
            *(nn.Conv2d(1, 8, 4, stride=2, padding=1), nn.LeakyReLU(0.2), nn.Dropout(0.2)),
            *(nn.Flatten(), nn.Linear(8 * 4 * 4, 1)),
        )

    def sample(self, n: int) -> Any:
        return self.generator(torch.randn(n, 4))

    def training_step(self, batch: list[Tensor], index: int) -> None:
        players: Any = self.optimizers()
        optimizer_g, optimizer_d = players  # the other way round from ours
        if index + 1 == self.poison_at:
            with torch.no_grad():
                self.generator[4].weight[0] = torch.nan
        real, judge, soft = batch[0], self.discriminator, nn.functional.softplus
        fake = self.sample(len(real))
        optimizer_d.zero_grad()
        self.manual_backward(soft(-judge(real)).mean() + soft(judge(fake.detach())).mean())
        optimizer_d.step()
        optimizer_g.zero_grad()
        self.manual_backward(soft(-judge(fake)).mean())
        optimizer_g.step()

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        networks = (self.generator, self.discriminator)
        return [torch.optim.Adam(n.parameters(), lr=2e-3, betas=(0.5, 0.9)) for n in networks]


@pytest.fixture
def train(tmp_path: Path) -> Any:
    def train(module: LightningModule, *callbacks: Callback, steps: int, **options: Any) -> Trainer:
        torch.manual_seed(0)
        loader = DataLoader(TensorDataset(pictures(96, 0)), batch_size=16, shuffle=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = Trainer(
                accelerator="cpu",
                max_steps=steps,
                callbacks=list(callbacks),
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                default_root_dir=tmp_path,
                **{"logger": False, "max_epochs": -1, "limit_train_batches": 6} | options,
            )
            trainer.fit(module, loader)
        return trainer

    return train


@pytest.fixture
def data() -> dict[str, Any]:
    return {"real": pictures(96, 0), "held_out": pictures(96, 1)}


def test_a_diffusion_model_is_watched(train: Any, data: dict[str, Any], journalist: Any) -> None:
    monitor = NeighbourMonitor(every=60, images=64, queries=64, **data)
    diagnosis = Diagnosis(every=60, images=32, **data)
    train(Diffusion(), monitor, diagnosis, steps=300, logger=journalist)

    assert [iteration for iteration, _ in monitor.history] == [60, 120, 180, 240, 300]
    first, last = monitor.history[0][1], monitor.history[-1][1]
    assert last["overfitting/pixel_l1/mean"] < first["overfitting/pixel_l1/mean"]
    assert last["mode_drop/pixel_l1/mean"] < first["mode_drop/pixel_l1/mean"]
    assert set(monitor.baseline) == {f"held_out/{name}" for name in last}

    signals = diagnosis.history[-1]
    assert [s.iteration for s in diagnosis.history] == [60, 120, 180, 240, 300]
    assert (signals.diversity or 0.0) > 0.2
    assert signals.closeness is not None
    assert signals.gap is signals.sensitivity is signals.gradient_generator is None
    images = pictures(64, 3)
    given = Diagnosis(every=2, images=32, sample=lambda n: images[:n], **data)
    train(Diffusion(), given, steps=2)
    assert given.history[0].closeness == pytest.approx(1, abs=0.35)
    logged = {name for _, metrics in journalist.metrics for name in metrics}
    assert {"diagnosis/diversity", "held_out/overfitting/pixel_l1/mean"} <= logged


def test_a_plain_dcgan_is_watched_to_its_gradients(train: Any, data: dict[str, Any]) -> None:
    diagnosis = Diagnosis(every=10, images=32, **data)
    train(PlainDCGAN(), diagnosis, steps=120)  # Lightning counts both players' steps
    assert [s.iteration for s in diagnosis.history] == [10, 20, 30, 40, 50, 60]
    for signals in diagnosis.history:
        # It has a latent_dim, a generator and a discriminator.
        assert None not in (signals.sensitivity, signals.separation, signals.gradient_generator)
        assert signals.gradient_discriminator is not None
        assert signals.gradient_generator != signals.gradient_discriminator


def test_a_nan_is_traced_to_its_layer_and_iteration(train: Any, data: dict[str, Any]) -> None:
    diagnosis = Diagnosis(every=10, images=32, act="stop", **data)
    trainer = train(PlainDCGAN(poison_at=5), diagnosis, steps=400)
    assert diagnosis.diagnosed is not None
    assert diagnosis.diagnosed.verdict == "non_finite"
    assert [signals.broken for signals in diagnosis.history] == ["generator.4, iteration 5"]
    assert trainer.should_stop


@pytest.mark.parametrize("module", [Diffusion, PlainDCGAN])
def test_training_goes_the_same_way_watched_or_not(
    module: type[LightningModule], train: Any, data: dict[str, Any]
) -> None:
    def weights(*callbacks: Callback) -> dict[str, Tensor]:
        torch.manual_seed(1)
        one = module()
        train(one, *callbacks, steps=24)
        return one.state_dict()

    alone = weights()
    watched = weights(
        Diagnosis(every=3, images=32, **data), NeighbourMonitor(every=4, images=32, **data)
    )
    assert all(torch.equal(alone[name], watched[name]) for name in alone)


def test_what_cannot_be_watched_is_refused(train: Any, data: dict[str, Any]) -> None:
    class Silent(Diffusion):
        sample = None  # type: ignore[assignment]

    with pytest.raises(UserError, match=r"has no method sample\(n\)"):
        train(Silent(), Diagnosis(**data), steps=1)
    with pytest.raises(UserError, match="give the callback the training images"):
        train(Diffusion(), NeighbourMonitor(), steps=1)


class Conditional(PlainDCGAN):
    """Networks that take a class too; images are made by ``sample(n)`` alone."""

    def __init__(self) -> None:
        super().__init__()
        g, d = self.generator, self.discriminator
        self.generator, self.discriminator = _WithClass(g), _WithClass(d)

    def sample(self, n: int) -> Any:
        return self.generator(torch.randn(n, 4), torch.zeros(n))

    def training_step(self, batch: list[Tensor], index: int) -> None:
        self.losses = nn.ModuleDict()


class _WithClass(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, y: Tensor) -> Any:
        return self.inner(x)


class Convolutional(PlainDCGAN):
    """Latents (n, z, 1, 1), images in a tuple, logits of two scales in a list, losses in one."""

    sample: Any = None
    losses = (1.0, 2.0)

    def __init__(self) -> None:
        super().__init__()
        self.generator = _Outputs(nn.Sequential(nn.ConvTranspose2d(4, 1, SIDE), nn.Tanh()))
        self.discriminator = _Outputs(self.discriminator)

    def training_step(self, batch: list[Tensor], index: int) -> None:
        pass


class _Outputs(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> list[Tensor]:
        return [self.inner(x), x]


class Averaged(PlainDCGAN):
    """Its own ``sample`` is not its generator, whose numbers are no images yet."""

    def sample(self, n: int) -> Any:
        return super().sample(n) / 2 - 0.5

    def training_step(self, batch: list[Tensor], index: int) -> None:
        self.losses = [torch.zeros(3)]


@pytest.mark.parametrize("kind", [Conditional, Convolutional, Averaged])
def test_networks_of_other_forms_are_watched(
    kind: type[PlainDCGAN], train: Any, data: dict[str, Any]
) -> None:
    module, batches = kind(), 4
    diagnosis = Diagnosis(every=2, images=16, **data)
    monitor = NeighbourMonitor(every=2, images=32, queries=8, **data)
    train(module, diagnosis, monitor, steps=-1, limit_train_batches=batches, max_epochs=1)
    assert [signals.iteration for signals in diagnosis.history] == [2, 4]
    assert [iteration for iteration, _ in monitor.history] == [2, 4]
    last = diagnosis.history[-1]
    assert last.closeness is not None
    assert last.loss_discriminator is None
    assert (last.sensitivity is None) == (kind is not Convolutional)
    assert (last.separation is None) == (kind is Conditional)
    assert (diagnosis.monitor.notes == []) == (kind is not Conditional)
    if kind is Averaged:
        assert diagnosis.monitor.looker is not None
        assert diagnosis.monitor.looker.samples is not None
        assert diagnosis.monitor.looker.samples.max() <= 0


def test_a_look_that_fails_later_ends_no_training(
    train: Any, data: dict[str, Any], caplog: Any
) -> None:
    class Fragile(PlainDCGAN):
        latent_dim = None
        calls = 0

        def sample(self, n: int) -> Any:
            self.calls += not self.generator.training
            if 10 < self.calls < 16 and not self.generator.training:
                raise RuntimeError("no memory")
            return self.generator(torch.randn(n, 4))

    diagnosis = Diagnosis(every=1, images=16, **data)
    monitor = NeighbourMonitor(every=1, images=16, queries=8, **data)
    trainer = train(Fragile(), diagnosis, monitor, steps=24)
    assert trainer.global_step == 24
    seen = [signals.closeness is not None for signals in diagnosis.history]
    assert not all(seen)
    assert seen[-1]
    assert 0 < len(monitor.history) < 12
    assert len(diagnosis.monitor.notes) == 1
    assert sum("no memory" in message for message in caplog.messages) == 2  # by each, once


def test_what_fails_at_once_is_refused_before_training(train: Any, data: dict[str, Any]) -> None:
    for sample in (lambda n: 1 / 0, lambda n: torch.zeros(n, 1), lambda n: torch.zeros(3, 1, 8, 8)):
        with pytest.raises(UserError, match="sample"):
            train(PlainDCGAN(), Diagnosis(sample=sample, **data), steps=2)
    with pytest.raises(UserError, match="sample"):
        train(PlainDCGAN(), NeighbourMonitor(sample=lambda n: torch.zeros(1 // 0), **data), steps=2)


def test_samples_of_other_kinds_are_watched(train: Any, data: dict[str, Any]) -> None:
    real = torch.randn(100, 2000)
    diagnosis = Diagnosis(
        every=2,
        images=16,
        real=real,
        sample=lambda n: torch.randn(n, 2000),
        space="waveform",
        sample_rate=8000,
    )
    train(Diffusion(), diagnosis, steps=4)
    assert diagnosis.history[-1].reach == pytest.approx(1, abs=0.2)
