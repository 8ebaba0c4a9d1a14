from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning.loggers import WandbLogger
from torch import Tensor

from ganstoch.callbacks.evaluation import Evaluation, Outcome
from ganstoch.callbacks.run_folder import NeighbourGrid, panels
from ganstoch.metrics import overfitting_mode_drop
from ganstoch.rng import rng_for, with_replacement
from ganstoch.types import to_bytes, to_signed

Make = Callable[..., Any]


def images(count: int, draw: int) -> Tensor:
    drawn = with_replacement(256, count * 3 * 16, rng_for(0, "data", draw))
    return drawn.to(torch.uint8).view(count, 3, 4, 4)


def outcome_of(data: Tensor, generated: Tensor, *, queries: int | None) -> Outcome:
    """A measurement in two spaces: the pixels, and the first colour alone."""
    spaces = {"pixel_l1": data.flatten(1), "red_l2": data[:, 0].flatten(1)}
    answers = {"pixel_l1": generated.flatten(1), "red_l2": generated[:, 0].flatten(1)}
    pairs = {
        name: overfitting_mode_drop(
            spaces[name], answers[name], norm="l1" if name == "pixel_l1" else "l2", queries=queries
        )
        for name in spaces
    }
    return Outcome(iteration=1, generated=to_signed(generated), pairs=pairs)


def nearest(row: Tensor, bank: Tensor, space: str) -> Tensor:
    """Brute force."""
    asked, members = row.double(), bank.double()
    if space == "red_l2":
        asked, members = asked[:, 0], members[:, 0]
    p = 1.0 if space == "pixel_l1" else 2.0
    return bank[torch.cdist(asked.flatten(1), members.flatten(1), p=p).argmin(dim=1)]


@pytest.mark.parametrize(("queries", "columns"), [(None, 10), (12, 10), (10, 10), (4, 4), (1, 1)])
def test_under_each_query_lies_its_nearest_neighbour(queries: int | None, columns: int) -> None:
    data, generated = images(30, 0), images(40, 1)
    rows = panels(outcome_of(data, generated, queries=queries), data)
    sides = {"overfitting": (generated, data), "mode_drop": (data, generated)}
    assert set(rows) == {f"{d}_{what}" for d in sides for what in ("queries", "pixel_l1", "red_l2")}
    for direction, (asking, answering) in sides.items():
        asked = rows[f"{direction}_queries"]
        assert asked.shape == (columns, 3, 4, 4)
        assert asked.dtype == torch.uint8
        apart = torch.cdist(asked.double().flatten(1), asking.double().flatten(1), p=1.0)
        assert (apart.amin(dim=1) == 0).all()  # members of the asking side,
        assert len(asked.unique(dim=0)) == columns  # all different
        for space in ("pixel_l1", "red_l2"):
            assert torch.equal(rows[f"{direction}_{space}"], nearest(asked, answering, space))


def test_queries_are_spread_over_the_sample() -> None:
    data, generated = images(100, 0), images(100, 1)
    rows = panels(outcome_of(data, generated, queries=None), data)
    same = (rows["mode_drop_queries"][:, None] == data).flatten(2).all(dim=2)
    assert same.nonzero()[:, 1].tolist() == [0, 11, 22, 33, 44, 55, 66, 77, 88, 99]


@pytest.fixture
def evaluation() -> Evaluation:
    return Evaluation(every=2, queries=6, semantic=None)


def test_leaves_the_last_panels_in_a_file(
    make_game: Make, make_data: Make, fit: Make, tmp_path: Path, evaluation: Evaluation
) -> None:
    path, data = tmp_path / "panels.npz", make_data()
    fit(make_game(), data, evaluation, NeighbourGrid(path), steps=3)
    with np.load(path) as file:
        rows = {name: torch.from_numpy(file[name]) for name in file.files}
    assert evaluation.latest is not None
    assert evaluation.latest.iteration == 3
    expected = panels(evaluation.latest, data.subset.pixels)
    assert rows.keys() == expected.keys()
    assert all(torch.equal(rows[name], expected[name]) for name in rows)
    # Early on all generated images are nearly alike, so the nearest is known up to rounding only.
    ways = evaluation.latest.pairs["pixel_l1"].mode_drop
    asked = data.subset.pixels[ways.queries]
    assert torch.equal(rows["mode_drop_queries"], asked)
    floats = evaluation.latest.generated.double().add(1).mul(127.5)
    apart = torch.cdist(asked.double().flatten(1), floats.flatten(1), p=1.0)
    chosen = apart.gather(1, ways.neighbours.ids[:, None])[:, 0]
    assert torch.allclose(chosen, apart.amin(dim=1), rtol=1e-6)
    pictures = to_bytes(evaluation.latest.generated)[ways.neighbours.ids]
    assert torch.equal(rows["mode_drop_pixel_l1"], pictures)


class Gallery(WandbLogger):
    """Keeps the pictures instead of sending them."""

    def __init__(self) -> None:
        self.pictures: list[tuple[str, int, Any]] = []

    name = "gallery"
    version = "0"
    save_dir = None

    def log_hyperparams(self, params: Any) -> None:
        pass

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        pass

    def log_image(self, key: str, images: list[Any], step: int | None = None, **_: Any) -> None:
        (picture,) = images
        assert step is not None
        self.pictures.append((key, step, picture))

    def finalize(self, status: str) -> None:
        pass


@pytest.mark.parametrize(
    ("steps", "measured"),
    [(4, [2, 4]), (5, [2, 4, 5])],  # the end is measured though it lies off the interval
)
def test_shows_every_measurement_once(
    make_game: Make,
    make_data: Make,
    fit: Make,
    tmp_path: Path,
    evaluation: Evaluation,
    steps: int,
    measured: list[int],
) -> None:
    gallery, data = Gallery(), make_data()
    shown = NeighbourGrid(tmp_path / "panels.npz")
    fit(make_game(), data, evaluation, shown, steps=steps, loggers=[gallery])
    assert [(key, step) for key, step, _ in gallery.pictures] == [
        (f"panels/{direction}", step)
        for step in measured
        for direction in ("overfitting", "mode_drop")
    ]
    # Two rows of six images, each pixel shown as 2 x 2.
    picture = gallery.pictures[-1][2]
    assert picture.shape == (2 * 2 * 32, 6 * 2 * 32, 3)
    assert picture.dtype == np.uint8
    assert evaluation.latest is not None
    rows = panels(evaluation.latest, data.subset.pixels)
    top = rows["mode_drop_queries"].permute(2, 0, 3, 1).reshape(32, 6 * 32, 3)
    below = rows["mode_drop_pixel_l1"].permute(2, 0, 3, 1).reshape(32, 6 * 32, 3)
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        assert np.array_equal(picture[i::2, j::2], torch.cat([top, below]).numpy())
