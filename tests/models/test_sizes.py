"""Sizes that a network cannot have are refused by name."""

from collections.abc import Callable
from typing import Any

import pytest

from ganstoch import models
from ganstoch.errors import UserError

POINTS, IMAGES, SMALL = (2,), (3, 32, 32), (3, 28, 28)


@pytest.mark.parametrize(
    ("make", "shape", "setting", "named"),
    [
        (models.PaperGenerator, (3, 64, 64), {}, "64 x 64"),
        (models.PaperGenerator, POINTS, {}, "points"),
        (models.PaperGenerator, IMAGES, {"width": 12}, "width .* 12"),
        (models.DCGANGenerator, POINTS, {}, "points"),
        (models.DCGANGenerator, SMALL, {"latent_dim": 0}, "latent_dim .* 0"),
        (models.DCGANDiscriminator, SMALL, {"width": -1}, "width .* -1"),
        (models.UnrolledGenerator, SMALL, {"width": 12}, "width .* 12"),
        (models.UnrolledDiscriminator, SMALL, {"width": 6}, "width .* 6"),
        (models.ReLUGenerator, POINTS, {"latent_dim": 0}, "latent_dim .* 0"),
        (models.MaxoutDiscriminator, POINTS, {"pieces": 0}, "pieces .* 0"),
        (models.TanhGenerator, POINTS, {"depth": 0}, "depth .* 0"),
    ],
)
def test_sizes_must_fit(
    make: Callable[..., Any], shape: tuple[int, ...], setting: dict[str, int], named: str
) -> None:
    with pytest.raises(UserError, match=named):
        make(shape, **setting)
