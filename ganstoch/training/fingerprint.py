"""Digests of every number that training has made, to say whether two runs are the same bits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

__all__ = ["digest", "fingerprint"]

_LENGTH = 16
"""Hexadecimal digits kept: chance would have to hit one in 2**64."""


def fingerprint(
    *, networks: dict[str, nn.Module], optimizers: Sequence[Optimizer], images: Tensor
) -> dict[str, str]:
    """A digest for each network, for the optimizers' moments together, and for images.

    Args:
        networks: by the name that their digests get.
        optimizers: may be none.
        images: of any shape.
    """
    digests = {name: digest(network.state_dict().values()) for name, network in networks.items()}
    if optimizers:
        digests["optimizers"] = digest(
            value
            for optimizer in optimizers
            for moments in optimizer.state_dict()["state"].values()
            for _, value in sorted(moments.items())
        )
    return digests | {"images": digest([images])}


def digest(tensors: Iterable[Tensor]) -> str:
    """Of the bytes of tensors, in their order, whatever device they lie on."""
    found = hashlib.sha256()
    for tensor in tensors:
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        found.update(flat.view(torch.uint8).numpy().data)
    return found.hexdigest()[:_LENGTH]
