"""The packaged overlays: one for each remedy and setting worth a row, and they stack."""

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
    words = ["--model.remedies+=R1", "--model.remedies+=Packing"]
    words += ["--model.remedies.init_args.size=4"]
    given = {
        "packing3 unrolled5": (["Packing", "Unrolling"], "NonSaturating"),
        "hinge ratio_d5 wgan_gp": (["Ratio", "WGANGP"], "Wasserstein"),
        "wgan_gp packing2 plain": (["WGANGP", "Packing"], "Wasserstein"),
    }
    resolved = resolve_all([*(line(*names.split()) for names in given), [*line("hinge"), *words]])
    models = [each.config["model"] for each in resolved]
    expected = [*given.values(), (["R1", "Packing"], "Hinge")]  # by words of the command line too
    for model, (kinds, objective) in zip(models, expected, strict=True):
        assert classes(model) == kinds
        assert type(made(model["objective"])).__name__ == objective
    packings = models[0]["remedies"][0], models[3]["remedies"][1]
    assert [packing["init_args"]["size"] for packing in packings] == [3, 4]
