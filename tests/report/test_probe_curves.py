"""`probe.png`: the probe's accuracy along training."""

from __future__ import annotations

import dataclasses
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from ganstoch.errors import UserError
from ganstoch.report import write_report
from ganstoch.report.probe_curves import draw_probe
from ganstoch.report.probe_track import ProbeMoment, ProbeTrack
from ganstoch.report.rows import blocks, run_key


def write_probe(path, track):
    path.write_text(json.dumps(dataclasses.asdict(track)))


def track(points, *, pixels=0.4, chance=0.1, test="held_out"):
    moments = tuple(
        ProbeMoment(iteration=iteration, accuracy=accuracy, train_accuracy=min(1.0, accuracy + 0.1))
        for iteration, accuracy in points
    )
    return ProbeTrack(
        moments=moments,
        pixels=pixels,
        pixels_train=0.9,
        chance=chance,
        fitted_on=8,
        tested_on=20,
        test=test,
    )


@pytest.fixture
def drawn(make_record, write_run):
    """The picture of rows (points or None, settings), or None."""

    def drawn(*rows, **settings):
        records = [make_record(**own) for _, own in rows]
        folders = {}
        for record, (points, _) in zip(records, rows, strict=True):
            folders[run_key(record)] = write_run(record, panels=False)
            if points is not None:
                write_probe(folders[run_key(record)] / "probe.json", track(points, **settings))
        picture = draw_probe(blocks(records), folders=folders)
        return None if picture is None else Image.open(io.BytesIO(picture)).convert("RGB")

    return drawn


LINE = [(0, 0.3), (10, 0.6), (20, 0.5)]


@pytest.mark.parametrize("points", [LINE, [(0, 0.5)], [(0, 1.0), (9, 1.0)], [(0, 0.0), (9, 0.0)]])
@pytest.mark.parametrize("test", ["held_out", "train"])
def test_any_probe_is_drawn(points, test, drawn):
    picture = drawn((points, {}), test=test)
    assert picture.size[0] > 1500
    assert np.asarray(picture).min() < 100


def test_no_run_was_probed(drawn):
    assert drawn((None, {}), (None, {"m": 16})) is None


def test_rows_seeds_and_datasets_without_a_probe_are_passed_over(drawn):
    alone = drawn((LINE, {}))
    assert drawn((LINE, {}), (None, {"seed": 1})).tobytes() == alone.tobytes()
    assert drawn((LINE, {}), (None, {"dataset": "ffhq"})).tobytes() == alone.tobytes()
    assert drawn((LINE, {}), (LINE, {"dataset": "ffhq"})).size[1] == 2 * alone.size[1]


def test_a_band_reaches_over_the_seeds(drawn):
    """Two seeds apart leave more ink than two alike."""

    def ink(other):
        pixels = np.asarray(drawn((LINE, {}), (other, {"seed": 1}))).astype(int)
        return int((pixels.min(2) < 250).sum())

    assert ink([(0, 0.5), (10, 0.3), (20, 0.2)]) > ink(LINE) + 5000


def test_decay_and_growth_differ(drawn):
    up, down = [(0, 0.3), (20, 0.6)], [(0, 0.6), (20, 0.3)]
    a, b = (np.asarray(drawn((points, {}))).astype(int) for points in (up, down))
    assert np.abs(a - b).max() > 100


@pytest.mark.parametrize(("chance", "shown"), [(0.25, True), (0.01, False)])
def test_chance_is_a_line_where_it_is_near(chance, shown, drawn):
    """Near: within three times what the curves extend over."""
    narrow = [(0, 0.5), (20, 0.6)]
    picture = np.asarray(drawn((narrow, {}), chance=chance, pixels=0.5)).astype(int)
    light = (np.abs(picture - 178) <= 3).all(2)  # the colour of that line, 0.7
    widest = light[:, : picture.shape[1] * 2 // 3].sum(1).max()
    assert (widest > 400) == shown


def test_a_damaged_file_is_refused(make_record, write_run):
    record = make_record()
    folder = write_run(record, panels=False)
    (folder / "probe.json").write_text("{")
    with pytest.raises(UserError, match=r"probe\.json cannot be read"):
        draw_probe(blocks([record]), folders={run_key(record): folder})


def test_a_report_has_it_without_torch(make_record, write_run, tmp_path):
    folder = write_run(make_record())
    write_report(tmp_path / "before", [folder])
    assert not (tmp_path / "before" / "probe.png").exists()
    write_probe(folder / "probe.json", track(LINE))
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from ganstoch.report import write_report\n"
        "write_report(Path(sys.argv[1]), [Path(sys.argv[2])])\n"
        "heavy = {'torch', 'lightning', 'pytorch_lightning', 'matplotlib.pyplot', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path / "out"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
    assert (tmp_path / "out" / "probe.png").exists()
