"""Alerts reach loggers, the open runs of W&B and trackio, and a command; none ends training."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ganstoch import Diagnosis
from ganstoch.diagnosis import alerts
from ganstoch.diagnosis.alerts import check_command, raise_alert
from ganstoch.errors import UserError

Patch = pytest.MonkeyPatch
TITLE, TEXT = "ganstoch: diverged", "since iteration 3; $(touch shell) 'quoted' *"


def script(folder: Path, code: str) -> tuple[str, ...]:
    """A command that runs some Python, which finds what follows in ``sys.argv``."""
    (folder / "told.py").write_text(f"import json, sys, time\n{code}")
    return check_command([sys.executable, str(folder / "told.py"), "--fixed"])


def test_a_command_gets_title_and_text_as_words_and_no_shell(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = script(tmp_path, "json.dump([sys.argv[1:], sys.stdin.read()], open('out', 'w'))")
    raise_alert(TITLE, TEXT, command=command)
    assert json.loads((tmp_path / "out").read_bytes()) == [["--fixed", TITLE, TEXT], ""]
    assert not (tmp_path / "shell").exists()


@pytest.mark.parametrize(
    ("code", "says"), [("sys.exit('no server')", "no server"), ("time.sleep(60)", "timed out")]
)
def test_a_command_that_fails_is_told_and_no_more(
    code: str, says: str, tmp_path: Path, monkeypatch: Patch, caplog: Any
) -> None:
    monkeypatch.setattr(alerts, "LIMIT", 2.0)
    raise_alert(TITLE, TEXT, command=script(tmp_path, code))
    (line,) = caplog.messages
    assert says in line


@pytest.mark.parametrize("command", [[], ["no-such-program"], "touch a"])
def test_what_is_no_command_is_refused_before_training(command: Any) -> None:
    with pytest.raises(UserError, match="program"):
        check_command(command)
    with pytest.raises(UserError, match="program"):
        Diagnosis(act="alert", command=command)
    with pytest.raises(UserError, match=r"diagnosis\.act"):
        Diagnosis(command=[sys.executable])


class Run:
    """Stands in for a run of W&B."""

    def __init__(self, *, fails: bool = False) -> None:
        self.alerts: list[dict[str, Any]] = []
        self.fails = fails

    def alert(self, **options: Any) -> None:
        self.alerts.append(options)
        if self.fails:
            raise ConnectionError("no server\nand more")


@pytest.mark.parametrize("fails", [False, True])
def test_an_open_run_of_wandb_is_told_once_by_its_logger_or_by_itself(
    fails: bool, monkeypatch: Patch, caplog: Any
) -> None:
    run, logger = Run(fails=fails), Run(fails=fails)
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(run=run))
    raise_alert(TITLE, TEXT, level="error", loggers=[object()])
    raise_alert(TITLE, TEXT, loggers=[logger, object()])
    assert run.alerts == [{"title": TITLE, "text": TEXT, "level": "ERROR"}]
    assert logger.alerts == [{"title": TITLE, "text": TEXT}]
    assert len(caplog.messages) == (2 if fails else 0)
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(run=None))
    raise_alert(TITLE, TEXT)


def test_another_trackio_ends_nothing(monkeypatch: Patch, caplog: Any) -> None:
    monkeypatch.setitem(sys.modules, "trackio", SimpleNamespace(alert=print))
    raise_alert(TITLE, TEXT)
    assert len(caplog.messages) == 1


def test_trackio_keeps_an_alert(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    trackio = pytest.importorskip("trackio")
    if not hasattr(trackio, "alert"):
        pytest.skip(f"trackio {trackio.__version__} has no alerts")
    from trackio.sqlite_storage import SQLiteStorage

    raise_alert(TITLE, TEXT)  # without a run there is nobody to tell
    trackio.init(project="mine", name="one", embed=False, auto_log_gpu=False, auto_log_cpu=False)
    try:
        raise_alert(TITLE, TEXT, level="error")
    finally:
        trackio.finish()
    (kept,) = SQLiteStorage.get_alerts("mine")
    assert [kept[key] for key in ("title", "text", "level")] == [TITLE, TEXT, "error"]
