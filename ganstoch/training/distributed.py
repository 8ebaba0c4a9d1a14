"""One game on several ranks: each plays its share of every batch; gradients are averaged by hand.

Once an update, and of the player that moves only. Lightning's own `DDPStrategy` wraps the whole
module, which averages at every backward pass, so once a micro-batch, and always both players.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, distributed, nn

from ganstoch.data.datamodule import ImageData
from ganstoch.data.sampling import resolve_batch_size
from ganstoch.errors import UserError
from ganstoch.training.arithmetic import configure_kernels
from ganstoch.training.fingerprint import digest

if TYPE_CHECKING:
    from ganstoch.training.gan import GAN

__all__ = [
    "Ranks",
    "average_gradients",
    "differing",
    "gather",
    "keep_largest",
    "refuse_differences",
    "refuse_ranks",
    "settle_alike",
]

_T = TypeVar("_T")


class Ranks(DDPStrategy):
    """Processes and their group as `DDPStrategy` has them, and the module as it is.

    Gloo on CPUs, NCCL on GPUs, unless told otherwise.
    """

    def configure_ddp(self) -> None:
        """Wraps nothing: the game averages its gradients itself."""

    def on_exception(self, exception: BaseException) -> None:
        """Ends the processes that this one has started, which would wait for it in vain."""
        processes = getattr(self.launcher, "procs", [])
        mourned = list(processes)
        processes.clear()  # Lightning would kill this process too, for the death of those
        for process in mourned:
            process.kill()


def average_gradients(player: nn.Module, *, world: int) -> None:
    """Averages a network's gradients over all ranks, in one message.

    Args:
        player: with the same parameters on every rank, those with a gradient too.
        world: number of ranks.
    """
    slopes = [p.grad for p in player.parameters() if p.grad is not None]
    whole = torch.cat([slope.flatten() for slope in slopes])
    distributed.all_reduce(whole)
    whole.div_(world)
    pieces = torch.split(whole, [slope.numel() for slope in slopes])
    for slope, piece in zip(slopes, pieces, strict=True):
        slope.copy_(piece.view_as(slope))


def keep_largest(values: Tensor) -> None:
    """Puts the largest of all ranks' values in each one's place."""
    distributed.all_reduce(values, op=distributed.ReduceOp.MAX)


def gather(own: _T, *, world: int) -> list[_T]:
    """What each rank has, in their order, on every rank.

    Args:
        own: what this one has; tensors should lie on the CPU.
        world: number of ranks.
    """
    if world == 1:
        return [own]
    found: list[Any] = [None] * world
    distributed.all_gather_object(found, own)
    return cast("list[_T]", found)


def refuse_ranks(game: GAN, data: ImageData, *, world: int) -> None:
    """Refuses a game whose batch cannot be shared among so many; nothing needs to be set up yet.

    Raises:
        UserError: naming who wants the batch whole, or a batch with fewer packs than ranks.
    """
    if world == 1:
        return
    if by := game.coupled_by:
        raise UserError(
            f"{by} looks at a whole batch at once, and each of {world} devices would see its share "
            "only; set trainer.devices=1 and trainer.num_nodes=1"
        )
    m = resolve_batch_size(data.m, n=data.n)
    packs = -(-m * game.remedies.images_factor // game.remedies.pack)
    if packs < world:
        raise UserError(
            f"data.m is {m}, too few for {world} devices; raise it, or lower trainer.devices"
        )


def settle_alike(game: GAN, *, m: int) -> None:
    """Settles how the arithmetic is done; what is left to the machine, the first rank chooses.

    Args:
        game: on its device; changed in place.
        m: images in a batch of all ranks.
    """
    share = -(-m // game.world_size)
    if game.global_rank == 0:
        configure_kernels(game, m=share)
    game.micro_batch = game.trainer.strategy.broadcast(game.micro_batch)
    if game.global_rank > 0:
        configure_kernels(game, m=share)


def refuse_differences(game: GAN) -> None:
    """Refuses ranks that start, or go on, from different points; nothing later would mend that.

    Args:
        game: under its trainer, everything in it as training will find it.

    Raises:
        UserError: on every rank, naming what they differ in.
    """
    world = game.world_size
    if world > 1 and (names := differing(gather(_starting_point(game), world=world))):
        raise UserError(
            f"the {world} devices differ in {', '.join(names)}; start them by one command, "
            "from the same files, with the same versions"
        )


def _starting_point(game: GAN) -> dict[str, str]:
    """What the ranks must have in common, by name."""
    latents = game.latents
    moments = (
        value
        for optimizer in game.trainer.optimizers
        for kept in optimizer.state_dict()["state"].values()
        for _, value in sorted(kept.items())
    )
    return {
        "iteration": str(game.global_step),
        "weights": digest(game.state_dict().values()),
        "optimisers": digest(moments),
        "latents": digest([latents.fixed]) if latents and latents.fixed is not None else "fresh",
        "images": game.trainer.datamodule.subset.sha256,  # type: ignore[attr-defined]
        "settings": f"seed {game.seed}, m {game.m}, {game.trainer.max_steps} iterations",
        "torch": torch.__version__,
    }


def differing(points: Sequence[Mapping[str, str]]) -> list[str]:
    """Names under which the ranks' points differ."""
    return [name for name in points[0] if len({point[name] for point in points}) > 1]
