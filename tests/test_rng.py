import itertools
from typing import get_args

import pytest
import torch

from ganstoch.rng import Stream, normal, rng_for, with_replacement, without_replacement


def test_a_draw_is_a_function_of_seed_stream_and_iteration() -> None:
    arguments = list(itertools.product((0, 1, -1, 2**70), get_args(Stream), (0, 1, 11)))
    draws = [tuple(normal((4,), rng_for(*a)).tolist()) for a in arguments]
    assert len(set(draws)) == len(arguments)
    again = [tuple(normal((4,), rng_for(*a)).tolist()) for a in reversed(arguments)]
    assert again[::-1] == draws


def test_the_global_generator_is_neither_read_nor_moved() -> None:
    def draw() -> list[list[float]]:
        rng = rng_for(3, "data", 5)
        drawn = (normal((5,), rng), with_replacement(9, 9, rng), without_replacement(9, 9, rng))
        return [d.tolist() for d in drawn]

    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = draw()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert draw() == first


@pytest.mark.parametrize("row", [(1,), (3,), (7,), (16,), (100,), (3, 5)])
def test_first_rows_do_not_depend_on_how_many_follow(row: tuple[int, ...]) -> None:
    whole = normal((97, *row), rng_for(0, "latent_bank"))
    assert whole.dtype == torch.float32
    for rows in (1, 2, 5, 15, 16, 17, 96):
        assert torch.equal(normal((rows, *row), rng_for(0, "latent_bank")), whole[:rows])


def test_normal_is_standard_normal() -> None:
    drawn = normal((100_000,), rng_for(0, "noise")).double()
    assert abs(drawn.mean().item()) < 4 / 100_000**0.5
    assert abs(drawn.var().item() - 1) < 4 * (2 / 100_000) ** 0.5
    assert abs((drawn.abs() < 1).double().mean().item() - 0.68269) < 0.006


def test_values_are_those_of_the_versions_before() -> None:
    # A finished run can only be repeated as long as these stay.
    assert rng_for(0, "init").initial_seed() == 4213802666853728012
    ids = with_replacement(1000, 6, rng_for(0, "data", 3))
    assert ids.tolist() == [398, 63, 663, 459, 562, 543]
    ids = without_replacement(1000, 6, rng_for(1, "latent", 2))
    assert ids.tolist() == [505, 734, 221, 725, 968, 124]
    drawn = normal((4,), rng_for(2, "noise", 1))
    expected = torch.tensor([0.8282012, -1.2469891, -0.6844556, -0.8105167])
    assert torch.allclose(drawn, expected, rtol=0, atol=1e-6)  # the last digit is the processor's


def test_without_replacement_never_repeats() -> None:
    for iteration in range(50):
        ids = without_replacement(20, 13, rng_for(0, "latent", iteration))
        assert ids.dtype == torch.int64
        assert len(set(ids.tolist())) == 13
        assert set(ids.tolist()) <= set(range(20))
    whole = without_replacement(20, 20, rng_for(0, "latent"))
    assert sorted(whole.tolist()) == list(range(20))
    with pytest.raises(ValueError, match="5 different ids from 4"):
        without_replacement(4, 5, rng_for(0, "latent"))


def test_without_replacement_is_uniform() -> None:
    drawn = torch.cat([without_replacement(8, 2, rng_for(0, "latent", i)) for i in range(4000)])
    frequency = drawn.bincount(minlength=8) / 4000
    assert (frequency - 0.25).abs().max() < 4 * (0.25 * 0.75 / 4000) ** 0.5
