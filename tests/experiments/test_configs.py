from __future__ import annotations

from pathlib import Path

import pytest

from ganstoch.errors import UserError
from ganstoch.experiments.configs import config_path, sweep_path, with_paths


def test_short_names_and_files(here: Path) -> None:
    own = here / "own.yaml"
    own.write_text("data: {n: 3}\n")
    assert config_path("mini").name == "mini.yaml"
    assert config_path("own.yaml") == Path("own.yaml")
    assert config_path(str(own)) == own
    assert sweep_path("table1").name == "table1.yaml"


def test_a_short_name_wins_over_a_file(here: Path) -> None:
    (here / "mini").write_text("data: {n: 3}\n")
    assert config_path("mini").name == "mini.yaml"
    assert config_path("./mini") == Path("mini")


def test_home_is_known(here: Path) -> None:
    (here / "home").mkdir()
    (here / "home" / "own.yaml").write_text("data: {n: 3}\n")
    assert config_path("~/own.yaml") == here / "home" / "own.yaml"


def test_both_ways_to_write_it() -> None:
    mini = config_path("mini")
    words = ["--config", "mini", "--config=mini", "--data.n=3", "--out", "mini"]
    assert with_paths(words) == [
        *(f"--config={mini}", f"--config={mini}"),
        *("--data.n=3", "--out", "mini"),
    ]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--config", "mni"], "no config 'mni': neither a file nor one of cifar10, .*mini"),
        (["--config=mni"], "no config 'mni'"),
        (["--config"], "--config wants a name or a file"),
        (["--config="], "no config ''"),
        (["--config", "."], r"no config '\.'"),
    ],
)
def test_no_such_config(words: list[str], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        with_paths(words)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "own.yaml holds no settings"),
        (b"- 3\n", "own.yaml holds no settings"),
        (b"data\n", "own.yaml holds no settings"),
        (b"data: [\n", "own.yaml is no YAML"),
        (b"\xff\xfe\x00", "own.yaml is no YAML"),
        (b"a\x00b", "own.yaml is no YAML"),
    ],
)
def test_a_file_without_settings(here: Path, content: bytes, complaint: str) -> None:
    (here / "own.yaml").write_bytes(content)
    with pytest.raises(UserError, match=complaint):
        config_path("own.yaml")


def test_no_such_sweep() -> None:
    with pytest.raises(UserError, match="no sweep 'foo': neither a file nor one of bank, noise"):
        sweep_path("foo")
