"""Data and GANs of a few numbers, to try remedies on."""

from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from ganstoch import models
from ganstoch.data.subset import draw_ids
from ganstoch.latents import LatentSettings
from ganstoch.models import Discriminator, Generator
from ganstoch.objectives import Objective, Wasserstein
from ganstoch.remedies import Remedy
from ganstoch.remedies.base import DiscriminatorFn, DiscriminatorPass, StepInfo
from ganstoch.rng import normal, rng_for, share, with_replacement
from ganstoch.training.gan import GAN, AdamSettings
from ganstoch.training.micro_batch import split
from ganstoch.types import Batch, MicroBatch, Shape

N, M, CLASSES = 24, 8, 3
CPU = torch.device("cpu")


def make(
    *remedies: Remedy,
    points: bool = True,
    objective: Objective | None = None,
    micro_batch: int | None = None,
    bank: int | str = "n",
    noise: float = 0.0,
    lr: float = 1e-3,
    labelled: bool = True,
) -> GAN:
    """A GAN of points in the plane, or of images, whose data are known: 24 in 3 classes."""
    gan = GAN(
        partial(models.TanhGenerator, latent_dim=3, width=6)
        if points
        else partial(models.PaperGenerator, width=8, latent_dim=8),
        partial(models.TanhDiscriminator, width=6)
        if points
        else partial(models.PaperDiscriminator, width=8),
        objective,
        remedies=remedies,
        latents=LatentSettings(bank=bank, noise=noise),
        optimizer=AdamSettings(lr=lr),
        ema_decay=0.9,
        micro_batch=micro_batch,
        shape=(2,) if points else (1, 32, 32),
    )
    data, labels = world(gan)
    gan.setup_latents(n=N, m=M, pixels=data, labels=labels if labelled else None)
    return gan


def world(gan: GAN) -> tuple[Tensor, Tensor]:
    """All data, points or bytes, and their classes."""
    labels = torch.arange(N) % CLASSES
    rng = rng_for(0, "subset")
    if len(gan.shape) == 1:
        return labels[:, None] + 0.1 * normal((N, 2), rng), labels
    pixels = with_replacement(64, N * 1024, rng).view(N, 1, 32, 32)
    return (pixels + 64 * labels[:, None, None, None]).to(torch.uint8), labels


def draw(gan: GAN, iteration: int) -> list[list[MicroBatch]]:
    """All batches of an iteration, as `GAN.training_step` has them."""
    data, labels = world(gan)
    spec, draws = gan.remedies.spec, []
    m = M * spec.images_factor
    for repeat in range(sum(spec.updates) - 1):
        drawn = draw_ids(
            "with_replacement", count=N, m=m, seed=gan.seed, iteration=iteration, repeat=repeat
        )
        ids = drawn[share(m, group=spec.pack)]
        batch = Batch(data[ids], ids, size=m, labels=labels[ids])
        z = gan.latents.draw(iteration, m, device=CPU, repeat=repeat, group=spec.pack)  # type: ignore[union-attr]
        dtype = next(gan.generator.parameters()).dtype
        parts = split(batch, z, micro_batch=gan.micro_batch, dtype=dtype, group=spec.pack)  # type: ignore[arg-type]
        draws.append(parts)
    return draws


def train(
    gan: GAN, *, iterations: int, start: int = 0, optimizers: Sequence[torch.optim.Optimizer] = ()
) -> list[dict[str, float]]:
    """Trains for some iterations from ``start`` on; their losses."""
    step_d, step_g = optimizers or gan.configure_optimizers()
    losses = []
    for iteration in range(start, start + iterations):
        gan.train_iteration(draw(gan, iteration), step_d, step_g, iteration=iteration)
        losses.append({name: loss.item() for name, loss in gan.losses.items()})
    return losses


def scores(gan: GAN, iteration: int = 0) -> DiscriminatorPass:
    """The discriminator's pass of an iteration's first micro-batch."""
    part = draw(gan, iteration)[0][0]
    fakes = gan.generator(part.latents).detach()
    return gan.discriminate(gan.discriminator, part, fakes, info=StepInfo(0, iteration))


def scores_of(
    critic: DiscriminatorFn, real: Tensor, fakes: Tensor, *, pack: int = 1
) -> DiscriminatorPass:
    """A pass of any critic on examples of any kind, which are a whole batch."""
    ids = torch.arange(len(real))
    part = MicroBatch(real, real, 1.0, ids, None, ids, len(real))
    both = critic(fakes), critic(real)
    return DiscriminatorPass(
        StepInfo(0, 0), part, Generator(), fakes, fakes, real, critic, *both, pack
    )


@pytest.fixture
def tiny() -> SimpleNamespace:
    """``make`` a GAN, ``draw`` its batches, ``train`` it, its ``world`` and ``scores``."""
    functions = (make, draw, train, world, scores, scores_of)
    return SimpleNamespace(n=N, m=M, **{each.__name__: each for each in functions})


class _Point(Generator):
    """One point, whatever the latents."""

    latent_dim = 1

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.empty(1))

    def forward(self, latents: Tensor) -> Tensor:
        return self.theta.expand(len(latents), 1)


class _Slope(Discriminator):
    """The logit psi x."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.body, self.head, self.head_features = nn.Identity(), nn.Linear(1, 1, bias=False), 1


@pytest.fixture
def dirac() -> Callable[..., list[tuple[float, float]]]:
    """Trains the Dirac-GAN of Mescheder et al. 2018, Sec. 2: all data at 0, descent by SGD.

    D minimizes psi theta, G minimizes -psi theta, both float64; (psi, theta) from the start on.
    """

    def train(*remedies: Remedy, lr: float, iterations: int) -> list[tuple[float, float]]:
        gan = GAN(_Point, _Slope, Wasserstein(), remedies=remedies, shape=(1,)).double()
        gan.setup_latents(n=2, m=2, pixels=torch.zeros(2, 1))
        assert gan.latents is not None
        players = (gan.discriminator, gan.generator)
        psi, theta = (next(player.parameters()) for player in players)
        with torch.no_grad():
            psi.fill_(0.5)
            theta.fill_(1.0)
        steps = [torch.optim.SGD(player.parameters(), lr=lr) for player in players]
        path = [(psi.item(), theta.item())]
        for iteration in range(iterations):
            batch = Batch(torch.zeros(2, 1), torch.arange(2), size=2)
            z = gan.latents.draw(iteration, 2, device=CPU)
            parts = split(batch, z, micro_batch=None, dtype=torch.float64)
            draws = [parts] * (sum(gan.remedies.spec.updates) - 1)
            gan.train_iteration(draws, *steps, iteration=iteration)
            path.append((psi.item(), theta.item()))
        return path

    return train
