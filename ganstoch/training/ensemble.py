"""Several seeds of one small game, played as one: a dimension of the tensors, not a loop.

Small networks leave a processor idle between operations; a stack of them fills it. The losses are
those of `Match`, taken over all seeds at once by `torch.func.vmap`; the sum of the seeds' losses
has each seed's own gradient, so every seed goes as it would alone, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.optim import Adam, Optimizer

from ganstoch.errors import UserError
from ganstoch.models.base import frozen
from ganstoch.models.blocks import SpectralConv2d, UpsampleConv
from ganstoch.remedies.base import DiscriminatorFn, Remedy, StepInfo
from ganstoch.rng import share
from ganstoch.training.arithmetic import settle
from ganstoch.training.gan import GAN
from ganstoch.types import Batch, MicroBatch

__all__ = ["Ensemble", "Stack"]

LOSSES_ONLY = (
    "note_fakes",
    "critic_fakes",
    "observe",
    "before_discriminator_step",
    "after_discriminator_step",
    "opponent",
    "play",
    "after_iteration",
)
"""Hooks that look at one game's state: a remedy with one of them plays alone."""


class Stack(nn.Module):
    """Networks of one kind as one, their weights and buffers stacked along a first dimension.

    The networks' own weights become views of the stack: whoever reads or writes one sees the other.

    Args:
        networks: S of them, alike but for their numbers.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = tuple(networks)  # a tuple, so that they are no submodules
        self.names = [name for name, _ in networks[0].named_parameters()]
        self.buffer_names = [name for name, _ in networks[0].named_buffers()]
        found = [dict(network.named_parameters()) for network in networks]
        self.weights = nn.ParameterList(
            torch.stack([weights[name].detach() for weights in found]) for name in self.names
        )
        held = [dict(network.named_buffers()) for network in networks]
        for i, name in enumerate(self.buffer_names):
            self.register_buffer(f"buffer{i}", torch.stack([each[name] for each in held]))
        self.bind()

    def bind(self) -> None:
        """Makes the networks views of the stack; to be called again when it has moved."""
        for i, network in enumerate(self.networks):
            for (_, weight), whole in zip(network.named_parameters(), self.weights, strict=True):
                weight.data = whole.data[i]
            for k, (_, buffer) in enumerate(network.named_buffers()):
                buffer.data = self.get_buffer(f"buffer{k}")[i]

    def numbers(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Weights and buffers by name, each of shape (S, ...)."""
        weights = dict(zip(self.names, self.weights, strict=True))
        buffers = {name: self.get_buffer(f"buffer{i}") for i, name in enumerate(self.buffer_names)}
        return weights, buffers

    def call(self, numbers: tuple[dict[str, Tensor], dict[str, Tensor]], x: Tensor) -> Any:
        """One network's output, given its own numbers; what `vmap` maps."""
        return functional_call(self.networks[0], numbers, (x,))


class Ensemble(LightningModule):
    """Games that differ in their seed alone, played as one.

    Args:
        games: S of them, dealt or to be dealt; they stay usable, and see every update.

    Raises:
        UserError: for remedies or networks that must play alone.
    """

    def __init__(self, games: Sequence[GAN]) -> None:
        super().__init__()
        self.automatic_optimization = False
        first = games[0]
        for remedy in first.remedies.each():
            own = [hook for hook in LOSSES_ONLY if _overrides(remedy, hook)]
            if own or remedy.draws or remedy.updates != (1, 1):
                raise UserError(
                    f"{type(remedy).__name__} needs a game of its own; train its seeds one by one"
                )
        if any(isinstance(m, SpectralConv2d | UpsampleConv) for m in first.modules()):
            raise UserError("an ensemble is for small networks; train these seeds one by one")
        self.games = tuple(games)  # a tuple, so that they are no submodules
        self.generators = Stack([game.generator for game in games])
        self.discriminators = Stack([game.discriminator for game in games])

    def to_members(self) -> None:
        """Brings every game to the ensemble's device and precision, under the stack's weights."""
        like = self.generators.weights[0]
        for game in self.games:
            game.to(like.device, like.dtype)
        self.generators.bind()
        self.discriminators.bind()

    def on_fit_start(self) -> None:
        """Gathers the games on the device, and settles how they compute."""
        self.to_members()
        for game in self.games:
            settle(game, m=game.m * game.remedies.images_factor)

    def configure_optimizers(self) -> list[Optimizer]:
        """One Adam a player, over all seeds; it works number by number."""
        options = [each.param_groups[0] for each in self.games[0].configure_optimizers()]
        return [
            Adam(stack.parameters(), lr=o["lr"], betas=o["betas"], eps=o["eps"], fused=o["fused"])
            for stack, o in zip((self.discriminators, self.generators), options, strict=True)
        ]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the games too: their averages are not stacked."""
        checkpoint["games"] = [game.state_dict() for game in self.games]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes the games back."""
        for game, state in zip(self.games, checkpoint["games"], strict=True):
            game.load_state_dict(state)

    def training_step(self, batch: Sequence[Batch], batch_index: int = 0) -> None:
        """One iteration of every game, on a batch of its own each."""
        draws = []
        for game, real in zip(self.games, batch, strict=True):
            assert game.latents is not None
            pack = game.remedies.pack
            z = game.latents.draw(self.global_step, real.size, device=self.device, group=pack)
            draws.append((real, z))
        raw, counted = self.optimizers(use_pl_optimizer=False), self.optimizers()
        assert isinstance(raw, list)
        assert isinstance(counted, list)
        self.play(
            self.stacked(draws),
            raw[0],
            counted[1],  # type: ignore[arg-type]
            iteration=self.global_step,
            backward=self.manual_backward,
        )

    def stacked(self, draws: Sequence[tuple[Batch, Tensor]]) -> MicroBatch:
        """The games' examples and latents as one part whose tensors have S rows of M."""
        dtype = self.generators.weights[0].dtype
        labels = [real.labels for real, _ in draws]
        size = draws[0][0].size
        return MicroBatch(
            pixels=torch.stack([real.pixels for real, _ in draws]),
            latents=torch.stack([z for _, z in draws]).to(dtype),
            weight=1.0,
            ids=torch.stack([real.ids for real, _ in draws]),
            labels=(
                None
                if labels[0] is None
                else torch.stack([each for each in labels if each is not None])
            ),
            positions=share(size, group=self.games[0].remedies.pack),
            size=size,
        )

    def play(
        self,
        stacked: MicroBatch,
        step_d: Optimizer,
        step_g: Optimizer,
        *,
        iteration: int,
        backward: Callable[[Tensor], None] = Tensor.backward,
    ) -> None:
        """One iteration of all games: see `Match.play`, whose order this is."""
        moment = StepInfo(0, iteration)  # its seed is never drawn from: see `draws`
        game = self.games[0]
        fakes = vmap(self.generators.call)(self.generators.numbers(), stacked.latents)

        def of_discriminator(critic: DiscriminatorFn, part: MicroBatch, fakes: Tensor) -> Tensor:
            return game.discriminator_loss(critic, part, fakes, moment=moment)

        def of_generator(critic: DiscriminatorFn, part: MicroBatch, fakes: Tensor) -> Tensor:
            return game.generator_loss(critic, part, fakes, moment=moment)

        losses_d = self._losses(of_discriminator, stacked, fakes.detach())
        backward(losses_d.sum())
        step_d.step()
        step_d.zero_grad()
        with frozen(self.discriminators):
            losses_g = self._losses(of_generator, stacked, fakes)
            backward(losses_g.sum())
        step_g.step()
        step_g.zero_grad()
        for i, each in enumerate(self.games):
            each.average.follow(each.generator, iteration=iteration)
            each.losses = {
                "loss/discriminator": losses_d[i].detach(),
                "loss/generator": losses_g[i].detach(),
            }

    def _losses(
        self,
        loss: Callable[[DiscriminatorFn, MicroBatch, Tensor], Tensor],
        stacked: MicroBatch,
        fakes: Tensor,
    ) -> Tensor:
        """Every game's loss, shape (S,)."""

        def of_one(
            numbers: tuple[dict[str, Tensor], dict[str, Tensor]],
            pixels: Tensor,
            latents: Tensor,
            ids: Tensor,
            labels: Tensor | None,
            fakes: Tensor,
        ) -> Tensor:
            part = MicroBatch(pixels, latents, 1.0, ids, labels, stacked.positions, stacked.size)
            return loss(lambda x: self.discriminators.call(numbers, x), part, fakes)

        rows = (stacked.pixels, stacked.latents, stacked.ids, stacked.labels, fakes)
        over = (0, 0, 0, 0, None if stacked.labels is None else 0, 0)
        found: Tensor = vmap(of_one, in_dims=over)(self.discriminators.numbers(), *rows)
        return found


def _overrides(remedy: Remedy, hook: str) -> bool:
    return getattr(type(remedy), hook) is not getattr(Remedy, hook)
