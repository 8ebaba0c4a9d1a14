import io
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganstoch.errors import UserError
from ganstoch.records import Measurement, write_record
from ganstoch.report import figures
from ganstoch.report.frame import frame, load
from ganstoch.report.reports import (
    report_page,
    write_remedies_report,
    write_report,
    write_synthetic_report,
)
from ganstoch.report.run_files import GRADIENT_NOISE, GradientNoise
from ganstoch.report.synthetic_figures import animate_modes, density, draw_modes, scenes
from ganstoch.report.tables import table1
from ganstoch.report.training_figures import noise_track, overtaken

HOSTILE = "</title></style><script>alert(1)</script>\"'><img onerror=alert(2)>{{ 7 * 7 }}\u202egpj"


def picture(content: bytes) -> Any:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


@pytest.fixture
def runs(make_record: Any, write_run: Any) -> list[Path]:
    """Two data sets, one with two seeds, noise, and everything that a run can measure."""
    records = [
        make_record((3.0,) * 6, m=m, noise=noise, seed=seed, baseline=(9.0,) * 6, history=points)
        for m, noise in ((64, 0.0), (4, 0.0), (64, 0.5))
        for seed in (0, 1)
        for points in [[(10, 8.0), (20 + seed, 3.0)]]
    ]
    records.append(make_record(dataset="b_ig", history=[(5, 1.0)]))
    folders = []
    for record in records:
        more = {figures.HELD_OUT: 10.0}
        history = tuple(
            each.model_copy(update={"metrics": each.metrics | more}) for each in record.history
        )
        changes = {"history": history, "metrics": record.metrics | more}
        folders.append(write_run(record.model_copy(update=changes)))
    content = noise((0, 2.0, 1.0), (10, 2.0, 1.0)).model_dump_json(by_alias=True)
    (folders[0] / GRADIENT_NOISE).write_text(content)
    moments = [{"iteration": i, "accuracy": 0.5, "train_accuracy": 0.9} for i in (0, 10)]
    probe = {
        **{"schema": 1, "moments": moments, "pixels": 0.4, "pixels_train": 0.6, "chance": 0.1},
        **{"fitted_on": 200, "tested_on": 100, "test": "held_out"},
    }
    (folders[0] / "probe.json").write_text(json.dumps(probe))
    return folders


FILES = {
    *("table1.csv", "table1.md", "table1.tex", "index.html", "fig1.png", "fig2.png", "curves.png"),
    *("gradient_noise.png", "probe.png", "trade_off.png"),
}


def test_a_report_has_all_its_files_and_is_the_same_again(tmp_path: Path, runs: list[Path]) -> None:
    text, _ = (
        write_report(tmp_path / out, [*runs, tmp_path / "gone"], missing=["late"]) for out in "ab"
    )
    assert {path.name for path in (tmp_path / "a").iterdir()} == FILES
    for name in FILES:
        content = (tmp_path / "a" / name).read_bytes()
        assert content == (tmp_path / "b" / name).read_bytes()
        if name.endswith(".png"):
            assert picture(content).width > 300
    for words in (text, (tmp_path / "a" / "table1.md").read_text()):
        assert "late, gone" in words
        assert "9.00" in words
    assert r"b\_ig" in (tmp_path / "a" / "table1.tex").read_text()


def test_a_damaged_file_leaves_no_half_report(tmp_path: Path, runs: list[Path]) -> None:
    (runs[-1] / "panels.npz").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"panels\.npz"):
        write_report(tmp_path / "out", runs)
    assert not (tmp_path / "out").exists()


def test_a_report_loads_neither_torch_nor_the_users_style(tmp_path: Path, runs: list[Path]) -> None:
    write_report(tmp_path / "a", runs[-1:])
    (tmp_path / "matplotlibrc").write_text("font.size: 30\nlines.linewidth: 9\n")
    code = (
        "import sys; from pathlib import Path\n"
        "from ganstoch.report.reports import write_report\n"
        "write_report(Path(sys.argv[1]), [Path(each) for each in sys.argv[2:]])\n"
        "assert not {'torch', 'pytorch_lightning', 'wandb'} & set(sys.modules)\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "b"), str(runs[-1])]
    subprocess.run(words, check=True, cwd=tmp_path)
    same = [(tmp_path / out / "curves.png").read_bytes() for out in ("a", "b")]
    assert same[0] == same[1]


def test_remedies_have_a_heat_map(tmp_path: Path, make_record: Any, write_run: Any) -> None:
    rows = (("plain", 256, 4.0), ("plain", 4, 8.0), ("r1", 256, 3.0))
    records = [make_record((value,) * 6, m=m, remedy=remedy) for remedy, m, value in rows]
    write_remedies_report(tmp_path / "out", [write_run(record) for record in records])
    assert picture((tmp_path / "out/remedies.png").read_bytes()).width > 300
    assert "r1" in (tmp_path / "out/remedies.csv").read_text()


def test_no_name_can_change_a_page(make_record: Any) -> None:
    runs = frame([make_record(dataset=HOSTILE, preset=HOSTILE, hardware=HOSTILE)])
    page = report_page(HOSTILE, HOSTILE, table1(runs), [HOSTILE])
    assert "<script" not in page
    assert "\u202e" not in page
    assert page.count("<img") == 1


@pytest.fixture
def make_points(tmp_path: Path, make_record: Any) -> Any:
    """Runs of a ring: folder of a run whose points lie where a test wants them."""

    def make(remedy: str, samples: Any, real: Any, iterations: Any = (10, 20)) -> Path:
        metrics = {"modes/count": 3.0, "modes/of": 8.0, "modes/good_share": 0.9}
        record = make_record(dataset="ring", bank=None, remedy=remedy, metrics=metrics)
        changes = {
            "baseline": metrics | {"modes/count": 8.0},
            "history": (Measurement(iteration=10, images_seen=1, metrics=metrics),),
        }
        record = record.model_copy(update=changes)
        folder = tmp_path / "runs" / remedy
        write_record(folder / "record.json", record)
        arrays = {"iterations": np.array(iterations), "samples": samples, "real": real}
        np.savez(folder / "trail.npz", **arrays)
        return folder

    return make


RNG = np.random.default_rng(0)
CROSS = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], np.float32)
DRAWN = RNG.normal(size=(2, 50, 2)).astype(np.float32)


def test_points_lie_where_they_are(make_points: Any) -> None:
    at = np.array([[[0.5, 0.0]] * 4, [[0.0, 0.5]] * 3 + [[np.nan, 1.0]]], np.float32)
    runs, _ = load([make_points("plain", at, CROSS)])
    (scene,) = scenes(runs)
    assert scene.window[:, 0].tolist() == [-1.5, -1.5]
    cells = density(scene, scene.samples["plain"].at(10))
    ((y, x),) = np.argwhere(cells)
    assert x > cells.shape[1] / 2  # to the right
    assert abs(y - cells.shape[0] / 2) < 1
    assert cells.max() == 1.0
    ((y, x),) = np.argwhere(density(scene, scene.samples["plain"].at(20)))  # NaN is nowhere
    assert y > cells.shape[0] / 2  # upwards: the picture's origin is its lower left corner


def test_many_coordinates_are_seen_along_the_principal_axes(make_points: Any) -> None:
    real = RNG.normal(size=(500, 5)).astype(np.float32) * np.array([1, 9, 1, 4, 1], np.float32)
    runs, _ = load([make_points("plain", np.repeat(real[None], 2, 0), real)])
    (scene,) = scenes(runs)
    spread = scene.real.std(0)
    assert scene.real.shape == (500, 2)
    assert spread[0] > spread[1] > 3.5
    np.testing.assert_allclose(abs(np.corrcoef(scene.real[:, 0], real[:, 1])[0, 1]), 1.0, atol=1e-2)


def test_the_film_shows_every_point_of_training_of_the_same_kind(make_points: Any) -> None:
    samples = RNG.normal(size=(5, 50, 1)).astype(np.float32)
    folder = make_points("plain", samples, samples[0], iterations=[1, 2, 3, 4, 9])
    drawn = scenes(load([folder])[0])
    assert picture(animate_modes(drawn)).n_frames >= 5  # equal frames at the end may be merged
    assert picture(draw_modes(drawn)).width > 300
    with pytest.raises(UserError, match="coordinates"):
        scenes(load([folder, make_points("r1", DRAWN, CROSS)])[0])


def test_a_synthetic_report(tmp_path: Path, make_points: Any) -> None:
    folders = [make_points(remedy, DRAWN, CROSS) for remedy in ("plain", "pacgan2")]
    text = write_synthetic_report(tmp_path / "out", folders)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("synthetic.csv", "synthetic.md", "synthetic.tex", "synthetic_curves.png"),
        *("modes.png", "modes.gif", "index.html"),
    }
    assert "6.30 ± 0.50" in text  # as published for plain GANs
    for folder in folders:
        (folder / "trail.npz").unlink()
    write_synthetic_report(tmp_path / "bare", folders)
    assert not (tmp_path / "bare/modes.gif").exists()


def noise(*points: tuple[int, float, float]) -> GradientNoise:
    history = []
    for i, signal, value in points:
        player = {"signal": signal, "noise": value, "ratio": None, "critical_batch": None}
        history.append({"iteration": i, "discriminator": player, "generator": player})
    content = {"schema": 1, "every": 1, "n": 9, "m": 3, "draws": None, "history": tuple(history)}
    return GradientNoise.model_validate(content)


def test_noise_of_several_seeds_is_their_mean_where_all_were_measured() -> None:
    both = [noise((0, 1.0, 2.0), (5, 3.0, 1.0), (7, 1.0, 1.0)), noise((0, 2.0, 0.0), (5, 5.0, 3.0))]
    track = noise_track(both, "generator")
    assert track.signal.to_dict() == {0: 1.5, 5: 4.0}
    assert track.noise.to_dict() == {0: 1.0, 5: 2.0}


@pytest.mark.parametrize(
    ("above", "place"),
    [("0000", None), ("1000", None), ("0111", 1), ("0100", None), ("0101", 1), ("1011", 2)],
)
def test_noise_overtakes_where_it_stays_above_half_the_time(above: str, place: int | None) -> None:
    points = [(i, 1.0, 2.0 if each == "1" else 0.5) for i, each in enumerate(above)]
    assert overtaken(noise_track([noise(*points)], "discriminator")) == place


def test_colors_go_by_m_and_dashes_by_noise(make_record: Any) -> None:
    records = [make_record(m=m, noise=n) for m, n in ((64, 0.0), (16, 0.0), (1, 0.0), (64, 0.5))]
    runs = frame([*records, make_record(m=16, bank=None)])
    colors = figures.palette(runs)
    assert len(set(colors.values())) == 3
    assert [figures.style(row) for row, _ in figures.settings(runs)] == ["-", "-", "-.", "-", "--"]


def test_all_that_a_report_reads_is_installed_as_real_files() -> None:
    root = Path(__file__).parents[2]
    settings = tomllib.loads((root / "pyproject.toml").read_text())
    patterns = settings["tool"]["setuptools"]["package-data"]["ganstoch"]
    packed = {path for pattern in patterns for path in (root / "ganstoch").glob(pattern)}
    needed = [
        *(root / "ganstoch/report").glob("*.j2"),
        *(root / "ganstoch/report/values").iterdir(),
        *(root / "sweeps").iterdir(),
    ]
    assert len(needed) > 12
    for path in needed:
        assert path.resolve() in packed
    assert not (root / "ganstoch" / "sweeps").is_symlink()
