"""Random number generators, each a function of (seed, stream, step).

A generator is made anew for each draw, on the CPU, so there is no state to save or to disturb:
iteration 1,000 draws the same numbers in a resumed run, on every rank and on a GPU.
"""

import hashlib
import math
from typing import Literal

import torch
from torch import Tensor

# The independent streams of chance; drawing from one never moves another.
Stream = Literal["init", "subset", "data", "latent", "latent_bank", "noise", "remedy", "evaluation"]


def rng_for(seed: int, stream: Stream, step: int = 0, *, part: str = "") -> torch.Generator:
    """A CPU generator that depends on its arguments only.

    ``step`` is the iteration that draws, 0 for what is drawn once; ``part`` one of its draws.
    """
    name = f"{seed}/{stream}/{step}" + (f"/{part}" if part else "")
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    # torch takes seeds up to 2**64 - 1, but keeps all 64 bits only below 2**63.
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)


def with_replacement(count: int, size: int, rng: torch.Generator) -> Tensor:
    """``size`` ids drawn uniformly from ``range(count)``, repeats allowed; int64, shape (size,)."""
    return torch.randint(count, (size,), generator=rng)


def without_replacement(count: int, size: int, rng: torch.Generator) -> Tensor:
    """``size`` different ids of ``range(count)``, in random order; int64, shape (size,)."""
    if size > count:
        raise ValueError(f"cannot draw {size} different ids from {count}")
    return torch.randperm(count, generator=rng)[:size]


def share(size: int, *, rank: int = 0, world: int = 1, group: int = 1) -> Tensor:
    """Places that one of several ranks takes of a draw of ``size`` that all of them make; int64.

    Groups of ``group`` neighbours are dealt out like cards. A draw that is no multiple of the group
    begins again with its first places until the last group is full.
    """
    groups = -(-size // group)
    places = torch.arange(groups * group) % size
    return places.view(groups, group)[rank::world].flatten()


def normal(shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    """Standard normal float32 numbers; a smaller matrix equals the first rows of a larger one."""
    count = math.prod(shape)
    # In whole blocks of 16, because torch's sampler treats a ragged end differently.
    return torch.randn(-(-count // 16) * 16, generator=rng)[:count].reshape(shape)
