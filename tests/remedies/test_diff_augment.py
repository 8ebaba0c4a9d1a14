"""DiffAugment against a transcription of the authors' own code, for the same draws."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ganstoch.remedies import DiffAugment
from ganstoch.remedies.base import StepInfo
from ganstoch.remedies.diff_augment import _CHANGES, Kind
from ganstoch.rng import normal, rng_for
from ganstoch.types import MicroBatch

N, SIDE = 40, 12
IMAGES = normal((N, 3, SIDE, SIDE), rng_for(0, "data")).double()


def drawn(name: str, low: int, high: int) -> Tensor:
    """Whole numbers of [low, high), as `torch.randint` would draw them, shape (N, 1, 1)."""
    return (low + (share(name) * (high - low)).floor().long()).view(N, 1, 1)


def share(name: str) -> Tensor:
    return torch.rand(N, generator=rng_for(0, "remedy", part=name)).double().view(N, 1, 1, 1)


def color(x: Tensor) -> Tensor:
    x = x + (share("brightness") - 0.5)
    mean = x.mean(dim=1, keepdim=True)
    x = (x - mean) * (share("saturation") * 2) + mean
    mean = x.mean(dim=[1, 2, 3], keepdim=True)
    return (x - mean) * (share("contrast") + 0.5) + mean


def translation(x: Tensor) -> Tensor:
    shift = int(SIDE * 0.125 + 0.5)
    rows, columns = (drawn(f"translation/{dim}", -shift, shift + 1) for dim in (2, 3))
    batch, i, j = torch.meshgrid(*map(torch.arange, (N, SIDE, SIDE)), indexing="ij")
    i, j = ((grid + by + 1).clamp(0, SIDE + 1) for grid, by in ((i, rows), (j, columns)))
    padded = torch.nn.functional.pad(x, [1, 1, 1, 1])
    return padded.permute(0, 2, 3, 1)[batch, i, j].permute(0, 3, 1, 2)


def cutout(x: Tensor) -> Tensor:
    size = int(SIDE * 0.5 + 0.5)
    rows, columns = (drawn(f"cutout/{dim}", 0, SIDE + (1 - size % 2)) for dim in (2, 3))
    batch, i, j = torch.meshgrid(*map(torch.arange, (N, size, size)), indexing="ij")
    i, j = ((grid + at - size // 2).clamp(0, SIDE - 1) for grid, at in ((i, rows), (j, columns)))
    mask = torch.ones(N, SIDE, SIDE, dtype=x.dtype)
    mask[batch, i, j] = 0
    return x * mask.unsqueeze(1)


@pytest.mark.parametrize("reference", [color, translation, cutout])
def test_is_the_authors_own(reference: Callable[[Tensor], Tensor]) -> None:
    kind: Kind = reference.__name__  # type: ignore[assignment]
    ours = _CHANGES[kind](IMAGES, share)
    torch.testing.assert_close(ours, reference(IMAGES), rtol=0, atol=1e-12)
    assert (ours != IMAGES).any()


def test_gradients_pass_through_what_is_left_of_an_image() -> None:
    images = IMAGES[:4].clone().requires_grad_()
    part = MicroBatch(images, images, 1.0, *[torch.arange(4), None, torch.arange(4), 4])  # type: ignore[arg-type]
    remedy, info = DiffAugment(policy=("translation", "cutout")), StepInfo(0, 3)
    seen = remedy.augment(images, part, info=info, seen="generator/fake")
    (gradient,) = torch.autograd.grad(seen.sum(), images)
    assert gradient.sum().item() == (seen != 0).sum().item()
    assert 0 < gradient.mean() < 1


def test_players_and_kinds_of_examples_get_draws_of_their_own() -> None:
    images, ids = IMAGES[:1].expand(4, -1, -1, -1), torch.arange(4)
    part = MicroBatch(images, images, 1.0, ids, None, ids, 4)

    def seen(by: str, iteration: int = 0) -> Any:
        return DiffAugment().augment(images, part, info=StepInfo(0, iteration), seen=by)

    kinds = [seen(f"{of}/{what}") for of in ("discriminator", "generator") for what in "rf"]
    kinds += [seen("generator/r", iteration=1), seen("generator/r")[[1, 2, 3, 0]]]
    assert len({tuple(each.flatten().tolist()) for each in kinds}) == len(kinds)
    assert (seen("generator/r") == seen("generator/r")).all()
