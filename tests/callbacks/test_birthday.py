"""The birthday test within a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ganstoch.callbacks.evaluation import Evaluation
from ganstoch.errors import UserError
from ganstoch.metrics.birthday import collision_metrics

Make = Callable[..., Any]
NAME = "birthday/pixel_l1/collision"


@pytest.fixture(scope="module")
def real() -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (500, 3, 32, 32), dtype=torch.uint8, generator=rng)


def test_few_images_collide_and_many_do_not(real: Tensor) -> None:
    images = real.flatten(1)
    rng = torch.Generator().manual_seed(1)
    few = images[:20][torch.randint(20, (80,), generator=rng)]
    many = images[torch.randint(500, (20,), generator=rng)]
    assert collision_metrics(few, images, size=20)["collision"] == 1.0
    assert collision_metrics(many, images, size=5)["collision"] < 0.2
    assert 10 <= collision_metrics(few, images, size=20)["support"] <= 40


def test_in_a_run(make_game: Make, make_data: Make, fit: Make, make_losses: Make) -> None:
    evaluation = Evaluation(every=2, queries=4, semantic=None, birthday=4)
    fit(make_game(), make_data(n=64), evaluation, steps=4)
    assert NAME not in evaluation.history[0].metrics  # at the end only, where all spaces are
    assert 0.0 <= evaluation.history[-1].metrics[NAME] <= 1.0


@pytest.mark.parametrize(
    "settings", [{"birthday": 1}, {"birthday": 4, "queries": None}, {"birthday": 13}]
)
def test_refused(make_game: Make, make_data: Make, fit: Make, settings: dict[str, Any]) -> None:
    options: dict[str, Any] = {"every": 2, "queries": 4, "semantic": None, **settings}
    with pytest.raises(UserError, match=r"evaluation\.birthday"):
        fit(make_game(), make_data(n=64), Evaluation(**options), steps=1)
