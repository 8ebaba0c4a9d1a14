"""Minibatch discrimination: each example is scored with how close it is to its batch [1].

[1] Salimans et al. 2016, "Improved Techniques for Training GANs", Sec. 3.2.

The features f(x_i) of the body, multiplied by a tensor T, become a matrix M_i of B rows (kernels)
of C numbers (dims); then

    o(x_i)_b = sum_j exp(-|| M_ib - M_jb ||_1),

the sum over the whole batch, j = i included, as in the paper's formula: 1 to m, m if all examples
are alike. (The paper's code leaves j = i out, and takes a scale of T and a bias from the first.)
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ganstoch.models.convolution import in_full_precision
from ganstoch.models.layers import Discriminator, DiscriminatorFactory, GeneratorFactory
from ganstoch.remedies.base import Remedy, RemedySpec
from ganstoch.types import Shape

_BLOCK = 2**21  # most numbers in a block of pairs; a few blocks exist at a time


class MinibatchDiscrimination(Remedy):
    """A head that weighs the features and, beside them, the closeness o to the batch.

    The discriminator's own head stays; weights on o are not spectrally normalized. Real and
    generated examples each make a batch of their own. o is a sum, so it grows with m.

    Args:
        kernels: B, 0 or more; 0 is the plain GAN. 100 in the published code.
        dims: C, 1 or more; 5 in the published code, and not named in the paper.
    """

    def __init__(self, *, kernels: int = 100, dims: int = 16) -> None:
        super().__init__()
        for name, value, least in (("kernels", kernels, 0), ("dims", dims, 1)):
            self._require(value >= least, name, value, f"{least} or more")
        self.kernels, self.dims = kernels, dims
        self.spec = RemedySpec(is_noop=kernels == 0, separate_passes=True, needs_full_batch=True)

    def wrap_networks(
        self, generator: GeneratorFactory, discriminator: DiscriminatorFactory
    ) -> tuple[GeneratorFactory, DiscriminatorFactory]:
        """A discriminator with the larger head."""

        def with_closeness(shape: Shape) -> Discriminator:
            network = discriminator(shape)
            network.head = MinibatchHead(
                network.head, network.head_features, kernels=self.kernels, dims=self.dims
            )
            return network

        return generator, with_closeness


class MinibatchHead(nn.Module):
    """A head, from features to (N, 1) or (N, 1, 1, 1), and what closeness to the batch adds."""

    needs_full_batch: ClassVar[bool] = True

    def __init__(self, inner: nn.Module, features: int, *, kernels: int, dims: int) -> None:
        super().__init__()
        self.inner = inner
        self.rows = (kernels, dims)
        self.project = nn.Linear(features, kernels * dims, bias=False)  # T
        self.weigh = nn.Linear(kernels, 1, bias=False)  # the inner head has a bias

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, F) or maps of as many numbers, to logits (N, 1)."""
        logits: Tensor = self.inner(features)
        with in_full_precision(features.device):
            flat = features.flatten(1).to(self.project.weight.dtype)
            rows = self.project(flat).T.unflatten(0, self.rows)
            addend: Tensor = self.weigh(closeness(rows).T)
        return logits.flatten(1) + addend


def closeness(rows: Tensor) -> Tensor:
    """The o of every kernel and example, (B, N), each in [1, N], from M (B, C, N), in blocks."""
    result: Tensor = _Closeness.apply(rows.contiguous())  # an example's neighbour lies beside it
    return result


class _Closeness(torch.autograd.Function):
    """The sum over the batch; keeps nothing but its argument."""

    generate_vmap_rule = True

    @staticmethod
    def forward(rows: Tensor) -> Tensor:
        # Written in place: pieces kept between blocks would hold on to the memory around them.
        result = torch.empty_like(rows[:, 0])
        for block in _blocks(rows):
            result[:, block] = _alike(rows[:, :, block], rows).sum(-1)
        return result

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        # A pair counts in the sums of both of its examples:
        # dL/dM_ibc = -sum_j (g_ib + g_jb) exp(-||M_ib - M_jb||_1) sign(M_ibc - M_jbc).
        (rows,) = ctx.saved_tensors
        result = torch.empty_like(rows)
        for block in _blocks(rows):
            some = rows[:, :, block]
            pull = -(gradient[:, block, None] + gradient[:, None]) * _alike(some, rows)
            for dim, (a, b) in enumerate(_dims(some, rows)):
                result[:, dim, block] = _minus(a, b).sign_().mul_(pull).sum(-1)
        return result


def _blocks(rows: Tensor) -> Iterator[slice]:
    """The examples in as many at a time as make a block of pairs with all N."""
    kernels, _, n = rows.shape
    step = max(1, _BLOCK // (kernels * n))
    return (slice(i, i + step) for i in range(0, n, step))


def _alike(some: Tensor, rows: Tensor) -> Tensor:
    """exp(-l1 distance) of (B, C, R) to (B, C, N); shape (B, R, N), one dim at a time."""
    first, *others = _dims(some, rows)
    distance = _minus(*first).abs_()
    for a, b in others:
        distance += _minus(a, b).abs_()
    return distance.neg_().exp_()


def _dims(some: Tensor, rows: Tensor) -> list[tuple[Tensor, Tensor]]:
    return list(zip(some.unbind(1), rows.unbind(1), strict=True))


def _minus(a: Tensor, b: Tensor) -> Tensor:
    return a[:, :, None] - b[:, None]
