"""MiFID as its authors compute it, in the direction of their paper."""

import numpy as np
import pytest
import torch
from torch import Tensor

from ganstoch.metrics.fid import frechet_distance
from ganstoch.metrics.mifid import cosine_distance, mifid


def features(count: int, *, seed: int, width: int = 20) -> Tensor:
    """None negative, as after a ReLU, sparse, hence mostly far apart."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=rng, dtype=torch.float64).relu()


def reference(made: Tensor, train: Tensor) -> float:
    """The competition's formula."""
    a, b = (x.numpy() / np.linalg.norm(x.numpy(), axis=1, keepdims=True) for x in (made, train))
    return float((1 - np.abs(a @ b.T)).min(axis=1).mean())


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_equal_to_the_reference(shift: float) -> None:
    generated, train = features(40, seed=1) - shift, features(60, seed=2) - shift
    expected = reference(generated, train)
    assert cosine_distance(generated, train) == pytest.approx(expected, rel=1e-10)
    fid = frechet_distance(train, generated)
    charged = mifid(train, generated, epsilon=expected * 1.01)
    assert charged.fid == fid
    assert charged.value == pytest.approx(fid / expected)
    free = mifid(train, generated, epsilon=expected * 0.99)
    assert free.value == pytest.approx(fid)


def test_direction() -> None:
    train = features(200, seed=1)
    copies = train[:1].expand(200, -1)
    assert cosine_distance(copies, train) == 0.0
    assert mifid(train, copies).value > 1e10
    # Asked from the training images, as torchmetrics does, hardly any is near.
    assert cosine_distance(train, copies) > 0.3


def test_lengths_and_signs_do_not_matter_and_zeros_are_passed_over() -> None:
    train, generated = features(50, seed=1), features(30, seed=2)
    plain = cosine_distance(generated, train)
    moved = cosine_distance(generated * -7, train * torch.arange(1.0, 51.0)[:, None])
    assert moved == pytest.approx(plain)
    zero = torch.zeros(3, 20, dtype=torch.float64)
    assert cosine_distance(torch.cat([zero, generated]), torch.cat([train, zero])) == plain
    with pytest.raises(ValueError, match="training features are all 0"):
        cosine_distance(generated, zero)
    with pytest.raises(ValueError, match="epsilon"):
        mifid(features(3, seed=1), features(3, seed=2), epsilon=0)
