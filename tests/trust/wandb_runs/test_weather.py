"""Training goes on, with the same bits, whatever becomes of W&B."""

import contextlib
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from wandb.sdk.lib.service import service_process

KEY = "0123456789abcdef" * 2 + "deadbeef"
"""Of the length that W&B asks for; opens nothing."""

Make = Callable[..., Any]


class StandIn(BaseHTTPRequestHandler):
    """Answers what W&B's process asks for at the start of a run, until it is to be silent.

    It stands in for W&B's server, and shows only how the client takes its disappearance.
    """

    protocol_version = "HTTP/1.1"
    silent: threading.Event

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["content-length"])) or "{}")
        data = {}
        if question.get("operationName") == "UpsertBucket":
            project = {"id": "p", "name": "ganstoch", "entity": {"id": "e", "name": "somebody"}}
            bucket = {"id": "b", "name": question["variables"]["name"], "project": project}
            data = {"upsertBucket": {"bucket": bucket, "inserted": True}}
        if self.silent.is_set():
            threading.Event().wait()
        content = json.dumps({"data": data}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setattr(StandIn, "silent", threading.Event(), raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), StandIn) as server:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        yield server
        server.shutdown()


@pytest.fixture
def fit(lab: Any, reference: Any, assert_same_run: Make, tally: Make) -> Make:
    """Trains with W&B as it is; it ends in a minute with the undisturbed run's bits."""

    def fit(mode: str, **options: Any) -> Any:
        words = [*lab.fit, f"--wandb.mode={mode}", "--trainer.log_every_n_steps=1"]
        ended = lab.run(words, **options)
        assert ended.seconds < 60
        assert not ended.lines("Traceback")
        assert_same_run(lab.here / "run", reference[0])
        tally("W&B out of reach, dropping, killed: same bits, an end, one line")
        return ended

    return fit


@pytest.mark.parametrize("how", ["refuses", "is silent"])
def test_a_server_out_of_reach_at_the_start(
    how: str, here: Path, fit: Make, logged: Make, server: ThreadingHTTPServer
) -> None:
    StandIn.silent.set()
    if how == "refuses":
        server.socket.close()
    (line,) = fit("online", WANDB_INIT_TIMEOUT="2").lines("W&B")
    assert line.startswith("W&B is offline (")
    (run,) = [run for run in logged(here / "run") if run.history]
    assert run.exit_code == 0


@pytest.mark.parametrize("how", ["dies", "falls silent"])
def test_a_server_that_drops_mid_run(
    how: str, here: Path, fit: Make, when: Make, logged: Make, server: ThreadingHTTPServer
) -> None:
    gone = here / "gone"

    def drop() -> None:
        while not gone.exists():
            time.sleep(0.02)
        StandIn.silent.set()
        if how == "dies":
            server.shutdown()
            server.socket.close()
        gone.unlink()

    def tell(_: Any) -> None:
        gone.touch()
        while gone.exists():
            time.sleep(0.02)

    threading.Thread(target=drop, daemon=True).start()
    (line,) = fit("online", first=when(3, tell), WANDB_FINISH_TIMEOUT="3").lines("W&B")
    assert line.startswith("W&B stopped (")
    (run,) = logged(here / "run")
    assert {row["trainer/global_step"] for row in run.history} >= set(range(1, 13))


def kill_core(_: Any) -> None:
    """Kills W&B's process, a child of this one."""
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines())
            if fields["Name"].startswith("wandb-core") and int(fields["PPid"]) == os.getpid():
                os.kill(int(status.parent.name), signal.SIGKILL)
                return
    raise AssertionError("W&B's process is not here")


def test_its_process_is_killed(here: Path, fit: Make, when: Make, logged: Make) -> None:
    ended = fit("offline", first=when(4, kill_core))
    first, line = ended.lines("W&B")
    assert first.startswith("W&B is offline; ")
    assert line.startswith("W&B stopped (")
    assert "wandb sync run/wandb/" in line
    assert not ended.lines("socket.send")
    (run,) = logged(here / "run")
    assert run.exit_code is None


def test_it_cannot_be_started(fit: Make) -> None:

    def put_another() -> None:
        service_process.get_core_path = lambda: shutil.which("false")

    (line,) = fit("offline", first=put_another).lines("W&B")
    assert line.startswith("W&B does not start (")
