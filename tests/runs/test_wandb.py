"""W&B's logger, on a stand-in for what W&B itself does; tests/trust has the real one."""

import atexit
import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import wandb

from ganstoch.runs.fit import SteadyLogger, logged_in, make_logger
from ganstoch.runs.settings import Tracking

Patch = pytest.MonkeyPatch


class Run:
    """Stands in for W&B's run; fails from the call on that a test chooses."""

    id = "abc"

    def __init__(self, folder: Path) -> None:
        self.dir = str(folder / "files")
        self.calls: list[str] = []
        self.fails: str | None = None
        self.refused: set[str] = set()  # modes in which `wandb.init` fails
        self.exit_code: int | None = None
        self.config = SimpleNamespace(update=partial(self._call, "update"))
        for name in ("log", "alert", "mark_preempting"):
            setattr(self, name, partial(self._call, name))

    def _call(self, name: str, *arguments: Any, **options: Any) -> None:
        self.calls.append(name)
        if self.fails == name:
            raise ConnectionResetError("Connection lost")

    def finish(self, exit_code: int | None = None) -> None:
        self.exit_code = exit_code
        self._call("finish")


@pytest.fixture
def run(here: Path) -> Run:
    return Run(here / "offline-run-1")


@pytest.fixture
def starts(run: Run, monkeypatch: Patch) -> list[dict[str, Any]]:
    """What `wandb.init` was called with, each time."""
    options_of: list[dict[str, Any]] = []

    def init(**options: Any) -> Run:
        options_of.append(options)
        if options["mode"] in run.refused:
            raise OSError("connection refused: secret\nand more")
        return run

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setattr(wandb, "finish", lambda: None)
    monkeypatch.setattr(wandb, "teardown", lambda: run.calls.append("teardown"))
    monkeypatch.setattr(atexit, "register", lambda call: None)
    for name in ("WANDB_SILENT", "WANDB_ERROR_REPORTING"):
        monkeypatch.setenv(name, "true")
    return options_of


def make(mode: Any, **options: Any) -> SteadyLogger | None:
    settings = Tracking(mode=mode, **options)
    return make_logger(settings, folder=Path("run"), run_id="abc", config={"a": 1})


def test_a_login_is_found_where_wandb_looks(here: Path, monkeypatch: Patch) -> None:
    assert not logged_in()
    home = here / "home"
    home.mkdir()
    (home / ".netrc").write_text("machine api.wandb.ai\n login user\n password secret\n")
    (home / ".netrc").chmod(0o600)
    assert logged_in()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not logged_in()
    (home / ".netrc").write_text("nonsense\n")
    assert not logged_in()
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert logged_in()


@pytest.mark.parametrize(
    ("setting", "variable", "login", "mode"),
    [
        ("auto", "", "", "offline"),
        ("auto", "", "key", "online"),
        ("auto", "dryrun", "key", "offline"),
        ("auto", "disabled", "key", None),
        ("online", "offline", "", "online"),
        ("offline", "disabled", "key", "offline"),
        ("disabled", "online", "key", None),
    ],
)
def test_mode(
    setting: str, variable: str, login: str, mode: Any, starts: Any, run: Run, monkeypatch: Patch
) -> None:
    monkeypatch.setenv("WANDB_MODE", variable)
    monkeypatch.setenv("WANDB_API_KEY", login)
    logger = make(setting)
    assert [options["mode"] for options in starts] == ([mode] if logger else [])
    assert (logger is None) == (mode is None)
    assert run.calls == (["update"] if logger else [])
    assert Path("run").exists() == bool(logger)


def test_a_run_goes_on_in_the_same_place_and_an_agent_s_keeps_its_id(
    starts: list[dict[str, Any]], monkeypatch: Patch
) -> None:
    make("online", project="p", group="g", entity="e")
    make("offline")
    monkeypatch.setenv("WANDB_RUN_ID", "agents")
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    make("online")
    ids = [(options["id"], options["resume"]) for options in starts]
    assert ids == [("abc", "allow"), ("abc", None), ("agents", None)]
    names = ("name", "project", "group", "entity")
    assert [starts[0][name] for name in names] == ["run", "p", "g", "e"]


@pytest.mark.parametrize("modes", [{"online"}, {"online", "offline"}])
def test_without_a_server_a_run_goes_on_offline_or_without_wandb(
    modes: set[str], starts: Any, run: Run, monkeypatch: Patch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    run.refused = modes
    with caplog.at_level("INFO", logger="ganstoch"):
        logger = make("online")
    assert [options["mode"] for options in starts] == ["online", "offline"]
    (line,) = caplog.messages
    assert "connection refused" in line
    assert not {"secret", "more"} & {*re.findall(r"\w+", line)}
    assert (logger is None) == ("offline" in modes)
    if logger is not None:
        assert line.endswith(f"wandb sync {logger.folder}")


@pytest.fixture
def logger(starts: list[dict[str, Any]]) -> SteadyLogger:
    return SteadyLogger(mode="offline", name="run", project="p")


def test_every_wait_has_an_end_and_a_user_s_own_limits_go_first(
    logger: SteadyLogger, starts: list[dict[str, Any]], monkeypatch: Patch
) -> None:
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "7")
    SteadyLogger(mode="offline")
    ours, users = (options["settings"] for options in starts)
    assert 0 < ours.init_timeout <= 60
    assert 0 < ours.finish_timeout <= 60
    assert ours.finish_timeout_raises
    assert "init_timeout" not in users.model_fields_set
    assert "finish_timeout" in users.model_fields_set
    assert "anonymous" not in starts[0]


@pytest.mark.parametrize("fails", ["log", "update", "alert", "finish", "mark_preempting"])
def test_a_failure_ends_in_one_line(
    fails: str, logger: SteadyLogger, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    run.fails = fails
    for _ in range(2):
        logger.log_metrics({"a": 1.0}, step=1)
        logger.log_image("i", [np.zeros((2, 2, 3), dtype=np.uint8)], step=1)
        logger.alert(title="t", text="x")
        logger.log_config({"a": 2})
        logger.log_hyperparams({"b": 3})
        logger.mark_preempting()
    logger.finalize("success")
    assert run.calls.count(fails) == 1
    (line,) = caplog.messages
    assert "Connection lost" in line
    assert line.endswith(f"wandb sync {Path(run.dir).parent}")
    assert run.calls[run.calls.index(fails) + 1 :] == ["teardown"]


def test_a_run_is_closed_when_it_has_succeeded_alone(logger: SteadyLogger, run: Run) -> None:
    logger.finalize("failed")
    logger.mark_preempting()
    assert run.calls == ["mark_preempting"]
    logger._close()  # as at the process's end
    assert run.exit_code == 1
    logger.log_metrics({"a": 1.0}, step=1)
    assert run.calls == ["mark_preempting", "finish"]
    SteadyLogger(mode="offline").finalize("success")
    assert run.exit_code == 0
