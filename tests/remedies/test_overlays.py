"""The packaged overlays: one for each remedy and setting worth a row, and they stack."""

from __future__ import annotations

import importlib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from ganstoch import objectives, remedies
from ganstoch.objectives import Objective
from ganstoch.remedies import Remedies
from ganstoch.runs.settings import resolve_all

FOLDER = Path(str(files("ganstoch"))) / "configs" / "remedies"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
OBJECTIVES = {name for name in objectives.__all__ if name not in ("Objective", "Pointwise")}


def line(*names: str) -> list[str]:
    return ["--config=mini", *(f"--config={FOLDER / name}.yaml" for name in names)]


@cache
def alone() -> dict[str, dict[str, Any]]:
    """What each comes to over the preset mini; the parser is made once."""
    resolved = resolve_all([line(name) for name in NAMES])
    return {name: each.config["model"] for name, each in zip(NAMES, resolved, strict=True)}


def made(item: dict[str, Any]) -> Any:
    module, _, name = item["class_path"].rpartition(".")
    return getattr(importlib.import_module(module), name)(**(item.get("init_args") or {}))


def classes(model: dict[str, Any]) -> list[str]:
    return [item["class_path"].rpartition(".")[2] for item in model["remedies"] or []]


@pytest.mark.parametrize("name", NAMES)
def test_overlay_is_what_it_says(name: str) -> None:
    """A remedy that does something and goes with its objective, and nothing else than that."""
    model, content = alone()[name], yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    assert set(content) == {"model"}
    overlay, plain = content["model"], alone()["plain"]
    objective = made(model["objective"])
    assert isinstance(objective, Objective)
    assert type(objective).__name__ == overlay.get("objective", "NonSaturating")
    items = [made(item) for item in model["remedies"] or []]
    assert len(items) == len(overlay.get("remedies+", []))
    assert len(Remedies(items, objective=objective)) == len(items)  # none is neutral
    for item, given in zip(model["remedies"] or [], overlay.get("remedies+", []), strict=True):
        settings = given.get("init_args", {}) if isinstance(given, dict) else {}
        assert {key: item["init_args"][key] for key in settings} == settings
    others = {key: value for key, value in model.items() if key not in ("remedies", "objective")}
    assert others == {key: plain[key] for key in others}


def test_every_remedy_and_objective_has_one() -> None:
    kinds = {kind for model in alone().values() for kind in classes(model)}
    assert kinds == set(remedies.__all__) - {"Remedies", "Remedy"}
    assert {type(made(model["objective"])).__name__ for model in alone().values()} == OBJECTIVES


def test_they_stack_in_the_order_given() -> None:
    given = [
        ("packing3", "unrolled5", "label_smoothing"),
        ("label_smoothing", "packing3"),
        ("wgan_gp", "ratio_d5"),
        ("hinge", "ratio_d5", "wgan_gp"),
        ("packing2", "wgan_gp", "plain"),
        ("plain", "packing2"),
    ]
    models = [each.config["model"] for each in resolve_all([line(*names) for names in given])]
    assert [classes(model) for model in models] == [
        ["Packing", "Unrolling", "LabelSmoothing"],
        ["LabelSmoothing", "Packing"],
        ["WGANGP", "Ratio"],
        ["Ratio", "WGANGP"],
        ["Packing", "WGANGP"],
        ["Packing"],
    ]
    assert [type(made(model["objective"])).__name__ for model in models] == [
        *("NonSaturating", "NonSaturating", "Wasserstein", "Wasserstein"),
        *("Wasserstein", "NonSaturating"),
    ]
    packing, unrolling, _ = models[0]["remedies"]
    assert (packing["init_args"]["size"], unrolling["init_args"]["steps"]) == (3, 5)


def test_a_remedy_on_the_line_stacks_on_them_too() -> None:
    words = ["--model.remedies+=R1", "--model.remedies+=Packing"]
    words += ["--model.remedies.init_args.size=4"]
    (resolved,) = resolve_all([[*line("label_flipping"), *words]])
    assert classes(resolved.config["model"]) == ["LabelFlipping", "R1", "Packing"]
    assert resolved.config["model"]["remedies"][2]["init_args"]["size"] == 4
