"""Experience replay: the discriminator is shown old generated examples among the new ones.

[1] Shrivastava et al. 2017, "Learning from Simulated and Unsupervised Images through Adversarial
Training", Sec. 2.3.
"""

from dataclasses import replace

import torch
from torch import Tensor

from ganstoch.models.layers import Discriminator, Generator
from ganstoch.remedies.base import DiscriminatorPass, GANView, Remedy, RemedySpec, StepInfo
from ganstoch.types import MicroBatch, Shape


class ExperienceReplay(Remedy):
    """A buffer of earlier generated examples, which the discriminator sees again.

    In each of the discriminator's updates an exact share of the generated examples is put aside,
    and old ones, drawn from the buffer with replacement, take their places. At the end of the
    iteration those put aside, which [1] does not say, enter the buffer: one after the other until
    it is full, then in different places drawn at random. The generator's update sees none of this.

    Args:
        share: of the generated examples, in [0, 1], one example at least; 0 changes nothing.
        capacity: examples in the buffer, 1 or more, and most that enter at once.
    """

    images: Tensor  # the buffer, shape (capacity, *shape), in the examples' range
    seen: Tensor  # how many examples have entered, int64, a scalar

    def __init__(self, *, share: float = 0.5, capacity: int = 1024) -> None:
        super().__init__()
        self._require(0.0 <= share <= 1.0, "share", share, "in [0, 1]")
        self._require(capacity >= 1, "capacity", capacity, "1 or more")
        self.share, self.capacity = share, capacity
        self._entering: dict[int, Tensor] = {}
        self.spec = RemedySpec(is_noop=share == 0.0, stochastic=True, mixes_latents=True)

    def attach(self, generator: Generator, discriminator: Discriminator, *, shape: Shape) -> None:
        """Makes room for the examples."""
        like = next(generator.parameters())
        self.register_buffer("images", like.new_zeros(self.capacity, *shape))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64, device=like.device))

    def fakes_for_discriminator(
        self, fakes: Tensor, gan: GANView, batch: MicroBatch, *, info: StepInfo
    ) -> Tensor:
        """The examples, some of them replaced by old ones."""
        there = self.seen.clamp(max=self.capacity)
        drawn = (info.uniform("Replay/from", batch) * there).long()
        old = self.images[torch.minimum(drawn, there - 1).clamp(min=0)].to(fakes.dtype)
        replaced = (self._places(batch, info) < self._count(batch)).to(fakes.device) & (there > 0)
        return torch.where(replaced.view(-1, *[1] * (fakes.ndim - 1)), old, fakes)

    def observe(self, scores: DiscriminatorPass) -> dict[str, Tensor]:
        """Puts aside those that enter the buffer."""
        fakes, batch, info = scores.generated, scores.batch, scores.info
        places, most = self._places(batch, info), min(self._count(batch), self.capacity)
        none = fakes.new_full((most, *fakes.shape[1:]), -torch.inf)
        entering = self._entering.setdefault(info.update, none)
        rows = (places < most).nonzero().squeeze(1)
        entering[places[rows].to(fakes.device)] = fakes[rows.to(fakes.device)]
        return {}

    def after_step(self, gan: GANView, *, info: StepInfo) -> None:
        """Those put aside enter the buffer, the same on all ranks."""
        for update, entering in sorted(self._entering.items()):
            gan.keep_largest(entering)  # each rank has its own, and nothing for the others
            rng = replace(info, update=update).rng("Replay/to")
            count, device = len(entering), self.images.device
            next_free = (self.seen + torch.arange(count, device=device)) % self.capacity
            anywhere = torch.randperm(self.capacity, generator=rng)[:count].to(device)
            places = torch.where(self.seen < self.capacity, next_free, anywhere)
            self.images[places] = entering.to(self.images.dtype)
            self.seen += count
        self._entering.clear()

    def _count(self, batch: MicroBatch) -> int:
        return max(1, round(self.share * batch.size))

    def _places(self, batch: MicroBatch, info: StepInfo) -> Tensor:
        """Places of the micro-batch's examples in a random order of the whole batch; int64, CPU."""
        return torch.randperm(batch.size, generator=info.rng("Replay/order"))[batch.positions]
