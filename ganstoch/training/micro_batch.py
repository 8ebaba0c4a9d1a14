"""Splits a batch into micro-batches whose gradients add up to the batch's.

The gradient of a batch is the weighted sum of those of its parts, but where remedies couple images:
in groups, which then stay together, or all of them, which then allow one part only.
"""

import torch
from torch import Tensor

from ganstoch.rng import share
from ganstoch.types import Batch, MicroBatch


def split(
    batch: Batch,
    latents: Tensor,
    *,
    micro_batch: int | None,
    dtype: torch.dtype,
    rank: int = 0,
    world: int = 1,
    group: int = 1,
) -> list[MicroBatch]:
    """This rank's share of a batch, as `share` deals it, in parts of at most so many images.

    The weights of all parts of all ranks add up to ``world``, because gradients are averaged over
    ranks: so unequal shares come out right too. Images of one ``group`` stay together.
    """
    positions = share(batch.size, rank=rank, world=world, group=group)
    pixels, ids, labels, count = batch.pixels, batch.ids, batch.labels, len(positions)
    assert count == len(pixels) == len(latents), (count, len(pixels), len(latents))
    size = -(-batch.size // group) * group  # with those that come twice
    step = max(group, (micro_batch or count) // group * group)
    return [
        MicroBatch(
            pixels=pixels[i : i + step],
            latents=latents[i : i + step].to(dtype),
            weight=len(ids[i : i + step]) * world / size,
            ids=ids[i : i + step],
            labels=None if labels is None else labels[i : i + step],
            positions=positions[i : i + step],
            size=batch.size,
        )
        for i in range(0, count, step)
    ]
