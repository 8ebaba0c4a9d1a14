"""The nearest and the k nearest: exact, by position, whatever is fast and imprecise underneath."""

import subprocess
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ganstoch.errors import UserError
from ganstoch.metrics.neighbours import (
    bounds,
    byte_search,
    faiss_flavour,
    installed,
    k_nearest,
    knn,
    kth_distances,
    nearest,
    nearest_neighbours,
    within_set_nearest,
)
from ganstoch.types import Norm

NORMS: tuple[Norm, ...] = ("l1", "l2")


def draw(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def apart(query: Tensor, bank: Tensor, norm: Norm) -> np.ndarray:
    """All distances, one row at a time."""
    q, b = query.double().flatten(1).numpy(), bank.double().flatten(1).numpy()
    return np.stack([np.linalg.norm(b - row, ord=1 if norm == "l1" else 2, axis=1) for row in q])


@pytest.fixture(params=["bounds", "faiss", "faiss on 1 GPU", "faiss on 2 GPUs"])
def search(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, gpu_build: Callable[[int], Any]
) -> str:
    """Each way to search floats; the last are FAISS's own search behind a GPU's functions."""
    if request.param == "bounds":
        monkeypatch.setattr(nearest, "load_faiss", lambda: None)
        return "bounds"
    pytest.importorskip("faiss")
    if "GPU" in request.param:
        build = gpu_build(int(request.param.split()[2]))
        monkeypatch.setattr(nearest, "load_faiss", lambda: build)
    return str(request.param)


def others(rows: Tensor, norm: Norm) -> np.ndarray:
    """All distances; nobody is near itself."""
    every = apart(rows, rows, norm)
    np.fill_diagonal(every, np.inf)
    return every


def assert_nearest(query: Tensor, bank: Tensor, norm: Norm) -> None:
    every = apart(query, bank, norm)
    near = nearest_neighbours(query, bank, norm=norm)
    assert (near.distances.dtype, near.ids.dtype) == (torch.float64, torch.int64)
    np.testing.assert_allclose(near.distances.numpy(), every.min(1), rtol=1e-13, atol=0)
    np.testing.assert_array_equal(near.ids.numpy(), every.argmin(1))


def assert_exact_others(rows: Tensor, norm: Norm, *, k: int) -> None:
    every = others(rows, norm)
    kth = kth_distances(rows, k=k, norm=norm).numpy()
    np.testing.assert_allclose(kth, np.sort(every, 1)[:, k - 1], rtol=1e-13, atol=0)
    near = within_set_nearest(rows, norm=norm)
    np.testing.assert_allclose(near.distances.numpy(), every.min(1), rtol=1e-13, atol=0)
    at = every[np.arange(len(rows)), near.ids.numpy()]
    np.testing.assert_allclose(at, every.min(1), rtol=1e-13, atol=0)


@pytest.mark.usefixtures("search")
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_brute_force(norm: Norm, dtype: torch.dtype) -> None:
    query, bank = (
        draw(n, 3, 4, 4, seed=n, scale=40).add(128).clamp(0, 255).to(dtype) for n in (37, 151)
    )
    for shift in (0.0, 300.0, 1e8):  # grey levels, none, and what float32 holds to the nearest 8
        moved = [x.double() - shift if shift else x for x in (query, bank)]
        assert_nearest(moved[0], moved[1], norm)
        assert_exact_others(moved[1], norm, k=5)


@pytest.mark.usefixtures("search")
@pytest.mark.parametrize("norm", NORMS)
def test_copies_are_at_zero_and_rows_exclude_themselves(norm: Norm) -> None:
    rows = draw(600, 3 * 32 * 32, seed=3, scale=60).add(128).clamp(0, 255)
    copies = nearest_neighbours(rows[::3], rows, norm=norm)
    assert copies.distances.count_nonzero() == 0
    assert copies.ids.tolist() == list(range(0, 600, 3))
    rows = rows[:30, :8]
    rows[9] = rows[4]
    near = within_set_nearest(rows, norm=norm)
    assert near.distances[[4, 9]].tolist() == [0, 0]
    assert near.ids[[4, 9]].tolist() == [9, 4]
    assert (near.distances > 0).sum() == 28
    assert (kth_distances(rows, k=2, norm=norm) > 0).all()


@pytest.mark.usefixtures("search")
@pytest.mark.parametrize("norm", NORMS)
def test_ties_go_to_the_lowest_id(norm: Norm) -> None:
    square = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    assert within_set_nearest(square, norm=norm).ids.tolist() == [1, 0, 0, 1]
    bank = torch.tensor([[9.0, 9.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [1.0, 0.0]])
    assert nearest_neighbours(torch.zeros(1, 2), bank, norm=norm).ids.tolist() == [1]
    # A collapsed generator: many identical members, more than there are candidates.
    collapsed = draw(1, 64, seed=5).expand(500, 64).clone()
    collapsed[:7] += 1
    near = nearest_neighbours(draw(30, 64, seed=6) + collapsed[-1], collapsed, norm=norm)
    assert set(near.ids.tolist()) in ({7}, {0, 7})


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("spread", [0.0, 1e-9, 1e-4, 0.2])
def test_crowds(norm: Norm, spread: float) -> None:
    rows = draw(3, 1, 24, seed=3, scale=40).add(128).clamp(20, 235).double()
    crowd = (rows + spread * draw(3, 30, 24, seed=4).double()).flatten(0, 1)
    assert_exact_others(crowd, norm, k=5)
    near = nearest_neighbours(crowd[:9] + 1.0, crowd, norm=norm)
    every = apart(crowd[:9] + 1.0, crowd, norm)
    np.testing.assert_allclose(near.distances.numpy(), every.min(1), rtol=1e-13, atol=0)


@pytest.mark.parametrize("norm", NORMS)
def test_duplicates_cost_nothing(norm: Norm, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs: list[int] = []

    def counted(*args: Any, norm: Norm) -> Tensor:
        pairs.append(len(args[2]))
        return byte_search.exact_distances(*args, norm=norm)

    monkeypatch.setattr(knn, "exact_distances", counted)
    rows = draw(2, 1, 9, seed=15).expand(2, 40, 9).flatten(0, 1)
    assert kth_distances(rows, k=3, norm=norm).count_nonzero() == 0
    assert sum(pairs) <= 80 * 11  # candidates alone, once: not all 80 times 80


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("scale", [1e-160, 1e-30, 1e30])
def test_any_unit(norm: Norm, scale: float) -> None:
    rows = draw(60, 6, seed=6).double()
    if norm == "l1" or scale > 1e-150:  # squares of 1e-160 are lost in float64 too
        ours = kth_distances(rows * scale, k=3, norm=norm) / scale
        torch.testing.assert_close(ours, kth_distances(rows, k=3, norm=norm), rtol=1e-12, atol=0)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_any_block_size(norm: Norm, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = draw(101, 12, seed=7, scale=40).add(128).clamp(0, 255).to(dtype)
    rows = rows if dtype == torch.uint8 else rows + 1000
    rows[90] = rows[3]

    def everything() -> list[Tensor]:
        near = within_set_nearest(rows, norm=norm)
        other = nearest_neighbours(rows[::3], rows[1:], norm=norm)
        kth = kth_distances(rows, k=4, norm=norm)
        return [kth, near.distances, near.ids, other.distances, other.ids]

    whole = everything()
    monkeypatch.setattr(knn, "_BLOCK_ROWS", 7)
    monkeypatch.setattr(bounds, "_BYTE_TILE", 5)
    sizes = {"EXACT_ELEMENTS": 60, "BLOCK": 9, "SHORTLIST": 12, "PAIRS": 300, "TILE_BYTES": 1}
    for name, size in sizes.items():
        monkeypatch.setattr(byte_search, f"_{name}", size)
    assert all(map(torch.equal, everything(), whole))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", ["byte", "grey", "any", "crowd"])
def test_k_nearest_of_another_set(norm: Norm, kind: str) -> None:
    query, bank = (draw(n, 24, seed=n, scale=40).add(128).clamp(0, 255) for n in (31, 90))
    bank[70:] = query[:20]
    if kind == "crowd":
        bank[20:] = 1e-4 * bank[20:] + 100
    query, bank = (x.byte() if kind == "byte" else x - 500 * (kind == "any") for x in (query, bank))
    bank[5:70:9] = bank[2]  # one image many times
    near = k_nearest(query, bank, k=6, norm=norm)
    expected = np.sort(apart(query, bank, norm), 1)[:, :6]
    np.testing.assert_allclose(near.distances.numpy(), expected, rtol=1e-13, atol=0)
    # The same number for the same two rows, and of equally near members the lowest ids.
    i, j = torch.meshgrid(torch.arange(31), torch.arange(90), indexing="ij")
    exact = byte_search.exact_distances(query, bank, i.flatten(), j.flatten(), norm=norm)
    assert torch.equal(near.ids, exact.view(31, 90).sort(dim=1, stable=True).indices[:, :6])


def test_bounds_hold_and_are_tight() -> None:
    grey = draw(40, 300, seed=9, scale=40).add(128).clamp(0, 255)
    off = ~np.eye(40, dtype=bool)
    cases: list[tuple[Tensor, Norm]] = [(x, "l1") for x in (grey, grey - 400, grey.byte())]
    for rows, norm in [*cases, (grey, "l2")]:
        for ruler in bounds.rulers(rows, rows, norm=norm):
            block = ruler.load(rows)
            low = ruler.low(block, block).double().numpy()
            high = low + block.slack.numpy()[:, None] + block.slack.numpy()[None]
            true = ruler.units(torch.from_numpy(others(rows, norm))).numpy()
            assert (low[off] <= true[off]).all()
            assert (true[off] <= high[off]).all()
            assert ((high - low)[off] < 0.05 * true[off]).all()


@pytest.mark.parametrize("setting", ["full", "reduced"])
def test_reduced_products_are_not_trusted(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's TF32 or bfloat16 would break the bounds of float32: then float64 alone is used."""
    if setting == "reduced":
        plain = Tensor.__matmul__
        monkeypatch.setattr(
            Tensor, "__matmul__", lambda a, b: plain(a.bfloat16(), b.bfloat16()).float()
        )
    rows = draw(9, 4, seed=10)
    assert len(bounds.rulers(rows, rows, norm="l2")) == (2 if setting == "full" else 1)


def test_an_exact_distance_is_one_number() -> None:
    rows = draw(2, 2**16, seed=12)
    one, other = torch.tensor([0]), torch.tensor([1])
    many = byte_search.exact_distances(rows, rows, one.expand(7), other.expand(7), norm="l2")
    alone = byte_search.exact_distances(rows, rows, one, other, norm="l2")
    back = byte_search.exact_distances(rows, rows, other, one, norm="l2")
    assert {*many.tolist(), alone.item(), back.item()} == {alone.item()}


@pytest.mark.parametrize(
    ("query", "bank", "message"),
    [
        (torch.zeros(0, 2), torch.zeros(3, 2), "query must have shape"),
        (torch.zeros(3, 2), torch.zeros(3, 5), "query has 2, bank has 5"),
        (torch.zeros(3, 2), torch.full((1, 2), torch.inf), "bank contains NaN"),
        (torch.zeros(3, 2).long(), torch.zeros(3, 2), "query must be uint8"),
        (torch.zeros(3, 3), torch.eye(3).double() * 1e200, "too large"),
    ],
)
def test_refused_sets(query: Tensor, bank: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nearest_neighbours(query, bank, norm="l2")


def test_refused_numbers_and_norms() -> None:
    rows = draw(3, 2)
    for k in (0, 3):
        with pytest.raises(ValueError, match="other rows, 2"):
            kth_distances(rows, k=k, norm="l2")
    with pytest.raises(ValueError, match="other rows, 0"):
        within_set_nearest(rows[:1], norm="l1")
    with pytest.raises(ValueError, match="members, 3"):
        k_nearest(rows, rows, k=4, norm="l1")
    with pytest.raises(ValueError, match="norm"):
        nearest_neighbours(rows, rows, norm="cosine")  # type: ignore[arg-type]


def test_two_distributions_of_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "distributions", lambda name: [name] * name.endswith("pu"))
    with pytest.raises(UserError, match="pip uninstall -y faiss-cpu faiss-gpu"):
        nearest_neighbours(draw(2, 2), draw(2, 2), norm="l1")


def test_broken_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", types.ModuleType("faiss"))  # no `knn`
    with pytest.raises(UserError, match="force-reinstall"):
        faiss_flavour()
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert faiss_flavour() is None


def test_arguments_and_global_generator_are_left_alone() -> None:
    query, bank = draw(5, 3, seed=15).requires_grad_(), draw(9, 3, seed=16)
    before, state = bank.clone(), torch.get_rng_state()
    near = nearest_neighbours(query, bank, norm="l2")
    assert torch.equal(bank, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert not near.distances.requires_grad


def test_light_import() -> None:
    code = (
        "import sys, ganstoch.metrics, ganstoch.metrics.neighbours, ganstoch.metrics.features;"
        "from ganstoch.metrics import nearest_neighbours;"
        "heavy = ('torchmetrics', 'cv2', 'faiss', 'torch_fidelity');"
        "sys.exit(any(name in sys.modules for name in heavy))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
