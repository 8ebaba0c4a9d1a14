"""Figures 1 and 2 and the curves: what they show, not how it looks."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from ganstoch.errors import UserError
from ganstoch.report.curves import curve, draw_curves
from ganstoch.report.figures import draw_figure
from ganstoch.report.panels import read_panel
from ganstoch.report.rows import blocks, run_key

METRIC = "overfitting/pixel_l1/mean"


def drawn(records, folders, direction="overfitting"):
    found = {run_key(record): folder for record, folder in zip(records, folders, strict=True)}
    png = draw_figure(blocks(records), folders=found, direction=direction)
    return Image.open(io.BytesIO(png))


def contains(image, tile):
    """Whether a picture (H, W, 3) holds a tile (h, w, 3), pixel by pixel."""
    picture = np.asarray(image)
    spots = np.argwhere((picture == tile[0, 0]).all(-1))
    height, width = tile.shape[:2]
    return any(np.array_equal(picture[y : y + height, x : x + width], tile) for y, x in spots)


def same_rows(one, other):
    """Whether two figures have as many rows; a line of the footer more or less is no row."""
    return abs(one.height - other.height) < 100


@pytest.mark.parametrize("direction", ["overfitting", "mode_drop"])
def test_images_are_enlarged_by_whole_pixels(direction, make_record, write_run):
    record = make_record()
    folder = write_run(record)
    image = drawn([record], [folder], direction)
    with np.load(folder / "panels.npz") as panels:
        for kind in ("queries", "pixel_l1", "inception_l2"):
            for stored in panels[f"{direction}_{kind}"][[0, 9]]:
                tile = np.repeat(np.repeat(stored.transpose(1, 2, 0), 2, 0), 2, 1)
                assert contains(image, tile)


def test_the_feature_row_is_left_out_where_nobody_has_one(make_record, write_run):
    record = make_record()
    full = drawn([record], [write_run(record)])
    bare = drawn([record], [write_run(record, features=())])
    assert bare.height < full.height


def test_datasets_stand_side_by_side_and_rows_below_each_other(make_record, write_run):
    one = [make_record(m=64)]
    columns = [make_record(m=64), make_record(m=64, dataset="digits")]
    # The second dataset lacks the row m = 4, and has no feature network and, once, no images.
    grid = [*columns, make_record(m=4), make_record(m=64, dataset="digits", noise=0.5)]
    small = drawn(one, [write_run(r) for r in one])
    wide = drawn(columns, [write_run(r) for r in columns])
    folders = [
        *(write_run(grid[0]), write_run(grid[1], features=())),
        *(write_run(grid[2]), write_run(grid[3], panels=False) / "absent"),
    ]
    tall = drawn(grid, folders)
    assert same_rows(wide, small)
    assert wide.width > 1.7 * small.width
    assert tall.width == wide.width
    assert tall.height > 2.2 * small.height


def test_subsets_of_different_size_align_by_their_share(make_record, write_run):
    records = [
        make_record(m=4, n=256),
        make_record(m=15, n=1000, dataset="digits"),  # 1000 / 64 = 15.6
    ]
    aligned = drawn(records, [write_run(r) for r in records])
    one = drawn(records[:1], [write_run(records[0])])
    assert same_rows(aligned, one)


def test_rows_that_rounding_would_merge_are_all_drawn(make_record, write_run):
    records = [make_record(m=m, n=10_000) for m in (99, 98)]
    two = drawn(records, [write_run(r) for r in records])
    one = drawn(records[:1], [write_run(records[0])])
    assert two.height > 1.5 * one.height


def test_a_panel_prefers_the_papers_feature_network(make_record, write_run):
    features = ("efficientnet_lite0_l2", "inception_l2")
    folder = write_run(make_record(), features=features)
    panel = read_panel(folder / "panels.npz", direction="overfitting")
    assert panel.feature_name == "inception"
    assert panel.queries.shape == (10, 32, 32, 3)
    folder = write_run(make_record(), features=features[:1])
    panel = read_panel(folder / "panels.npz", direction="mode_drop")
    assert panel.feature_name == "efficientnet lite0"


def test_grey_images_and_more_than_ten_are_welcome(tmp_path):
    grey = np.arange(12 * 64, dtype=np.uint8).reshape(12, 1, 8, 8)
    np.savez(tmp_path / "panels.npz", overfitting_queries=grey, overfitting_pixel_l1=grey)
    panel = read_panel(tmp_path / "panels.npz", direction="overfitting")
    assert panel.feature is None
    assert panel.queries.shape == (10, 8, 8, 3)
    assert (panel.queries[1, 2, 3] == grey[1, 0, 2, 3]).all()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"overfitting_queries": np.zeros((2, 3, 4, 4), np.uint8)}, "lacks"),
        (
            {
                "overfitting_queries": np.zeros((2, 3, 4, 4), np.uint8),
                "overfitting_pixel_l1": np.zeros((1, 3, 4, 4), np.uint8),
            },
            "one shape",
        ),
        (
            {
                "overfitting_queries": np.zeros((2, 3, 4, 4), np.float32),
                "overfitting_pixel_l1": np.zeros((2, 3, 4, 4), np.float32),
            },
            "uint8",
        ),
        (
            {
                "overfitting_queries": np.array([{"a": 1}]),
                "overfitting_pixel_l1": np.array([{"a": 1}]),
            },
            "cannot be read",
        ),
    ],
)
def test_damaged_panels_are_refused(arrays, message, tmp_path):
    np.savez(tmp_path / "panels.npz", **arrays)
    with pytest.raises(UserError, match=message):
        read_panel(tmp_path / "panels.npz", direction="overfitting")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"no zip"])
def test_a_file_that_is_no_archive_is_refused(content, tmp_path):
    (tmp_path / "panels.npz").write_bytes(content)
    with pytest.raises(UserError, match="cannot be read"):
        read_panel(tmp_path / "panels.npz", direction="overfitting")


def test_a_run_without_panels_has_none(tmp_path):
    assert read_panel(tmp_path / "panels.npz", direction="overfitting") is None


def test_a_curve_keeps_the_last_value_of_a_seed_that_stopped(make_record):
    runs = [
        make_record(seed=0, history=[(0, 8.0), (10, 4.0), (20, 2.0)]),
        make_record(seed=1, history=[(0, 10.0), (10, 6.0)]),
    ]
    found = curve(runs, metric=METRIC, position=lambda measurement: measurement.iteration)
    assert found.x.tolist() == [0.0, 10.0, 20.0]
    assert found.mean.tolist() == [9.0, 5.0, 4.0]  # the last: (2 + 6) / 2
    assert found.low.tolist() == [8.0, 4.0, 2.0]
    assert found.high.tolist() == [10.0, 6.0, 6.0]


def test_a_curve_begins_where_every_seed_has_been_measured(make_record):
    runs = [
        make_record(seed=0, history=[(0, 8.0), (10, 4.0)]),
        make_record(seed=1, history=[(5, 10.0), (10, 6.0)]),
    ]
    found = curve(runs, metric=METRIC, position=lambda measurement: measurement.images_seen)
    assert found.x.tolist() == [5.0 * 64, 10.0 * 64]
    assert found.mean.tolist() == [8.0, 5.0]  # seed 0 is half-way from 8 to 4: 6
    assert curve([make_record()], metric=METRIC, position=lambda m: m.iteration) is None


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([], id="nothing measured"),
        pytest.param([(0, 5.0)], id="measured once, at the start"),
        pytest.param([(10, 5.0)], id="measured once"),
        pytest.param([(0, 0.0), (10, 0.0)], id="an exact copy"),
        pytest.param([(0, 90.0), (10, 20.0), (1000, 1.0)], id="falls hundredfold"),
    ],
)
def test_curves_are_drawn_from_any_history(history, make_record):
    records = [
        make_record(m=64, noise=noise, seed=seed, history=history)
        for noise in (0.0, 0.5)
        for seed in (0, 1)
    ]
    image = Image.open(io.BytesIO(draw_curves(blocks(records))))
    assert len(image.convert("RGB").getcolors(1 << 20)) > 2


def test_curves_of_datasets_stand_below_each_other(make_record):
    records = [make_record(dataset=name, history=[(1, 2.0)]) for name in ("svhn", "digits")]
    both = Image.open(io.BytesIO(draw_curves(blocks(records))))
    alone = Image.open(io.BytesIO(draw_curves(blocks(records[:1]))))
    assert both.width == alone.width
    assert both.height == 2 * alone.height
