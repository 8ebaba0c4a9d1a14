"""Our game and the plain one with the same numbers in them."""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ganstoch import randomness
from ganstoch.bench.reference import Reference
from ganstoch.models import PaperDiscriminator, PaperGenerator
from ganstoch.models.blocks import LatentConv, SpectralConv2d, UpsampleConv
from ganstoch.models.convolution import Forms
from ganstoch.training.exact_batch import Part, split
from ganstoch.training.game import AdamSettings, Game
from ganstoch.types import Batch, to_signed

__all__ = ["differences", "draw", "make_game", "make_reference", "parts_of", "set_everywhere"]

LR, DECAY = 1e-4, 0.999


def make_game(*, latent_dim: int, width: int, micro_batch: int | None = None) -> Game:
    """The paper's networks in our game, not settled yet."""
    return Game(
        partial(PaperGenerator, latent_dim=latent_dim, width=width),
        partial(PaperDiscriminator, width=width),
        optimizer=AdamSettings(lr=LR),
        ema_decay=DECAY,
        micro_batch=micro_batch,
    )


def make_reference(game: Game, *, latent_dim: int, width: int) -> Reference:
    """The plain loop with the weights and start vectors of a game that has not begun."""
    with torch.random.fork_rng(devices=[]):  # its layers draw from the global stream
        plain = Reference(latent_dim=latent_dim, width=width, lr=LR, decay=DECAY)
    dtype = next(game.parameters()).dtype
    for network in (plain.g, plain.d, plain.average):
        network.to(dtype)
    with torch.no_grad():
        for network, ours in ((plain.g, game.generator), (plain.average, game.average)):
            for kept, given in zip(network.parameters(), _generator(ours), strict=True):
                kept.copy_(given)
        norms = [m for m in plain.d.modules() if isinstance(m, parametrize.ParametrizationList)]
        convolutions = [m for m in plain.d if isinstance(m, nn.Conv2d)]
        for norm, stock, layer in zip(norms, convolutions, _layers(game), strict=True):
            norm.original.copy_(layer.weight)
            cast(Tensor, norm[0].u).copy_(layer.u)
            cast(Tensor, norm[0].v).copy_(layer.v)
            cast(Tensor, stock.bias).copy_(cast(Tensor, layer.bias))
    return plain


def draw(m: int, latent_dim: int, *, iteration: int) -> tuple[Batch, Tensor]:
    """Random images and latents of one iteration."""
    rng = randomness.generator(0, "data", iteration)
    pixels = randomness.with_replacement(256, m * 3072, rng).to(torch.uint8).view(m, 3, 32, 32)
    batch = Batch(pixels=pixels, ids=torch.arange(m), size=m)
    return batch, randomness.normal((m, latent_dim), randomness.generator(0, "latent", iteration))


def parts_of(batch: Batch, z: Tensor, *, game: Game) -> list[Part]:
    """A batch as the game takes it."""
    assert game.micro_batch != "auto"
    dtype = next(game.parameters()).dtype
    return split(batch, z, micro_batch=game.micro_batch, dtype=dtype)


def differences(
    *, latent_dim: int, width: int, m: int, iterations: int, micro_batch: int | None, forms: str
) -> dict[str, float]:
    """How far our game is from the plain one after some iterations in float64.

    Args:
        latent_dim: length of a latent.
        width: of both networks.
        m: batch size.
        iterations: how many are played.
        micro_batch: of our game.
        forms: of every layer of ours that has them, forward/grad_input/grad_weight; a layer with
            a stride takes "direct" for "taps".

    Returns:
        Largest absolute differences: ``weights``, ``losses``, ``images``.
    """
    game = make_game(latent_dim=latent_dim, width=width, micro_batch=micro_batch).double()
    plain = make_reference(game, latent_dim=latent_dim, width=width)
    set_everywhere(game, forms)
    optimizers = game.configure_optimizers()
    losses = 0.0
    for iteration in range(iterations):
        batch, z = draw(m, latent_dim, iteration=iteration)
        game.play(parts_of(batch, z, game=game), *optimizers, iteration=iteration)
        theirs = plain.play(
            to_signed(batch.pixels, dtype=torch.float64), z.double(), iteration=iteration
        )
        for ours, other in zip(game.losses.values(), theirs, strict=True):
            losses = max(losses, (ours - other).abs().item())
    twin = make_reference(game, latent_dim=latent_dim, width=width)  # what ours has come to
    weights = max(
        (one - other).abs().max().item()
        for ours, theirs in ((twin.g, plain.g), (twin.d, plain.d), (twin.average, plain.average))
        for one, other in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True)
    )
    with torch.no_grad():
        made = game.average(z.double()), game.generator(z.double())
        other_made = plain.average(z.double()), plain.g(z.double())
    images = max((a - b).abs().max().item() for a, b in zip(made, other_made, strict=True))
    return {"weights": weights, "losses": losses, "images": images}


def set_everywhere(game: Game, forms: str) -> None:
    """Gives every layer these forms; one with a stride takes "direct" for "taps"."""
    for module in game.modules():
        if isinstance(module, UpsampleConv | SpectralConv2d):
            text = forms if module.geometry.has_taps else forms.replace("taps", "direct")
            module.forms = Forms.read(text)


def _generator(network: nn.Module) -> list[Tensor]:
    """Parameters as the stock layers have them."""
    first = next(m for m in network.modules() if isinstance(m, LatentConv))
    return [first.kernel, *list(network.parameters())[1:]]


def _layers(game: Game) -> list[SpectralConv2d]:
    return [m for m in game.discriminator.modules() if isinstance(m, SpectralConv2d)]
