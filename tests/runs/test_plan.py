"""Sweeps: files, and the rows that are planned of them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ganstoch.data import StackedFashion
from ganstoch.errors import UserError
from ganstoch.records import write_record
from ganstoch.runs.plan import plan
from ganstoch.runs.pool import Row
from ganstoch.runs.sweep import Scalar, Sweep, parse_seeds, read_sweep

HEAD = 'method: grid\ncommand: ["${env}", ganstoch, fit, --config, small, "${args}"]\n'
WHOLE = HEAD + "parameters: {data.m: {value: 3}}\n"
OTHER_COMMANDS = [("ganstoch", "othergan"), ("small", "other"), (', "${args}"', "")]
SWEEP = Sweep("s", "mini", {"config": ["n4", "n256", "n4-noise"], "seed_everything": [0]})


def labels(rows: Sequence[Row]) -> list[str]:
    return [row.label for row in rows]


def test_every_row_is_planned(here: Path) -> None:
    rows = plan(SWEEP, out=here, root=here / "d", settings=["trainer.max_steps=10"])
    names = ["digits-n256-m64-seed0", "digits-n256-m1-seed0", "digits-n256-m64-noise0.5-seed0"]
    assert labels(rows) == names
    assert not any(row.finished or row.failure for row in rows)
    for row in rows:
        assert row.folder.parent == here / "runs"
        assert row.folder.name.startswith(f"{row.label}-")
    words = {"--wandb.group=s-mini", "--trainer.max_steps=10", f"--data.root={here / 'd'}"}
    assert rows[0].arguments[:2] == ["--config", "mini"]
    assert words <= set(rows[0].arguments)
    big, small, noisy = [row.work for row in rows]
    assert big == noisy > small
    longer = plan(SWEEP, out=here, settings=["trainer.max_steps=100"])
    assert [row.work for row in longer] == [10 * big, 10 * small, 10 * noisy]
    assert list(here.iterdir()) == []


def test_seeds_data_sets_and_remedies_multiply(here: Path) -> None:
    sweep = SWEEP.with_values("data.source", ["Digits", "CIFAR10"])
    rows = plan(sweep.with_values("seed_everything", [0, 7]), out=here, root=here / "nowhere")
    assert len(rows) == 12
    assert {row.label.rpartition("-")[2] for row in rows if not row.failure} == {"seed0", "seed7"}
    assert all(row.label.startswith("cifar10-n256-m") == bool(row.failure) for row in rows)
    sweep = SWEEP.with_values("config", ["n4"]).with_values("remedy", ["plain", "packing2+r1"])
    rows = plan(sweep, out=here)
    assert labels(rows) == ["digits-n256-m64-seed0", "digits-n256-m64-packing2+r1-seed0"]
    assert [word for word in rows[1].arguments if "remedy" in word] == ["--remedy=packing2+r1"]


def test_a_noisy_row_takes_its_twin_s_iterations_where_that_may_stop(here: Path) -> None:
    sweep = SWEEP.with_values("seed_everything", [0, 1])
    rows = plan(sweep, out=here, settings=["stop_rule.stop=true"])
    clean = {row.label: row for row in rows if "noise" not in row.label}
    noisy = [row for row in rows if "noise" in row.label]
    assert len(noisy) == 2
    for row in noisy:
        twin = clean[row.label.replace("-noise0.5", "")]
        assert row.after == twin.folder
        assert row.arguments[-1] == f"--iterations_of={twin.folder}"
    free = [*clean.values(), *plan(SWEEP, out=here, settings=["stop_rule.stop=false"])]
    alone = SWEEP.with_values("config", ["n4-noise"])
    free += plan(alone, out=here, settings=["stop_rule.stop=true"])
    assert all(row.after is None for row in free)
    assert not any("iterations_of" in word for row in free for word in row.arguments)


def test_finished_rows_are_known_by_their_hash(here: Path, make_record: Any) -> None:
    first, *_ = plan(SWEEP, out=here)
    path = first.folder / "record.json"
    # A folder is named after the first eight digits of its hash; another hash is another run.
    write_record(path, make_record())
    assert not any(row.finished for row in plan(SWEEP, out=here))
    write_record(path, make_record(config_hash=first.config_hash))
    assert [row.finished for row in plan(SWEEP, out=here)] == [True, False, False]
    other = plan(SWEEP, out=here, settings=["model.optimizer.lr=0.1"])
    assert not any(row.finished for row in other)
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "schema": 99}))
    with pytest.raises(UserError, match=r"record\.json"):
        plan(SWEEP, out=here)


def test_a_missing_classifier_is_told_first(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StackedFashion, "open", lambda *_: range(5))  # the images are there
    sweep = Sweep(name="s", preset="stacked_fashion", parameters={"seed_everything": [0]})
    (row,) = plan(sweep, out=here / "out", root=here, settings=["data.n=5", "data.m=1"])
    assert "prepare stacked_fashion" in str(row.failure)


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


def test_nested_keys_are_the_dotted_ones(here: Path) -> None:
    nested = "{model: {parameters: {ema_decay: {value: 0.9}, latents: {parameters: {noise: "
    nested += "{values: [0.0, 0.5]}}}}}, data.m: {value: 3}}"
    (here / "own.yaml").write_text(HEAD + f"parameters: {nested}\n")
    assert read_sweep(here / "own.yaml").parameters == {
        **{"model.ema_decay": [0.9], "model.latents.noise": [0.0, 0.5], "data.m": [3]}
    }


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
        *((WHOLE.replace(*words), "command") for words in OTHER_COMMANDS),
        *((HEAD + text, "parameters") for text in ("", "parameters: {}", "parameters: [a]")),
        *(
            (HEAD + f"parameters: {{data.m: {value}}}", r"data\.m")
            for value in ("3", "{values: 3}", "{min: 1, max: 2}", "{values: []}", "{values: [[1]]}")
        ),
        (HEAD + "parameters: {model: {parameters: {}}}", "model"),
        (HEAD + "parameters: {model: {value: 1, parameters: {a: {value: 1}}}}", "model"),
        (HEAD + "parameters: {diagnosis.command: {value: touch}}", r"diagnosis\.command"),
        (
            HEAD + "parameters: {diagnosis: {parameters: {command: {value: touch}}}}",
            r"diagnosis\.command",
        ),
    ],
)
def test_a_bad_file_is_named(here: Path, content: str, key: str) -> None:
    (here / "own.yaml").write_text(content)
    with pytest.raises(UserError, match=rf"own\.yaml.*{key}"):
        read_sweep(Path("own.yaml"))


@pytest.mark.parametrize("text", ["", "a", "1,1", "0,-1", "4294967296"])
def test_seeds_are_checked(text: str) -> None:
    assert parse_seeds("0, 7") == [0, 7]
    with pytest.raises(UserError, match="--seeds"):
        parse_seeds(text)
