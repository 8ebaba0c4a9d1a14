"""Copies of a network's tensors: in checkpoints, in no optimizer."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Copy(nn.Module):
    """Named tensors such as a network's ``state_dict()``, kept as buffers, for the live network."""

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name, value in values.items():
            self.register_buffer(_buffer(name), value.detach().clone())

    @torch.no_grad()
    def take(self, values: Mapping[str, Tensor]) -> None:
        """Copies tensors of the same names and shapes, in place."""
        for name, value in values.items():
            self.get_buffer(_buffer(name)).copy_(value)

    def values(self) -> dict[str, Tensor]:
        """The tensors themselves, by the names they came with."""
        return {name.replace("/", "."): value for name, value in self.named_buffers()}


def _buffer(name: str) -> str:
    return name.replace(".", "/")  # a buffer's name holds no dot
