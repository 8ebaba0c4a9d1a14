"""The search on bytes: certain wherever it says so, and it says so nearly always."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganstoch.metrics.neighbours import byte_search, coarse, nearest, nearest_neighbours
from ganstoch.metrics.neighbours.byte_search import nearest_bytes, search_bytes
from ganstoch.types import Neighbours


def draw(*shape: int, seed: int, low: float = 0.0, high: float = 255.0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(shape, generator=rng, dtype=torch.float64)


def assert_right(found: Neighbours, query: Tensor, bank: Tensor, sure: Tensor) -> None:
    every = (query.double()[:, None] - bank.double()[None]).abs().sum(2)
    least = every.min(1)
    np.testing.assert_array_equal(found.ids[sure].numpy(), least.indices[sure].numpy())
    np.testing.assert_allclose(
        found.distances[sure].numpy(), least.values[sure].numpy(), rtol=1e-13, atol=1e-10
    )


def test_where_rounding_misleads() -> None:
    """The nearest by bytes is not the nearest: 0.49 below and 0.51 above round apart."""
    query = torch.full((1, 100), 10.0)
    bank = torch.stack([torch.full((100,), 10.51), torch.full((100,), 9.45)])  # bytes: 11 and 9
    bank = torch.cat([bank, torch.full((1, 100), 10.49), torch.full((1, 100), 11.4)])
    bank[2, :30] = 10.6  # by bytes 30 away, in truth 52.3; the first is 100 away, in truth 51
    found, unsure = search_bytes(query, bank)
    assert not unsure.any()
    assert found.ids.tolist() == [0]
    assert found.distances.item() == pytest.approx(51.0, rel=1e-6)


@pytest.mark.parametrize(("spread", "low", "high"), [(0.3, 1.0, 1.0), (20.0, 0.0, 0.3)])
def test_crowds(spread: float, low: float, high: float) -> None:
    centre = draw(1, 64, seed=3, low=20, high=230)
    bank = centre + draw(60, 64, seed=4, low=-spread, high=spread)
    query = centre + draw(20, 64, seed=5, low=-spread, high=spread)
    near, unsure = search_bytes(query, bank)
    assert_right(near, query, bank, ~unsure)
    assert low <= unsure.float().mean() <= high


def test_equal_members_answer_by_the_lowest() -> None:
    bank = draw(1, 12, seed=6).expand(30, 12).to(torch.uint8).contiguous()
    bank[:4] += 1
    near, unsure = search_bytes(bank[5:6], bank)
    assert not unsure.any()
    assert near.ids.tolist() == [4]
    _, unsure = search_bytes(bank[5:6].double() + 0.1, bank)
    assert unsure.all()  # 26 of them, and only sixteen candidates
    assert nearest_neighbours(bank[5:6].double() + 0.1, bank, norm="l1").ids.tolist() == [4]


def test_only_grey_levels_by_l1_are_searched_as_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Searched(Exception):
        pass

    def by_bytes(query: Tensor, bank: Tensor) -> None:
        raise Searched

    monkeypatch.setattr(nearest, "search_bytes", by_bytes)
    grey = torch.tensor([[0.0, 255.0], [3.0, 7.0]])
    for other in (grey - 0.1, grey + 0.1):
        nearest_neighbours(grey, other, norm="l1")
    nearest_neighbours(grey, grey, norm="l2")
    for rows in (grey, grey.byte()):
        with pytest.raises(Searched):
            nearest_neighbours(rows, grey, norm="l1")


@pytest.mark.parametrize("width", [3 * 32 * 32, 28 * 28, 3 * 22 * 22, 700, 513])
@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("others", [True, False])
@pytest.mark.parametrize("kind", [torch.int8, torch.float32])
def test_bounds_change_nothing(
    width: int, smooth: bool, k: int, others: bool, kind: torch.dtype, monkeypatch: Any
) -> None:
    monkeypatch.setattr(byte_search, "_SHORTLIST", 16)
    monkeypatch.setattr(byte_search, "_FEW", 1)
    monkeypatch.setattr(byte_search, "_BLOCK", 50)
    monkeypatch.setattr(byte_search, "_TILE_BYTES", 60 * width)
    monkeypatch.setattr(coarse, "_kind", lambda: kind)
    in_full: list[float] = []
    plainly = byte_search._nearest_sums

    def counted(queries: np.ndarray, members: np.ndarray, k: int, mask: Tensor | None) -> Any:
        if members.shape[1] == width:
            in_full.append(queries.size if mask is None else int(mask.sum()) * width)
        return plainly(queries, members, k, mask)

    monkeypatch.setattr(byte_search, "_nearest_sums", counted)
    bank = draw(300, width, seed=10)
    query = bank if others else draw(120, width, seed=11)
    if smooth:  # six greys and straight lines between them, with a little noise
        bank, query = (
            0.98 * F.interpolate(rows[:, None, :6], width, mode="linear")[:, 0] + 0.02 * rows
            for rows in (bank, query)
        )
    bank, query = bank.byte(), query.byte()
    bank[200:] = bank[:100]  # ties, which go to the lower id
    if others:
        query = bank
    near = nearest_bytes(query, bank, k=k, own=torch.arange(300) if others else None)
    every = (query.int()[:, None] - bank.int()[None]).abs().sum(2)
    if others:
        every.fill_diagonal_(2**30)
    least = every.sort(dim=1, stable=True)
    assert torch.equal(near.distances, least.values[:, :k].double())
    assert torch.equal(near.ids, least.indices[:, :k])
    if smooth:
        assert sum(in_full) < every.numel() * width / 2


@pytest.mark.parametrize("width", [3 * 32 * 32, 28 * 28, 513])
def test_bounds_are_bounds(width: int) -> None:
    first, second = (draw(40, width, seed=seed).byte() for seed in (16, 17))
    second[:5], second[5] = first[:5], 255 - first[5] // 200  # equal ones, and far ones
    first[6], second[6] = 0, 255
    codes = [coarse.encode(rows.numpy()) for rows in (first, second)]
    every = (first.int()[:, None] - second.int()[None]).abs().sum(2)
    assert codes[0] is not None
    assert codes[1] is not None
    low = coarse.bounds(codes[0], codes[1])
    for j, reach in enumerate(every.double().T):
        assert (low[:, j : j + 1] <= coarse.limits(codes[0], reach)).all()
    halves = [coarse.halve(rows.numpy()) for rows in (first, second)]
    if halves[0] is not None and halves[1] is not None:
        apart = np.abs(halves[0].means[:, None].astype(int) - halves[1].means[None]).sum(2)
        error = halves[0].error[:, None] + halves[1].error[None]
        assert (4 * torch.from_numpy(apart) - error <= every).all()


def test_a_crowd_on_the_short_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byte_search, "_SHORTLIST", 20)
    centre = draw(1, 1024, seed=12, low=20, high=230).round()
    near = centre + draw(30, 1024, seed=13, low=-0.3, high=0.3)
    bank = torch.cat([near, draw(370, 1024, seed=14)])
    query = centre + draw(20, 1024, seed=15, low=-0.3, high=0.3)
    _, unsure = search_bytes(query, bank)
    assert unsure.all()
    assert_right(nearest_neighbours(query, bank, norm="l1"), query, bank, unsure)
    found, unsure = search_bytes(query, bank[20:])  # ten of them: all are kept
    assert not unsure.any()
    assert_right(found, query, bank[20:], ~unsure)
