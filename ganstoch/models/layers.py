"""Layers, base classes and initial weights of generators and discriminators."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganstoch.errors import UserError
from ganstoch.models.convolution import Geometry, convolve, in_full_precision
from ganstoch.types import DiscriminatorOutput, Shape


class LatentConv(nn.Module):
    """The 4 x 4 convolution, stride 1, padding 3, of a 1 x 1 latent: (N, in) to (N, out, 4, 4).

    Output (i, j) meets tap (3 - i, 3 - j) only: a product with the weight, (out * 4 * 4, in).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels * 16, in_channels))
        self.bias = nn.Parameter(torch.empty(out_channels))

    @property
    def kernel(self) -> Tensor:
        """The weight as the convolution's kernel, shape (out, in, 4, 4)."""
        return self.weight.view(len(self.bias), 4, 4, -1).permute(0, 3, 1, 2).flip(2, 3)

    def forward(self, latents: Tensor) -> Tensor:
        """Latents (N, in) to a map (N, out, 4, 4)."""
        maps = F.linear(latents, self.weight).view(-1, len(self.bias), 4, 4)
        return maps + self.bias.view(-1, 1, 1)


class UpsampleConv(nn.Module):
    """Nearest-neighbour upsampling by 2, then a 3 x 3 convolution with padding 1, as one operation.

    A transposed 4 x 4 convolution with stride 2 takes 4 multiply-adds in place of 9.
    """

    geometry = Geometry(stride=2, padding=1, transposed=True)
    _kernel: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.empty(out_channels))
        taps = torch.zeros(3, 3, 4, 4)
        for i, j in product(range(3), repeat=2):
            # Tap (i, j) serves the two phases of each axis: rows 2 - i and 3 - i of the kernel.
            taps[i, j, 2 - i : 4 - i, 2 - j : 4 - j] = 1.0
        self.register_buffer("_kernel", taps.view(9, 16), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, 2H, 2W)."""
        out_channels, in_channels = self.weight.shape[:2]
        with in_full_precision(x.device):
            kernel = (self.weight.view(-1, 9) @ self._kernel).view(out_channels, in_channels, 4, 4)
        return convolve(x, kernel.transpose(0, 1), self.bias, self.geometry)


class SpectralConv2d(nn.Conv2d):
    """A convolution whose weight is divided by an estimate of its largest singular value.

    Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks", Alg. 1. Power
    iteration of the singular vectors is a call of its own, apart from forward passes.
    """

    u: Tensor
    v: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, *, stride: int, padding: int
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride=stride, padding=padding)
        self.geometry = Geometry(stride=stride, padding=padding)
        self.register_buffer("u", torch.empty(out_channels))
        self.register_buffer("v", torch.empty(in_channels * kernel_size**2))

    @torch.no_grad()
    def restart(self, rng: torch.Generator) -> None:
        """Draws the start vector and iterates 15 times, as torch's own implementation does."""
        start = torch.randn(self.u.shape, generator=rng, dtype=torch.float32)
        self.u.copy_(F.normalize(start, dim=0))
        for _ in range(15):
            self.power_iterate()

    @torch.no_grad()
    def power_iterate(self) -> None:
        """One step of power iteration towards the leading singular vectors, in place."""
        matrix = self.weight.flatten(1)
        with in_full_precision(matrix.device):
            self.v.copy_(F.normalize(matrix.T @ self.u, dim=0))
            self.u.copy_(F.normalize(matrix @ self.v, dim=0))

    def norm(self) -> Tensor:
        """The estimate u^T W v of the spectral norm; u and v are constants of its gradient."""
        with in_full_precision(self.weight.device):
            return torch.dot(self.u, self.weight.flatten(1) @ self.v)

    def forward(self, input: Tensor) -> Tensor:
        """As `torch.nn.Conv2d` with the weight over its norm; divides whichever is smaller."""
        assert self.bias is not None
        norm = self.norm()
        side = input.shape[-1] + 2 * self.geometry.padding - self.weight.shape[-1]
        side = side // self.geometry.stride + 1
        if self.weight.numel() <= len(input) * len(self.weight) * side**2:
            return convolve(input, self.weight / norm, self.bias, self.geometry)
        maps = convolve(input, self.weight, None, self.geometry)
        return maps / norm + self.bias.to(maps.dtype).view(-1, 1, 1)


class BatchNorm(nn.Module):
    """Batch normalization of vectors and maps alike [Ioffe & Szegedy 2015, Alg. 1].

    If it is not ``tracked``, every pass takes its own batch's statistics.
    """

    needs_full_batch: ClassVar[bool] = True
    running_mean: Tensor | None
    running_var: Tensor | None

    def __init__(
        self, channels: int, *, tracked: bool = True, momentum: float = 0.1, epsilon: float = 1e-5
    ) -> None:
        super().__init__()
        self.momentum, self.epsilon = momentum, epsilon
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels) if tracked else None)
        self.register_buffer("running_var", torch.ones(channels) if tracked else None)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, ...) to the same shape; a `UserError` if a channel has one value only."""
        by_batch = self.training or self.running_mean is None
        if by_batch and x.numel() == x.shape[1]:
            raise UserError(
                "batch normalization needs two images or more: raise data.m, or take "
                "networks without it"
            )
        state = (self.running_mean, self.running_var, self.weight, self.bias)
        return F.batch_norm(x, *state, training=by_batch, momentum=self.momentum, eps=self.epsilon)


class Generator(nn.Module):
    """Maps latents to images or points."""

    gain: ClassVar[float | None] = None  # of an orthogonal start; None for a normal one
    latent_dim: int
    layers: nn.Module  # unless a subclass has a forward pass of its own

    def forward(self, latents: Tensor) -> Tensor:
        """Latents (N, latent_dim) to (N, *shape): images in [-1, 1], or points, unbounded."""
        examples: Tensor = self.layers(latents)
        return examples

    def assigned(self, latents: Tensor, kind: str) -> Tensor | None:
        """What latents (N, latent_dim) choose of a kind, such as "class": int64 (N,), or None."""
        return None


class Discriminator(nn.Module):
    """Scores images or points: a body makes features, a head and remedies' ``heads`` map these."""

    gain: ClassVar[float | None] = None  # as for `Generator`
    separate_passes: bool | None = None  # of real and generated; None: as `needs_full_batch` says
    body: nn.Module  # (N, *shape) to features, (N, head_features) or maps of as many numbers
    head: nn.Module  # the last layer, from the body's features to one logit each
    head_features: int

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleDict()

    def forward(self, images: Tensor) -> DiscriminatorOutput:
        """(N, *shape) to logits (N,), features (N, head_features), and what further heads make."""
        features = self.body(images)
        flat = features.flatten(1)
        others = {name: head(flat) for name, head in self.heads.items()}
        return DiscriminatorOutput(self.head(features).flatten(), flat, others)

    def power_iterate(self) -> None:
        """Refines every spectral norm by one step; called once an update, not a forward pass."""
        for module in self.modules():
            if isinstance(module, SpectralConv2d):
                module.power_iterate()


GeneratorFactory = Callable[..., Generator]  # of a shape, and of a latent_dim where it may be set
DiscriminatorFactory = Callable[[Shape], Discriminator]


def needs_full_batch(network: nn.Module) -> bool:
    """Whether a layer makes an image's result depend on its batch, as `BatchNorm` does."""
    return any(getattr(layer, "needs_full_batch", False) for layer in network.modules())


def check_sizes(*, step: int = 1, **sizes: int) -> None:
    """A UserError, which names it, if a size of a network is no positive multiple of ``step``."""
    for name, size in sizes.items():
        if size < 1 or size % step:
            words = f"{step} or more" + (f", a multiple of {step}" if step > 1 else "")
            raise UserError(f"{name} of this network must be {words}, got {size}")


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Computes no gradients of a module's parameters within the block."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)


@torch.no_grad()
def initialize(module: nn.Module, *, std: float, rng: torch.Generator) -> None:
    """Draws every weight from N(0, std^2) and sets every bias to 0, in place.

    The paper names no initialization; this one is from the first author's earlier code. A network
    with a ``gain`` has orthogonal matrices times that gain [Saxe et al. 2014].
    """
    gains: dict[nn.Module, float | None] = {}
    added: set[nn.Module] = set()
    for network in module.modules():  # an inner network's gain overrides that of the outer
        if isinstance(network, Generator | Discriminator):
            gains |= dict.fromkeys(network.modules(), network.gain)
        if isinstance(network, Discriminator):
            added |= set(network.heads.modules())
    # Further heads come last, so that one more changes nothing in what the network started from.
    for layer in sorted(module.modules(), key=lambda layer: layer in added):
        gain = gains.get(layer)
        for name, parameter in layer.named_parameters(recurse=False):
            if name.endswith("bias"):
                parameter.zero_()
            elif isinstance(layer, BatchNorm):
                parameter.fill_(1.0)
            elif gain is None or parameter.dim() < 2:
                draws = torch.randn(parameter.shape, generator=rng, dtype=torch.float32)
                parameter.copy_(draws.mul_(std))
            else:
                draws = torch.empty(parameter.shape, dtype=torch.float32)
                parameter.copy_(nn.init.orthogonal_(draws, gain, generator=rng))
    for layer in module.modules():
        if isinstance(layer, SpectralConv2d):
            layer.restart(rng)
