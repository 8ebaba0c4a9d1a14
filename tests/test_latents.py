import math
from typing import Any

import pytest
import torch

from ganstoch.errors import UserError
from ganstoch.latents import Latents, LatentSettings

CPU = torch.device("cpu")


def make(bank: Any = "n", noise: float = 0.0, *, n: int = 40, dim: int = 6, seed: int = 0) -> Any:
    return Latents(LatentSettings(bank=bank, noise=noise), dim=dim, n=n, seed=seed)


@pytest.mark.parametrize(
    ("bank", "count"),
    [("n", 40), ("1n", 40), ("2n", 80), ("10n", 400), (7, 7), ("7", 7), ("fresh", None)],
)
def test_size_of_the_bank(bank: int | str, count: int | None) -> None:
    assert make(bank).count == count


BANKS = ["", "0", 0, -1, "-1", "0n", "n2", "2.5n", "n/4", "Fresh", 1.5]


@pytest.mark.parametrize(
    ("key", "value"),
    [*(("bank", bank) for bank in BANKS), *(("noise", v) for v in (-0.1, math.nan, math.inf))],
)
def test_settings_that_cannot_be(key: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"model\.latents\.{key}"):
        make(**{key: value})


@pytest.mark.parametrize("dim", [6, 7, 16])
def test_a_larger_bank_begins_with_the_smaller(dim: int) -> None:
    small, large = make(dim=dim).fixed, make("2n", dim=dim).fixed
    assert torch.equal(large[:40], small)
    assert len(large.unique(dim=0)) == 80


def test_draws_members_of_the_bank_without_replacement() -> None:
    latents = make()
    for iteration in range(20):
        ids = latents.draw_ids(iteration, 30)
        assert len(set(ids.tolist())) == 30
        assert torch.equal(latents.draw(iteration, 30, device=CPU), latents.fixed[ids])
    assert latents.draw_ids(0, 30).tolist() != latents.draw_ids(1, 30).tolist()


@pytest.mark.parametrize("noise", [0.0, 0.5])
@pytest.mark.parametrize("bank", ["n", "fresh"])
@pytest.mark.parametrize("world", [2, 3, 10])
def test_ranks_share_one_draw(bank: str, noise: float, world: int) -> None:
    latents = make(bank, noise)
    whole = latents.draw(4, 10, device=CPU)
    rebuilt = torch.full_like(whole, math.nan)
    for rank in range(world):
        rebuilt[rank::world] = latents.draw(4, 10, device=CPU, rank=rank, world=world)
    assert torch.equal(rebuilt, whole)


def test_the_full_bank_has_no_order_to_be_drawn() -> None:
    latents = make()
    for iteration in (0, 7):
        assert latents.draw_ids(iteration, 40).tolist() == list(range(40))
        assert torch.equal(latents.draw(iteration, 40, device=CPU), latents.fixed)


@pytest.mark.parametrize(("bank", "noise"), [("n", 0.5), ("fresh", 0.0), ("2n", 0.0)])
def test_an_iteration_does_not_depend_on_those_before(bank: str, noise: float) -> None:
    one, other = make(bank, noise), make(bank, noise)
    straight = [one.draw(i, 9, device=CPU) for i in range(8)]
    torch.manual_seed(5)
    other.evaluation()
    for i in (7, 2, 5):
        assert torch.equal(other.draw(i, 9, device=CPU), straight[i])
    assert not any(torch.equal(z, straight[0]) for z in straight[1:])
    assert not torch.equal(make(bank, noise, seed=1).draw(0, 9, device=CPU), straight[0])


def test_more_than_the_bank_cannot_be_drawn() -> None:
    with pytest.raises(UserError, match=r"11 .* 10; .*model\.latents\.bank"):
        make(10).draw(0, 11, device=CPU)
    assert make("fresh").draw(0, 41, device=CPU).shape == (41, 6)


@pytest.mark.parametrize("variance", [0.5, 2.0])
def test_variance_of_the_noise(variance: float) -> None:
    plain, noisy = make(n=1000, dim=100), make(n=1000, dim=100, noise=variance)
    for iteration in (0, 1):
        drawn = plain.draw(iteration, 900, device=CPU)
        noise = (noisy.draw(iteration, 900, device=CPU) - drawn).double()
        count = noise.numel()
        # The sum of squares over the variance is chi-square with `count` degrees of freedom.
        assert abs(noise.square().mean().item() / variance - 1) < 3 * (2 / count) ** 0.5
        assert abs(noise.mean().item()) < 3 * (variance / count) ** 0.5
        across = noise - noise.mean(dim=0)
        correlation = (across.T @ across / len(noise) / variance).fill_diagonal_(0)
        assert correlation.abs().max() < 6 / 900**0.5


def test_noise_is_drawn_anew_every_iteration_and_leaves_the_draw_alone() -> None:
    plain, noisy = make(), make(noise=0.5)
    noise = [noisy.draw(i, 40, device=CPU) - plain.draw(i, 40, device=CPU) for i in range(2)]
    assert not torch.isclose(*noise).any()
    assert torch.equal(noisy.draw_ids(5, 9), plain.draw_ids(5, 9))
    assert torch.equal(noisy.fixed, plain.fixed)


@pytest.mark.parametrize(("bank", "count"), [("n", 40), ("3n", 40), (10, 10), ("fresh", 40)])
def test_evaluation_has_no_noise_and_never_changes(bank: int | str, count: int) -> None:
    plain, noisy = make(bank), make(bank, noise=0.5)
    before = noisy.evaluation().clone()
    assert before.shape == (count, 6)
    noisy.draw(0, 10, device=CPU)
    assert torch.equal(noisy.evaluation(), before)
    assert torch.equal(plain.evaluation(), before)
    if plain.fixed is not None:
        assert torch.equal(before, plain.fixed[:40])
