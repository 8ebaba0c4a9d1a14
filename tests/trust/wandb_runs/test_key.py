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

PROMISE = "W&B key leaks nowhere: files and outputs searched"

Make = Callable[..., Any]


def forms() -> list[bytes]:
    """The key as it is, and as a header would carry it."""
    return [KEY.encode(), base64.b64encode(f"api:{KEY}".encode()), base64.b64encode(KEY.encode())]


def members(content: bytes) -> Iterator[bytes]:
    """A file's bytes, and those of all that is packed in it."""
    yield content
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield from members(archive.read(name))


def holding(folder: Path) -> tuple[list[Path], int]:
    """The files that hold the key, and how many there are at all."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".netrc"]
    found = [
        path
        for path in files
        if any(form in part for part in members(path.read_bytes()) for form in forms())
    ]
    return found, len(files)


def searched(folder: Path, said: list[str]) -> int:
    """How many files and outputs there are, none of which holds the key."""
    assert not [text for text in said if KEY in text]
    found, count = holding(folder)
    assert found == []
    return count + len(said)


def test_the_search_finds_it(here: Path) -> None:
    with zipfile.ZipFile("deep.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner", b"x" * 1000 + KEY.encode())
    Path("header").write_bytes(b"Basic " + base64.b64encode(f"api:{KEY}".encode()))
    Path("clean").write_bytes(KEY.encode()[:-1])
    found, count = holding(here)
    assert sorted(path.name for path in found) == ["deep.npz", "header"]
    assert count == 3


@pytest.mark.parametrize(
    ("place", "mode"), [("variable", "offline"), ("variable", "online"), ("netrc", "online")]
)
def test_fit(
    place: str,
    mode: str,
    here: Path,
    apart: Make,
    tiny: tuple[str, ...],
    tally: Make,
) -> None:
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
    words = ("fit", *tiny, "--out=run")
    ended = apart(*words, f"--wandb.mode={mode}", **env)
    assert ended.status == 0, ended.said
    assert ("W&B is offline (" in ended.said) == (mode == "online")
    for name in ("record.json", "samples.npz", "checkpoints/step=8.ckpt"):
        assert (here / "run" / name).exists()
    printed = apart(*words, "--print_config", **env)
    assert "seed_everything" in printed.said
    tally(PROMISE, searched(here, [ended.said, printed.said]))


def test_the_other_commands(here: Path, apart: Make, tiny: tuple[str, ...], tally: Make) -> None:
    """A table of one row, its report, the doctor, and refusals."""
    env = {"WANDB_API_KEY": KEY, "WANDB_MODE": "offline"}
    Path("one.yaml").write_text(
        'method: grid\ncommand: ["${env}", ganstoch, fit, --config, mini, "${args}"]\n'
        "parameters: {config: {values: [n4]}}\n"
    )
    settings = [f"--set={word.removeprefix('--')}" for word in tiny[1:-1]]
    words = ("table1", "--sweep=one.yaml", "--preset=mini", "--out=table", "--jobs=1", *settings)
    ended = apart(*words, **env)
    assert ended.status == 0, ended.said
    assert len(list((here / "table").rglob("*.wandb"))) == 1
    said = [ended.said]
    for words in (("doctor",), ("fit", "--config=none"), ("fit", *tiny, "--wandb.mode=no")):
        ended = apart(*words, **env)
        assert ended.status == (0 if words == ("doctor",) else 2), ended.said
        said.append(ended.said)
    tally(PROMISE, searched(here, said))


def test_a_key_that_wandb_refuses(
    here: Path, apart: Make, tiny: tuple[str, ...], tally: Make
) -> None:
    """Its complaint about the key does not quote it."""
    wrong = KEY[:20] + "?" * 30 + KEY
    ended = apart("fit", *tiny, "--wandb.mode=online", "--out=run", WANDB_API_KEY=wrong)
    assert ended.status == 0, ended.said
    assert ended.lines("W&B is offline (")
    tally(PROMISE, searched(here, [ended.said]))
