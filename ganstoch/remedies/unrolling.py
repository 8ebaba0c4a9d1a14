"""Unrolled GAN: the generator is trained against the discriminator of some updates later.

[1] Metz et al. 2017, "Unrolled Generative Adversarial Networks", Sec. 2. Gradients flow
through the discriminator's updates, Adam's moments included.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Optimizer

from ganstoch.remedies.base import DiscriminatorFn, GANView, Remedy, RemedySpec, StepInfo
from ganstoch.types import MicroBatch

Numbers = dict[str, Tensor]  # by the names of the discriminator's parameters or buffers


@dataclass(frozen=True, slots=True)
class Start:
    """The discriminator and its optimizer before an update."""

    theta: Numbers
    first: Numbers  # Adam's first moments; zeros before its first update
    second: Numbers
    counts: Numbers  # Adam's updates so far, a float64 scalar for each parameter
    lr: float
    betas: tuple[float, float]
    eps: float


def unroll(
    gradients: Callable[[Numbers, int], Numbers], start: Start, *, steps: int, adam: bool
) -> Numbers:
    """Parameters after some steps of Adam [Kingma & Ba 2015, Alg. 1] or plain gradient descent.

    ``gradients`` takes the parameters and the number of the step, from 0.
    """
    theta, first, second = start.theta, start.first, start.second
    beta1, beta2 = start.betas
    for step in range(steps):
        gradient = gradients(theta, step)
        if not adam:
            theta = {name: theta[name] - start.lr * gradient[name] for name in theta}
            continue
        first = {k: beta1 * first[k] + (1 - beta1) * gradient[k] for k in theta}
        second = {k: beta2 * second[k] + (1 - beta2) * gradient[k] ** 2 for k in theta}
        moved = {}
        for name in theta:
            count = start.counts[name] + (step + 1)
            size = start.lr / (1 - beta1**count)
            root = _root(second[name]) / (1 - beta2**count).sqrt()
            moved[name] = theta[name] - size * first[name] / (root + start.eps)
        theta = moved
    return theta


class Unrolling(Remedy):
    """The generator's update looks some updates of the discriminator ahead.

    The discriminator's own update comes first. The generator is then trained against what ``steps``
    updates on the update's batch would make of the discriminator before that update, the first of
    them the real one, as a function of the generated examples.

    Spectral norms' vectors are not iterated while unrolling: the first step has those of the real
    update, the further ones and the generator's loss those after it. What changes a discriminator
    after its update, as the clipping of weights does, is not unrolled.

    Args:
        steps: updates that the generator looks ahead, up to 10 in [1]; 0 changes nothing.
        optimizer: the discriminator's own Adam, with its state, or gradient descent of its step
            size, in which case the first step is not the real update.
    """

    def __init__(self, *, steps: int = 5, optimizer: Literal["adam", "sgd"] = "adam") -> None:
        super().__init__()
        self._require(steps >= 0, "steps", steps, "0 or more")
        self.steps, self.optimizer = steps, optimizer
        self._before: tuple[Start, Numbers, StepInfo] | None = None  # of this iteration
        self.spec = RemedySpec(is_noop=self.steps == 0, needs_full_batch=True, replaces_critic=True)

    @contextmanager
    def around_discriminator_step(
        self, gan: GANView, step_d: Optimizer, *, info: StepInfo
    ) -> Iterator[None]:
        """Keeps the discriminator as it is before its update."""
        start = _start(gan.discriminator, step_d)
        self._before = (start, _copies(gan.discriminator.named_buffers()), info)
        yield

    def critic_for_generator(
        self, gan: GANView, batch: MicroBatch, fakes: Tensor, *, info: StepInfo
    ) -> DiscriminatorFn:
        """The unrolled discriminator, a function of ``fakes``."""
        assert self._before is not None
        start, before, real_info = self._before
        after = _copies(gan.discriminator.named_buffers())

        def loss(theta: Numbers, buffers: Numbers) -> Tensor:
            past = partial(functional_call, gan.discriminator, buffers | theta)
            scores = gan.discriminate(past, batch, fakes, info=real_info)
            return batch.weight * gan.discriminator_loss(scores)

        def gradients(theta: Numbers, step: int) -> Numbers:
            gradient: Numbers = torch.func.grad(loss)(theta, before if step == 0 else after)
            return gradient

        theta = unroll(gradients, start, steps=self.steps, adam=self.optimizer == "adam")
        return partial(functional_call, gan.discriminator, after | theta)


def _copies(named: Iterator[tuple[str, Tensor]]) -> Numbers:
    return {name: value.detach().clone() for name, value in named}


def _start(discriminator: nn.Module, optimizer: Optimizer) -> Start:
    (group,) = optimizer.param_groups
    assert not any(group.get(name) for name in ("weight_decay", "amsgrad", "maximize")), group
    theta = _copies(discriminator.named_parameters())
    first, second, counts = Numbers(), Numbers(), Numbers()
    for name, parameter in discriminator.named_parameters():
        state, zeros = optimizer.state.get(parameter, {}), torch.zeros_like(theta[name])
        first[name] = state.get("exp_avg", zeros).clone()
        second[name] = state.get("exp_avg_sq", zeros).clone()
        counts[name] = state.get("step", torch.zeros(())).to(zeros.device, torch.float64, copy=True)
    betas, eps = group.get("betas", (0.0, 0.0)), group.get("eps", 0.0)  # gradient descent has none
    return Start(theta, first, second, counts, group["lr"], betas, eps)


def _root(squares: Tensor) -> Tensor:
    """The square root, with derivative 0 at 0, right for its quotient with a first moment of 0."""
    positive = squares > 0
    return torch.where(positive, torch.where(positive, squares, 1.0).sqrt(), 0.0)
