"""`write_report`: all files at once, the same bytes every time, without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ganstoch.errors import UserError
from ganstoch.report import write_report

FILES = [
    *("curves.png", "fig1.png", "fig2.png", "index.html"),
    *("table1.csv", "table1.md", "table1.tex"),
]


def test_a_report_is_seven_files_a_page_a_run_and_a_text(golden_records, write_run, tmp_path):
    runs = [write_run(record) for record in golden_records]
    text = write_report(tmp_path / "out", runs, missing=["svhn-m4-seed1"])
    names = sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_file())
    assert names == FILES
    found = sorted(path.relative_to(tmp_path / "out") for path in tmp_path.glob("out/*/**/*.html"))
    assert found == sorted(Path("runs", run.name, "index.html") for run in runs)
    assert text.startswith("Table 1\n")
    assert "not run: svhn-m4-seed1" in text
    assert "not run: svhn-m4-seed1" in (tmp_path / "out" / "table1.md").read_text()


def test_equal_records_give_equal_files(golden_records, write_run, tmp_path):
    runs = [write_run(record) for record in golden_records]
    for name in ("a", "b"):
        write_report(tmp_path / name, runs)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_an_unfinished_run_is_listed_as_not_run(make_record, write_run, tmp_path):
    finished = write_run(make_record())
    (tmp_path / "svhn-m4").mkdir()
    text = write_report(tmp_path / "out", [finished, tmp_path / "svhn-m4"], missing=["svhn-m4"])
    assert "not run: svhn-m4\n" in text


def test_nothing_finished_is_refused_and_nothing_is_written(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(UserError, match="no finished runs"):
        write_report(tmp_path / "out", [tmp_path / "run"])
    assert not (tmp_path / "out").exists()


def test_a_damaged_run_leaves_an_older_report_alone(make_record, write_run, tmp_path):
    run = write_run(make_record())
    write_report(tmp_path / "out", [run])
    before = (tmp_path / "out" / "table1.md").read_bytes()
    (run / "panels.npz").write_bytes(b"no archive")
    (run / "record.json").write_text((run / "record.json").read_text().replace("60.0", "61.0"))
    with pytest.raises(UserError, match=r"panels\.npz cannot be read"):
        write_report(tmp_path / "out", [run])
    assert (tmp_path / "out" / "table1.md").read_bytes() == before


def test_a_report_is_made_without_torch(make_record, write_run, tmp_path):
    run = write_run(make_record(history=[(1, 2.0), (10, 1.0)]))
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from ganstoch.report import write_report\n"
        "write_report(Path(sys.argv[1]), [Path(sys.argv[2])])\n"
        "heavy = {'torch', 'lightning', 'pytorch_lightning', 'matplotlib.pyplot', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path / "out"), str(run)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_importing_the_room_draws_nothing():
    code = "import sys, ganstoch.report; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
