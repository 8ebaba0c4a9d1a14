"""Unrolled GAN: the generator is trained against the discriminator of some updates later.

[1] Metz et al. 2017, "Unrolled Generative Adversarial Networks", Sec. 2. Gradients flow
through the discriminator's updates, Adam's moments included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.func import functional_call
from torch.optim import Optimizer

from ganstoch.remedies.base import DiscriminatorFn, GANView, Remedy, RemedySpec, StepInfo
from ganstoch.types import DiscriminatorOutput, MicroBatch

__all__ = ["Rule", "Start", "Unrolling", "unroll"]

Numbers = dict[str, Tensor]
"""Tensors by the names of the discriminator's parameters or buffers."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How a parameter is updated.

    Attributes:
        kind: Adam [Kingma & Ba 2015, Alg. 1], or plain gradient descent.
        lr: step size.
        betas: decay of Adam's two moments.
        eps: added to the root of the second.
    """

    kind: Literal["adam", "sgd"]
    lr: float
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8


@dataclass(frozen=True, slots=True)
class Start:
    """The discriminator and its optimizer before an update.

    Attributes:
        theta: parameters.
        first: Adam's first moments; zeros before its first update.
        second: its second moments.
        counts: its updates so far, a float64 scalar for each parameter.
    """

    theta: Numbers
    first: Numbers
    second: Numbers
    counts: Numbers


def unroll(
    gradients: Callable[[Numbers, int], Numbers], start: Start, *, steps: int, rule: Rule
) -> Numbers:
    """Parameters after some updates, differentiable; it has no state and may be vmapped.

    Args:
        gradients: of the loss, given the parameters and the number of the step, from 0.
        start: where to begin.
        steps: updates.
        rule: how each is made.
    """
    theta, first, second = start.theta, start.first, start.second
    beta1, beta2 = rule.betas
    for step in range(steps):
        gradient = gradients(theta, step)
        if rule.kind == "sgd":
            theta = {name: theta[name] - rule.lr * gradient[name] for name in theta}
            continue
        first = {k: beta1 * first[k] + (1 - beta1) * gradient[k] for k in theta}
        second = {k: beta2 * second[k] + (1 - beta2) * gradient[k] ** 2 for k in theta}
        moved = {}
        for name in theta:
            count = start.counts[name] + (step + 1)
            size = rule.lr / (1 - beta1**count)
            root = _root(second[name]) / (1 - beta2**count).sqrt()
            moved[name] = theta[name] - size * first[name] / (root + rule.eps)
        theta = moved
    return theta


class Unrolling(Remedy):
    """The generator's update looks some updates of the discriminator ahead.

    Updates alternate, so the discriminator's own update comes first, and is what it would be
    without unrolling. The generator is then trained against the discriminator that ``steps``
    updates on the iteration's batch would make of the one before that update, the first of them
    the real one, as a function of the generated examples. One step is therefore the alternating
    GAN plus the gradient through the discriminator's update. An update of the generator that has
    a batch of its own, as its second and further ones in an iteration do, unrolls on that batch.

    Spectral norms' vectors are not iterated while unrolling: the first step has those of the real
    update, the further ones and the generator's loss those after it. What changes a discriminator
    after its update, as the clipping of weights does, is not unrolled. The derivative of Adam's
    root of a second moment that is 0 is taken as 0: the first moment is 0 there too, and so the
    derivative of their quotient is right.

    Under `torch.func.vmap` over stacked seeds `unroll` works as it stands, with layers whose
    convolutions are computed "direct/direct/direct".

    Args:
        steps: updates that the generator looks ahead, 0 or more; 0 changes nothing. [1] has up to
            10, and 5 on the ring.
        optimizer: how the unrolled updates are made: by the discriminator's own Adam, whose state
            is gone on with, or by gradient descent of the same step size, in which case the first
            step is not the real update.
    """

    def __init__(self, *, steps: int = 5, optimizer: Literal["adam", "sgd"] = "adam") -> None:
        super().__init__()
        self._require(steps >= 0, "steps", steps, "0 or more")
        self.steps = steps
        self.optimizer = optimizer
        self._before: _Before | None = None  # lives within an iteration only

    @property
    def spec(self) -> RemedySpec:
        """The generator is trained against the unrolled discriminator, a function of the batch."""
        return RemedySpec(is_noop=self.steps == 0, needs_full_batch=True, replaces_critic=True)

    @contextmanager
    def around_discriminator_step(
        self, gan: GANView, step_d: Optimizer, *, info: StepInfo
    ) -> Iterator[None]:
        """Keeps the discriminator as it is before its update."""
        discriminator = gan.discriminator
        buffers = {name: b.clone() for name, b in discriminator.named_buffers()}
        parameters = dict(discriminator.named_parameters())
        rule = _rule(self.optimizer, step_d)
        self._before = _Before(_start(parameters, step_d), buffers, rule, info)
        yield

    def critic_for_generator(
        self,
        critic: DiscriminatorFn,
        gan: GANView,
        batch: MicroBatch,
        fakes: Tensor,
        *,
        info: StepInfo,
    ) -> DiscriminatorFn:
        """The unrolled discriminator, a function of ``fakes``."""
        before = self._before
        assert before is not None
        discriminator = gan.discriminator
        after = {name: buffer.clone() for name, buffer in discriminator.named_buffers()}

        def with_numbers(numbers: Mapping[str, Tensor]) -> DiscriminatorFn:
            def unrolled(examples: Tensor) -> DiscriminatorOutput:
                output: DiscriminatorOutput = functional_call(
                    discriminator, dict(numbers), (examples,)
                )
                return output

            return unrolled

        def loss(theta: Numbers, buffers: Numbers) -> Tensor:
            past = with_numbers(buffers | theta)
            return batch.weight * gan.discriminator_loss(past, batch, fakes, info=before.info)

        def gradients(theta: Numbers, step: int) -> Numbers:
            buffers = before.buffers if step == 0 else after
            gradient: Numbers = torch.func.grad(loss)(theta, buffers)
            return gradient

        theta = unroll(gradients, before.start, steps=self.steps, rule=before.rule)
        return with_numbers(after | theta)


@dataclass(frozen=True, slots=True)
class _Before:
    """The discriminator before its last real update, and how and when that was made."""

    start: Start
    buffers: Numbers
    rule: Rule
    info: StepInfo


def _rule(kind: Literal["adam", "sgd"], optimizer: Optimizer) -> Rule:
    (group,) = optimizer.param_groups
    if kind == "sgd":
        return Rule("sgd", group["lr"])
    assert not any(group.get(name) for name in ("weight_decay", "amsgrad", "maximize")), group
    return Rule("adam", group["lr"], group["betas"], group["eps"])


def _start(parameters: Mapping[str, Tensor], optimizer: Optimizer) -> Start:
    states = {name: optimizer.state.get(p, {}) for name, p in parameters.items()}
    theta = {name: p.detach().clone() for name, p in parameters.items()}

    def moments(kept: str) -> Numbers:
        return {
            name: state[kept].clone() if kept in state else torch.zeros_like(theta[name])
            for name, state in states.items()
        }

    none = torch.zeros(())
    return Start(
        theta,
        moments("exp_avg"),
        moments("exp_avg_sq"),
        {
            name: state.get("step", none).to(theta[name].device, torch.float64, copy=True)
            for name, state in states.items()
        },
    )


def _root(squares: Tensor) -> Tensor:
    """The square root, with derivative 0 at 0."""
    positive = squares > 0
    return torch.where(positive, torch.where(positive, squares, 1.0).sqrt(), 0.0)
