"""FLD: the authors' program on the same features, and its directions."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from ganstoch.metrics.fld import FLDScore, fld
from ganstoch.rng import rng_for


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


class MoG:
    """The mixture of marcojira/fld, its steps made by autograd and torch's Adam."""

    def __init__(self, mus: Tensor) -> None:
        self.mus, self.dim = mus, mus.shape[1]
        self.logs = torch.zeros(len(mus), dtype=torch.float64, requires_grad=True)
        self.origin = torch.zeros((), dtype=torch.float64, requires_grad=True)

    def dists(self, x: Tensor) -> Tensor:
        exact = "donot_use_mm_for_euclid_dist"
        return torch.cdist(x, self.mus, compute_mode=exact) ** 2

    def pairwise(self, dists: Tensor, logs: Tensor) -> Tensor:
        term = (-0.5 * dists) / torch.exp(logs)
        return term - (self.dim / 2) * logs - (self.dim / 2) * math.log(2 * math.pi)

    def fit(self, x: Tensor, batch: int) -> None:
        optimizer = torch.optim.Adam([self.logs, self.origin], lr=0.5)
        dists = self.dists(x)
        self.logs.data = ((dists.min(dim=0).values + 1e-3) / self.dim).log()
        far = (1 - 0.1) ** 2 * (x - x.mean(0)).square().sum(1, keepdim=True)
        for _ in range(50):
            for some in torch.split(torch.arange(len(x)), batch):
                optimizer.zero_grad()
                near = self.pairwise(dists[some], self.logs) - math.log(len(self.mus))
                both = torch.cat([near, self.pairwise(far[some], self.origin)], dim=1)
                loss = -torch.logsumexp(both, dim=1).mean() / self.dim
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                with torch.no_grad():
                    self.logs.data = self.logs.clamp(-40, 20).data

    def nll(self, x: Tensor) -> float:
        near = self.pairwise(self.dists(x), self.logs.detach()) - math.log(len(self.mus))
        return (-torch.logsumexp(near, dim=1) / self.dim).mean().item()


def reference(made: Tensor, train: Tensor, test: Tensor, batch: int = 10_000) -> list[float]:
    order = torch.randperm(len(train), generator=rng_for(0, "evaluation", part="fld"))
    mean, sd = test.mean(0), test.std(0)
    made, train, test = ((rows - mean) / sd for rows in (made, train[order], test))
    mixture = MoG(made)
    mixture.fit(train, batch)
    of_test, of_train = mixture.nll(test), mixture.nll(train)
    half = min(len(made), len(train) // 2)
    usual = MoG(train[:half])
    usual.fit(train[half:], batch)
    return [100 * (of_test - usual.nll(test)), 100 * (of_train - of_test), of_test, of_train]


def sets(width: int = 12) -> tuple[Tensor, Tensor, Tensor]:
    return draw(90, width, seed=1), draw(150, width, seed=2), draw(80, width, seed=3)


@pytest.mark.parametrize("case", ["fresh", "shifted", "noisy copies", "copies", "batches"])
def test_the_program_on_the_same_features(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made, train, test = sets()
    batch = 10_000
    if case == "shifted":
        made = 2 * made + 1
    elif case == "noisy copies":
        made = torch.cat([train[:60] + 0.05 * made[:60], made[60:]])
    elif case == "copies":
        made = torch.cat([train[:30], made[30:]])
    elif case == "batches":
        batch = 64
        monkeypatch.setattr("ganstoch.metrics.fld._BATCH", batch)
        monkeypatch.setattr("ganstoch.metrics.fld._BLOCK_ELEMENTS", 1000)
    expected = reference(made, train, test, batch)
    assert list(fld(made, train, test)) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_directions() -> None:
    made, train, test = draw(200, 10, seed=4), draw(400, 10, seed=5), draw(200, 10, seed=6)

    def score(rows: Tensor) -> FLDScore:
        return fld(rows, train, test)

    fresh = score(made)
    assert abs(fresh.value) < 6
    # Copies' variances shrink to them, the more the more exact they are: the gap falls.
    rising = [score(train[:200] + noise * made) for noise in (0.01, 0.1, 0.3)]
    assert all(a.gap < b.gap - 5 for a, b in pairwise([*rising, fresh]))
    assert rising[0].value > 30 + fresh.value
    for worse in (made + 2, 3 * made, made[:1] + 0.1 * made, made.abs()):  # half of all orthants
        assert score(worse).value > fresh.value + 3


def test_what_does_not_vary_is_left_out_and_too_few_are_refused() -> None:
    made, train, test = sets()
    padded = [torch.cat([rows, torch.ones(len(rows), 2).double()], 1) for rows in sets()]
    assert fld(*padded) == fld(made, train, test)
    assert fld(5 * made, 5 * train, 5 * test) == pytest.approx(fld(made, train, test), abs=1e-6)
    with pytest.raises(ValueError, match="same features"):
        fld(made, train, test[:1].expand(5, -1))
    with pytest.raises(ValueError, match="2 images"):
        fld(made[:1], train, test)
