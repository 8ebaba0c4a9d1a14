"""SVRE: extrapolation against the rotation of the updates, variance reduction against noise.

[1] Chavdarova et al. 2019, "Reducing Noise in GAN Training with Variance Reduced Extragradient".
[2] Gidel et al. 2019, "A Variational Inequality Perspective on Generative Adversarial Networks",
Alg. 4: extrapolation with Adam.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace

import torch
from torch import Tensor, nn

from ganstoch.errors import UserError
from ganstoch.models.layers import Discriminator, Generator, frozen, needs_full_batch
from ganstoch.objectives import Objective, Pointwise
from ganstoch.remedies.base import (
    Batches,
    DataFacts,
    GANView,
    Optimizers,
    Parts,
    Remedy,
    RemedySpec,
    StepInfo,
    overrides,
)
from ganstoch.remedies.copies import Copy
from ganstoch.rng import share
from ganstoch.types import MicroBatch, Shape


class SVRE(Remedy):
    """Stochastic variance-reduced extragradient: both networks are updated at once.

    Extrapolation: both players step on the first batch; the gradients at the point they come to, on
    a second batch, are applied to where they came from. As in [2], Adam's moments take in both.
    Losses are those of the second batch.

    Variance reduction: a batch's gradient at a point, less that of the same batch at a snapshot of
    both players, plus the snapshot's gradient of all images and all latents of the bank. Differs
    from [1], Alg. 1: a snapshot is renewed after a fixed number of iterations, not a random one.
    Spectral norms are iterated once before each of the two gradients; a snapshot has its own.

    Args:
        extrapolate: whether to extrapolate.
        variance_reduction: whether to correct gradients. Both false change nothing.
        every: iterations between renewals of the snapshot, 1 or more; None for n / m, rounded up.
    """

    def __init__(
        self, *, extrapolate: bool = True, variance_reduction: bool = True, every: int | None = None
    ) -> None:
        super().__init__()
        self._require(every is None or every >= 1, "every", every, "1 or more, or null")
        self.extrapolate, self.variance_reduction = extrapolate, variance_reduction
        self.every = every
        self.period = every or 1
        self.snapshots = nn.ModuleList()
        self.full_slopes = nn.ModuleList()
        self._facts: DataFacts | None = None
        self._others: Sequence[Remedy] = ()
        is_noop = not (extrapolate or variance_reduction)
        updates = (2, 1) if extrapolate else (1, 1)  # an extrapolation takes a batch of its own
        self.spec = RemedySpec(is_noop=is_noop, updates=updates)

    def check(self, objective: Objective, others: Sequence[Remedy]) -> None:
        """Refuses what has no place in simultaneous updates, or no full gradient."""
        for other in others:
            spec = other.spec
            swaps = spec.replaces_critic or overrides(other, "fakes_for_discriminator")
            if swaps or spec.updates != (1, 1):
                raise UserError(
                    f"{type(other).__name__} changes the order of updates or the opponents in "
                    "them, and SVRE updates both players at once; take one of them"
                )
            if spec.needs_full_batch or spec.stochastic or spec.pack > 1:
                self._refuse(other)
        if not isinstance(objective, Pointwise):
            self._refuse(objective)
        self._others = others

    def attach(self, generator: Generator, discriminator: Discriminator, *, shape: Shape) -> None:
        """Makes room for the snapshot of both players and its gradients."""
        for player in (generator, discriminator):
            if needs_full_batch(player):
                self._refuse(player)
            if self.variance_reduction:
                self.snapshots.append(Copy(player.state_dict()))
                self.full_slopes.append(Copy(dict(player.named_parameters())))

    def _refuse(self, other: object) -> None:
        """Ends in an error if there must be a full gradient."""
        if self.variance_reduction:
            raise UserError(
                f"{type(other).__name__} couples, packs or draws, so that the gradient of all "
                "images is not the mean of the batches' ones; leave it out, or set "
                "variance_reduction of SVRE to false"
            )

    def setup(self, facts: DataFacts) -> None:
        """Refuses latents that have no full gradient."""
        self.period = self.every or -(-facts.n // facts.m)
        self._facts = facts
        sizes = facts.n, facts.latents.count or 0
        endless = min(sizes) == 0 or facts.latents.noise
        if self.variance_reduction and (endless or max(sizes) % min(sizes)):
            raise UserError(
                f"SVRE needs the gradient of all {facts.n} images and all latents at once, so that "
                "one number must be a multiple of the other; set model.latents.bank to n and "
                "model.latents.noise to 0, or variance_reduction to false"
            )

    def train_step(
        self, gan: GANView, batches: Batches, optimizers: Optimizers, *, info: StepInfo
    ) -> dict[str, Tensor]:
        """One update of both players."""
        players, (step_d, step_g) = (gan.generator, gan.discriminator), optimizers
        gan.discriminator.power_iterate()
        if self.variance_reduction and info.iteration % self.period == 0:
            self._renew(gan, batches[0][0], info)
        losses = self._gradients(gan, batches[0], info)
        if self.extrapolate:
            start = [p.detach().clone() for player in players for p in player.parameters()]
            # Not counted as an iteration: the update below is.
            self._step(gan, (step_d, getattr(step_g, "optimizer", step_g)), info)
            gan.discriminator.power_iterate()
            losses = self._gradients(gan, batches[-1], replace(info, update=1))
            with torch.no_grad():
                parameters = [p for player in players for p in player.parameters()]
                for parameter, value in zip(parameters, start, strict=True):
                    parameter.copy_(value)
        self._step(gan, optimizers, info)
        return {"loss/discriminator": losses[0], "loss/generator": losses[1]}

    def _step(self, gan: GANView, optimizers: Optimizers, info: StepInfo) -> None:
        with ExitStack() as stack:
            for other in self._others:
                stack.enter_context(other.around_discriminator_step(gan, optimizers[0], info=info))
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()

    def _gradients(self, gan: GANView, batch: Parts, info: StepInfo) -> tuple[Tensor, Tensor]:
        losses = _add_gradients(gan, batch, info)
        if self.variance_reduction:
            self._correct(gan, batch, info)
        for player in (gan.generator, gan.discriminator):
            gan.average_gradients(player)
        return losses

    def _correct(self, gan: GANView, batch: Parts, info: StepInfo) -> None:
        """Adds to both players' gradients the full one less the batch's at the snapshot."""
        players = (gan.generator, gan.discriminator)
        weights = [Copy(player.state_dict()) for player in players]
        present = [_take_gradients(player) for player in players]
        for player, past in zip(players, self.snapshots, strict=True):
            assert isinstance(past, Copy)
            player.load_state_dict(past.values())
        _add_gradients(gan, batch, info)
        for player, own, now, full in zip(players, weights, present, self.full_slopes, strict=True):
            assert isinstance(full, Copy)
            past_gradients, full_gradients = _take_gradients(player), full.values()
            for name, parameter in player.named_parameters():
                parameter.grad = now[name] + (full_gradients[name] - past_gradients[name])
            player.load_state_dict(own.values())

    def _renew(self, gan: GANView, like: MicroBatch, info: StepInfo) -> None:
        """The snapshot becomes the present point, and its gradient that of everything there is."""
        _add_gradients(gan, self._everything(gan, like), info)
        players = (gan.generator, gan.discriminator)
        for player, past, full in zip(players, self.snapshots, self.full_slopes, strict=True):
            gan.average_gradients(player)
            assert isinstance(past, Copy)
            assert isinstance(full, Copy)
            past.take(player.state_dict())
            full.take(_take_gradients(player))

    def _everything(self, gan: GANView, like: MicroBatch) -> Iterator[MicroBatch]:
        """This rank's share of all images and all latents, in parts as large as ``like``."""
        facts = self._facts
        assert facts is not None
        assert facts.pixels is not None
        assert facts.latents.fixed is not None
        size = max(facts.n, len(facts.latents.fixed))
        device, dtype = like.latents.device, like.latents.dtype
        mine = share(size, rank=gan.global_rank, world=gan.world_size)
        for positions in torch.split(mine, len(like.positions)):
            ids = positions % facts.n
            yield MicroBatch(
                pixels=facts.pixels[ids].to(device),
                latents=facts.latents.fixed[positions % len(facts.latents.fixed)].to(device, dtype),
                weight=len(positions) * gan.world_size / size,
                ids=ids.to(device),
                labels=None if facts.labels is None else facts.labels[ids].to(device),
                positions=positions,
                size=size,
            )


def _add_gradients(
    gan: GANView, batches: Iterable[MicroBatch], info: StepInfo
) -> tuple[Tensor, Tensor]:
    """Adds to the gradients of both players at the point where they are; D's and G's loss."""
    generator, discriminator = gan.generator, gan.discriminator
    total = torch.zeros(2, device=next(generator.parameters()).device)
    for batch in batches:
        fakes = generator(batch.latents)
        scores = gan.discriminate(discriminator, batch, fakes.detach(), info=info)
        loss_d = batch.weight * gan.discriminator_loss(scores)
        gan.add_gradients(loss_d)
        with frozen(discriminator):
            loss_g = batch.weight * gan.generator_loss(discriminator, batch, fakes, info=info)
            gan.add_gradients(loss_g)
        total = total + torch.stack([loss_d.detach(), loss_g.detach()])
    return total[0], total[1]


def _take_gradients(player: nn.Module) -> dict[str, Tensor]:
    """A player's gradients, which it then has no more; zeros where the loss does not reach."""
    gradients = {}
    for name, parameter in player.named_parameters():
        gradients[name] = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        parameter.grad = None
    return gradients
