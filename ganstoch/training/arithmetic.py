"""How a game computes: in how many parts, compiled or not. Never what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ganstoch.training.memory import fitting_micro_batch, room_bytes

if TYPE_CHECKING:
    from ganstoch.training.gan import GAN

__all__ = ["configure_kernels"]


def configure_kernels(game: GAN, *, m: int) -> None:
    """Resolves an automatic micro-batch, and compiles the networks if asked to.

    Afterwards ``game.micro_batch`` holds the choice; given to another run as a setting, it makes
    that run repeat this one's sums in the same order.

    Args:
        game: on its device; changed in place.
        m: this rank's share of the logical batch.
    """
    device = next(game.parameters()).device
    if game.micro_batch == "auto" and game.coupled_by:
        game.micro_batch = None
    if game.micro_batch == "auto":
        # Other parts round otherwise, so what happens to be free must not decide where bits matter.
        room = room_bytes(device, steady=torch.are_deterministic_algorithms_enabled())
        game.micro_batch = fitting_micro_batch(game, m=m, room=room)
    if game.compile_mode is not None:
        for network in (game.generator, game.discriminator):
            network.compile(mode=game.compile_mode)
