"""Checkpoints that were cut short, changed, or made by somebody else."""

from __future__ import annotations

import copy
import io
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

HOSTILE = settings(settings.get_profile("hostile"), max_examples=40)


class Pwned:
    """Unpickled by anybody who believes a file, it leaves a file behind."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch pwned",)


@pytest.fixture
def checkpoint(counted: Any) -> Iterator[Path]:
    """The last checkpoint of the run, which is put back as it was."""
    path: Path = counted.folder / "run/checkpoints/step=12.ckpt"
    kept = {file: file.read_bytes() for file in (path, counted.folder / "run/run.json")}
    yield path
    for file, content in kept.items():
        file.write_bytes(content)
    shutil.rmtree(counted.folder / "out", ignore_errors=True)  # of one that was not refused


def damage(content: bytes, kind: str, place: float, noise: bytes) -> bytes:
    at = int(place * (len(content) - 1))
    return {
        "cut": lambda: content[:at],
        "flipped": lambda: content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :],
        "overwritten": lambda: content[:at] + noise + content[at + len(noise) :],
        "lengthened": lambda: content + noise,
        "zeroed": lambda: content[:at] + bytes(len(content) - at),
        "foreign": lambda: noise,
    }[kind]()


KINDS = st.sampled_from(["cut", "flipped", "overwritten", "lengthened", "zeroed", "foreign"])


@HOSTILE
@given(
    kind=KINDS,
    place=st.floats(0, 0.999),
    noise=st.binary(min_size=1, max_size=50),
    audited=st.booleans(),
)
def test_other_bytes(
    kind: str, place: float, noise: bytes, audited: bool, checkpoint: Path, counted: Any
) -> None:
    content = checkpoint.read_bytes()
    changed = damage(content, kind, place, noise)
    checkpoint.write_bytes(changed)
    if not holds_the_same(changed, content):
        refuse(checkpoint, counted, audited=audited)
    checkpoint.write_bytes(content)


def holds_the_same(changed: bytes, content: bytes) -> bool:
    """Whether only bytes that carry nothing, such as padding, have changed."""
    entries = []
    for version in (changed, content):
        try:
            with zipfile.ZipFile(io.BytesIO(version)) as archive:
                entries.append([(name, archive.read(name)) for name in archive.namelist()])
        except Exception:
            return False
    return entries[0] == entries[1]


def refuse(checkpoint: Path, counted: Any, *, audited: bool) -> None:
    if audited:
        counted.refuses("audit", "--checkpoint", checkpoint)
    else:
        counted.refuses(*counted.fit, f"--ckpt_path={checkpoint}", "--out=out")


def without(key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda content: content.pop(key)


def put(key: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda content: content.update({key: value})


def weight(value: Any) -> Callable[[dict[str, Any]], Any]:
    """Puts something in the place of the first of the weights."""
    return lambda content: content["state_dict"].update({next(iter(content["state_dict"])): value})


PARTS = ("state_dict", "optimizer_states", "loops")
OTHERWISE: dict[str, Callable[[dict[str, Any]], Any]] = {
    **{f"without {key}": without(key) for key in PARTS},
    **{f"{key} of 3": put(key, 3) for key in (*PARTS, "callbacks")},
    **{f"empty {key}": put(key, {}) for key in ("state_dict", "loops")},
    "no optimizers": put("optimizer_states", []),
    "optimizers that are none": put("optimizer_states", [{}, {}]),
    "no step": without("global_step"),
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


@pytest.mark.parametrize("audited", [False, True], ids=["fit", "audit"])
@pytest.mark.parametrize("change", OTHERWISE)
def test_other_content(change: str, audited: bool, checkpoint: Path, counted: Any) -> None:
    content = copy.deepcopy(torch.load(checkpoint, weights_only=True))
    OTHERWISE[change](content)
    torch.save(content, checkpoint)
    refuse(checkpoint, counted, audited=audited)
    assert not (counted.folder / "pwned").exists()


def old_pickle() -> bytes:
    buffer = io.BytesIO()
    torch.save({"state_dict": Pwned()}, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def array_of_objects() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Pwned()], dtype=object), allow_pickle=True)
    return buffer.getvalue()


FOREIGN = {
    **{f"pickle {p}": pickle.dumps(Pwned(), protocol=p) for p in range(6)},
    "torch, the old way": old_pickle(),
    "an array": array_of_objects(),
    "a deep list": b"\x80\x02" + b"]" * 10**6 + b"a" * (10**6 - 1) + b".",
    "a long string": b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b".",
    "YAML": b"!!python/object/apply:os.system [touch pwned]\n",
}


@pytest.mark.parametrize("audited", [False, True], ids=["fit", "audit"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign(kind: str, audited: bool, checkpoint: Path, counted: Any) -> None:
    checkpoint.write_bytes(FOREIGN[kind])
    refuse(checkpoint, counted, audited=audited)
    assert not (counted.folder / "pwned").exists()


STATES = [
    *(b"", b"{}", b"[]", b"\xff", b"[" * 10**5, b'{"config": 3}', b'{"config": {"model": {}}}'),
    b'{"config": {"model": 3, "data": []}, "config_hash": 3}',
    b'{"config": {"model": {"generator": "os.system"}, "data": {}}, "config_hash": ""}',
    b'{"config": {"model": {"generator": {"class_path": "os.system", "init_args": {"command": '
    b'"touch pwned"}}}, "data": {"source": {"class_path": "subprocess.Popen", "init_args": '
    b'{"args": ["touch", "pwned"]}}}}, "config_hash": ""}',
    b'{"config": {"model": {"shape": [3, 1000000000000, 1000000000000]}, "data": {}}}',
    b'{"config": {"model": {}, "data": {"n": 1000000000000000000000000000000}}}',
    b'{"config": {"model": {}, "data": {"root": "\\u0000"}}}',
]


@pytest.mark.parametrize("content", STATES)
def test_the_settings_beside_a_checkpoint(content: bytes, checkpoint: Path, counted: Any) -> None:
    (counted.folder / "run/run.json").write_bytes(content)
    refuse(checkpoint, counted, audited=True)
    assert not (counted.folder / "pwned").exists()
