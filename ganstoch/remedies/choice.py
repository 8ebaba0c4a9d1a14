"""A uniform choice that one coordinate of a latent makes."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["choose"]


def choose(coordinates: Tensor, count: int) -> Tensor:
    """floor(count * Phi(z)): every choice is as likely as any other where z is from N(0, 1).

    A function of the latent and nothing else, so that a latent of the bank makes the same choice
    in training and in measuring. Noise upon the latents is upon this coordinate too: in training
    it may choose otherwise, and the first and the last choice become likelier than the others.

    Args:
        coordinates: one number of each latent, shape (N,).
        count: how many choices there are.

    Returns:
        Numbers from 0 to count - 1, int64, shape (N,).
    """
    shares: Tensor = count * torch.special.ndtr(coordinates)
    return shares.long().clamp(max=count - 1)
