"""Checkpoints that were cut short, changed, or made by somebody else."""

import io
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch


class Pwned:
    """Unpickled by anybody who believes a file, it leaves a file behind."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch pwned",)


@pytest.fixture
def checkpoint(counted: Any) -> Iterator[Path]:
    """The last checkpoint of the run, which is put back as it was."""
    path: Path = counted.folder / "run/checkpoints/step=12.ckpt"
    before = {file: file.read_bytes() for file in (path, counted.folder / "run/run.json")}
    yield path
    for file, content in before.items():
        file.write_bytes(content)
    shutil.rmtree(counted.folder / "out", ignore_errors=True)  # of one that was not refused
    assert not (counted.folder / "pwned").exists()


@pytest.fixture(params=["fit", "audit"])
def refuse(request: pytest.FixtureRequest, checkpoint: Path, counted: Any) -> Callable[[], str]:
    """Has a command take the checkpoint, which it must refuse."""
    words = [*counted.fit, f"--ckpt_path={checkpoint}", "--out=out"]
    if request.param == "audit":
        words = ["audit", "--checkpoint", str(checkpoint)]
    return lambda: counted.refuses(*words)


Change = Callable[[dict[str, Any]], Any]


def without(key: str) -> Change:
    return lambda content: content.pop(key)


def put(key: str, value: Any) -> Change:
    return lambda content: content.update({key: value})


def weight(value: Any) -> Change:
    """Puts something in the place of the first of the weights."""
    return lambda content: content["state_dict"].update({next(iter(content["state_dict"])): value})


PARTS = ("state_dict", "optimizer_states", "loops")
OTHERWISE: dict[str, Change] = {
    **{f"without {key}": without(key) for key in (*PARTS, "global_step")},
    **{f"{key} of 3": put(key, 3) for key in (*PARTS, "callbacks")},
    **{f"empty {key}": put(key, {}) for key in ("state_dict", "loops")},
    "no optimizers": put("optimizer_states", []),
    "optimizers that are none": put("optimizer_states", [{}, {}]),
    "a step of words": put("global_step", "four"),
    "no version": without("pytorch-lightning_version"),
    "a strange version": put("pytorch-lightning_version", "\x1b[2J"),
    "one weight less": lambda content: content["state_dict"].popitem(),
    "one weight more": lambda content: content["state_dict"].update(more=torch.zeros(2)),
    "a weight of another shape": weight(torch.zeros(3, 5)),
    "a weight of words": weight("words"),
    "a weight of complex numbers": weight(torch.zeros(2, dtype=torch.complex64)),
    "an object": put("callbacks", Pwned()),
    "an object among the weights": weight(Pwned()),
}


@pytest.mark.parametrize("change", OTHERWISE)
def test_other_content(change: str, checkpoint: Path, refuse: Callable[[], str]) -> None:
    content = torch.load(checkpoint, weights_only=True)
    OTHERWISE[change](content)
    torch.save(content, checkpoint)
    refuse()


def written(write: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


BYTES: dict[str, Callable[[bytes], bytes]] = {
    "cut to a byte": lambda content: content[:1],
    "cut in half": lambda content: content[: len(content) // 2],
    "cut at its end": lambda content: content[:-1],
    "half of it zeros": lambda content: content[: len(content) // 2].ljust(len(content), b"\0"),
    "empty": lambda _: b"",
    "a pickle": lambda _: pickle.dumps(Pwned()),
    "an old pickle": lambda _: pickle.dumps(Pwned(), protocol=0),
    "torch, the old way": lambda _: written(
        lambda file: torch.save({"state_dict": Pwned()}, file, _use_new_zipfile_serialization=False)
    ),
    "an array": lambda _: written(lambda file: np.save(file, np.array([Pwned()], dtype=object))),
    "a deep list": lambda _: b"\x80\x02" + b"]" * 10**6 + b"a" * (10**6 - 1) + b".",
    "a long string": lambda _: b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b".",
    "YAML": lambda _: b"!!python/object/apply:os.system [touch pwned]\n",
}


@pytest.mark.parametrize("change", BYTES)
def test_other_bytes(change: str, checkpoint: Path, refuse: Callable[[], str]) -> None:
    checkpoint.write_bytes(BYTES[change](checkpoint.read_bytes()))
    refuse()


STATES = [
    *(b"", b"[]", b"\xff", b"[" * 10**5, b'{"config": 3}', b'{"config": {"model": {}}}'),
    b'{"config": {"model": {"generator": {"class_path": "os.system", "init_args": {"command": '
    b'"touch pwned"}}}, "data": {"source": {"class_path": "subprocess.Popen", "init_args": '
    b'{"args": ["touch", "pwned"]}}}}, "config_hash": ""}',
    b'{"config": {"model": {"shape": [3, 1000000000000, 1000000000000]}, "data": {}}}',
    b'{"config": {"model": {}, "data": {"root": "\\u0000"}}}',
]


@pytest.mark.parametrize("content", STATES)
def test_the_settings_beside_a_checkpoint(content: bytes, checkpoint: Path, counted: Any) -> None:
    (counted.folder / "run/run.json").write_bytes(content)
    counted.refuses("audit", "--checkpoint", checkpoint)
