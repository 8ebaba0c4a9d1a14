"""The estimate is unbiased, exactly so, and torch-fidelity's own."""

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_kid import kernel_mmd, kid_features_to_metric

from ganstoch.metrics import kid as kid_module
from ganstoch.metrics.kid import kernel_distance, kernel_distance_of_subsets


def draw(*shape: int, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize("block", [2**22, 36, 64])
@pytest.mark.parametrize("as_bytes", [False, True])
def test_equals_torch_fidelity(block: int, as_bytes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kid_module, "_BLOCK_ELEMENTS", block)
    real, generated = draw(23, 9, seed=1), draw(23, 9, seed=2) + 0.3
    if as_bytes:  # which overflow unless they are widened
        real, generated = (x.mul(60).add(128).clamp(0, 255).byte() for x in (real, generated))
    expected = float(kernel_mmd(real.double().numpy(), generated.double().numpy()))
    relative = 1e-9 if as_bytes else 1e-10
    assert kernel_distance(real, generated) == pytest.approx(expected, rel=relative)
    assert kernel_distance(generated, real) == pytest.approx(expected, rel=relative)


def test_mean_over_all_subsets_is_the_estimate_of_all() -> None:
    real, generated = draw(5, 3, seed=3), draw(4, 3, seed=4) * 1.5
    values = [
        kernel_distance(real[list(ours)], generated[list(theirs)])
        for ours in itertools.combinations(range(5), 3)
        for theirs in itertools.combinations(range(4), 2)
    ]
    assert len(values) == 60
    assert math.fsum(values) / 60 == pytest.approx(kernel_distance(real, generated), rel=1e-12)


def test_subsets_of_everything_are_the_whole() -> None:
    real, generated = draw(12, 4, seed=7), draw(12, 4, seed=8)
    subsets = kernel_distance_of_subsets(real, generated, subsets=3, size=12)
    assert subsets == pytest.approx((kernel_distance(real, generated), 0.0), rel=1e-12, abs=1e-12)


def test_subsets_agree_with_torch_fidelity_up_to_the_draw() -> None:
    real, generated = draw(400, 8, seed=9), draw(300, 8, seed=10) * 1.3
    ours, again, other = (
        kernel_distance_of_subsets(real, generated, subsets=200, size=60, seed=s) for s in (1, 1, 2)
    )
    assert ours == again != other
    theirs = kid_features_to_metric(
        real, generated, kid_subsets=200, kid_subset_size=60, rng_seed=1, verbose=False
    )
    sd = theirs["kernel_inception_distance_std"]
    assert ours.sd == pytest.approx(sd, rel=0.25)
    error = 4 * sd * (2 / 200) ** 0.5
    assert ours.mean == pytest.approx(theirs["kernel_inception_distance_mean"], abs=error)
    assert ours.mean == pytest.approx(kernel_distance(real, generated), abs=error)


@pytest.mark.parametrize(
    ("real", "generated", "message"),
    [
        (torch.zeros(3, 2), torch.zeros(3, 4), "real has 2, generated has 4"),
        (torch.zeros(1, 2), torch.zeros(3, 2), "at least 2 rows a side"),
        (torch.full((3, 2), torch.nan), torch.zeros(3, 2), "NaN or infinite"),
        (torch.eye(3, 2).double() * 1e60, torch.zeros(3, 2), "overflow"),
    ],
)
def test_refused_features(real: Tensor, generated: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kernel_distance(real, generated)


@pytest.mark.parametrize(("subsets", "size"), [(0, 2), (1, 1), (1, 4)])
def test_refused_subsets(subsets: int, size: int) -> None:
    with pytest.raises(ValueError, match="subsets"):
        kernel_distance_of_subsets(torch.eye(3), torch.eye(3), subsets=subsets, size=size)
