from __future__ import annotations

import atexit
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import wandb

from ganstoch.runs import fit as wandb_logger
from ganstoch.runs.fit import SteadyLogger, logged_in, make_logger
from ganstoch.runs.settings import Tracking

Patch = pytest.MonkeyPatch


class Spy:
    """Stands in for the logger, which would start W&B's process."""

    made: list[Spy]
    refused: tuple[str, ...] = ()

    def __init__(self, **options: Any) -> None:
        Spy.made.append(self)
        self.mode = options["mode"]
        if options["mode"] in self.refused:
            raise OSError("connection refused: secret\nand more")
        self.options = options
        self.config: dict[str, Any] = {}
        self.folder = options["save_dir"] / "wandb" / "offline-run-1"
        self.log_config = self.config.update


@pytest.fixture
def spies(monkeypatch: Patch) -> list[Spy]:
    monkeypatch.setattr(Spy, "made", [], raising=False)
    monkeypatch.setattr(wandb_logger, "SteadyLogger", Spy)
    monkeypatch.setattr(wandb_logger, "end_wandb", lambda: None)
    for name in ("WANDB_SILENT", "WANDB_ERROR_REPORTING"):
        monkeypatch.setenv(name, "true")
    return Spy.made


def make(here: Path, mode: Any = "auto", **options: Any) -> Any:
    settings = Tracking(mode=mode, **options)
    return make_logger(settings, folder=here / "run", run_id="abc", config={"a": 1})


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
        ("auto", None, False, "offline"),
        ("auto", None, True, "online"),
        ("auto", "dryrun", True, "offline"),
        ("auto", "disabled", True, None),
        ("online", "offline", False, "online"),
        ("offline", "disabled", True, "offline"),
        ("disabled", "online", True, None),
    ],
)
def test_mode(
    setting: str,
    variable: str | None,
    login: bool,
    mode: str | None,
    here: Path,
    spies: list[Spy],
    monkeypatch: Patch,
) -> None:
    for name, value in (("WANDB_MODE", variable), ("WANDB_API_KEY", "secret" if login else None)):
        if value:
            monkeypatch.setenv(name, value)
    logger = make(here, setting)
    assert (logger and logger.options["mode"]) == mode
    assert len(spies) == (mode is not None)
    assert list(here.iterdir()) == [here / "run"] * len(spies)


def test_a_run_goes_on_in_the_same_place_and_an_agent_s_keeps_its_id(
    here: Path, spies: list[Spy], monkeypatch: Patch
) -> None:
    options = make(here, "online", project="p", group="g", entity="e").options
    assert (options["id"], options["resume"], options["name"]) == ("abc", "allow", "run")
    assert (options["project"], options["group"], options["entity"]) == ("p", "g", "e")
    assert make(here, "offline").options["resume"] is None
    monkeypatch.setenv("WANDB_RUN_ID", "agents")
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    options = make(here, "online").options
    assert (options["id"], options["resume"]) == ("agents", None)


@pytest.mark.parametrize("refused", [("online",), ("online", "offline")])
def test_without_a_server_a_run_goes_on_offline_or_without_wandb(
    refused: tuple[str, ...],
    here: Path,
    spies: list[Spy],
    monkeypatch: Patch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    monkeypatch.setattr(Spy, "refused", refused)
    with caplog.at_level("INFO", logger="ganstoch"):
        logger = make(here, "online")
    assert [spy.mode for spy in spies] == ["online", "offline"]
    (line,) = caplog.messages
    assert "connection refused" in line
    assert not {"secret", "more"} & set(line.split())
    if "offline" in refused:
        assert logger is None
    else:
        assert (logger.options["mode"], logger.options["resume"]) == ("offline", None)
        assert logger.config == {"a": 1}
        assert line.endswith(f"wandb sync {logger.folder}")


class Run:
    """Stands in for W&B's run; fails from the call on that a test chooses."""

    id = "abc"

    def __init__(self, folder: Path) -> None:
        self.dir = str(folder / "files")
        self.calls: list[str] = []
        self.fails: str | None = None
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
def options() -> dict[str, Any]:
    """What `wandb.init` was called with."""
    return {}


@pytest.fixture
def logger(run: Run, options: dict[str, Any], monkeypatch: Patch) -> SteadyLogger:
    def init(**given: Any) -> Run:
        options.update(given)
        return run

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setattr(wandb, "finish", lambda: None)
    monkeypatch.setattr(wandb, "teardown", lambda: run.calls.append("teardown"))
    monkeypatch.setattr(atexit, "register", lambda call: None)
    return SteadyLogger(mode="offline", name="run", project="p")


def test_every_wait_has_an_end_and_a_user_s_own_limits_go_first(
    logger: SteadyLogger, options: dict[str, Any], monkeypatch: Patch
) -> None:
    assert 0 < options["settings"].init_timeout <= 60
    assert 0 < options["settings"].finish_timeout <= 60
    assert options["settings"].finish_timeout_raises
    assert "anonymous" not in options
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "7")
    SteadyLogger(mode="offline")
    assert "init_timeout" not in options["settings"].model_fields_set
    assert "finish_timeout" in options["settings"].model_fields_set


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
        logger.mark_preempting()
    logger.finalize("success")
    assert run.calls.count(fails) == 1
    (line,) = caplog.messages
    assert "Connection lost" in line
    assert line.endswith(f"wandb sync {Path(run.dir).parent}")
    assert run.calls[run.calls.index(fails) + 1 :] == ["teardown"]


def test_a_run_is_closed_when_it_has_succeeded_and_kept_open_when_not(
    logger: SteadyLogger, run: Run
) -> None:
    logger.finalize("failed")
    logger.mark_preempting()
    assert run.calls == ["mark_preempting"]
    logger._close()  # as at the process's end
    assert run.exit_code == 1
    logger.log_metrics({"a": 1.0}, step=1)
    assert run.calls == ["mark_preempting", "finish"]
    SteadyLogger(mode="offline").finalize("success")
    assert run.exit_code == 0
