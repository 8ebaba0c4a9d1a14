"""YAML that would construct, grow or hide something: refused before anything is made of it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import yaml
from jsonargparse import ArgumentParser, get_loader

from ganstoch.errors import UserError
from ganstoch.runs.configs import load_yaml, read_yaml, with_paths

REFUSED = {
    "an object": "!!python/object/apply:os.system [touch pwned]",
    "another tag": "a: !!binary eA==",
    "a doubling": (
        "a0: &a0 [x, x, x, x]\n"
        + "".join(f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}, *a{i}, *a{i}]\n" for i in range(30))
    ),
    "a circle": "&a [*a]",
    "depth": "[" * 3000 + "]" * 3000,
    "length": "# " + "x" * 100_000,
    "a key twice": "data: {n: 1}\ndata: {m: 2}",
    "a null byte": 'out: "a\\0b"',
    "a number without end": "n: " + "9" * 5000,
}
"""Some of these PyYAML refuses by itself, other ones in every version, and in words of its own."""


@pytest.mark.parametrize("kind", REFUSED)
def test_refuses(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = REFUSED[kind]
    started = time.monotonic()
    with pytest.raises(yaml.YAMLError):
        load_yaml(text)
    assert time.monotonic() - started < 2
    Path("x.yaml").write_text(text)
    with pytest.raises(UserError, match=r"x\.yaml"):
        read_yaml(Path("x.yaml"), kind="config")
    assert list(tmp_path.iterdir()) == [tmp_path / "x.yaml"]


@pytest.mark.parametrize(
    "text",
    [
        "a: &x {b: [1, 2]}\nc: *x",
        "a: 1e-4",
        "{a: null, b: [true, 'x']}",
        "- 2001-12-14",
        "a: [a, a]",
    ],
)
def test_leaves_alone_what_is_plain(text: str) -> None:
    assert load_yaml(text) is not None


def test_every_parser_reads_by_it() -> None:
    assert get_loader("yaml") is load_yaml
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--x", type=list[int])
    with pytest.raises(Exception, match="comes twice"):
        parser.parse_string("{x: [1], x: [2]}")


def test_a_setting_that_names_a_pipe_is_refused(tmp_path: Path) -> None:
    """The parser would open it, and wait for its other end."""
    os.mkfifo(pipe := tmp_path / "pipe")
    with pytest.raises(yaml.YAMLError, match="pipe"):
        load_yaml(f"model: [a, {{b: {pipe}}}]")
    with pytest.raises(UserError, match="pipe"):
        with_paths(["--config=mini", f"--model={pipe}"])
