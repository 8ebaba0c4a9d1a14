"""Nearest others: exact, by position, whatever is fast and imprecise underneath."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ganstoch.metrics.neighbours import bounds, byte_search, knn
from ganstoch.metrics.neighbours.knn import k_nearest, kth_distances, within_set_nearest
from ganstoch.types import Norm

NORMS: tuple[Norm, ...] = ("l1", "l2")


def draw(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def everything(rows: Tensor, norm: Norm) -> np.ndarray:
    """All distances, one row at a time; nobody is near itself."""
    x = rows.double().flatten(1).numpy()
    apart = np.stack([np.linalg.norm(x - row, ord=1 if norm == "l1" else 2, axis=1) for row in x])
    np.fill_diagonal(apart, np.inf)
    return apart


def assert_exact(rows: Tensor, norm: Norm, *, k: int) -> None:
    apart = everything(rows, norm)
    np.testing.assert_allclose(
        kth_distances(rows, k=k, norm=norm).numpy(), np.sort(apart, 1)[:, k - 1], rtol=1e-13, atol=0
    )
    found = within_set_nearest(rows, norm=norm)
    np.testing.assert_allclose(found.distances.numpy(), apart.min(1), rtol=1e-13, atol=0)
    at = apart[np.arange(len(rows)), found.ids.numpy()]
    np.testing.assert_allclose(at, apart.min(1), rtol=1e-13, atol=0)


@pytest.mark.parametrize("norm", NORMS)
def test_points_on_a_line(norm: Norm) -> None:
    rows = torch.tensor([[0.0], [1.0], [3.0], [7.0], [15.0]])
    assert kth_distances(rows, k=1, norm=norm).tolist() == [1, 1, 2, 4, 8]
    assert kth_distances(rows, k=2, norm=norm).tolist() == [3, 2, 3, 6, 12]
    assert kth_distances(rows, k=4, norm=norm).tolist() == [15, 14, 12, 8, 15]
    assert within_set_nearest(rows, norm=norm).ids.tolist() == [1, 0, 1, 2, 3]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize("k", [1, 5])
def test_brute_force(norm: Norm, dtype: torch.dtype, k: int) -> None:
    rows = draw(150, 3, 4, 4, seed=1, scale=40).add(128).clamp(0, 255).to(dtype)
    assert_exact(rows, norm, k=k)
    assert_exact(rows.double().sub(300.0), norm, k=k)  # no longer grey levels


@pytest.mark.parametrize("norm", NORMS)
def test_ties_go_to_the_lowest_id(norm: Norm) -> None:
    square = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    assert within_set_nearest(square, norm=norm).ids.tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize("norm", NORMS)
def test_itself_is_excluded_by_position(norm: Norm) -> None:
    rows = draw(30, 8, seed=2, scale=40).add(128).clamp(0, 255)
    rows[9] = rows[4]
    found = within_set_nearest(rows, norm=norm)
    assert found.distances[[4, 9]].tolist() == [0, 0]
    assert found.ids[[4, 9]].tolist() == [9, 4]
    assert (found.distances > 0).sum() == 28
    assert (kth_distances(rows, k=2, norm=norm) > 0).all()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("spread", [0.0, 1e-9, 1e-4, 0.2])
def test_crowds(norm: Norm, spread: float) -> None:
    """A collapsed generator: far more images that hardly differ than there are candidates."""
    rows = draw(3, 1, 24, seed=3, scale=40).add(128).clamp(20, 235).double()
    crowd = rows + spread * draw(3, 30, 24, seed=4).double()
    assert_exact(crowd.flatten(0, 1), norm, k=5)


@pytest.mark.parametrize("norm", NORMS)
def test_duplicates_cost_nothing(norm: Norm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of copies are far more than the candidates, but no other can be nearer than 0."""
    asked: list[int] = []
    exact = knn.exact_distances

    def counted(*args: Tensor, norm: Norm) -> Tensor:
        asked.append(len(args[2]))
        return exact(*args, norm=norm)

    monkeypatch.setattr(knn, "exact_distances", counted)
    rows = draw(2, 1, 9, seed=15).expand(2, 40, 9).flatten(0, 1)
    assert kth_distances(rows, k=3, norm=norm).count_nonzero() == 0
    assert sum(asked) <= 80 * 11  # candidates alone, once: not all 80 times 80


@pytest.mark.parametrize("norm", NORMS)
def test_small_spread_far_away(norm: Norm) -> None:
    assert_exact(draw(80, 6, seed=5).double() + 1e8, norm, k=3)


@pytest.mark.parametrize("scale", [1e-160, 1e-30, 1e30])
def test_any_unit(scale: float) -> None:
    rows = draw(60, 6, seed=6).double()
    for norm in NORMS:
        ours = kth_distances(rows * scale, k=3, norm=norm) / scale
        # Squares of 1e-160 are lost in float64 too, in l2.
        if not (norm == "l2" and scale < 1e-150):
            torch.testing.assert_close(
                ours, kth_distances(rows, k=3, norm=norm), rtol=1e-12, atol=0
            )


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("bytes_", [True, False])
def test_block_sizes_do_not_matter(
    norm: Norm, bytes_: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = draw(101, 12, seed=7, scale=40).add(128 if bytes_ else 1000)
    rows = rows.clamp(0, 255).to(torch.uint8) if bytes_ else rows
    rows[90] = rows[3]
    kth, near = kth_distances(rows, k=4, norm=norm), within_set_nearest(rows, norm=norm)
    monkeypatch.setattr(knn, "_BLOCK_ROWS", 7)
    monkeypatch.setattr(byte_search, "_EXACT_ELEMENTS", 12 * 5)
    monkeypatch.setattr(bounds, "_BYTE_TILE", 5)
    monkeypatch.setattr(byte_search, "_BLOCK", 9)
    monkeypatch.setattr(byte_search, "_SHORTLIST", 12)
    monkeypatch.setattr(byte_search, "_MASK_BYTES", 300)
    assert torch.equal(kth_distances(rows, k=4, norm=norm), kth)
    again = within_set_nearest(rows, norm=norm)
    assert torch.equal(again.distances, near.distances)
    assert torch.equal(again.ids, near.ids)
    assert_exact(rows, norm, k=4)


@pytest.mark.parametrize("norm", NORMS)
def test_some_rows_of_a_set(norm: Norm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knn, "_BLOCK_ROWS", 8)
    rows = draw(50, 6, seed=8)
    own = torch.tensor([41, 3, 3, 17, 8, 9, 30, 31, 32])
    found = knn._nearest(rows[own], rows, k=2, norm=norm, own=own)
    nearest = np.sort(everything(rows, norm), 1)[own.numpy(), :2]
    np.testing.assert_allclose(found.distances.numpy(), nearest, rtol=1e-13)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", ["bytes", "grey", "any", "crowd"])
def test_of_another_set(norm: Norm, kind: str) -> None:
    query, bank = (draw(n, 24, seed=n, scale=40).add(128).clamp(0, 255) for n in (31, 90))
    bank[70:] = query[:20]
    if kind == "crowd":
        bank[20:] = 1e-4 * bank[20:] + 100
    query, bank = (
        x.byte() if kind == "bytes" else x - 500 * (kind == "any") for x in (query, bank)
    )
    bank[5:70:9] = bank[2]  # one image many times
    found = k_nearest(query, bank, k=6, norm=norm)
    gap = query.double()[:, None] - bank.double()[None]
    apart = torch.linalg.vector_norm(gap, ord=int(norm[1]), dim=2)
    expected = apart.sort(dim=1).values[:, :6]
    torch.testing.assert_close(found.distances, expected, rtol=1e-13, atol=0)
    # The same number for the same two rows, and of equally near members the lowest ids.
    i, j = torch.meshgrid(torch.arange(31), torch.arange(90), indexing="ij")
    exact = byte_search.exact_distances(query, bank, i.flatten(), j.flatten(), norm=norm)
    assert torch.equal(found.ids, exact.view(31, 90).sort(dim=1, stable=True).indices[:, :6])
    with pytest.raises(ValueError, match="from 1 to"):
        k_nearest(query, bank, k=91, norm=norm)


def test_bounds_hold_and_are_tight() -> None:
    """The bounds themselves: never wrong, and far narrower than what they bound."""
    grey = draw(40, 300, seed=9, scale=40).add(128).clamp(0, 255)
    for rows, norm in ((grey, "l1"), (grey.sub(400), "l1"), (grey, "l2"), (grey.byte(), "l1")):
        apart = everything(rows, norm)
        off = ~np.eye(40, dtype=bool)
        for ruler in bounds.rulers(rows, rows, norm=norm):
            block = ruler.load(rows)
            low = ruler.low(block, block).double().numpy()
            high = low + block.slack.numpy()[:, None] + block.slack.numpy()[None]
            true = ruler.units(torch.from_numpy(apart)).numpy()
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
    ("rows", "k", "message"),
    [
        (torch.zeros(3, 2), 3, "from 1 to the number of other rows, 2, got 3"),
        (torch.zeros(3, 2), 0, "got 0"),
        (torch.full((3, 2), torch.nan), 1, "NaN"),
        (torch.eye(3, dtype=torch.float64) * 1e200, 1, "too large"),
        (torch.zeros(3), 1, "shape"),
    ],
)
def test_refusals(rows: Tensor, k: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kth_distances(rows, k=k, norm="l2")


def test_a_single_row_has_no_other() -> None:
    with pytest.raises(ValueError, match="other rows, 0"):
        within_set_nearest(torch.zeros(1, 3), norm="l1")


def test_unknown_norm() -> None:
    with pytest.raises(ValueError, match="'l1' or 'l2'"):
        within_set_nearest(draw(3, 2), norm="cosine")  # type: ignore[arg-type]
