"""Several ranks, each with its share of every batch: a strategy, and messages between them.

Gradients are averaged once an update, and of the network that is updated only. Lightning's own
`DDPStrategy` averages at every backward pass, so once a micro-batch, and always both networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

import torch
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, distributed, nn

from ganstoch.errors import UserError

_T = TypeVar("_T")


class Ranks(DDPStrategy):
    """Processes and their group as `DDPStrategy` has them, and the module as it is.

    Gloo on CPUs, NCCL on GPUs, unless told otherwise.
    """

    def configure_ddp(self) -> None:
        """Wraps nothing: the GAN averages its gradients itself."""

    def on_exception(self, exception: BaseException) -> None:
        """Ends the processes that this one has started, which would wait for it in vain."""
        processes = getattr(self.launcher, "procs", [])
        mourned = list(processes)
        processes.clear()  # Lightning would kill this process too, for the death of those
        for process in mourned:
            process.kill()


def average_gradients(player: nn.Module, *, world: int) -> None:
    """Averages a network's gradients over all ranks, in one message."""
    gradients = [p.grad for p in player.parameters() if p.grad is not None]
    whole = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(whole)
    whole.div_(world)
    pieces = torch.split(whole, [gradient.numel() for gradient in gradients])
    for gradient, piece in zip(gradients, pieces, strict=True):
        gradient.copy_(piece.view_as(gradient))


def keep_largest(values: Tensor) -> None:
    """Puts the largest of all ranks' values in each one's place."""
    distributed.all_reduce(values, op=distributed.ReduceOp.MAX)


def gather(own: _T, *, world: int) -> list[_T]:
    """What each rank has, in their order, on every rank; tensors should lie on the CPU."""
    values: list[Any] = [None] * world
    distributed.all_gather_object(values, own)
    return cast("list[_T]", values)


def refuse_differences(point: Mapping[str, str], *, world: int) -> None:
    """Ends in an error that names the values in which the ranks differ, if there are any."""
    points = gather(point, world=world)
    if names := [name for name in point if len({each[name] for each in points}) > 1]:
        raise UserError(
            f"the {world} devices differ in {', '.join(names)}; start them by one command, from "
            "the same files, with the same versions"
        )
