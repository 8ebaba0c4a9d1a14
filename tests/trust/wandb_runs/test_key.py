"""W&B's key is in nothing that a run leaves or says."""

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


@pytest.fixture
def assert_no_leak(here: Path, tally: Make) -> Callable[..., None]:
    """No file holds the key but those named, what commands wrote on the terminal included."""

    def search(*known: str) -> None:
        files = [path for path in here.rglob("*") if path.is_file()]
        leaks = [
            path.name
            for path in files
            if any(form in part for part in members(path.read_bytes()) for form in FORMS)
        ]
        assert leaks == [*known]
        tally("W&B key leaks nowhere: files and outputs searched", len(files))

    return search


@pytest.mark.parametrize(
    ("place", "mode"), [("variable", "offline"), ("variable", "online"), ("netrc", "online")]
)
def test_fit(place: str, mode: str, lab: Any, assert_no_leak: Make) -> None:
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
    assert lab.run([*lab.fit, "--print_config"], **env).lines("seed_everything")
    assert_no_leak(*[".netrc"] if place == "netrc" else [])


def test_the_other_commands(lab: Any, assert_no_leak: Make) -> None:
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
    refused = {"WANDB_API_KEY": KEY[:20] + "?" * 30 + KEY}  # by W&B, whose complaint is passed on
    assert lab.run([*lab.fit, "--wandb.mode=online"], **refused).lines("W&B is offline (")
    assert_no_leak()
