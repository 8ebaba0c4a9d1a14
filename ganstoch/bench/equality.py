"""Our training step against the plain loop, from the same weights on the same draws."""

from dataclasses import replace
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ganstoch.bench.reference import Reference
from ganstoch.models import PaperDiscriminator, PaperGenerator
from ganstoch.models.layers import LatentConv, SpectralConv2d
from ganstoch.rng import normal, rng_for, with_replacement
from ganstoch.training.gan import GAN
from ganstoch.training.micro_batch import split
from ganstoch.types import Batch, MicroBatch, to_signed

MICRO_BATCHES = {"whole batches": None, "micro-batches of 3": 3}  # of a batch of 8
TOLERANCE = 1e-9


def make_gan(*, latent_dim: int, width: int, micro_batch: int | None = None) -> GAN:
    """The paper's networks as a `GAN`."""
    return GAN(
        partial(PaperGenerator, latent_dim=latent_dim, width=width),
        partial(PaperDiscriminator, width=width),
        ema_decay=0.5,  # the ramp up to it ends at iteration 10
        micro_batch=micro_batch,
    )


def make_reference(gan: GAN) -> Reference:
    """The plain loop with the settings, weights and spectral norms of a `GAN`."""
    with torch.random.fork_rng(devices=[]):  # its layers draw from the global stream
        plain = Reference(
            latent_dim=gan.generator.latent_dim,
            width=len(_first(gan.generator).bias),
            lr=gan.settings.lr,
            decay=gan.average.decay,
        )
    dtype = next(gan.parameters()).dtype
    for network in (plain.g, plain.d, plain.average):
        network.to(dtype)
    with torch.no_grad():
        for network, ours in ((plain.g, gan.generator), (plain.average, gan.average)):
            weights = [_first(ours).kernel, *list(ours.parameters())[1:]]  # as stock layers have it
            for target, source in zip(network.parameters(), weights, strict=True):
                target.copy_(source)
        norms = [m for m in plain.d.modules() if isinstance(m, parametrize.ParametrizationList)]
        convolutions = [m for m in plain.d if isinstance(m, nn.Conv2d)]
        layers = [m for m in gan.discriminator.modules() if isinstance(m, SpectralConv2d)]
        for norm, stock, layer in zip(norms, convolutions, layers, strict=True):
            norm.original.copy_(layer.weight)
            cast(Tensor, norm[0].u).copy_(layer.u)
            cast(Tensor, norm[0].v).copy_(layer.v)
            cast(Tensor, stock.bias).copy_(cast(Tensor, layer.bias))
    return plain


def draw(m: int, latent_dim: int, *, iteration: int) -> tuple[Batch, Tensor]:
    """Random images and latents of one iteration."""
    pixels = with_replacement(256, m * 3072, rng_for(0, "data", iteration)).to(torch.uint8)
    batch = Batch(pixels=pixels.view(m, 3, 32, 32), ids=torch.arange(m), size=m)
    return batch, normal((m, latent_dim), rng_for(0, "latent", iteration))


def parts_of(batch: Batch, z: Tensor, *, gan: GAN) -> list[MicroBatch]:
    """A batch as `GAN.train_iteration` takes it."""
    assert gan.micro_batch != "auto"
    return split(batch, z, micro_batch=gan.micro_batch, dtype=next(gan.parameters()).dtype)


class Contest:
    """An iteration of ours and one of the plain loop on the same batch of m, where the GAN is."""

    def __init__(self, gan: GAN, plain: Reference | None, m: int) -> None:
        self.gan, self.plain, device = gan, plain, next(gan.parameters()).device
        batch, z = draw(m, gan.generator.latent_dim, iteration=0)
        self.batch, self.z = replace(batch, pixels=batch.pixels.to(device)), z.to(device)
        self.optimizers = gan.configure_optimizers()
        self.autocast = partial(torch.autocast, device.type, torch.bfloat16)

    def ours(self, *, mixed: bool = False) -> None:
        """One iteration of the GAN, in float32 or bf16-mixed."""
        with self.autocast(enabled=mixed):
            parts = parts_of(self.batch, self.z, gan=self.gan)
            self.gan.train_iteration([parts], *self.optimizers, iteration=9)

    def theirs(self, *, mixed: bool = False) -> None:
        """One iteration of the plain loop."""
        assert self.plain is not None
        with self.autocast(enabled=mixed):
            self.plain.train_iteration(to_signed(self.batch.pixels), self.z, iteration=9)


def differences(gan: GAN, *, m: int, iterations: int) -> dict[str, float]:
    """Trains an untrained `GAN` and the plain loop; the largest absolute differences of both."""
    plain, optimizers = make_reference(gan), gan.configure_optimizers()
    dtype, losses = next(gan.parameters()).dtype, 0.0
    for iteration in range(iterations):
        batch, z = draw(m, gan.generator.latent_dim, iteration=iteration)
        gan.train_iteration([parts_of(batch, z, gan=gan)], *optimizers, iteration=iteration)
        real, z = to_signed(batch.pixels, dtype=dtype), z.to(dtype)
        theirs = plain.train_iteration(real, z, iteration=iteration)
        for ours, other in zip(gan.losses.values(), theirs, strict=True):
            losses = max(losses, (ours - other).abs().item())
    twin = make_reference(gan)  # what ours has come to
    weights = max(
        (one - other).abs().max().item()
        for ours, theirs in ((twin.g, plain.g), (twin.d, plain.d), (twin.average, plain.average))
        for one, other in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True)
    )
    with torch.no_grad():
        pairs = ((gan.average(z), plain.average(z)), (gan.generator(z), plain.g(z)))
    images = max((a - b).abs().max().item() for a, b in pairs)
    return {"weights": weights, "losses": losses, "images": images}


def equality() -> dict[str, float]:
    """For each of `MICRO_BATCHES` the largest difference to the plain loop after 20 iterations."""
    largest = {}
    for name, micro_batch in MICRO_BATCHES.items():
        gan = make_gan(latent_dim=16, width=128, micro_batch=micro_batch).double()
        largest[name] = max(differences(gan, m=8, iterations=20).values())
    return largest


def _first(network: nn.Module) -> LatentConv:
    return next(m for m in network.modules() if isinstance(m, LatentConv))
