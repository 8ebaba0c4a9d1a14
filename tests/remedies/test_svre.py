import math
from collections.abc import Sequence
from functools import partial
from itertools import combinations, pairwise, product
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from ganstoch.errors import UserError
from ganstoch.latents import LatentSettings
from ganstoch.models import Discriminator, ReLUGenerator, TanhDiscriminator, TanhGenerator
from ganstoch.remedies import R1, SVRE, WeightClipping
from ganstoch.remedies.base import StepInfo
from ganstoch.training.gan import GAN
from ganstoch.training.micro_batch import split
from ganstoch.types import Batch, MicroBatch

H = 0.3


def slopes(psi: float, theta: float) -> tuple[float, float]:
    """Of D's loss psi theta by psi, and of G's loss -psi theta by theta."""
    return theta, -psi


@pytest.mark.parametrize("variance_reduction", [True, False])
def test_extragradient_converges_unlike_descent(dirac: Any, variance_reduction: bool) -> None:
    """Step from here by the gradient at the point extrapolated to; radius^2 1 - h^2 + h^4."""
    remedy = SVRE(variance_reduction=variance_reduction, every=7)
    path = dirac(remedy, lr=H, iterations=100)
    for (psi, theta), after in pairwise(path):
        at = slopes(psi, theta)
        by = slopes(psi - H * at[0], theta - H * at[1])
        assert after == pytest.approx((psi - H * by[0], theta - H * by[1]), abs=1e-12)
    norms = [math.hypot(*point) for point in path]
    radius = math.sqrt(1 - H**2 + H**4)
    assert [b / a for a, b in pairwise(norms)] == pytest.approx([radius] * 100, abs=1e-9)
    assert norms[-1] < 0.02 * norms[0]

    plain = [math.hypot(*point) for point in dirac(lr=H, iterations=100)]
    assert min(plain) > 0.8  # alternating updates circle


def test_simultaneous_updates_without_extrapolation_diverge(dirac: Any) -> None:
    path = dirac(SVRE(extrapolate=False), lr=H, iterations=50)
    norms = [math.hypot(*point) for point in path]
    assert [b / a for a, b in pairwise(norms)] == pytest.approx([math.sqrt(1 + H**2)] * 50)


@pytest.mark.parametrize("variance_reduction", [True, False])
def test_equals_the_algorithm_written_down(tiny: SimpleNamespace, variance_reduction: bool) -> None:
    """Chavdarova et al. 2019, Alg. 1, with the extrapolation of Gidel et al. 2019, Alg. 4."""
    gan = tiny.make(SVRE(variance_reduction=variance_reduction, every=3)).double()
    twin = tiny.make().double()
    d, g = twin.discriminator, twin.generator
    parameters = [*d.parameters(), *g.parameters()]
    cut = len(list(d.parameters()))
    data, _ = tiny.world(twin)
    everything = data.double(), twin.latents.fixed.double()

    adam = torch.optim.Adam(parameters, lr=0.01, betas=(0.5, 0.9))

    def put(values: Sequence[Tensor]) -> None:
        with torch.no_grad():
            for p, value in zip(parameters, values, strict=True):
                p.copy_(value)

    def move(values: Sequence[Tensor], gradients: Sequence[Tensor]) -> list[Tensor]:
        put(values)
        for p, value in zip(parameters, gradients, strict=True):
            p.grad = value
        adam.step()
        return [p.detach().clone() for p in parameters]

    def gradient(at: Sequence[Tensor], real: Tensor, z: Tensor) -> list[Tensor]:
        put(at)
        fake = g(z)
        loss_d = softplus(-d(real).logits).mean() + softplus(d(fake).logits).mean()
        loss_g = softplus(-d(fake).logits).mean()
        of_d = torch.autograd.grad(loss_d, parameters[:cut], retain_graph=True)
        return [*of_d, *torch.autograd.grad(loss_g, parameters[cut:])]

    def corrected(at: Sequence[Tensor], part: MicroBatch) -> list[Tensor]:
        here = gradient(at, part.real, part.latents)
        if not variance_reduction:
            return here
        there = gradient(snapshot, part.real, part.latents)
        return [a - b + c for a, b, c in zip(here, there, mu, strict=True)]

    now = [p.detach().clone() for p in parameters]
    snapshot: list[Tensor] = []
    mu: list[Tensor] = []
    for iteration in range(5):
        (first,), (second,) = tiny.draw(gan, iteration)
        assert not torch.equal(first.ids, second.ids)
        if iteration % 3 == 0:
            snapshot, mu = now, gradient(now, *everything)
        there = move(now, corrected(now, first))
        now = move(now, corrected(there, second))

    optimizers = [
        torch.optim.Adam(player.parameters(), lr=0.01, betas=(0.5, 0.9))
        for player in (gan.discriminator, gan.generator)
    ]
    tiny.train(gan, iterations=5, optimizers=optimizers)
    ours = [*gan.discriminator.parameters(), *gan.generator.parameters()]
    assert max((a - b).abs().max() for a, b in zip(ours, now, strict=True)) < 1e-12
    assert {s["step"].item() for o in optimizers for s in o.state.values()} == {10.0}
    for player in (gan.generator, gan.discriminator):
        assert all(p.grad is None and p.requires_grad for p in player.parameters())


@pytest.mark.parametrize("bank", [3, 6])
def test_the_corrected_gradient_is_the_full_one_on_average(bank: int) -> None:
    pixels = torch.tensor([[0.0, 1.0], [2.0, -1.0], [0.5, 0.5]], dtype=torch.float64)
    gan = GAN(
        partial(TanhGenerator, latent_dim=2, width=3),
        partial(TanhDiscriminator, width=3),
        remedies=[SVRE(extrapolate=False, every=100)],
        latents=LatentSettings(bank=bank),
        shape=(2,),
    ).double()
    gan.setup_latents(n=3, m=2, pixels=pixels)
    assert gan.latents is not None
    assert gan.latents.fixed is not None
    fixed = gan.latents.fixed.double()
    players = (gan.discriminator, gan.generator)

    def part_of(ids: tuple[int, ...], z: tuple[int, ...]) -> MicroBatch:
        batch = Batch(pixels[list(ids)], torch.tensor(ids), size=len(ids))
        (part,) = split(batch, fixed[list(z)], micro_batch=None, dtype=torch.float64)
        return part

    def steps(lr: float) -> list[torch.optim.Optimizer]:
        return [torch.optim.SGD(player.parameters(), lr=lr) for player in players]

    gan.train_iteration([[part_of((0, 2), (1, 0))]], *steps(0.05), iteration=0)  # off the snapshot
    held, applied = steps(0.0), list[Tensor]()
    for step in held:
        step.register_step_pre_hook(
            lambda s, *_: applied.extend(p.grad.flatten() for p in s.param_groups[0]["params"])
        )

    def gradient(part: MicroBatch) -> tuple[Tensor, Tensor]:
        """The corrected one, and the batch's own."""
        applied.clear()
        gan.train_iteration([[part]], *held, iteration=1)
        fakes, now = gan.generator(part.latents), StepInfo(0, 1)
        scores = gan.discriminate(gan.discriminator, part, fakes.detach(), info=now)
        loss_d = gan.discriminator_loss(scores)
        loss_g = gan.generator_loss(gan.discriminator, part, fakes, info=now)
        own = [
            *torch.autograd.grad(loss_d, list(gan.discriminator.parameters())),
            *torch.autograd.grad(loss_g, list(gan.generator.parameters())),
        ]
        return torch.cat(applied), torch.cat([slope.flatten() for slope in own])

    everyone = tuple(i % 3 for i in range(max(3, bank)))
    of_everyone, full = gradient(part_of(everyone, tuple(range(bank))))
    assert (of_everyone - full).abs().max() < 1e-12  # m = n: no variance to reduce
    gradients = [
        gradient(part_of(ids, z))
        for ids in product(range(3), repeat=2)
        for z in combinations(range(bank), 2)
    ]
    assert len(gradients) == 9 * bank * (bank - 1) // 2
    reduced, own = (torch.stack(kind) for kind in zip(*gradients, strict=True))
    for kind in (reduced, own):
        assert (kind.mean(0) - full).abs().max() < 1e-12
    assert (reduced - own).abs().max() > 1e-4
    assert reduced.var(0).sum() < 0.5 * own.var(0).sum()


def test_the_snapshot_is_renewed_once_an_epoch(tiny: SimpleNamespace) -> None:
    for remedy, expected in ((SVRE(), [0, 3, 6]), (SVRE(every=2), [0, 2, 4, 6])):
        gan = tiny.make(remedy)  # 24 images, batches of 8
        steps, renewed = gan.configure_optimizers(), []
        for iteration in range(7):
            before = {k: v.clone() for k, v in gan.generator.state_dict().items()}
            tiny.train(gan, iterations=1, start=iteration, optimizers=steps)
            past = dict(zip(before, remedy.snapshots[0].buffers(), strict=True))
            if all(torch.equal(past[name], before[name]) for name in before):
                renewed.append(iteration)
        assert renewed == expected


@pytest.mark.parametrize(("extrapolate", "count"), [(True, 2), (False, 1)])
def test_one_power_step_a_gradient(tiny: SimpleNamespace, extrapolate: bool, count: int) -> None:
    gan = tiny.make(SVRE(extrapolate=extrapolate, every=2), points=False, micro_batch=3)
    with mock.patch.object(Discriminator, "power_iterate") as iterate:
        tiny.train(gan, iterations=3)
    assert iterate.call_count == 3 * count


def test_clips_and_penalizes_as_told(tiny: SimpleNamespace) -> None:
    gan = tiny.make(SVRE(variance_reduction=False), WeightClipping(limit=0.01))
    tiny.train(gan, iterations=2)
    assert max(p.abs().max() for p in gan.discriminator.parameters()) <= 0.01
    with mock.patch.object(R1, "discriminator_loss", autospec=True) as penalty:
        penalty.side_effect = lambda self, loss, scores: loss
        tiny.train(tiny.make(SVRE(), R1()), iterations=1)
    assert penalty.call_count == 3 + 2 * 2  # all in three parts, two batches at two points


def test_extrapolation_alone_asks_for_less(tiny: SimpleNamespace) -> None:
    settings: list[dict[str, Any]] = [{"bank": "fresh"}, {"noise": 0.5}, {"bank": 36}]
    for each in settings:
        tiny.make(SVRE(variance_reduction=False), **each)
        with pytest.raises(UserError, match=r"model\.latents\.bank"):
            tiny.make(SVRE(), **each)
    make = partial(GAN, partial(ReLUGenerator, width=3), TanhDiscriminator, shape=(2,))
    with pytest.raises(UserError, match="ReLUGenerator"):
        make(remedies=[SVRE()])
    make(remedies=[SVRE(variance_reduction=False)])
