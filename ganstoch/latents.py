"""The latents: a fixed bank z_1..z_k, how a batch is drawn from it, and the noise upon it.

[1] Yazici et al. 2020, Sec. 3 and 4: k = n vectors from N(0, I), drawn once; in the noisy rows each
gets e ~ N(0, variance I) in training, never in evaluation. z_i is not tied to x_i.
"""

import math
import re
from dataclasses import dataclass

import torch
from torch import Tensor

from ganstoch.errors import UserError
from ganstoch.rng import normal, rng_for, share, without_replacement


@dataclass(frozen=True)
class LatentSettings:
    """How many latents there are, and what noise is upon them.

    Attributes:
        bank: fixed latents: "n" (as many as images), a multiple such as "2n", a number, or "fresh".
        noise: variance of the normal noise added in training; 0, or 0.5 in the paper's noisy rows.
    """

    bank: int | str = "n"
    noise: float = 0.0


class Latents:
    """The latents of one run, of length ``dim``, redrawn from the seed for a subset of n images."""

    def __init__(self, settings: LatentSettings, *, dim: int, n: int, seed: int) -> None:
        if not (settings.noise >= 0.0 and math.isfinite(settings.noise)):
            raise UserError(
                f"model.latents.noise is a variance, 0 or more, got {settings.noise}; "
                "the paper's noisy rows have 0.5"
            )
        self.noise = settings.noise
        self.dim = dim
        self.seed = seed
        self.count = _bank_size(settings.bank, n)
        rng = rng_for(seed, "latent_bank")
        self.fixed = None if self.count is None else normal((self.count, dim), rng)
        self._n = n
        self._on_device: Tensor | None = None

    def draw(
        self,
        iteration: int,
        size: int,
        *,
        device: torch.device,
        rank: int = 0,
        world: int = 1,
        group: int = 1,
        repeat: int = 0,
    ) -> Tensor:
        """This rank's share of the latents of one iteration, shape (about size / world, dim).

        All ranks draw m = ``size`` latents and deal them out; ``repeat`` is a further such draw.
        """
        part = f"repeat{repeat}" if repeat else ""
        mine = share(size, rank=rank, world=world, group=group)
        if self.fixed is None:
            rng = rng_for(self.seed, "latent", iteration, part=part)
            z = normal((size, self.dim), rng)[mine].to(device)
        else:
            ids = self.draw_ids(iteration, size, repeat=repeat)
            if self._on_device is None or self._on_device.device != device:
                self._on_device = self.fixed.to(device)
            z = self._on_device[ids[mine].to(device)]
        if self.noise:
            rng = rng_for(self.seed, "noise", iteration, part=part)
            noise = normal((size, self.dim), rng)[mine].to(device)
            z = z.add(noise, alpha=math.sqrt(self.noise))
        return z

    def check(self, size: int) -> None:
        """Refuses a batch of more latents than the bank has."""
        if self.count is not None and size > self.count:
            raise UserError(
                f"a batch of {size} latents cannot be drawn without replacement from a bank of "
                f"{self.count}; lower data.m or raise model.latents.bank"
            )

    def draw_ids(self, iteration: int, size: int, *, repeat: int = 0) -> Tensor:
        """Positions in the bank of one iteration's latents, int64, shape (size,), all different."""
        assert self.count is not None
        self.check(size)
        if size == self.count:  # every latent once: an order would be one more source of chance
            return torch.arange(size)
        part = f"repeat{repeat}" if repeat else ""
        rng = rng_for(self.seed, "latent", iteration, part=part)
        return without_replacement(self.count, size, rng)

    def replace(self, bank: Tensor) -> None:
        """Puts other latents (k, dim) in the place of the fixed ones."""
        self._on_device = bank.detach().clone()
        self.fixed = self._on_device.cpu()

    def evaluation(self, count: int | None = None) -> Tensor:
        """The latents to measure, always the same and never noisy; CPU, shape (n or count, dim)."""
        count = self._n if count is None else count
        if self.fixed is not None:
            return self.fixed[:count]
        return normal((count, self.dim), rng_for(self.seed, "evaluation"))


def _bank_size(bank: int | str, n: int) -> int | None:
    """The number of fixed latents, or None for fresh ones."""
    if bank == "fresh":
        return None
    match = re.fullmatch(r"(\d*)n|(\d+)", str(bank))
    size = int(match[2] or int(match[1] or 1) * n) if match else 0
    if size < 1:
        raise UserError(
            f"model.latents.bank is {bank!r}; give 'n', a multiple as '2n', a number or 'fresh'"
        )
    return size
