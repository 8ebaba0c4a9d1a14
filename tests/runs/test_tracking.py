from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ganstoch.runs import steady_logger
from ganstoch.runs.tracking import Tracking, logged_in, make_logger


class Spy:
    """Stands in for the logger, which would start W&B's process."""

    made: list[Spy]
    refused: tuple[str, ...] = ()

    def __init__(self, **options: Any) -> None:
        Spy.made.append(self)
        if options["mode"] in self.refused:
            raise OSError("connection refused\nand more")
        self.options = options
        self.config: dict[str, Any] = {}
        self.folder = options["save_dir"] / "wandb" / "offline-run-1"
        self.experiment = SimpleNamespace(
            config=SimpleNamespace(update=lambda c, allow_val_change: self.config.update(c))
        )


@pytest.fixture
def spies(monkeypatch: pytest.MonkeyPatch) -> list[Spy]:
    monkeypatch.setattr(Spy, "made", [], raising=False)
    monkeypatch.setattr(steady_logger, "SteadyLogger", Spy)
    monkeypatch.setattr(steady_logger, "let_go", lambda: None)
    for name in ("WANDB_SILENT", "WANDB_ERROR_REPORTING"):
        monkeypatch.setenv(name, "true")
    return Spy.made


def make(here: Path, mode: Any = "auto", **options: Any) -> Any:
    settings = Tracking(mode=mode, **options)
    return make_logger(settings, folder=here / "run", run_id="abc", config={"a": 1})


def test_a_login_is_found_where_wandb_looks(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    ("asked", "variable", "login", "mode"),
    [
        ("auto", None, False, "offline"),
        ("auto", None, True, "online"),
        ("auto", "offline", True, "offline"),
        ("auto", "dryrun", True, "offline"),
        ("auto", "online", False, "online"),
        ("auto", "disabled", True, None),
        ("online", "offline", False, "online"),
        ("offline", "online", True, "offline"),
        ("offline", "disabled", True, "offline"),
        ("disabled", "online", True, None),
    ],
)
def test_mode(
    asked: str,
    variable: str | None,
    login: bool,
    mode: str | None,
    here: Path,
    spies: list[Spy],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if variable:
        monkeypatch.setenv("WANDB_MODE", variable)
    if login:
        monkeypatch.setenv("WANDB_API_KEY", "secret")
    logger = make(here, asked)
    if mode is None:
        assert logger is None
        assert spies == []
        assert list(here.iterdir()) == []
    else:
        assert logger.options["mode"] == mode
        assert logger.config == {"a": 1}


def test_a_run_goes_on_in_the_same_place(here: Path, spies: list[Spy]) -> None:
    options = make(here, "online", project="p", group="g", entity="e").options
    assert (options["id"], options["resume"], options["name"]) == ("abc", "allow", "run")
    assert (options["project"], options["group"], options["entity"]) == ("p", "g", "e")
    assert make(here, "offline").options["resume"] is None


def test_an_agent_s_run_keeps_its_id(
    here: Path, spies: list[Spy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", "agents")
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    options = make(here, "online").options
    assert (options["id"], options["resume"]) == ("agents", None)


def test_offline_says_how_to_upload(
    here: Path, spies: list[Spy], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="ganstoch"):
        make(here, "online")
        assert caplog.messages == []
        make(here, "offline")
    folder = here / "run" / "wandb" / "offline-run-1"
    assert caplog.messages == [f"W&B is offline; to upload this run: wandb sync {folder}"]


def test_without_a_server_a_run_goes_on_offline(
    here: Path,
    spies: list[Spy],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(Spy, "refused", ("online",))
    with caplog.at_level("INFO", logger="ganstoch"):
        logger = make(here, "online")
    assert (logger.options["mode"], logger.options["resume"]) == ("offline", None)
    assert logger.config == {"a": 1}
    assert caplog.messages == [
        f"W&B is offline (connection refused); to upload this run: wandb sync {logger.folder}"
    ]


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_where_nothing_helps_a_run_goes_on_without(
    mode: str,
    here: Path,
    spies: list[Spy],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(Spy, "refused", ("online", "offline"))
    assert make(here, mode) is None
    assert len(spies) == (2 if mode == "online" else 1)
    assert caplog.messages == [
        "W&B does not start (connection refused); the run goes on without it"
    ]
