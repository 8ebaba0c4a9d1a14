from __future__ import annotations

from pathlib import Path

import pytest

from ganstoch.errors import UserError
from ganstoch.runs.sweep import Scalar, Sweep, parse_seeds, read_sweep

HEAD = 'method: grid\ncommand: ["${env}", ganstoch, fit, --config, small, "${args}"]\n'
WHOLE = HEAD + "parameters: {data.m: {value: 3}}\n"


def test_a_grid_is_read_and_spelled_out_as_an_agent_would(here: Path) -> None:
    path = here / "own.yaml"
    path.write_text(HEAD + "parameters: {data.m: {values: [n/4, 3]}, noise: {value: 0.5}}\n")
    sweep = read_sweep(path)
    assert sweep == Sweep("own", "small", {"data.m": ["n/4", 3], "noise": [0.5]})
    points: list[dict[str, Scalar]] = [{"data.m": "n/4", "noise": 0.5}, {"data.m": 3, "noise": 0.5}]
    assert sweep.points() == points
    assert sweep.arguments(points[0]) == ["--config", "small", "--data.m=n/4", "--noise=0.5"]
    path.write_text("name: mine\n" + path.read_text())
    assert read_sweep(path).name == "mine"


def test_other_values_for_a_key() -> None:
    sweep = Sweep(name="s", preset="mini", parameters={"data.m": [1, 2], "config": ["n256"]})
    assert sweep.with_values("data.m", [7]).parameters == {"config": ["n256"], "data.m": [7]}
    assert sweep.with_values("data.m", None).parameters == {"config": ["n256"]}
    assert sweep.with_values("data.source", ["A"]).parameters["data.source"] == ["A"]
    assert sweep.parameters["data.m"] == [1, 2]


@pytest.mark.parametrize(
    ("content", "key"),
    [
        *((text, "") for text in ("", "- 3", "a: [", "a\x00b")),
        (WHOLE.replace("grid", "random"), "method"),
        ("method: grid\nparameters: {data.m: {value: 3}}\n", "command"),
        (WHOLE.replace("ganstoch", "othergan"), "command"),
        (WHOLE.replace("small", "other"), "command"),
        (WHOLE.replace("--config, small, ", ""), "command"),
        (WHOLE.replace(', "${args}"', ""), "command"),
        *((HEAD + text, "parameters") for text in ("", "parameters: {}", "parameters: [a]")),
        *(
            (HEAD + f"parameters: {{data.m: {value}}}", r"data\.m")
            for value in ("3", "{values: 3}", "{vals: [3]}", "{min: 1, max: 2}", "{values: []}")
        ),
        (HEAD + "parameters: {data.m: {values: [[1]]}}", r"data\.m"),
        (HEAD + "parameters: {data: {parameters: {m: {values: [1]}}}}", "data"),
    ],
)
def test_a_bad_file_is_named(here: Path, content: str, key: str) -> None:
    (here / "own.yaml").write_text(content)
    with pytest.raises(UserError, match=rf"own\.yaml.*{key}"):
        read_sweep(Path("own.yaml"))


def test_a_missing_file_is_named(here: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml"):
        read_sweep(Path("nowhere.yaml"))


@pytest.mark.parametrize("text", ["", "a", "1,1", "0,-1", "4294967296"])
def test_seeds_are_checked(text: str) -> None:
    assert parse_seeds("0, 7") == [0, 7]
    with pytest.raises(UserError, match="--seeds"):
        parse_seeds(text)
