"""Every sweep file, read by W&B's own engine and by ours, down to the settings of each run."""

import functools
import importlib
import operator
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from ganstoch.runs.configs import config_path, remedy_names, sweep_path
from ganstoch.runs.settings import Resolved, compose, resolve, resolve_all, understand
from ganstoch.runs.sweep import Scalar, read_sweep

COUNTS = {
    **{"bank": 4, "bimodal": 5, "birthday": 8, "gaussians1200": 12, "grid": 12, "noise": 24},
    **{"remedies": 120, "ring": 12, "ring_unrolled": 12, "stacked": 4},
    **{"table1": 15, "table1_matched": 15},
}
SYNTHETIC = ("bimodal", "gaussians1200", "grid", "ring", "ring_unrolled", "stacked")

FILES = [Path(__file__).parents[1] / "sweeps" / f"{name}.yaml" for name in COUNTS]

each_sweep = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


@pytest.fixture(scope="module")
def engine() -> ModuleType:
    """W&B's grid, which was written for an older Pydantic."""
    with warnings.catch_warnings(action="ignore"):
        importlib.import_module("sweeps.config")
        return importlib.import_module("sweeps")


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


def grid(engine: ModuleType, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The configs of all runs, as W&B's server would hand them to an agent."""
    runs: list[Any] = []
    while len(runs) < 1000:
        run = engine.next_run(settings, runs)
        if run is None:
            return [run.config for run in runs]
        runs.append(run)
    raise AssertionError("the grid has no end")


def agent_words(settings: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """The words that a W&B agent runs, its macros filled in as `wandb agent` does."""
    macros = create_sweep_command_args({"args": config})
    macros["env"] = ["/usr/bin/env"]
    words: list[str] = []
    for word in create_sweep_command(settings["command"]):
        if word.startswith("${") and word.endswith("}"):
            words += macros[word[2:-1]]
        else:
            words.append(word)
    return words


def flat(config: Mapping[str, Any]) -> dict[str, Scalar]:
    return {key: entry["value"] for key, entry in config.items()}


def arrived(run: Resolved, key: str) -> object:
    value: Any = functools.reduce(operator.getitem, key.split("."), run.config)
    return value["class_path"].rpartition(".")[2] if isinstance(value, dict) else value


@each_sweep
def test_file_obeys_the_schema(engine: ModuleType, path: Path) -> None:
    assert sweep_path(path.stem).read_bytes() == path.read_bytes()
    check = engine.config.schema_violations_from_proposed_config
    assert check(read(path)) == []
    assert check({**read(path), "method": "grit"}) != []
    expected = {"name": "modes/count", "goal": "maximize"}
    if path.stem not in SYNTHETIC:
        kind = "mode_drop" if path.stem in ("remedies", "birthday") else "overfitting"
        expected = {"name": f"{kind}/pixel_l1/mean", "goal": "minimize"}
    assert read(path)["metric"] == expected


@each_sweep
def test_both_engines_see_the_same_points(engine: ModuleType, path: Path) -> None:
    theirs = [flat(config) for config in grid(engine, read(path))]
    ours = read_sweep(path).points()
    assert len(ours) == len(theirs) == COUNTS[path.stem]

    def keys(points: list[dict[str, Scalar]]) -> set[frozenset[tuple[str, str, Scalar]]]:
        return {frozenset((k, type(v).__name__, v) for k, v in p.items()) for p in points}

    assert keys(ours) == keys(theirs)
    assert len(keys(ours)) == len(ours)


@each_sweep
def test_every_point_arrives_at_the_parser(engine: ModuleType, path: Path) -> None:
    settings = read(path)
    points = grid(engine, settings)
    commands = [agent_words(settings, config) for config in points]
    assert {tuple(words[:3]) for words in commands} == {("/usr/bin/env", "ganstoch", "fit")}
    runs = resolve_all([words[3:] for words in commands])
    sweep = read_sweep(path)
    ours = resolve_all([sweep.arguments(point) for point in sweep.points()])
    assert {run.config_hash for run in ours} == {run.config_hash for run in runs}
    assert resolve(understand(commands[-1][3:]).config) == runs[-1]
    for config, run in zip(points, runs, strict=True):
        expected: dict[str, Scalar] = {"preset": sweep.preset}
        for key, value in flat(config).items():
            if key == "config":
                row = yaml.safe_load(config_path(str(value)).read_text())
                expected["data.m"] = row["data"]["m"]
                expected["model.latents.noise"] = row["model"]["latents"]["noise"]
            else:
                expected[key] = value
        for key, value in expected.items():
            actual = arrived(run, key)
            assert (type(actual), actual) == (type(value), value), key
        compose(run.config)  # its remedies go together, and with their objective
    assert len({run.config_hash for run in runs}) == len(runs)
    assert len({run.name for run in runs}) == len(runs)


def test_nested_keys_arrive_from_both_engines_alike(engine: ModuleType, tmp_path: Path) -> None:
    settings = read(FILES[0])
    settings["parameters"] = {
        "data": {"parameters": {"m": {"values": [4, 8]}, "n": {"value": 64}}},
        "model": {"parameters": {"optimizer": {"parameters": {"lr": {"value": 0.001}}}}},
    }
    path = tmp_path / "nested.yaml"
    path.write_text(yaml.safe_dump(settings))
    first = agent_words(settings, engine.next_run(settings, []).config)[3:]
    sweep = read_sweep(path)
    ours = resolve_all([sweep.arguments(point) for point in sweep.points()])
    assert [run.config["data"]["m"] for run in ours] == [4, 8]
    assert {run.config["model"]["optimizer"]["lr"] for run in ours} == {0.001}
    assert resolve_all([first])[0].config_hash == ours[0].config_hash


def test_every_remedy_of_the_survey_meets_every_chance() -> None:
    parameters = read_sweep(sweep_path("remedies")).parameters
    assert parameters["config"] == ["full", "n16", "n256", "full-noise"]
    assert parameters["remedy"][0] == "plain"
    names = {name for stacked in parameters["remedy"] for name in str(stacked).split("+")}
    assert set(remedy_names()) - names == {
        *("pacgan2", "pacgan3", "pacgan4", "packing3", "packing4"),  # others of a family
        *("unrolled5", "unrolled10", "one_sided_smoothing", "ratio_g2", "snapshots_d"),
        *("saturating", "weight_clipping"),  # what the others improve on
    }


def test_known_modes_meet_the_remedies_of_their_papers() -> None:
    packs = ["plain", "pacgan2", "pacgan3", "pacgan4"]
    values = {name: read_sweep(sweep_path(name)).parameters["remedy"] for name in SYNTHETIC}
    assert all(values[name] == packs for name in ("ring", "grid", "gaussians1200", "stacked"))
    assert values["ring_unrolled"] == ["plain", "unrolled1", "unrolled5", "unrolled10"]
    assert values["bimodal"][0] == "plain"


def test_table1_lists_the_paper_rows_and_matched_rows_see_equal_images() -> None:
    table, matched = (read_sweep(sweep_path(name)) for name in ("table1", "table1_matched"))
    runs = resolve_all([table.arguments(point) for point in table.points()])
    assert {run.config["preset"] for run in runs} == {"paper"}
    rows = [(run.name.split("-n")[0], run.name.split("-")[2:-2]) for run in runs]
    shares = [["m3200"], ["m800"], ["m200"], ["m50"], ["m3200", "noise0.5"]]
    assert rows == [(name, row) for name in ("svhn", "cifar10", "ffhq") for row in shares]
    runs = resolve_all([matched.arguments(point) for point in matched.points()[:5]])
    steps = [run.config["trainer"]["max_steps"] for run in runs]
    assert steps == [100_000, 400_000, 1_600_000, 6_400_000, 100_000]
