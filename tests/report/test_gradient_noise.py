"""The file read back, when noise overtakes, and the picture as an image."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganstoch.errors import UserError
from ganstoch.records import Record
from ganstoch.report import write_report
from ganstoch.report.gradient_noise import Track, draw_gradient_noise, overtaken, track
from ganstoch.report.gradients import FILE, PLAYERS, GradientHistory, read_gradients
from ganstoch.report.rows import blocks, run_key

Make = Callable[..., Any]


def values(signal: float, noise: float) -> dict[str, float | None]:
    return {
        "signal": signal,
        "noise": noise,
        "ratio": signal / noise if noise else None,
        "critical_batch": 3.0,
    }


def content(
    points: Sequence[tuple[int, float, float]] = ((0, 4.0, 1.0), (500, 1.0, 2.0), (1000, 0.5, 2.0)),
) -> dict[str, Any]:
    return {
        "schema": 1,
        "every": 500,
        "n": 256,
        "m": 64,
        "bank": 256,
        "noise": 0.0,
        "sampling": "with_replacement",
        "draws": None,
        "history": [
            {
                "iteration": i,
                "discriminator": values(signal, noise),
                "generator": values(signal / 10, noise / 100),
            }
            for i, signal, noise in points
        ],
    }


def leave(folder: Path, *points: tuple[int, float, float]) -> GradientHistory:
    (folder / FILE).write_text(json.dumps(content(points) if points else content()))
    found = read_gradients(folder / FILE)
    assert found is not None
    return found


def test_reads_what_was_written(tmp_path: Path) -> None:
    assert read_gradients(tmp_path / FILE) is None
    found = leave(tmp_path)
    assert (found.every, found.n, found.m, found.draws) == (500, 256, 64, None)
    assert [moment.iteration for moment in found.moments] == [0, 500, 1000]
    assert found.moments[1].of("discriminator").ratio == 0.5
    assert found.moments[1].of("generator").noise == 0.02


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), 2),
        (("every",), 1.5),
        (("m",), None),
        (("history",), []),
        (("history", 1, "iteration"), 0),
        (("history", 0, "discriminator"), None),
        (("history", 0, "discriminator", "signal"), "4"),
        (("history", 0, "generator", "noise"), None),
        (("history", 0, "generator", "ratio"), True),
    ],
    ids=lambda each: "/".join(map(str, each)) if isinstance(each, tuple) else repr(each),
)
def test_a_damaged_file_is_told_in_one_line(
    path: tuple[Any, ...], value: Any, tmp_path: Path
) -> None:
    whole = content()
    place: Any = whole
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    (tmp_path / FILE).write_text(json.dumps(whole))
    with pytest.raises(UserError, match=f"{FILE}.*run that row again"):
        read_gradients(tmp_path / FILE)


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 1}', "{"])
def test_half_a_file_is_told_in_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(UserError, match="is damaged"):
        read_gradients(tmp_path / FILE)


def test_a_track_holds_what_all_seeds_have(tmp_path: Path) -> None:
    one = leave(tmp_path, (0, 4.0, 1.0), (500, 2.0, 1.0), (700, 1.0, 1.0))
    other = leave(tmp_path, (0, 8.0, 3.0), (500, 6.0, 5.0), (900, 1.0, 1.0))
    found = track([one, other], player="discriminator")
    np.testing.assert_array_equal(found.x, [0, 500])
    np.testing.assert_array_equal(found.signal, [[4, 2], [8, 6]])
    np.testing.assert_array_equal(found.noise, [[1, 1], [3, 5]])


@pytest.mark.parametrize(
    ("signal", "place"),
    [
        ([4, 4, 4, 4], None),
        ([4, 4, 0, 0], 20),
        ([0, 0, 0, 0], 10),  # the start does not count
        ([0, 4, 0, 0], 20),
        ([4, 0, 4, 0], 10),
        ([4, 0, 4, 4], None),  # one crossing does not last
        ([4, 4, 4, 0], 30),
    ],
)
def test_when_noise_overtakes_signal(signal: list[float], place: int | None) -> None:
    x = np.array([0.0, 10.0, 20.0, 30.0])
    assert overtaken(Track(x, np.array([signal], float), np.ones((1, 4)))) == place


def test_seeds_are_averaged_before_they_are_compared() -> None:
    x, noise = np.array([0.0, 10.0]), np.ones((2, 2))
    assert overtaken(Track(x, np.array([[5.0, 1.5], [5.0, 0.6]]), noise)) is None
    assert overtaken(Track(x, np.array([[5.0, 1.2], [5.0, 0.6]]), noise)) == 10


def drawn(records: Sequence[Record], folders: Sequence[Path]) -> np.ndarray[Any, Any] | None:
    pairs = {run_key(r): f for r, f in zip(records, folders, strict=True)}
    picture = draw_gradient_noise(blocks(records), folders=pairs)
    return picture and np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))  # type: ignore[return-value]


HISTORY = ((500, 5.0), (1000, 3.0))


def test_no_picture_without_measurements(make_record: Make, write_run: Make) -> None:
    record = make_record(history=HISTORY)
    assert drawn([record], [write_run(record)]) is None


def test_a_line_for_every_row_that_was_measured(make_record: Make, write_run: Make) -> None:
    records = [make_record(m=m, history=HISTORY) for m in (64, 16, 4)]
    folders = [write_run(record) for record in records]
    leave(folders[0])
    one = drawn(records, folders)
    leave(folders[1], (0, 4.0, 0.0), (1000, 1.0, 0.0))  # the full batch has no noise
    two = drawn(records, folders)
    leave(folders[2], (0, 4.0, 1.0), (1000, -1.0, 2.0))  # an estimate below 0 leaves a gap
    three = drawn(records, folders)
    assert one is not None
    assert two is not None
    assert three is not None
    assert one.shape[1] == two.shape[1] == three.shape[1]
    assert two.shape[0] - one.shape[0] == three.shape[0] - two.shape[0] > 100


def coloured(picture: np.ndarray[Any, Any]) -> int:
    """Orange pixels of the third axes, below the legend; everything else there is grey."""
    part = picture[picture.shape[0] // 2 :, int(0.70 * picture.shape[1]) :].astype(int)
    return int((part[..., 0] - part[..., 2] > 60).sum())


def test_the_place_is_marked_where_noise_overtakes(make_record: Make, write_run: Make) -> None:
    record = make_record(history=HISTORY)
    folder = write_run(record)
    leave(folder, (0, 4.0, 1.0), (500, 4.0, 2.0), (1000, 4.0, 2.0))
    calm = drawn([record], [folder])
    leave(folder, (0, 4.0, 1.0), (500, 1.0, 2.0), (1000, 1.0, 2.0))
    loud = drawn([record], [folder])
    assert calm is not None
    assert loud is not None
    assert coloured(calm) == 0
    assert coloured(loud) > 20


def test_the_report_has_the_picture_where_runs_were_measured(
    make_record: Make, write_run: Make, tmp_path: Path
) -> None:
    record = make_record(history=HISTORY)
    folder = write_run(record)
    write_report(tmp_path / "report", [folder])
    assert not (tmp_path / "report" / "gradient_noise.png").exists()
    leave(folder)
    write_report(tmp_path / "report", [folder])
    assert (tmp_path / "report" / "gradient_noise.png").read_bytes()[:4] == b"\x89PNG"
    (folder / FILE).write_text("{")
    with pytest.raises(UserError, match="damaged"):
        write_report(tmp_path / "again", [folder])
    assert not (tmp_path / "again").exists()


def test_equal_measurements_make_equal_pictures(make_record: Make, write_run: Make) -> None:
    records = [make_record(history=HISTORY, seed=seed) for seed in (0, 1)]
    folders = [write_run(record) for record in records]
    for folder in folders:
        leave(folder)
    one, other = drawn(records, folders), drawn(records, folders)
    assert one is not None
    assert np.array_equal(one, other)


def test_players_are_named_once() -> None:
    assert PLAYERS == ("discriminator", "generator")
