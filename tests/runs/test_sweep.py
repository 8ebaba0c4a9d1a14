from __future__ import annotations

from pathlib import Path

import pytest

from ganstoch.errors import UserError
from ganstoch.runs.sweep import Sweep, read_sweep

HEAD = 'method: grid\ncommand: ["${env}", ganstoch, fit, --config, small, "${args}"]\n'


@pytest.fixture
def sweep() -> Sweep:
    return Sweep(name="s", preset="mini", parameters={"data.m": [1, 2], "config": ["n256"]})


def test_reads_a_grid(here: Path) -> None:
    path = here / "own.yaml"
    path.write_text(HEAD + "parameters: {data.m: {values: [n/4, 3]}, equal: {value: images}}\n")
    sweep = read_sweep(path)
    assert sweep == Sweep(
        name="own", preset="small", parameters={"data.m": ["n/4", 3], "equal": ["images"]}
    )
    path.write_text("name: mine\n" + path.read_text())
    assert read_sweep(path).name == "mine"


def test_points_are_all_combinations(sweep: Sweep) -> None:
    assert sweep.points() == [{"data.m": 1, "config": "n256"}, {"data.m": 2, "config": "n256"}]


def test_other_values_for_a_key(sweep: Sweep) -> None:
    assert sweep.with_values("data.m", [7]).parameters == {"config": ["n256"], "data.m": [7]}
    assert sweep.with_values("data.m", None).parameters == {"config": ["n256"]}
    assert sweep.with_values("data.source", ["A"]).parameters["data.source"] == ["A"]
    assert sweep.parameters["data.m"] == [1, 2]


def test_arguments_are_an_agent_s_words(sweep: Sweep) -> None:
    words = sweep.arguments({"data.m": "n/4", "model.latents.noise": 0.5, "config": "n256"})
    assert words == [
        *("--config", "mini"),
        *("--data.m=n/4", "--model.latents.noise=0.5", "--config=n256"),
    ]


@pytest.mark.parametrize(
    ("content", "key"),
    [
        *((text, "method") for text in ("", "- 3", "method: random")),
        ("a: [", "YAML"),
        *((text, "command") for text in ("method: grid", "method: grid\ncommand: ganstoch fit")),
        (HEAD.replace("ganstoch", "othergan"), "command"),
        (HEAD.replace("small", "other"), "PRESET"),
        (HEAD.replace("--config, small, ", ""), "PRESET"),
        (HEAD.replace(', "${args}"', ""), "command"),
        *((HEAD + text, "parameters") for text in ("", "parameters: {}", "parameters: [a]")),
        *(
            (HEAD + f"parameters: {{data.m: {value}}}", r"data\.m")
            for value in ("3", "{values: 3}", "{vals: [3]}", "{min: 1, max: 2}")
        ),
        (HEAD + "parameters: {data: {parameters: {m: {values: [1]}}}}", "data"),
        *(
            (HEAD + f"parameters: {{data.m: {value}}}", r"data\.m")
            for value in ("{values: []}", "{values: [[1]]}", "{value: {a: 1}}")
        ),
    ],
)
def test_a_bad_file_is_named(here: Path, content: str, key: str) -> None:
    (here / "own.yaml").write_text(content)
    with pytest.raises(UserError, match=rf"own\.yaml.*{key}"):
        read_sweep(Path("own.yaml"))


def test_a_missing_or_binary_file_is_named(here: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml"):
        read_sweep(Path("nowhere.yaml"))
    (here / "own.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"own\.yaml"):
        read_sweep(Path("own.yaml"))
