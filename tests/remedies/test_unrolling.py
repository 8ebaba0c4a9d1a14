from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import softplus
from torch.optim import Adam

from ganstoch.remedies import (
    ACGAN,
    R1,
    WGANGP,
    DiscriminatorBatchNorm,
    ExperienceReplay,
    FeatureMatching,
    LabelFlipping,
    MinibatchDiscrimination,
    Mixture,
    Packing,
    Pretraining,
    Ratio,
    Remedy,
    Snapshots,
    Unrolling,
    unrolling,
)
from ganstoch.remedies.base import StepInfo
from ganstoch.remedies.unrolling import Rule, Start, unroll
from ganstoch.rng import normal, rng_for
from ganstoch.training.gan import GAN

SEVERAL: dict[str, Callable[[], Sequence[Remedy]]] = {
    "alone": lambda: (),
    "acgan": lambda: (ACGAN(classes=3),),
    "batch_norm": lambda: (DiscriminatorBatchNorm(),),
    "feature_matching": lambda: (FeatureMatching(),),
    "flipping_ratio": lambda: (LabelFlipping(probability=0.5), Ratio(discriminator=2, generator=2)),
    "minibatch_discrimination": lambda: (MinibatchDiscrimination(kernels=3, dims=2),),
    "mixture": lambda: (Mixture(generators=2, identity=1.0),),
    "packing": lambda: (Packing(size=2),),
    "pretraining": lambda: (Pretraining(iterations=1),),
    "r1": lambda: (R1(),),
    "replay": lambda: (ExperienceReplay(capacity=8),),
    "snapshots": lambda: (Snapshots(every=1, lasting=1),),
    "wgan_gp": lambda: (WGANGP(),),
}


def theta_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in network.named_parameters()}


@pytest.mark.parametrize(
    ("others", "points"),
    [(name, True) for name in SEVERAL] + [("alone", False), ("packing", False)],
)
def test_the_first_unrolled_update_is_the_real_one(
    tiny: SimpleNamespace, others: str, points: bool
) -> None:
    """Whatever else plays: same batch, same draws, same spectral norms, same moments of Adam."""
    game = tiny.make(*SEVERAL[others](), Unrolling(steps=1), points=points).double()
    off: list[float] = []
    moved: list[float] = []

    def compared(*args: Any, **settings: Any) -> dict[str, Tensor]:
        theta = unroll(*args, **settings)
        real = theta_of(game.discriminator)
        assert theta.keys() == real.keys()
        off.append(max((theta[k] - real[k]).abs().max().item() for k in theta))
        start = args[1].theta
        moved.append(max((theta[k] - start[k]).abs().max().item() for k in theta))
        return theta

    with mock.patch.object(unrolling, "unroll", compared):
        tiny.play(game, iterations=4)
    assert len(off) >= 3
    updates = game.remedies.spec.updates[1]  # a further one has a batch of its own
    assert max(off[::updates]) < 1e-12
    assert min(moved) > 1e-4


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_equals_the_formula_written_down(tiny: SimpleNamespace, kind: Any, steps: int) -> None:
    """theta^{k+1} = theta^k + update(d f / d theta^k); dG = d f(theta_G, theta^K) / d theta_G."""
    game = tiny.make(Unrolling(steps=steps, optimizer=kind)).double()
    d, g = game.discriminator, game.generator
    step_d = Adam(d.parameters(), lr=0.01, betas=(0.5, 0.9))
    held = torch.optim.SGD(g.parameters(), lr=0.0)
    tiny.play(game, iterations=3, optimizers=(step_d, held))
    ((part,),) = tiny.draw(game, 3)
    names = [name for name, _ in d.named_parameters()]
    theta = [p.detach().clone().requires_grad_() for p in d.parameters()]
    moments = [(step_d.state[p]["exp_avg"].clone(), step_d.state[p]["exp_avg_sq"].clone()) for p in
               d.parameters()]  # fmt: skip

    def logits(theta: Sequence[Tensor], x: Tensor) -> Tensor:
        said: Tensor = functional_call(d, dict(zip(names, theta, strict=True)), (x,)).logits
        return said

    fakes = g(part.latents)
    for t in range(4, 4 + steps):
        loss = softplus(-logits(theta, part.real)).mean() + softplus(logits(theta, fakes)).mean()
        slopes = torch.autograd.grad(loss, theta, create_graph=True)
        if kind == "sgd":
            theta = [p - 0.01 * s for p, s in zip(theta, slopes, strict=True)]
            continue
        moments = [
            (0.5 * m + 0.5 * s, 0.9 * v + 0.1 * s * s)
            for (m, v), s in zip(moments, slopes, strict=True)
        ]
        theta = [
            p - 0.01 * (m / (1 - 0.5**t)) / ((v / (1 - 0.9**t)).sqrt() + 1e-8)
            for p, (m, v) in zip(theta, moments, strict=True)
        ]
    loss_g = softplus(-logits(theta, fakes)).mean()
    expected = torch.autograd.grad(loss_g, list(g.parameters()))

    seen: list[Tensor] = []
    held.register_step_pre_hook(
        lambda *_: seen.extend(p.grad.clone() for p in g.parameters() if p.grad is not None)
    )
    game.train_iteration(tiny.draw(game, 3), step_d, held, iteration=3)
    assert game.losses["loss/generator"].item() == pytest.approx(loss_g.item(), abs=1e-12)
    assert max((a - b).abs().max() for a, b in zip(seen, expected, strict=True)) < 1e-12
    assert max(e.abs().max() for e in expected) > 1e-4


@pytest.mark.parametrize("points", [True, False])
@pytest.mark.parametrize("kind", ["adam", "sgd"])
@pytest.mark.parametrize("steps", [1, 3, 5])
def test_gradient_agrees_with_finite_differences(
    tiny: SimpleNamespace, kind: Any, steps: int, points: bool
) -> None:
    game = tiny.make(Unrolling(steps=steps, optimizer=kind), points=points).double()
    step_d = Adam(game.discriminator.parameters(), lr=0.01, betas=(0.5, 0.9))
    tiny.play(game, iterations=3, optimizers=(step_d, game.configure_optimizers()[1]))
    ((part,),) = tiny.draw(game, 3)
    info = StepInfo(0, 3)
    game.discriminator_step([part], step_d, info, Tensor.backward, True)
    start = theta_of(game.generator)
    game.discriminator.requires_grad_(False)

    def loss() -> Tensor:
        fakes = game.generator(part.latents)
        (remedy,) = game.remedies
        critic = remedy.critic_for_generator(game.discriminator, game, part, fakes, info=info)
        return game.generator_loss(critic, part, fakes, info=info)

    loss().backward()
    slopes = {name: p.grad.clone() for name, p in game.generator.named_parameters()}
    for direction in range(3):
        rng = rng_for(direction, "evaluation")
        along = {name: normal(tuple(p.shape), rng).double() for name, p in start.items()}
        values, h = [], 1e-6 if points else 1e-7  # small enough that no activation has its kink
        for sign in (1, -1):
            moved = {name: start[name] + sign * h * along[name] for name in start}
            with torch.no_grad():
                for name, p in game.generator.named_parameters():
                    p.copy_(moved[name])
            values.append(loss().item())
        expected = (values[0] - values[1]) / (2 * h)
        found = sum((slopes[name] * along[name]).sum().item() for name in start)
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-7)
        assert abs(found) > 1e-5


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("points", [True, False])
def test_the_discriminators_own_update_is_untouched(
    tiny: SimpleNamespace, points: bool, steps: int
) -> None:
    plain, game = tiny.make(points=points), tiny.make(Unrolling(steps=steps), points=points)
    tiny.play(plain, iterations=1)
    tiny.play(game, iterations=1)
    assert torch.equal(plain.losses["loss/discriminator"], game.losses["loss/discriminator"])
    for name, value in plain.discriminator.state_dict().items():
        assert torch.equal(value, game.discriminator.state_dict()[name]), name
    for player in (game.generator, game.discriminator):
        assert all(p.grad is None and p.requires_grad for p in player.parameters())
    # Adam's first step hardly depends on how long a gradient is, so that one is too few to differ.
    plain, game = tiny.make(points=points), tiny.make(Unrolling(steps=steps), points=points)
    tiny.play(plain, iterations=4)
    tiny.play(game, iterations=4)
    ours, theirs = theta_of(game.generator), theta_of(plain.generator)
    assert max((ours[name] - theirs[name]).abs().max() for name in ours) > 1e-5


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_rotation_is_damped_as_the_formula_says(dirac: Any, steps: int) -> None:
    """psi' = psi - h theta, theta' = theta + h (psi - 2 K h theta); radius^2 1 - (2 K - 1) h^2."""
    h = 0.1
    path = dirac(Unrolling(steps=steps, optimizer="sgd"), lr=h, iterations=100)
    for (psi, theta), (next_psi, next_theta) in pairwise(path):
        assert next_psi == pytest.approx(psi - h * theta, abs=1e-12)
        assert next_theta == pytest.approx(theta + h * (psi - 2 * steps * h * theta), abs=1e-12)
    matrix = torch.tensor([[1.0, -h], [h, 1 - 2 * steps * h * h]], dtype=torch.float64)
    radius = torch.linalg.eigvals(matrix).abs().max().item()
    assert radius == pytest.approx(math.sqrt(1 - (2 * steps - 1) * h * h), abs=1e-12)
    assert math.hypot(*path[-1]) < 1.5 * radius**100 * math.hypot(*path[0])
    plain = dirac(lr=h, iterations=100)
    assert min(math.hypot(*point) for point in plain) > 0.9  # where nothing is unrolled, it circles


ZERO = {"w": torch.zeros(2, dtype=torch.float64)}


def test_a_gradient_of_zero_has_a_finite_derivative_and_the_right_one() -> None:
    """lr g / (|g| + eps) has slope lr / eps at 0; there a plain square root gives nan."""
    g = torch.tensor([0.0, 0.5], dtype=torch.float64, requires_grad=True)
    start = Start(ZERO, ZERO, ZERO, {"w": torch.zeros((), dtype=torch.float64)})
    rule = Rule("adam", 0.25, (0.0, 0.9), 1e-3)
    theta = unroll(lambda theta, step: {"w": g}, start, steps=1, rule=rule)["w"]
    assert theta[0] == 0.0
    assert theta[1].item() == pytest.approx(-0.25 * 0.5 / 0.501, abs=1e-15)
    (slope,) = torch.autograd.grad(theta.sum(), g)
    assert slope[0].item() == pytest.approx(-0.25 / 1e-3, rel=1e-12)
    assert slope[1].item() == pytest.approx(-0.25 * 1e-3 / 0.501**2, rel=1e-9)


def test_keeps_nothing_in_a_checkpoint(tiny: SimpleNamespace) -> None:
    game: GAN = tiny.make(Unrolling(steps=2))
    tiny.play(game, iterations=2)
    assert game.state_dict().keys() == tiny.make().state_dict().keys()
