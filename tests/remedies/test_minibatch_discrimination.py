from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganstoch.bench.memory import peak_bytes
from ganstoch.models import PaperDiscriminator, PaperGenerator
from ganstoch.remedies import MinibatchDiscrimination
from ganstoch.remedies import minibatch_discrimination as module
from ganstoch.remedies.minibatch_discrimination import MinibatchHead, closeness
from ganstoch.rng import normal, rng_for
from ganstoch.training.gan import GAN


def matrices(*shape: int, part: str = "") -> Tensor:
    """M, float64, shape (B, C, N)."""
    return 0.3 * normal(shape, rng_for(0, "data", part=part)).double()


def by_hand(rows: Tensor) -> Tensor:
    """The paper's sum, all pairs at once; autograd makes its gradients."""
    return (rows[..., :, None] - rows[..., None, :]).abs().sum(1).neg().exp().sum(-1)


@pytest.fixture(params=[1, 40, 2**21], ids=["one at a time", "some at a time", "all at once"])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", request.param)


@pytest.mark.usefixtures("block")
def test_is_the_papers_sum_whatever_the_blocks() -> None:
    rows, weights = matrices(3, 2, 7).requires_grad_(), matrices(3, 7, part="w").requires_grad_()

    def results(of: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
        sums = of(rows)
        loss = (sums * weights).square().sum()
        (once,) = torch.autograd.grad(loss, rows, create_graph=True)
        return sums, once, *torch.autograd.grad(once.square().sum(), (rows, weights))

    for one, other in zip(results(closeness), results(by_hand), strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-10)
        assert other.abs().min() > 1e-6


def test_head_weighs_features_and_closeness() -> None:
    head = MinibatchHead(nn.Linear(6, 1), 6, kernels=3, dims=2).double()
    features = matrices(5, 6)
    tensor = head.project.weight.view(3, 2, 6)  # T, by kernel and dim
    projected = torch.einsum("na,bca->bcn", features, tensor)
    longer = torch.cat([features, by_hand(projected).T], 1)
    weights = torch.cat([head.get_parameter("inner.weight"), head.weigh.weight], 1)
    expected = F.linear(longer, weights, head.get_parameter("inner.bias"))
    assert torch.allclose(head(features), expected, rtol=0, atol=1e-12)
    order = torch.tensor([3, 1, 4, 0, 2])
    assert torch.allclose(head(features[order]), expected[order], rtol=0, atol=1e-12)


def test_real_and_generated_examples_make_batches_of_their_own(tiny: SimpleNamespace) -> None:
    gan = tiny.make(MinibatchDiscrimination(kernels=3, dims=2)).double()
    assert gan.separate_passes
    sizes: list[int] = []
    gan.discriminator.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    tiny.train(gan, iterations=1)
    assert sizes == [8, 8, 8]


@pytest.mark.parametrize("points", [True, False])
def test_all_other_weights_start_as_in_the_plain_gan(tiny: SimpleNamespace, points: bool) -> None:
    plain = tiny.make(points=points)
    gan = tiny.make(MinibatchDiscrimination(kernels=3, dims=2), points=points)
    own = {name.replace("head.inner.", "head."): w for name, w in gan.named_parameters()}
    for name, weights in plain.named_parameters():
        assert torch.equal(own[name], weights), name
    before = own["discriminator.head.project.weight"].clone()
    assert before.std() > 0
    tiny.train(gan, iterations=1)
    assert not torch.equal(gan.discriminator.head.project.weight, before)


def test_memory_is_that_of_a_few_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """All pairs of 3200 examples in 100 kernels of 16 dims are 65 GB, and their distances 4 GB."""
    m, kernels, dims, block = 3200, 100, 16, 2**26
    monkeypatch.setattr(module, "_BLOCK", block)
    networks = partial(PaperGenerator, width=8, latent_dim=8), partial(PaperDiscriminator, width=8)
    remedy = MinibatchDiscrimination(kernels=kernels, dims=dims)
    more = peak_bytes(GAN(*networks, remedies=[remedy]), m=m, micro_batch=None)
    more -= peak_bytes(GAN(*networks), m=m, micro_batch=None)
    matrix, distances = 4 * m * kernels * dims, 4 * m * m * kernels
    assert more < 5 * 4 * block + 12 * matrix < distances
