"""AuthPct: the published programs' number, and 0 for whoever copies."""

import pytest
import torch
from torch import Tensor

from ganstoch.metrics.authpct import authpct
from ganstoch.types import Norm


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def reference(train: Tensor, made: Tensor, power: float) -> float:
    """From two whole matrices: spacing of the nearest training image < distance to it."""
    exact = "donot_use_mm_for_euclid_dist"
    among = torch.cdist(train, train, p=power, compute_mode=exact)
    among.fill_diagonal_(torch.inf)
    to_made = torch.cdist(train, made, p=power, compute_mode=exact).min(0)
    return 100 * (among.min(0).values[to_made.indices] < to_made.values).double().mean().item()


@pytest.mark.parametrize(("norm", "power"), [("l1", 1.0), ("l2", 2.0)])
@pytest.mark.parametrize("as_bytes", [False, True])
def test_the_reference_on_random_data(norm: Norm, power: float, as_bytes: bool) -> None:
    train, made = draw(150, 16, seed=1).double(), draw(110, 16, seed=2).double() + 0.3
    if as_bytes:
        train, made = (x.mul(40).add(128).clamp(0, 255).byte() for x in (train, made))
    expected = reference(train.double(), made.double(), power)
    assert authpct(train, made, norm=norm) == pytest.approx(expected, abs=1e-9)
    assert 0 < expected < 100


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("noise", [0.0, 1e-4])
def test_copies_are_never_authentic(norm: Norm, noise: float) -> None:
    train = draw(60, 16, seed=3)
    copies = train.flip(0) + noise * draw(60, 16, seed=4)
    assert authpct(train, copies, norm=norm) == 0
    assert authpct(train, train[:1].expand(30, -1), norm=norm) == 0


def test_a_share_of_copies_costs_its_share() -> None:
    train, made = draw(500, 16, seed=5), draw(500, 16, seed=6)
    mixed = torch.cat([train[:250], made[250:]])
    assert authpct(train, mixed) == pytest.approx(authpct(train, made[250:]) / 2)


def test_held_out_noise_and_dropped_modes() -> None:
    train, held_out = draw(400, 16, seed=7), draw(400, 16, seed=8)
    novel = authpct(train, held_out)
    assert 35 < novel < 80  # novel by construction, and still not 100
    assert authpct(train, held_out + 30) == 100  # junk is nobody's copy
    # Blind to dropped modes: half the space left out, the rest as novel as before.
    assert authpct(train, held_out[held_out[:, 0] > 0]) == pytest.approx(novel, abs=8)


def test_equal_distances_are_not_authentic() -> None:
    train = torch.tensor([[0.0], [2.0], [9.0]])
    assert authpct(train, torch.tensor([[-2.0], [-2.1], [1.0]])) == pytest.approx(100 / 3)
