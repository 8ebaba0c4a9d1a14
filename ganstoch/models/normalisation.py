"""Batch normalisation, written so that measuring never changes it and many seeds can share it."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganstoch.errors import UserError

__all__ = ["BatchNorm"]


class BatchNorm(nn.Module):
    """Centres and scales every channel over the batch and all positions [1].

    Unlike torch's own layers it serves vectors and maps alike and counts no batches, so that its
    buffers are floats only and may be stacked over seeds by `torch.func.stack_module_state`. The
    running statistics move in the forward pass of training mode, once a pass.

    [1] Ioffe & Szegedy 2015, "Batch Normalization", Alg. 1.

    Args:
        channels: length of dimension 1.
        tracked: whether running statistics are kept, for use outside training. Without them, as
            in a discriminator, which is never used alone, every pass takes its own batch's.
        momentum: weight of the newest batch in the running statistics.
        epsilon: added to the variance.

    Attributes:
        couples: it makes an image's result depend on the others of its batch.
    """

    couples: ClassVar[bool] = True
    running_mean: Tensor | None
    running_var: Tensor | None

    def __init__(
        self,
        channels: int,
        *,
        tracked: bool = True,
        momentum: float = 0.1,
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        self.momentum = momentum
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels) if tracked else None)
        self.register_buffer("running_var", torch.ones(channels) if tracked else None)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, ...) to the same shape.

        Raises:
            UserError: if a channel has one value only, whose variance is 0.
        """
        of_batch = self.training or self.running_mean is None
        if of_batch and x.numel() == x.shape[1]:
            raise UserError(
                "batch normalisation needs two images or more: raise data.m, or take "
                "networks without it"
            )
        return F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=of_batch,
            momentum=self.momentum,
            eps=self.epsilon,
        )
