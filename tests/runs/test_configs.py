from __future__ import annotations

from pathlib import Path

import pytest

from ganstoch.errors import UserError
from ganstoch.runs.configs import config_path, packaged_names, remedy_names, sweep_path, with_paths


def test_short_names_win_over_files_and_home_is_known(here: Path) -> None:
    (here / "home").mkdir()
    own = here / "home" / "own.yaml"
    for path in (own, here / "own.yaml", here / "mini"):
        path.write_text("data: {n: 3}\n")
    assert config_path("own.yaml") == Path("own.yaml")
    assert config_path(str(own)) == config_path("~/own.yaml") == own
    assert config_path("mini").name == "mini.yaml"
    assert config_path("./mini") == Path("mini")
    assert sweep_path("table1").name == "table1.yaml"


def test_both_ways_to_write_it() -> None:
    mini = config_path("mini")
    words = ["--config", "mini", "--config=mini", "--data.n=3", "--out", "mini"]
    assert with_paths(words) == [
        *(f"--config={mini}", f"--config={mini}"),
        *("--data.n=3", "--out", "mini"),
    ]


def test_remedies_lie_behind_names_of_their_own() -> None:
    names = remedy_names()
    assert names[0] == "plain"
    assert names[1:] == sorted(names[1:])
    assert len(set(names)) == len(names) > 30
    assert not set(names) & set(packaged_names())
    with pytest.raises(UserError, match="'hinge'"):
        config_path("hinge")


@pytest.mark.parametrize("words", [["--remedy", "packing2+hinge"], ["--remedy=packing2+hinge"]])
def test_joined_remedies_are_laid_over_in_their_order(words: list[str]) -> None:
    *configs, last, out = with_paths(["--config=mini", *words, "--out=x"])
    folder = config_path("mini").parent / "remedies"
    assert configs == [
        *(f"--config={config_path('mini')}", f"--config={folder / 'packing2.yaml'}"),
        f"--config={folder / 'hinge.yaml'}",
    ]
    assert (last, out) == ("--remedy=packing2+hinge", "--out=x")  # behind configs that may name one


@pytest.mark.parametrize("names", ["wgan_gp+weight_clipping", "wasserstein+wgan_gp", "hinge+plain"])
def test_remedies_may_bring_the_same_objective(names: str) -> None:
    assert len(with_paths([f"--remedy={names}"])) == 3


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["--config", "."], r"'\.'"),
        (["--config="], "''"),
        (["--remedy"], "''"),
        (["--remedy=hinge+"], "''"),
        (["--remedy=mini"], "'mini'"),
        (["--remedy=hinge+r1+saturating"], "hinge and saturating"),
    ],
)
def test_no_such_config(words: list[str], name: str) -> None:
    with pytest.raises(UserError, match=name):
        with_paths(words)


@pytest.mark.parametrize(
    "content", [b"", b"- 3\n", b"data\n", b"data: [\n", b"\xff\xfe\x00", b"a\x00b"]
)
def test_a_file_without_settings_is_named(here: Path, content: bytes) -> None:
    (here / "own.yaml").write_bytes(content)
    with pytest.raises(UserError, match=r"own\.yaml"):
        config_path("own.yaml")


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
