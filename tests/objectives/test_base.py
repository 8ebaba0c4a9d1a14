"""What every objective promises, whatever its formula."""

import inspect
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ganstoch import objectives
from ganstoch.objectives import LeastSquares, Objective, Pointwise, RelativisticAverage
from ganstoch.rng import normal, rng_for

CLASSES: list[type[Objective]] = [
    kind
    for kind in vars(objectives).values()
    if inspect.isclass(kind) and issubclass(kind, Objective) and not inspect.isabstract(kind)
]
PLAIN = [kind() for kind in CLASSES]
ALL = [*PLAIN, RelativisticAverage("hinge"), RelativisticAverage("least_squares")]
POINTWISE = [loss for loss in PLAIN if isinstance(loss, Pointwise)]

each = pytest.mark.parametrize("loss", ALL, ids=lambda loss: type(loss).__name__)
each_pointwise = pytest.mark.parametrize("loss", POINTWISE, ids=lambda loss: type(loss).__name__)


def logits(count: int, draw: int, dtype: torch.dtype = torch.double) -> Tensor:
    return normal((count,), rng_for(0, "data", draw)).to(dtype).mul_(3.0).requires_grad_()


def close(result: Tensor, expected: Tensor, *, rel: float = 1e-12, abs: float = 0.0) -> bool:
    return bool(result.tolist() == pytest.approx(expected.tolist(), rel=rel, abs=abs))


@each
def test_the_generator_sees_real_logits_only_where_paired(loss: Objective) -> None:
    real, fake = logits(6, 0), logits(6, 1)
    if loss.needs_real:
        assert loss.generator(fake, real) != loss.generator(fake, real * 2)
        with pytest.raises(AssertionError):
            loss.generator(fake)
    else:
        assert loss.generator(fake, real) == loss.generator(fake)


@each
def test_means_of_parts_add_up_unless_the_batch_is_coupled(loss: Objective) -> None:
    real, fake = logits(64, 0), logits(64, 1)
    results = []
    for size in (7, 64):
        losses = torch.zeros(2)
        for r, f in zip(torch.split(real, size), torch.split(fake, size), strict=True):
            both = torch.stack([loss.discriminator(r, f), loss.generator(f, r)])
            losses = losses + len(r) / 64 * both
        slopes = [torch.autograd.grad(each, fake, retain_graph=True)[0] for each in losses]
        results.append(torch.cat([losses, *slopes]))
    assert close(*results) != loss.needs_full_batch


EXTREMES = [(-100.0, -30.0), (30.0, 100.0), (-100.0, 30.0), (-30.0, 100.0), (-100.0, 100.0)]


@each
@pytest.mark.parametrize(("real", "fake"), list(product(EXTREMES, EXTREMES)))
def test_single_precision_has_the_gradients_of_double(
    loss: Objective, real: tuple[float, float], fake: tuple[float, float]
) -> None:
    results = []
    for dtype in (torch.float32, torch.float64):
        r = torch.tensor(real, dtype=dtype, requires_grad=True)
        f = torch.tensor(fake, dtype=dtype, requires_grad=True)
        loss_d, loss_g = loss.discriminator(r, f), loss.generator(f, r)
        assert loss_d.isfinite()
        assert loss_g.isfinite()
        gradients = [*torch.autograd.grad(loss_d, [r, f]), *torch.autograd.grad(loss_g, [f])]
        results.append(torch.cat(gradients))
    # In single precision exp(-100) is a denormal number, and may be flushed.
    assert close(results[0], results[1], rel=1e-5, abs=1e-37)


@each_pointwise
def test_soft_at_plain_labels_is_the_plain_loss_to_the_bit(loss: Pointwise) -> None:
    real, fake = logits(33, 0, torch.float32), logits(33, 1, torch.float32)
    plain = loss.discriminator(real, fake)
    ones, zeros = torch.ones(33), torch.zeros(33)
    soft = loss.soft(real, fake, real_targets=ones, fake_targets=zeros)
    assert soft.item() == plain.item()
    ours, theirs = (torch.autograd.grad(it, [real, fake]) for it in (soft, plain))
    assert all(torch.equal(o, t) for o, t in zip(ours, theirs, strict=True))


def uniform_targets(count: int) -> tuple[Tensor, Tensor]:
    """Labels as in the practitioners' advice: 0.7 .. 1.2 for real, 0 .. 0.3 for generated."""
    rng = rng_for(0, "remedy")
    draws = torch.rand(2, count, generator=rng, dtype=torch.double)
    return 0.7 + 0.5 * draws[0], 0.3 * draws[1]


@pytest.mark.parametrize("loss", [objectives.NonSaturating(), objectives.Saturating()])
def test_soft_is_the_cross_entropy(loss: Pointwise) -> None:
    real, fake = logits(50, 0), logits(50, 1)
    for_real, for_fake = uniform_targets(50)
    soft = loss.soft(real, fake, real_targets=for_real, fake_targets=for_fake)
    expected = binary_cross_entropy_with_logits(real, for_real)
    expected = expected + binary_cross_entropy_with_logits(fake, for_fake)
    assert soft.item() == pytest.approx(expected.item(), rel=1e-12)
    ours, theirs = (torch.autograd.grad(it, [real, fake]) for it in (soft, expected))
    assert all(close(o, t, abs=1e-16) for o, t in zip(ours, theirs, strict=True))


def test_soft_least_squares_pull_every_logit_to_its_target() -> None:
    real, fake = logits(50, 0), logits(50, 1)
    for_real, for_fake = uniform_targets(50)
    soft = LeastSquares().soft(real, fake, real_targets=for_real, fake_targets=for_fake)
    pull = torch.autograd.grad(soft, [real, fake])
    assert close(pull[0], (real - for_real) / 50, abs=1e-15)
    assert close(pull[1], (fake - for_fake) / 50, abs=1e-15)
