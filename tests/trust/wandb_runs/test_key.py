"""W&B's key is in nothing that a run leaves or says."""

from __future__ import annotations

import base64
import io
import os
import socket
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

KEY = "c0ffee00" * 5
"""Of the length that W&B asks for; opens nothing."""
FORMS = [KEY.encode(), base64.b64encode(f"api:{KEY}".encode()), base64.b64encode(KEY.encode())]
"""The key as it is, and as a header would carry it."""

Make = Callable[..., Any]


def members(content: bytes) -> Iterator[bytes]:
    """A file's bytes, and those of all that is packed in it."""
    yield content
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield from members(archive.read(name))


def holding(folder: Path) -> tuple[list[str], int]:
    """The files that hold the key, what commands said among them, and how many there are."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".netrc"]
    leaks = [
        path.name
        for path in files
        if any(form in part for part in members(path.read_bytes()) for form in FORMS)
    ]
    return sorted(leaks), len(files)


@pytest.fixture
def assert_no_leak(here: Path, tally: Make) -> Callable[[], None]:
    def search() -> None:
        leaks, count = holding(here)
        assert leaks == []
        tally("W&B key leaks nowhere: files and outputs searched", count)

    return search


def test_the_search_finds_it(here: Path) -> None:
    with zipfile.ZipFile("deep.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner", b"x" * 1000 + KEY.encode())
    Path("header").write_bytes(b"Basic " + base64.b64encode(f"api:{KEY}".encode()))
    Path("clean").write_bytes(KEY.encode()[:-1])
    assert holding(here) == (["deep.npz", "header"], 3)


@pytest.mark.parametrize(
    ("place", "mode"), [("variable", "offline"), ("variable", "online"), ("netrc", "online")]
)
def test_fit(place: str, mode: str, lab: Any, assert_no_leak: Make) -> None:
    """Offline, and with a server out of reach, which is tried with the key."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        server = f"127.0.0.1:{closed.getsockname()[1]}"
    env = {"WANDB_BASE_URL": f"http://{server}", "WANDB_INIT_TIMEOUT": "1"}
    if place == "variable":
        env["WANDB_API_KEY"] = KEY
    else:
        netrc = Path(os.environ["HOME"], ".netrc")
        netrc.write_text(f"machine 127.0.0.1\n  login user\n  password {KEY}\n")
        netrc.chmod(0o600)
    ended = lab.run([*lab.fit, f"--wandb.mode={mode}"], **env)
    assert bool(ended.lines("W&B is offline (")) == (mode == "online")
    for name in ("record.json", "samples.npz", "checkpoints/step=12.ckpt"):
        assert (lab.here / "run" / name).exists()
    assert lab.run([*lab.fit, "--print_config"], **env).lines("seed_everything")
    assert_no_leak()


def test_the_other_commands(lab: Any, assert_no_leak: Make) -> None:
    """A table of one row, its report, the doctor, and refusals."""
    env = {"WANDB_API_KEY": KEY, "WANDB_MODE": "offline"}
    Path("one.yaml").write_text(
        'method: grid\ncommand: ["${env}", ganstoch, fit, --config, mini, "${args}"]\n'
        "parameters: {config: {values: [n4]}}\n"
    )
    lab.run([*lab.table(**{"wandb.mode": "offline"}), "--sweep=one.yaml"], **env)
    assert len(list((lab.here / "out").rglob("*.wandb"))) == 1
    lab.run(["doctor"], **env)
    lab.run(["fit", "--config=none"], status=2, **env)
    lab.run([*lab.fit, "--wandb.mode=no"], status=2, **env)
    assert_no_leak()


def test_a_key_that_wandb_refuses(lab: Any, assert_no_leak: Make) -> None:
    """Its complaint about the key does not quote it."""
    wrong = KEY[:20] + "?" * 30 + KEY
    ended = lab.run([*lab.fit, "--wandb.mode=online"], WANDB_API_KEY=wrong)
    assert ended.lines("W&B is offline (")
    assert_no_leak()
