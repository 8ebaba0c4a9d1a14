"""Exactness, ties, refusals and the three ways to search."""

from __future__ import annotations

import subprocess
import sys
import types

import numpy as np
import pytest
import torch
from torch import Tensor

from ganstoch.errors import UserError
from ganstoch.metrics.neighbours import byte_search, faiss_flavour, nearest, nearest_neighbours
from ganstoch.types import Norm

NORMS: tuple[Norm, ...] = ("l1", "l2")


def draw(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def brute_force(query: Tensor, bank: Tensor, norm: Norm) -> tuple[np.ndarray, np.ndarray]:
    q = query.double().flatten(1).numpy()[:, None]
    b = bank.double().flatten(1).numpy()[None]
    distances = np.linalg.norm(q - b, ord=1 if norm == "l1" else 2, axis=2)
    return distances.min(axis=1), distances.argmin(axis=1)


@pytest.fixture
def no_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)  # import faiss then fails as if absent
    monkeypatch.setattr(nearest, "distributions", lambda name: [])


@pytest.mark.parametrize("norm", NORMS)
def test_grid_shifted_by_eps(norm: Norm) -> None:
    eps, axis = 0.25, torch.arange(6.0)
    grid = torch.cartesian_prod(axis, axis, axis)
    found = nearest_neighbours(grid + eps, grid, norm=norm)
    expected = 3 * eps if norm == "l1" else eps * 3**0.5
    assert found.ids.tolist() == list(range(len(grid)))
    torch.testing.assert_close(
        found.distances, torch.full((len(grid),), expected, dtype=torch.float64), rtol=0, atol=1e-15
    )


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_numpy_reference(norm: Norm, dtype: torch.dtype) -> None:
    query, bank = draw(37, 3, 4, 4, seed=1, scale=40), draw(211, 3, 4, 4, seed=2, scale=40)
    if dtype == torch.uint8:
        query, bank = query.add(128).clamp(0, 255), bank.add(128).clamp(0, 255)
    query, bank = query.to(dtype), bank.to(dtype)
    found = nearest_neighbours(query, bank, norm=norm)
    distances, ids = brute_force(query, bank, norm)
    assert found.distances.dtype == torch.float64
    assert found.ids.dtype == torch.int64
    np.testing.assert_array_equal(found.ids.numpy(), ids)
    np.testing.assert_allclose(found.distances.numpy(), distances, rtol=1e-14)


def test_exact_copies_are_at_zero_where_faiss_errs() -> None:
    faiss = pytest.importorskip("faiss")
    bank = draw(600, 3 * 32 * 32, seed=3, scale=60).add(128).clamp(0, 255)
    query = bank[torch.arange(0, 600, 3)]
    raw, _ = faiss.knn(query.numpy(), bank.numpy(), 1)
    assert np.abs(raw).max() > 1.0  # squared, at distances that are 0: the error we correct
    for norm in NORMS:
        found = nearest_neighbours(query, bank, norm=norm)
        assert found.distances.count_nonzero() == 0
        assert found.ids.tolist() == list(range(0, 600, 3))


@pytest.mark.parametrize("norm", NORMS)
def test_small_spread_far_from_the_origin(norm: Norm) -> None:
    # float32 holds 1e8 to the nearest 8: without taking the mean off first, all rows are one.
    bank = draw(300, 5, seed=4).double() + 1e8
    query = bank[50:80] + 1e-3
    found = nearest_neighbours(query, bank, norm=norm)
    distances, ids = brute_force(query, bank, norm)
    np.testing.assert_array_equal(found.ids.numpy(), ids)
    np.testing.assert_allclose(found.distances.numpy(), distances, rtol=1e-14)


@pytest.mark.parametrize("norm", NORMS)
def test_ties_go_to_the_lowest_id(norm: Norm) -> None:
    bank = torch.tensor([[9.0, 9.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [1.0, 0.0]])
    assert nearest_neighbours(torch.zeros(1, 2), bank, norm=norm).ids.tolist() == [1]
    # A collapsed generator: many identical members, more than there are candidates.
    collapsed = draw(1, 64, seed=5).expand(500, 64).clone()
    collapsed[:7] += 1
    found = nearest_neighbours(draw(30, 64, seed=6) + collapsed[-1], collapsed, norm=norm)
    assert set(found.ids.tolist()) <= {0, 7}
    assert 7 in found.ids.tolist()


@pytest.mark.parametrize("norm", NORMS)
def test_block_sizes_do_not_matter(monkeypatch: pytest.MonkeyPatch, norm: Norm) -> None:
    query, bank = draw(23, 12, seed=7).double() + 100, draw(101, 12, seed=8).double() + 100
    bank[90] = bank[3]
    query[0] = bank[3]
    whole = nearest_neighbours(query, bank, norm=norm)
    monkeypatch.setattr(nearest, "_SEARCH_ELEMENTS", 12 * 10)
    monkeypatch.setattr(byte_search, "_EXACT_ELEMENTS", 12 * 9)
    blocks = nearest_neighbours(query, bank, norm=norm)
    assert blocks.ids.tolist() == whole.ids.tolist()
    assert torch.equal(blocks.distances, whole.distances)
    assert blocks.ids[0] == 3


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.usefixtures("no_faiss")
def test_torch_fallback(norm: Norm) -> None:
    query, bank = draw(40, 48, seed=9, scale=50), draw(300, 48, seed=10, scale=50)
    query[:5] = bank[5:10]
    found = nearest_neighbours(query, bank, norm=norm)
    distances, ids = brute_force(query, bank, norm)
    np.testing.assert_array_equal(found.ids.numpy(), ids)
    np.testing.assert_allclose(found.distances.numpy(), distances, rtol=1e-14)
    assert faiss_flavour() == "none: torch fallback"


def test_gpu_calls_wait_for_both_gates(monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU branch on a stand-in for FAISS: what it is called with, not what a GPU computes."""
    real = pytest.importorskip("faiss")
    calls: list[tuple[int, int]] = []

    class Resources:
        def setTempMemory(self, size: int) -> None:
            assert size == 2**28

    def knn_gpu(
        _: Resources, xq: np.ndarray, xb: np.ndarray, k: int, *, metric: int, device: int
    ) -> tuple[np.ndarray, np.ndarray]:
        calls.append((metric, device))
        distances, ids = real.knn(xq, xb, k, metric=metric)
        return np.asarray(distances), np.asarray(ids)

    fake = types.SimpleNamespace(
        METRIC_L1=real.METRIC_L1,
        METRIC_L2=real.METRIC_L2,
        __version__="1.15.1",
        knn=real.knn,
        knn_gpu=knn_gpu,
        get_num_gpus=lambda: 2,
        StandardGpuResources=Resources,
    )
    query, bank = draw(9, 6, seed=13), draw(50, 6, seed=14)
    expected = nearest_neighbours(query, bank, norm="l1")
    monkeypatch.setattr(nearest, "load_faiss", lambda: fake)
    assert torch.equal(nearest_neighbours(query, bank, norm="l1").ids, expected.ids)
    assert calls == [(real.METRIC_L1, 0)]
    assert faiss_flavour() == "gpu 1.15.1, 2 devices"
    calls.clear()
    fake.get_num_gpus = lambda: 0  # a GPU build on a machine without one
    assert torch.equal(nearest_neighbours(query, bank, norm="l1").ids, expected.ids)
    assert calls == []
    assert faiss_flavour() == "cpu 1.15.1"


def test_two_distributions_of_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "distributions", lambda name: [name] * (name[-3:] in "cpu gpu"))
    with pytest.raises(UserError, match="pip uninstall -y faiss-cpu faiss-gpu"):
        faiss_flavour()
    with pytest.raises(UserError, match="faiss-cpu"):
        nearest_neighbours(draw(2, 2), draw(2, 2), norm="l1")


def test_broken_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", types.ModuleType("faiss"))
    with pytest.raises(UserError, match="ganstoch"):
        faiss_flavour()

    def refuse(name: str) -> None:
        raise RuntimeError("nvidia-cuda-runtime-cu12 is missing")

    monkeypatch.setattr(nearest.importlib, "import_module", refuse)
    with pytest.raises(UserError, match="nvidia-cuda-runtime-cu12 is missing"):
        faiss_flavour()


@pytest.mark.parametrize(
    ("query", "bank", "message"),
    [
        pytest.param(torch.zeros(0, 2), torch.zeros(3, 2), "query must have shape", id="no query"),
        pytest.param(torch.zeros(3, 2), torch.zeros(0, 2), "bank must have shape", id="no bank"),
        pytest.param(torch.zeros(3, 2), torch.zeros(3, 5), "query has 2, bank has 5", id="F"),
        pytest.param(torch.zeros(3), torch.zeros(3), r"shape \(N, F...\)", id="one axis"),
        pytest.param(
            torch.full((1, 2), torch.nan), torch.zeros(3, 2), "query contains NaN", id="n"
        ),
        pytest.param(torch.zeros(3, 2), torch.full((1, 2), torch.inf), "bank contains NaN", id="i"),
        pytest.param(torch.zeros(3, 2).long(), torch.zeros(3, 2), "uint8, float32", id="dtype"),
        pytest.param(
            torch.zeros(3, 2), torch.eye(2).mul(3e25)[[0, 1, 1]], "overflow float32", id="huge"
        ),
    ],
)
def test_refusals(query: Tensor, bank: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nearest_neighbours(query, bank, norm="l2")


def test_arguments_and_global_generator_are_left_alone() -> None:
    query, bank = draw(5, 3, seed=15).requires_grad_(), draw(9, 3, seed=16)
    before, state = bank.clone(), torch.get_rng_state()
    found = nearest_neighbours(query, bank, norm="l2")
    assert torch.equal(bank, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert not found.distances.requires_grad


def test_light_import() -> None:
    code = (
        "import sys, ganstoch.metrics, ganstoch.metrics.neighbours, ganstoch.metrics.features;"
        "from ganstoch.metrics import nearest_neighbours;"
        "sys.exit(any(n in sys.modules for n in ('torchmetrics', 'faiss', 'torch_fidelity')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
