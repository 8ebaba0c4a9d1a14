"""Chooses the form of every convolution: by a rule, by a stopwatch, or as told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.amp import is_autocast_available

from ganstoch.errors import UserError
from ganstoch.models.blocks import SpectralConv2d, UpsampleConv
from ganstoch.models.convolution import Form, Forms, Geometry, convolve

__all__ = ["FormSettings", "choose_forms", "forms_of", "set_forms"]

FormSettings = Literal["rule", "timed"] | dict[str, str]
"""By the rule, which depends on nothing but the kind of device and the layer; by a stopwatch; or
for each layer, as in a record, forward/grad_input/grad_weight."""

Layer = UpsampleConv | SpectralConv2d

_ROUNDS = 6
_SECONDS = 0.3
"""What one form may take of the stopwatch's time; two rounds are taken at least."""


def layers(network: nn.Module) -> Iterator[tuple[str, Layer]]:
    """The convolutions that have a choice, with their names, in order."""
    for name, module in network.named_modules():
        if isinstance(module, Layer):
            yield name, module


def forms_of(network: nn.Module) -> dict[str, str]:
    """The forms in use: layer's name to forward/grad_input/grad_weight."""
    return {name: str(layer.forms) for name, layer in layers(network)}


def set_forms(network: nn.Module, chosen: Mapping[str, str]) -> None:
    """Sets the forms of some layers, as `forms_of` gave them.

    Raises:
        UserError: for a layer that is not there, or a form that it has not.
    """
    there = dict(layers(network))
    for name, text in chosen.items():
        if name not in there:
            raise UserError(f"model.forms: no layer {name!r}; there are {', '.join(there)}")
        forms = Forms.read(text)
        if "taps" in text and not there[name].geometry.has_taps:
            raise UserError(f"model.forms: {name} has a stride, for which there is no form taps")
        there[name].forms = forms


def choose_forms(
    network: nn.Module,
    probe: Callable[[], object],
    *,
    settings: FormSettings = "rule",
    device: torch.device,
) -> None:
    """Sets the form of every layer of a network.

    Args:
        network: changed in place; its numbers are not.
        probe: runs a forward pass of the sizes that training has, so that a stopwatch sees them;
            not called unless ``settings`` is "timed".
        settings: how to choose.
        device: where the network will run.

    Raises:
        UserError: as from `set_forms`.
    """
    if isinstance(settings, dict):
        set_forms(network, settings)
        return
    shapes = _shapes(network, probe) if settings == "timed" else {}
    for name, layer in layers(network):
        if name in shapes:
            layer.forms = _fastest(layer, *shapes[name])
        else:
            layer.forms = _by_rule(layer, device)


def _by_rule(layer: Layer, device: torch.device) -> Forms:
    """What a stopwatch chose, nearly always, on the processors it was held to."""
    narrow = min(layer.weight.shape[:2])
    if device.type != "cpu":
        return Forms()
    if layer.geometry.has_taps and narrow >= 512:
        return Forms("taps", "taps", "taps")
    if narrow >= (64 if layer.geometry.has_taps else 256):
        return Forms(grad_weight="convolved")
    return Forms()


def _shapes(
    network: nn.Module, probe: Callable[[], object]
) -> dict[str, tuple[torch.Size, torch.dtype]]:
    """What reaches each layer in a forward pass, in the precision it computes in."""
    seen: dict[str, tuple[torch.Size, torch.dtype]] = {}

    def note(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            (x,) = inputs
            kind = x.device.type
            mixed = is_autocast_available(kind) and torch.is_autocast_enabled(kind)
            seen[name] = (x.shape, torch.get_autocast_dtype(kind) if mixed else x.dtype)

        return hook

    hooks = [layer.register_forward_pre_hook(note(name)) for name, layer in layers(network)]
    try:
        with torch.no_grad():
            probe()
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _fastest(layer: Layer, shape: torch.Size, dtype: torch.dtype) -> Forms:
    """Times every form of every pass; the passes do not depend on one another."""
    geometry = layer.geometry
    # Zeros would be faster than training's numbers on some processors; a ramp draws no chance.
    device = layer.weight.device
    x = torch.linspace(-1, 1, shape.numel(), device=device).view(shape).to(dtype)
    weight = layer.weight.detach()
    if isinstance(layer, UpsampleConv):
        weight = weight.new_ones(shape[1], len(weight), 4, 4)
    weight = weight.to(dtype)
    taps: list[Form] = ["taps"] if geometry.has_taps else []
    forwards: list[Form] = ["direct", *taps]
    weights: list[Form] = ["direct", "convolved", *taps]

    def forward(form: Form) -> float:
        return _seconds(lambda: convolve(x, weight, None, geometry, Forms(forward=form)))

    def backward(forms: Forms, wanted: Literal["input", "weight"]) -> float:
        return _seconds(_backward(x, weight, geometry, forms, wanted))

    return Forms(
        forward=min(forwards, key=forward),
        grad_input=min(forwards, key=lambda f: backward(Forms(grad_input=f), "input")),
        grad_weight=min(weights, key=lambda f: backward(Forms(grad_weight=f), "weight")),
    )


def _backward(
    x: Tensor, weight: Tensor, geometry: Geometry, forms: Forms, wanted: Literal["input", "weight"]
) -> Callable[[], object]:
    leaf = (x if wanted == "input" else weight).detach().requires_grad_()
    given = (leaf, weight) if wanted == "input" else (x, leaf)
    out = convolve(*given, None, geometry, forms)
    slope = out.detach().clone()
    return lambda: torch.autograd.grad(out, leaf, slope, retain_graph=True)


def _seconds(act: Callable[[], object]) -> float:
    """Least time of several: what disturbs a measurement only ever adds to it."""
    times: list[float] = []
    while len(times) < 2 or (len(times) < _ROUNDS and sum(times) < _SECONDS):
        started = time.perf_counter()
        act()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return min(times[1:])
