"""Every example's own gradient, layer by layer, from one pass over many examples.

A layer's gradient for one example follows from what went into the layer and from the gradient of
what came out of it: both are there for all examples after one forward and one backward pass. It is
exact for networks whose layers do not couple the examples of a batch.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from ganstoch.errors import UserError
from ganstoch.models.layers import LatentConv, SpectralConv2d, UpsampleConv, frozen

BLOCK_BYTES = 128 * 2**20  # of one layer's gradients and what is laid out for them, at once


class Sink(Protocol):
    """What takes the gradients; it may overwrite them."""

    def add(self, name: str, gradients: Tensor) -> None:
        """A parameter's gradients of M examples, shape (M, P)."""

    def add_outer(self, name: str, left: Tensor, right: Tensor) -> None:
        """Gradients of M examples that are products, shapes (M, P) and (M, Q)."""


def collect(
    network: nn.Module,
    inputs: Tensor,
    losses: Callable[[Any], Tensor],
    sink: Sink,
    *,
    group: int = 1,
) -> None:
    """Hands over the gradients of every example's loss in every parameter of a network.

    All parameters lie in modules that map one tensor (M, ...) to another; ``losses`` maps the
    network's output to every example's loss (M,). Examples of one ``group`` come in one block.
    """
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    owners = {
        name: module
        for name, module in network.named_modules()
        if any(True for _ in module.parameters(recurse=False))
    }
    with ExitStack() as stack:
        stack.enter_context(torch.enable_grad())
        stack.enter_context(frozen(network))
        for name, module in owners.items():
            stack.callback(module.register_forward_hook(_watch(name, seen, network)).remove)
        each = losses(network.forward(inputs))  # past torch.compile, which sees no hooks
        if missing := sorted(set(owners) - set(seen)):
            raise UserError(_refusal(network, missing[0], "is not called as a layer"))
        outputs = [output for _, output in seen.values()]
        slopes = torch.autograd.grad(each.sum(), outputs, allow_unused=True)
    with torch.no_grad():
        for (name, (x, _)), slope in zip(seen.items(), slopes, strict=True):
            if slope is not None:
                _hand_over(owners[name], f"{name}.", x, slope, sink, group)


def _watch(name: str, seen: dict[str, tuple[Tensor, Tensor]], network: nn.Module) -> Any:
    def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Tensor:
        tensors = isinstance(output, Tensor) and len(inputs) == 1 and isinstance(inputs[0], Tensor)
        if not tensors:
            raise UserError(_refusal(network, name, "does not map one tensor to one"))
        if name in seen:
            raise UserError(_refusal(network, name, "is called twice"))
        if not output.requires_grad:
            output.requires_grad_()
        seen[name] = inputs[0].detach(), output
        return cast(Tensor, output.clone())  # the next layer may work in place

    return hook


def _refusal(network: nn.Module, layer: str, why: str) -> str:
    return (
        f"{type(network).__name__}: layer {layer or 'itself'} {why}, so that its examples' "
        "gradients cannot be told apart; set gradient_noise to null"
    )


def _hand_over(
    layer: nn.Module, prefix: str, x: Tensor, slope: Tensor, sink: Sink, group: int
) -> None:
    wide = torch.promote_types(x.dtype, torch.float32)
    x, slope = x.to(wide), slope.to(wide)
    if isinstance(layer, LatentConv) or (isinstance(layer, nn.Linear) and x.ndim == 2):
        sink.add_outer(f"{prefix}weight", slope.flatten(1), x)
        if layer.bias is not None:
            of_bias = slope.sum((2, 3)) if isinstance(layer, LatentConv) else slope.clone()
            sink.add(f"{prefix}bias", of_bias)
        return
    numbers = sum(p.numel() for p in layer.parameters(recurse=False))
    numbers += _laid_out(layer, x, slope)
    step = max(1, BLOCK_BYTES // (numbers * x.element_size()) // group) * group
    for some, steep in zip(torch.split(x, step), torch.split(slope, step), strict=True):
        if isinstance(layer, SpectralConv2d):
            gradients = {"weight": _spectral(layer, some, steep), "bias": steep.sum((2, 3))}
        elif isinstance(layer, UpsampleConv):
            gradients = {"weight": _upsampling(layer, some, steep), "bias": steep.sum((2, 3))}
        else:
            gradients = _by_transform(layer, some, steep)
        for name, each in gradients.items():
            sink.add(f"{prefix}{name}", each.flatten(1))


def _laid_out(layer: nn.Module, x: Tensor, slope: Tensor) -> int:
    """Numbers beside an example's gradients: of maps laid out as columns, of kernels not summed."""
    if isinstance(layer, SpectralConv2d):
        return x[0].shape[0] * layer.weight[0, 0].numel() * slope[0, 0].numel()
    if isinstance(layer, UpsampleConv):
        return slope[0].numel() * 4 + layer.weight.numel() * 16 // 9
    return 0


def _spectral(layer: SpectralConv2d, x: Tensor, slope: Tensor) -> Tensor:
    """Through W / sigma(W), sigma = u^T W v with u and v constant, as in training."""
    norm, matrix = layer.norm().to(x.dtype), layer.weight.flatten(1).to(x.dtype)
    stride, padding, _ = layer.geometry
    columns = F.unfold(x, layer.kernel_size, padding=padding, stride=stride)
    gradients = torch.bmm(slope.flatten(2), columns.mT).flatten(1)
    along = gradients @ matrix.flatten() / norm
    direction = torch.outer(layer.u, layer.v).to(x.dtype).flatten()
    return gradients.addr_(along, direction, alpha=-1.0).div_(norm)


def _upsampling(layer: UpsampleConv, x: Tensor, slope: Tensor) -> Tensor:
    """As a transposed convolution, in whose gradient the smaller maps are the kernel."""
    stride, padding, _ = layer.geometry
    columns = F.unfold(slope, 4, padding=padding, stride=stride)
    kernels = torch.bmm(x.flatten(2), columns.mT).view(len(x), x.shape[1], -1, 16)
    gradients: Tensor = kernels @ layer._kernel.T.to(x.dtype)
    return gradients.transpose(1, 2)


def _by_transform(layer: nn.Module, x: Tensor, slope: Tensor) -> dict[str, Tensor]:
    """For layers without a rule of their own, by torch's transforms, which take longer."""

    def of_one(weights: dict[str, Tensor], x: Tensor, slope: Tensor) -> Tensor:
        output: Tensor = functional_call(layer, weights, (x.unsqueeze(0),))
        return (output * slope.unsqueeze(0)).sum()

    weights: dict[str, Tensor] = dict(layer.named_parameters(recurse=False))
    gradients: dict[str, Tensor] = vmap(grad(of_one), in_dims=(None, 0, 0))(weights, x, slope)
    return gradients
