"""A W&B sweep from its file to the engine's last point, with all but the server itself."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args
from wandb.sdk.lib.config_util import save_config_file_from_dict

from ganstoch.records import read_record

SWEEP = Path(__file__).parents[3] / "sweeps" / "table1.yaml"
ID = "sweep1"

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def engine() -> Any:
    """W&B's own, which was written for an older Pydantic."""
    with warnings.catch_warnings(action="ignore"):
        import sweeps
    return sweeps


def words_of(settings: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """The command that W&B's agent makes of a point, made by the agent's own functions."""
    macros = create_sweep_command_args({"args": config})
    words: list[str] = []
    for word in create_sweep_command(settings["command"]):
        macro = word.startswith("${") and word.endswith("}")
        words += macros.get(word[2:-1], []) if macro else [word]
    return words


def environment(run_id: str, config: Mapping[str, Any]) -> dict[str, str]:
    """What W&B's agent gives a run, and that there is no server."""
    path = Path("wandb", f"sweep-{ID}", f"config-{run_id}.yaml").absolute()
    save_config_file_from_dict(str(path), dict(config))
    names = {"WANDB_SWEEP_ID": ID, "WANDB_RUN_ID": run_id, "WANDB_SWEEP_PARAM_PATH": str(path)}
    return names | {"WANDB_MODE": "offline"}


def test_a_sweep(
    lab: Any, engine: Any, preempted: Make, logged: Make, assert_same_run: Make, tally: Make
) -> None:
    """The shipped sweep's command and rows on 64 digits, the second run preempted in between.

    The server is left out: the engine that it runs hands out the points here, the offline mode
    writes what would be sent. A stand-in is the loop below, for the agent's own, which only
    starts commands.
    """
    settings = yaml.safe_load(SWEEP.read_text())
    settings["parameters"]["data.source"] = {"values": ["Digits"]}
    settings["parameters"]["config"] = {"values": ["n4", "n16", "n4-noise"]}
    assert settings["command"] == ["${env}", "ganstoch", "fit", "--config", "paper", "${args}"]
    each = "--trainer.log_every_n_steps=1"
    settings["command"] = ["${env}", "ganstoch", "fit", *lab.settings, each, "${args}"]
    metric = settings["metric"]["name"]
    runs: list[Any] = []
    while (run := engine.next_run(settings, runs)) is not None:
        runs.append(run)
        run_id, folder = f"run{len(runs)}", Path(f"out{len(runs)}")
        program, *words = [*words_of(settings, run.config), f"--out={folder}"]
        assert program == "ganstoch"
        env = environment(run_id, run.config)
        stopped = len(runs) == 2
        if stopped:
            lab.run(words, status=130, first=preempted, **env)
            (first,) = logged(folder)
            assert first.kinds.index("preempting") < first.kinds.index("exit")
            assert first.exit_code == 1
            tally("a run stopped from outside is marked as preempting")
            assert not (folder / "record.json").exists()
        lab.run(words, **env)
        starts = logged(folder)
        assert [one.run_id for one in starts] == [run_id] * (1 + stopped)
        assert {entry.run.sweep_id for entry in starts[-1].entries} == {"", ID}
        assert starts[-1].exit_code == 0
        assert "preempting" not in starts[-1].kinds
        record, config = read_record(folder / "record.json"), starts[-1].config
        assert config["config_hash"] == record.config_hash
        assert config["data"] == record.config["data"]
        assert all(config[key] == entry["value"] for key, entry in run.config.items())
        measured = [row[metric] for row in starts[-1].history if metric in row]
        assert measured[-1] == record.metrics[metric]
        run.history = [{metric: value} for value in measured]
        run.state = engine.RunState.finished
        tally("a W&B sweep without its server: its runs")
        if stopped:
            steps = [{row["trainer/global_step"] for row in one.history} for one in starts]
            assert max(steps[0]) == 5
            assert set(range(6, 13)) <= steps[1]
            assert set(range(1, 13)) <= steps[0] | steps[1]
            lab.run([*words, "--out=straight", "--wandb.mode=disabled"])
            assert_same_run(folder, Path("straight"))
            tally("a W&B sweep without its server: preempted, gone on")
    records = [read_record(Path(f"out{i}") / "record.json") for i in (1, 2, 3)]
    assert len(runs) == 3
    assert [(record.m, record.noise) for record in records] == [(16, 0.0), (4, 0.0), (16, 0.5)]
