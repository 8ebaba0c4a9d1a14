"""Every form of every pass computes the same convolution."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ganstoch.errors import UserError
from ganstoch.models.convolution import Forms, Geometry, convolve
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
ALL = [
    Forms(*passes)  # type: ignore[arg-type]
    for passes in itertools.product(
        ("direct", "taps"), ("direct", "taps"), ("direct", "convolved", "taps")
    )
]


@pytest.mark.parametrize(
    ("height", "width", "size", "geometry", "forms"),
    [(*g, f) for g in GEOMETRIES for f in ALL if g[3].has_taps or "taps" not in str(f)],
    ids=str,
)
def test_forms_agree(height: int, width: int, size: int, geometry: Geometry, forms: Forms) -> None:
    x = numbers(3, 4, height, width)
    shape = (4, 6, size, size) if geometry.transposed else (6, 4, size, size)
    weight, bias = numbers(*shape, draw=1), numbers(6, draw=3)
    function = F.conv_transpose2d if geometry.transposed else F.conv2d
    expected = function(x, weight, bias, stride=geometry.stride, padding=geometry.padding)
    slope = numbers(*expected.shape, draw=2).detach()
    out = convolve(x, weight, bias, geometry, forms)
    assert out.shape == expected.shape
    assert out.is_contiguous()
    assert (out - expected).abs().max() < 1e-12
    one = torch.autograd.grad(out, (x, weight, bias), slope)
    other = torch.autograd.grad(expected, (x, weight, bias), slope)
    for here, there in zip(one, other, strict=True):
        assert here.shape == there.shape
        assert (here - there).abs().max() < 1e-12


@pytest.mark.parametrize("forms", [Forms("taps", "taps", "taps"), Forms(grad_weight="convolved")])
def test_second_derivatives(forms: Forms) -> None:
    """A gradient penalty differentiates the gradient."""
    x, weight = numbers(2, 2, 4, 4), numbers(3, 2, 5, 5, draw=1)
    geometry = Geometry(1, 2)
    assert torch.autograd.gradgradcheck(
        lambda x, w: convolve(x, w, None, geometry, forms).square(), (x, weight)
    )


def test_only_what_is_wanted_is_computed() -> None:
    x, weight = numbers(2, 2, 4, 4), numbers(3, 2, 5, 5, draw=1).detach()
    out = convolve(x, weight, None, Geometry(1, 2), Forms("taps", "taps", "taps"))
    out.sum().backward()
    assert x.grad is not None
    assert weight.grad is None


@pytest.mark.parametrize("forms", ALL, ids=str)
def test_mixed_precision(forms: Forms) -> None:
    x, weight = (
        t.float().detach().requires_grad_() for t in (numbers(8, 4, 4, 4), numbers(6, 4, 5, 5))
    )
    geometry = Geometry(1, 2)
    with torch.autocast("cpu", torch.bfloat16):
        out = convolve(x, weight, None, geometry, forms)
    assert out.dtype == torch.bfloat16
    exact = convolve(x, weight, None, geometry, Forms())
    assert (out - exact).norm() < 0.01 * exact.norm()
    slope = torch.ones_like(out)
    one = torch.autograd.grad(out, (x, weight), slope)
    other = torch.autograd.grad(exact, (x, weight), slope.float())
    for here, there in zip(one, other, strict=True):
        assert here.dtype == torch.float32
        assert (here - there).norm() < 0.01 * there.norm()


@pytest.mark.parametrize("forms", ALL, ids=str)
def test_words_and_back(forms: Forms) -> None:
    assert Forms.read(str(forms)) == forms


@pytest.mark.parametrize("text", ["", "direct", "direct/convolved/direct", "a/b/c", "taps/taps"])
def test_no_forms(text: str) -> None:
    with pytest.raises(UserError, match=r"model\.forms"):
        Forms.read(text)
