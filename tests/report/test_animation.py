"""Trails, their panels, the picture and the film, and the report of worlds that holds them."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from ganstoch.errors import UserError
from ganstoch.records import Measurement, write_record
from ganstoch.report import animation, write_world_report
from ganstoch.report.animation import animate_modes, draw_modes
from ganstoch.report.density import PALETTE, Painter
from ganstoch.report.trails import read_trail, scenes
from ganstoch.report.world_rows import world_key, worlds

CORNERS = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]], dtype=np.float32)
AT = (10, 20, 40, 80)


def points_of(size, *, corners=4, moments=AT, seed=0, coordinates=2):
    """A trail that starts in the middle and ends on some of four corners."""
    rng = np.random.default_rng(seed)
    chosen = CORNERS[rng.integers(corners, size=size)]
    noise = rng.normal(size=(len(moments), size, 2)).astype(np.float32)
    ways = np.linspace(0, 1, len(moments), dtype=np.float32)[:, None, None]
    real = np.tile(CORNERS, (25, 1)) + 0.02 * rng.normal(size=(100, 2)).astype(np.float32)
    return {
        "iterations": np.array(moments, dtype=np.int64),
        "samples": (ways * chosen + 0.02 * noise)[..., :coordinates],
        "real": real[:, :coordinates],
    }


def centre(ink):
    """Row and column of a panel's centre of mass."""
    ys, xs = np.indices(ink.shape)
    return (ys * ink).sum() / ink.sum(), (xs * ink).sum() / ink.sum()


@pytest.fixture
def run(make_record, tmp_path):
    """Writes a run of a world, with a trail unless told otherwise."""

    def made(remedy="plain", *, dataset="ring", seed=0, trail=True, **points):
        record = make_record(dataset=dataset, seed=seed, config={"remedy": remedy}, bank=None)
        metrics = {"modes/count": 3.0, "modes/of": 4.0, "modes/good_share": 0.9}
        metrics["modes/reverse_kl"] = 0.3
        history = tuple(
            Measurement(iteration=i, images_seen=i, metrics={**metrics, "modes/count": i / 40})
            for i in AT
        )
        record = record.model_copy(
            update={"metrics": metrics, "baseline": metrics, "history": history}
        )
        folder = tmp_path / "runs" / f"{dataset}-{remedy}-{seed}"
        write_record(folder / "record.json", record)
        if trail:
            np.savez(folder / "trail.npz", **points_of(60, seed=seed, **points))
        return record, folder

    return made


def staged(*runs):
    tables = worlds([record for record, _ in runs])
    return scenes(tables, folders={world_key(record): folder for record, folder in runs})


def test_a_panel_has_ink_where_the_points_are(run):
    (scene,) = staged(run(corners=1))
    painter = Painter(scene, size=40)
    last = painter.panel(scene.trails[0], iteration=80)
    first = painter.panel(scene.trails[0], iteration=10)
    # The window is the data's with a quarter of its extent around it: the corner (-1, -1), low on
    # the left, lies a sixth of the way in.
    assert centre(last) == pytest.approx((39 * 5 / 6, 39 / 6), abs=1)
    assert last[:20].max() == last[:, 20:].max() == 0
    assert centre(first) == pytest.approx((39 / 2, 39 / 2), abs=1)
    quarters = painter.data().reshape(2, 20, 2, 20)
    assert (quarters.max((1, 3)) == 255).all()


def test_a_trail_shows_its_last_moment_so_far(run):
    (scene,) = staged(run())
    trail = scene.trails[0]
    moments = [trail.moment(iteration) for iteration in (0, 10, 19, 20, 79, 80, 500)]
    assert moments == [0, 0, 0, 1, 2, 3, 3]


def test_points_outside_the_window_or_of_no_place_leave_no_ink(run):
    record, folder = run()
    points = points_of(60)
    points["samples"][:, :30] = np.nan
    points["samples"][:, 30:] = 1e30
    np.savez(folder / "trail.npz", **points)
    (scene,) = staged((record, folder))
    assert Painter(scene, size=40).panel(scene.trails[0], iteration=80).max() == 0


def test_one_coordinate_has_time_on_the_other_axis(run):
    (scene,) = staged(run(coordinates=1, corners=2))  # both have x = -1
    painter = Painter(scene, size=40)
    panel = painter.panel(scene.trails[0], iteration=20)
    assert panel[20:].max() == 0  # two of the four moments are still to come
    assert panel[:20].max() > 0
    full = painter.panel(scene.trails[0], iteration=80)
    assert centre(full[-1:])[1] == pytest.approx(39 / 6, abs=1)
    assert centre(full[:1])[1] == pytest.approx(39 / 2, abs=1)
    data = painter.data()
    assert (data == data[0]).all()


def test_many_coordinates_are_shown_along_the_principal_axes(run):
    record, folder = run()
    flat = points_of(60, corners=1)
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))
    stretch = np.array([[2.0, 1.0]])  # so that the axes are told apart
    high = {name: (flat[name] * stretch) @ turn[:2] for name in ("samples", "real")}
    high = {name: array.astype(np.float32) for name, array in high.items()}
    np.savez(folder / "trail.npz", iterations=flat["iterations"], **high)
    (scene,) = staged((record, folder))
    expected = (flat["real"] - flat["real"].mean(0)) * stretch
    found = scene.trails[0].real - scene.trails[0].real.mean(0)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=0.05)
    assert "first two principal axes of 5" in scene.heading


def test_a_row_shows_its_first_seed_with_a_trail(run):
    scene = staged(run(seed=1), run(seed=0, trail=False), run("packing2", trail=False))[0]
    assert (scene.labels, scene.seeds) == (("plain",), (1,))
    assert staged(run(trail=False, seed=3)) == ()


def test_a_picture_has_a_row_a_remedy(run):
    def height(*names):
        picture = draw_modes(staged(*(run(name) for name in names)))
        return Image.open(io.BytesIO(picture)).height

    one, two, three = height("plain"), height("plain", "a"), height("plain", "a", "b")
    assert three - two == two - one > 100


def test_the_film_shows_every_moment_and_holds_the_last(run):
    film = Image.open(io.BytesIO(animate_modes(staged(run(), run("packing2", seed=1)))))
    durations = []
    for frame in range(film.n_frames):
        film.seek(frame)
        durations.append(film.info["duration"])
    assert durations == [100, 100, 100, 2000]
    assert film.info["loop"] == 0


def test_worlds_of_unequal_length_share_one_clock(run):
    ring = run(moments=(10, 20))
    grid = run(dataset="grid", moments=(15, 40))
    film = Image.open(io.BytesIO(animate_modes(staged(ring, grid))))
    assert film.n_frames == 4  # 10, 15, 20, 40


def test_the_film_loses_moments_until_it_is_small(run, monkeypatch):
    drawn = staged(run(moments=tuple(range(1, 41))))
    whole = animate_modes(drawn)
    monkeypatch.setattr(animation, "LIMIT", len(whole) // 2)
    small = animate_modes(drawn)
    assert len(small) < len(whole) // 2
    film = Image.open(io.BytesIO(small))
    assert 4 <= film.n_frames < 40
    film.seek(film.n_frames - 1)
    end = Image.open(io.BytesIO(whole))
    end.seek(end.n_frames - 1)
    assert np.array_equal(film.convert("RGB"), end.convert("RGB"))


def test_the_colours_are_told_apart_by_lightness_alone():
    colours = np.frombuffer(PALETTE, dtype=np.uint8).reshape(256, 3).astype(float)
    lightness = colours @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) < 0.01).all()
    assert lightness[0] == pytest.approx(255)
    assert lightness[-1] < 25


@pytest.mark.parametrize("change", ["lacks", "shape", "order", "type", "torn"])
def test_a_damaged_trail_is_refused(change, run):
    _, folder = run()
    path, points = folder / "trail.npz", points_of(60)
    if change == "lacks":
        del points["real"]
    elif change == "shape":
        points["samples"] = points["samples"][:2]
    elif change == "order":
        points["iterations"] = points["iterations"][::-1]
    elif change == "type":
        points["samples"] = points["samples"].astype(np.float64)
    np.savez(path, **points)
    if change == "torn":
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="remove the run's folder"):
        read_trail(path)


def test_trails_of_several_widths_share_no_window(run):
    with pytest.raises(UserError, match=r"\[1, 2\] coordinates"):
        staged(run(), run("packing2", coordinates=1))


FILES = ["index.html", "modes.gif", "modes.png", "world_curves.png", "worlds.csv", "worlds.md"]


def files_in(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def test_a_report_is_six_files_the_same_every_time(run, tmp_path):
    folders = [run()[1], run("packing2", dataset="ring", seed=0)[1], run(dataset="grid")[1]]
    text = write_world_report(tmp_path / "a", [*folders, tmp_path / "gone"], missing=["late"])
    write_world_report(tmp_path / "b", folders, missing=["late", "gone"])
    assert files_in(tmp_path / "a") == FILES
    assert "not run: late, gone" in text
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_without_trails_there_is_neither_picture_nor_film(run, tmp_path):
    write_world_report(tmp_path / "out", [run(trail=False)[1]])
    assert files_in(tmp_path / "out") == [FILES[0], *FILES[3:]]


def test_a_damaged_run_leaves_an_older_report_alone(run, tmp_path):
    _, folder = run()
    write_world_report(tmp_path / "out", [folder])
    before = (tmp_path / "out" / "worlds.md").read_bytes()
    (folder / "trail.npz").write_bytes(b"no archive")
    (folder / "record.json").write_text(
        (folder / "record.json").read_text().replace("60.0", "61.0")
    )
    with pytest.raises(UserError, match=r"trail\.npz cannot be read"):
        write_world_report(tmp_path / "out", [folder])
    assert (tmp_path / "out" / "worlds.md").read_bytes() == before


def test_curves_show_more_lines_for_more_remedies(run, tmp_path):
    def ink(*names):
        out = tmp_path / "-".join(names)
        write_world_report(out, [run(name, trail=False)[1] for name in names])
        return np.asarray(Image.open(out / "world_curves.png").convert("RGB")).astype(int)

    one, two = ink("plain"), ink("plain", "packing2")
    blue = [(each[..., 2] - each[..., 0] > 100).sum() for each in (one, two)]
    assert blue[0] == 0
    assert blue[1] > 200


def test_a_report_is_made_without_torch(run, tmp_path):
    _, folder = run()
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from ganstoch.report import write_world_report\n"
        "write_world_report(Path(sys.argv[1]), [Path(sys.argv[2])])\n"
        "heavy = {'torch', 'lightning', 'pytorch_lightning', 'matplotlib.pyplot', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path / "out"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
