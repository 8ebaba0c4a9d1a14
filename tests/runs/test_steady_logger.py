from __future__ import annotations

import atexit
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import wandb
from pytorch_lightning.loggers import CSVLogger

from ganstoch.runs.steady_logger import SteadyLogger, mark_preempting, reason


class Run:
    """Stands in for W&B's run; fails from the call on that a test chooses."""

    id = "abc"

    def __init__(self, folder: Path) -> None:
        self.dir = str(folder / "files")
        self.calls: list[str] = []
        self.fails: str | None = None
        self.exit_code: int | None = None
        self.config = SimpleNamespace(update=self._call("update"))
        for name in ("log", "alert", "mark_preempting"):
            setattr(self, name, self._call(name))

    def _call(self, name: str) -> Callable[..., None]:
        def call(*arguments: Any, **options: Any) -> None:
            self.calls.append(name)
            if self.fails == name:
                raise ConnectionResetError("Connection lost")

        return call

    def finish(self, exit_code: int | None = None) -> None:
        self.exit_code = exit_code
        self._call("finish")()


@pytest.fixture
def run(here: Path) -> Run:
    return Run(here / "offline-run-1")


@pytest.fixture
def asked() -> dict[str, Any]:
    return {}


@pytest.fixture
def logger(run: Run, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> SteadyLogger:
    def init(**options: Any) -> Run:
        asked.update(options)
        return run

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setattr(wandb, "finish", lambda: None)
    monkeypatch.setattr(wandb, "teardown", lambda: run.calls.append("teardown"))
    monkeypatch.setattr(atexit, "register", lambda call: None)
    return SteadyLogger(mode="offline", name="run", project="p")


def test_every_wait_has_an_end(logger: SteadyLogger, asked: dict[str, Any]) -> None:
    assert 0 < asked["settings"].init_timeout <= 60
    assert 0 < asked["settings"].finish_timeout <= 60
    assert asked["settings"].finish_timeout_raises
    assert "anonymous" not in asked
    assert (asked["mode"], asked["project"]) == ("offline", "p")


def test_a_user_s_own_limits_go_first(
    run: Run, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], logger: SteadyLogger
) -> None:
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "7")
    SteadyLogger(mode="offline", name="run", project="p")
    assert "init_timeout" not in asked["settings"].model_fields_set
    assert "finish_timeout" in asked["settings"].model_fields_set


@pytest.mark.parametrize("fails", ["log", "update", "alert", "finish", "mark_preempting"])
def test_a_failure_ends_in_one_line(
    fails: str, logger: SteadyLogger, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    run.fails = fails
    for _ in range(2):
        logger.log_metrics({"a": 1.0}, step=1)
        logger.log_hyperparams({"a": 1})
        logger.log_image("i", [np.zeros((2, 2, 3), dtype=np.uint8)], step=1)
        logger.experiment.alert(title="t", text="x")
        mark_preempting(logger)
    assert logger.experiment.id == "abc"
    logger.finalize("success")
    assert run.calls.count(fails) == 1
    assert caplog.messages == [
        "W&B stopped (Connection lost), which changes nothing else; to upload what it has: "
        f"wandb sync {Path(run.dir).parent}"
    ]
    assert run.calls[run.calls.index(fails) + 1 :] == ["teardown"]


def test_a_picture_that_cannot_be_written_is_no_harm(
    logger: SteadyLogger, run: Run, caplog: pytest.LogCaptureFixture, monkeypatch: Any
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(wandb, "Image", full)
    logger.log_image("i", [np.zeros((2, 2, 3), dtype=np.uint8)], step=1)
    assert "No space left on device" in caplog.text
    assert run.calls == ["teardown"]


def test_a_run_is_closed_when_it_has_succeeded_and_kept_open_when_not(
    logger: SteadyLogger, run: Run
) -> None:
    logger.finalize("failed")
    assert run.exit_code is None
    mark_preempting(logger)
    assert run.calls == ["mark_preempting"]
    logger._close()  # as at the process's end
    assert run.exit_code == 1
    logger.log_metrics({"a": 1.0}, step=1)
    assert run.calls == ["mark_preempting", "finish"]


def test_success_is_told(logger: SteadyLogger, run: Run) -> None:
    logger.finalize("success")
    assert run.exit_code == 0


def test_other_loggers_are_not_marked(here: Path) -> None:
    mark_preempting(None)
    mark_preempting(CSVLogger(here))
    assert list(here.iterdir()) == []


def test_a_reason_is_one_line_without_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert reason(ValueError("secret is wrong\nmore")) == "(the key) is wrong"
    assert reason(TimeoutError()) == "TimeoutError"
