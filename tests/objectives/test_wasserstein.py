from __future__ import annotations

import pytest
import torch

from ganstoch.objectives import Wasserstein

LOSS = Wasserstein()


def test_both_players_by_hand() -> None:
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-4.0, 1.0])
    assert LOSS.discriminator(real, fake).item() == -1.5 - 1.25
    assert LOSS.generator(fake).item() == 1.5


@pytest.mark.parametrize("t", [-100.0, -30.0, 0.0, 30.0, 100.0])
def test_every_logit_pulls_alike(t: float) -> None:
    real, fake = torch.full((2, 4), t, requires_grad=True)
    assert torch.autograd.grad(LOSS.discriminator(real, fake), real)[0].tolist() == [-0.25] * 4
    assert torch.autograd.grad(LOSS.discriminator(real, fake), fake)[0].tolist() == [0.25] * 4
    assert torch.autograd.grad(LOSS.generator(fake), fake)[0].tolist() == [-0.25] * 4


def test_a_steepest_critic_of_slope_one_measures_the_distance() -> None:
    """Two clouds a shift of 5 apart are 5 apart in earth mover's distance; D(x) = x attains it."""
    cloud = torch.tensor([0.0, 1.0, 4.0])
    assert -LOSS.discriminator(cloud + 5, cloud).item() == 5
