"""Snapshots: for some iterations a network is trained against an old copy of the other.

[1] Ge et al. 2018, "Fictitious GAN: Training GANs with Historical Models", plays against all past
opponents at once. Ours is trained against one old opponent at a time, and only for a while.
"""

from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ganstoch.models.layers import Discriminator, Generator
from ganstoch.remedies.base import DiscriminatorFn, GANView, Remedy, RemedySpec, StepInfo
from ganstoch.remedies.copies import Copy
from ganstoch.types import MicroBatch, Shape


class Snapshots(Remedy):
    """At intervals an old copy of a network takes the place of the present one.

    In the iterations after each copy, an update meets one of the copies kept, drawn with equal
    chances: the discriminator is trained on what an old generator makes of the update's latents, or
    the generator against an old discriminator. Spectral norms are those of the time of the copy.

    Args:
        of: whose copies are kept.
        every: iterations between two copies, 1 or more.
        keep: most copies kept; the oldest goes first. 1 or more.
        lasting: iterations that meet an old player after each copy, 0 (no change) to ``every``.
    """

    def __init__(
        self,
        *,
        of: Literal["generator", "discriminator"] = "generator",
        every: int = 100,
        keep: int = 5,
        lasting: int = 10,
    ) -> None:
        super().__init__()
        for name, value in (("every", every), ("keep", keep)):
            self._require(value >= 1, name, value, "1 or more")
        self._require(0 <= lasting <= every, "lasting", lasting, f"from 0 to every = {every}")
        self.of, self.every, self.keep, self.lasting = of, every, keep, lasting
        self.copies = nn.ModuleList()
        against = of == "discriminator"
        self.spec = RemedySpec(is_noop=lasting == 0, stochastic=True, replaces_critic=against)

    def attach(self, generator: Generator, discriminator: Discriminator, *, shape: Shape) -> None:
        """Makes room for the copies."""
        player = generator if self.of == "generator" else discriminator
        self.copies = nn.ModuleList(Copy(player.state_dict()) for _ in range(self.keep))

    def fakes_for_discriminator(
        self, fakes: Tensor, gan: GANView, batch: MicroBatch, *, info: StepInfo
    ) -> Tensor:
        """What an old generator makes of the same latents, or the ``fakes`` themselves."""
        if self.of != "generator" or (weights := self._old(info)) is None:
            return fakes
        with torch.no_grad():
            made: Tensor = functional_call(gan.generator, weights, (batch.latents,))
        return made

    def critic_for_generator(
        self, gan: GANView, batch: MicroBatch, fakes: Tensor, *, info: StepInfo
    ) -> DiscriminatorFn | None:
        """An old discriminator, if there is one."""
        if self.of != "discriminator" or (weights := self._old(info)) is None:
            return None
        return partial(functional_call, gan.discriminator, weights)

    def after_step(self, gan: GANView, *, info: StepInfo) -> None:
        """Copies the player, where it is time to."""
        taken, since = divmod(info.iteration + 1, self.every)
        if since == 0:
            player = gan.generator if self.of == "generator" else gan.discriminator
            self._copy((taken - 1) % self.keep).take(player.state_dict())

    def _copy(self, place: int) -> Copy:
        copy = self.copies[place]
        assert isinstance(copy, Copy)
        return copy

    def _old(self, info: StepInfo) -> dict[str, Tensor] | None:
        taken, since = divmod(info.iteration, self.every)
        if taken == 0 or since >= self.lasting:
            return None
        place = torch.randint(min(taken, self.keep), (), generator=info.rng("Snapshots"))
        return self._copy(int(place)).values()
