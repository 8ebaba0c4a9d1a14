"""Every form of every pass computes the same convolution."""

from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganstoch.models import PaperDiscriminator, PaperGenerator
from ganstoch.models.convolution import Form, Geometry, conv_form, convolve
from ganstoch.models.layers import SpectralConv2d, UpsampleConv
from ganstoch.rng import normal, rng_for


def numbers(*shape: int, draw: int = 0) -> Tensor:
    return normal(shape, rng_for(0, "init", draw)).double().requires_grad_()


GEOMETRIES = [  # map's height and width, kernel, geometry
    (4, 4, 5, Geometry(1, 2)),  # most taps meet padding
    (4, 4, 4, Geometry(1, 0)),
    (6, 3, 3, Geometry(1, 1)),
    (2, 5, 5, Geometry(1, 2)),  # kernel higher than the map
    (1, 1, 4, Geometry(1, 3)),
    (16, 16, 5, Geometry(2, 2)),
    (7, 9, 5, Geometry(2, 2)),
    (5, 4, 4, Geometry(2, 1, transposed=True)),
]
FORMS: tuple[Form, ...] = get_args(Form)


@pytest.mark.parametrize(
    ("height", "width", "size", "geometry", "form"),
    [(*g, form) for g in GEOMETRIES for form in FORMS if g[3].has_taps or form != "taps"],
    ids=str,
)
def test_forms_agree(height: int, width: int, size: int, geometry: Geometry, form: Form) -> None:
    x = numbers(3, 4, height, width)
    shape = (4, 6, size, size) if geometry.transposed else (6, 4, size, size)
    weight, bias = numbers(*shape, draw=1), numbers(6, draw=3)
    function = F.conv_transpose2d if geometry.transposed else F.conv2d
    expected = function(x, weight, bias, stride=geometry.stride, padding=geometry.padding)
    slope = numbers(*expected.shape, draw=2).detach()
    out = convolve(x, weight, bias, geometry, form)
    assert out.shape == expected.shape
    assert out.is_contiguous()
    assert (out - expected).abs().max() < 1e-12
    for inputs in ((x, weight, bias), (weight,), (x,)):
        one, other = (torch.autograd.grad(y, inputs, slope, True) for y in (out, expected))
        for here, there in zip(one, other, strict=True):
            assert here.shape == there.shape
            assert (here - there).abs().max() < 1e-12


@pytest.mark.parametrize("form", ["taps", "convolved"])
def test_second_derivatives(form: Form) -> None:
    x, weight = numbers(2, 2, 4, 4), numbers(3, 2, 5, 5, draw=1)
    assert torch.autograd.gradgradcheck(
        lambda x, w: convolve(x, w, None, Geometry(1, 2), form).square(), (x, weight)
    )


@pytest.mark.parametrize("form", FORMS)
def test_mixed_precision(form: Form) -> None:
    x, weight = (
        t.float().detach().requires_grad_() for t in (numbers(8, 4, 4, 4), numbers(6, 4, 5, 5))
    )
    with torch.autocast("cpu", torch.bfloat16):
        out = convolve(x, weight, None, Geometry(1, 2), form)
    assert out.dtype == torch.bfloat16
    exact = convolve(x, weight, None, Geometry(1, 2), "direct")
    assert (out - exact).norm() < 0.01 * exact.norm()
    one = torch.autograd.grad(out, (x, weight), torch.ones_like(out))
    other = torch.autograd.grad(exact, (x, weight), torch.ones_like(exact))
    for here, there in zip(one, other, strict=True):
        assert here.dtype == torch.float32
        assert (here - there).norm() < 0.01 * there.norm()


def test_the_rule_at_the_papers_width_and_layers_that_follow_it() -> None:
    with torch.device("meta"):
        d, g = PaperDiscriminator((3, 32, 32)), PaperGenerator((3, 32, 32))

    def chosen(network: nn.Module, device: str) -> list[Form]:
        layers = [m for m in network.modules() if isinstance(m, SpectralConv2d | UpsampleConv)]
        return [conv_form(m.geometry, m.weight, torch.device(device)) for m in layers]

    assert chosen(d, "cpu") == ["direct", "direct", "convolved", "taps", "direct"]
    assert chosen(g, "cpu") == ["convolved", "convolved", "direct"]
    assert set(chosen(d, "cuda") + chosen(g, "cuda")) == {"direct"}

    x, weight, geometry = numbers(2, 64, 4, 4), numbers(64, 64, 5, 5, draw=1), Geometry(1, 2)
    outs = [convolve(x, weight, None, geometry, form) for form in (None, "convolved")]
    slopes = [torch.autograd.grad(out.square().sum(), (x, weight)) for out in outs]
    assert all(map(torch.equal, *slopes))
    assert torch.equal(*outs)
