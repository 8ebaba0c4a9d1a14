"""Settings that name what is no part of a game: refused, and never called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

KEYS = [
    *("data.source", "model.generator", "model.discriminator", "model.objective"),
    *("model.remedies", "trainer.callbacks", "trainer.logger", "trainer.plugins"),
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("name", ["os.system", "subprocess.Popen"])
def test_on_the_line(name: str, key: str, here: Path, fit: Callable[..., Any]) -> None:
    answer = fit(f"--{key}={name}")
    assert key in answer.complaint
    value = f"{{class_path: {name}, init_args: {{command: touch pwned, args: touch pwned}}}}"
    assert fit(f"--{key}={value}").complaint
    assert [path for path in here.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("key", ["data: {source: ", "model: {generator: ", "model: {remedies: "])
def test_in_a_config(key: str, here: Path, fit: Callable[..., Any]) -> None:
    config = here / "x.yaml"
    for value in (
        "{class_path: subprocess.Popen, init_args: {args: [touch, pwned]}}",
        "!!python/object/apply:os.system [touch pwned]",
    ):
        config.write_text(f"{key}{value}}}\n")
        assert fit("--config=x.yaml").complaint
    assert [path for path in here.rglob("*") if path.is_file()] == [config]
