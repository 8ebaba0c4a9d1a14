"""An import only points left along the line of rooms in the README's map of the code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ganstoch"
FILES = sorted(path for path in PACKAGE.rglob("*.py"))

LINE: list[list[str]] = [
    ["errors"],
    ["types", "rng", "records"],
    ["data", "latents"],
    ["models"],
    ["objectives"],
    ["remedies"],
    ["training"],
    ["metrics"],
    ["diagnosis"],
    ["callbacks"],
    ["report"],
    ["auditing", "runs"],
    ["bench"],
    ["cli"],
]
"""From left to right; rooms of one place do not import each other."""

PLACE = {room: place for place, rooms in enumerate(LINE) for room in rooms}

STRANGERS_USE_THESE_ALONE = {"metrics": {"types", "errors", "rng", "records"}}
"""Rooms that promise to need little, with all that they may import."""


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(source: str, *, package: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import, wherever it stands; relative ones made absolute."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) + 1 - node.level]
            above = ".".join(parents) if node.level else ""
            module = ".".join(part for part in (above, node.module) if part)
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}"


def violations(source: str, *, room: str, package: str = "") -> list[str]:
    """What a file of a room imports although it must not."""
    wrong = []
    for line, name in imports(source, package=package or f"ganstoch.{room}"):
        parts = name.split(".")
        if parts[0] != "ganstoch" or len(parts) == 1 or parts[1] == room:
            continue
        other = parts[1]
        if other not in PLACE:  # e.g. __version__, from the package itself
            if not other.startswith("__"):
                wrong.append(f"line {line}: {name} is of no known room")
        elif PLACE[other] >= PLACE[room] or other not in STRANGERS_USE_THESE_ALONE.get(room, PLACE):
            wrong.append(f"line {line}: {room} imports {name}")
    return wrong


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).parent.parts)


def test_imports_point_left() -> None:
    wrong = {}
    for path in FILES:
        room = room_of(path)
        if room != "__init__":
            assert room in PLACE, f"{room} has no place in the line"
            wrong[path] = violations(path.read_text(), room=room, package=package_of(path))
    assert {path: lines for path, lines in wrong.items() if lines} == {}


def test_importing_the_package_costs_nothing() -> None:
    """What it offers is imported when it is used."""
    body = ast.parse((PACKAGE / "__init__.py").read_text()).body
    source = "\n".join(ast.unparse(node) for node in body if not isinstance(node, ast.If))
    names = {name for _, name in imports(source, package="ganstoch")}
    assert {name.split(".")[0] for name in names} == {"lazy_loader"}


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("metrics", "from ganstoch.training.gan import GAN"),
        ("metrics", "import ganstoch.data"),
        ("metrics", "def late():\n    from ganstoch.callbacks import evaluation"),
        ("metrics", "if TYPE_CHECKING:\n    import ganstoch.cli as c"),
        ("metrics", "from ganstoch import data"),
        ("metrics", "from ..data import Digits"),
        ("metrics", "from .. import data"),
        ("data", "from ganstoch.latents import Latents"),
        ("latents", "from ganstoch.data import Digits"),
        ("types", "from ganstoch.records import Record"),
        ("records", "from ganstoch.cli import main"),
        ("models", "from ganstoch.objectives import Objective"),
        ("report", "from ganstoch.runs.fit import fit"),
        ("runs", "import ganstoch.cli"),
        ("training", "from ganstoch.utils import things"),
    ],
)
def test_a_wrong_import_is_caught(room: str, source: str) -> None:
    assert len(violations(f"import os\n{source}", room=room)) == 1


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("metrics", "from ganstoch.types import Norm\nfrom ganstoch.metrics.overfitting import f"),
        ("metrics", "from .overfitting import f\nfrom . import overfitting"),
        ("records", "from ganstoch.errors import UserError"),
        ("cli", "from ganstoch import __version__\nfrom ganstoch.runs.fit import fit"),
        ("data", "import torch\nimport ganstochastic.cli"),
    ],
)
def test_a_right_import_is_let_through(room: str, source: str) -> None:
    assert violations(source, room=room) == []


def files_graph() -> dict[str, set[str]]:
    """Each file's name with those of the files that it imports, wherever in it."""
    names = {dotted(path) for path in FILES}
    graph: dict[str, set[str]] = {}
    for path in FILES:
        if path != PACKAGE / "__init__.py":  # the door, which names what lies behind it
            pairs = [name for _, name in imports(path.read_text(), package=package_of(path))]
            graph[dotted(path)] = {n if n in names else n.rpartition(".")[0] for n in pairs}
            graph[dotted(path)] -= {dotted(path)}
    return {file: others & graph.keys() for file, others in graph.items()}


def test_no_circle_between_files() -> None:
    """Neither by an import within a function, nor by one for the type checker."""
    graph = files_graph()
    assert "ganstoch.types" in graph["ganstoch.models.layers"]
    TopologicalSorter(graph).prepare()
    with pytest.raises(CycleError):
        TopologicalSorter({**graph, "ganstoch.types": {"ganstoch.models.layers"}}).prepare()


def reached(start: list[Path]) -> dict[str, str]:
    """Every module that files import, directly or through others of ours, with one that does."""
    by_name = {dotted(path): path for path in FILES}
    del by_name["ganstoch"]  # its imports are for type checkers alone
    waiting, seen, found = list(start), set(start), dict[str, str]()
    while waiting:
        path = waiting.pop()
        for _, name in imports(path.read_text(), package=package_of(path)):
            found.setdefault(name, dotted(path))
            parts = name.split(".")
            for length in range(1, len(parts) + 1):  # a module's parents are run before it
                ours = by_name.get(".".join(parts[:length]))
                if ours is not None and ours not in seen:
                    seen.add(ours)
                    waiting.append(ours)
    return found


def test_reporting_needs_neither_torch_nor_lightning() -> None:
    heavy = ("torch", "torchvision", "torchmetrics", "pytorch_lightning", "lightning_fabric")
    found = reached([path for path in FILES if room_of(path) == "report"])
    assert "ganstoch.records.Record" in found
    assert {n: by for n, by in found.items() if n.split(".")[0] in (*heavy, "wandb")} == {}
    # The same search finds torch where it is used.
    assert "torch" in reached([PACKAGE / "runs" / "fit.py"])


def test_no_module_is_called_utils() -> None:
    assert [path for path in FILES if path.stem in ("utils", "util", "helpers", "misc")] == []
