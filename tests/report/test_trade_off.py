"""`trade_off.png`: paths of mode drop on training images and on held-out ones."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from ganstoch.records import Measurement
from ganstoch.report import write_report
from ganstoch.report.rows import blocks
from ganstoch.report.trade_off import HELD_OUT, TRAINING, draw_trade_off, path_of


@pytest.fixture
def make(make_record):
    """A record whose history has (iteration, mode drop, held-out drop or None)."""

    def make(points, **settings):
        history = tuple(
            Measurement(
                iteration=iteration,
                images_seen=iteration,
                metrics={TRAINING: training} | ({} if held is None else {HELD_OUT: held}),
            )
            for iteration, training, held in points
        )
        return make_record(**settings).model_copy(update={"history": history})

    return make


def row(*records):
    (block,) = blocks(records)
    (only,) = block.rows
    return only


def test_a_path_is_the_mean_over_seeds_and_its_gap_that_of_the_ends(make):
    path = path_of(
        row(
            make([(1, 40.0, 40.0), (2, 20.0, 26.0)]),
            make([(1, 50.0, 52.0), (2, 10.0, 20.0)], seed=1),
        )
    )
    assert path.training.tolist() == [45.0, 15.0]
    assert path.held_out.tolist() == [46.0, 23.0]
    assert path.ends.tolist() == [[20.0, 26.0], [10.0, 20.0]]
    assert path.gap == 8.0


def test_measurements_and_seeds_without_held_out_images_are_passed_over(make):
    path = path_of(
        row(
            make([(1, 40.0, 41.0), (2, 30.0, None), (3, 20.0, 25.0)]),
            make([(1, 1.0, None), (3, 1.0, None)], seed=1),
        )
    )
    assert path.training.tolist() == [40.0, 20.0]
    assert path.held_out.tolist() == [41.0, 25.0]
    assert path.ends.tolist() == [[20.0, 25.0]]


def test_no_row_looked_at_held_out_images(make):
    plain = make([(1, 40.0, None), (2, 20.0, None)])
    assert path_of(row(plain)) is None
    assert path_of(row(make([]))) is None
    assert draw_trade_off(blocks([plain])) is None


def opened(records):
    return Image.open(io.BytesIO(draw_trade_off(blocks(records))))


BASELINE = (18.0, 20.0, 22.0, 17.0, 19.0, 21.0)


@pytest.mark.parametrize(
    "points",
    [
        [(1, 30.0, 31.0)],
        [(1, 30.0, 31.0), (2, 30.0, 31.0)],
        [(1, 90.0, 91.0), (2, 30.0, 33.0), (3, 40.0, 42.0), (4, 2.0, 18.5)],
        [(1, 30.0, 31.0), (2, 0.0, 18.0)],
        [(1, 0.0, 0.0)],
    ],
)
@pytest.mark.parametrize("baseline", [(), BASELINE])
def test_any_path_is_drawn(points, baseline, make):
    record = make(points, baseline=baseline)
    picture = opened([record])
    assert picture.size[0] > 1500
    assert np.asarray(picture.convert("L")).min() < 100
    others = [record, make(points, m=16, baseline=baseline), make(points, seed=1, m=16)]
    assert opened(others).size == picture.size


def test_datasets_stand_below_each_other(make):
    points = [(1, 30.0, 31.0), (2, 20.0, 25.0)]
    one, other = make(points), make(points, dataset="digits")
    neither = make([(1, 30.0, None)], dataset="ffhq")
    assert opened([one, other]).size[1] == 2 * opened([one]).size[1]
    assert opened([one, neither]).size == opened([one]).size


def test_the_diagonal_parts_memorised_from_not(make):
    """A path above the diagonal inks other pixels than one on it, on the left and on the right."""
    flat = np.asarray(opened([make([(1, 60.0, 60.0), (2, 10.0, 10.0)])]).convert("RGB"), int)
    high = np.asarray(opened([make([(1, 60.0, 60.0), (2, 10.0, 30.0)])]).convert("RGB"), int)
    left, legend = (int(inches / 15.4 * flat.shape[1]) for inches in (5.9, 11.0))
    for side in (slice(0, left), slice(left, legend)):
        assert np.abs(flat[:, side] - high[:, side]).max() > 100


def test_a_report_has_it_where_there_is_one(make, write_run, tmp_path):
    with_it = write_run(make([(1, 30.0, 31.0), (2, 20.0, 25.0)]))
    write_report(tmp_path / "a", [with_it])
    write_report(tmp_path / "b", [with_it])
    first, second = ((tmp_path / name / "trade_off.png").read_bytes() for name in ("a", "b"))
    assert first == second
    without = write_run(make([(1, 30.0, None)], dataset="digits"))
    write_report(tmp_path / "c", [without])
    assert not (tmp_path / "c" / "trade_off.png").exists()
