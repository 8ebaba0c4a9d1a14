"""An import only points left along the line of rooms in the README's map of the code."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ganstoch"
FILES = sorted(PACKAGE.rglob("*.py"))

LINE = "errors, types rng records locations environment, pixels, data latents, models, objectives, "
LINE += "remedies, training, metrics, report, diagnosis, callbacks, auditing runs watch, bench, cli"
"""From left to right; rooms of one place do not import each other."""
PLACE = {room: place for place, rooms in enumerate(LINE.split(",")) for room in rooms.split()}
STRANGERS_USE_THESE_ALONE = {"metrics": {"types", "errors", "rng", "records", "pixels"}}
"""Rooms that promise to need little, with all that they may import."""


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).parent.parts)


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


def test_imports_point_left() -> None:
    files = {path: room_of(path) for path in FILES if room_of(path) != "__init__"}
    assert {*files.values()} == PLACE.keys()
    for path, room in files.items():
        assert violations(path.read_text(), room=room, package=package_of(path)) == [], path


@pytest.mark.parametrize(
    ("room", "source", "wrong"),
    [
        ("metrics", "from ganstoch.training.gan import GAN", 1),
        ("metrics", "import ganstoch.data", 1),
        ("metrics", "if TYPE_CHECKING:\n    import ganstoch.cli as c", 1),
        ("metrics", "from ..data import Digits", 1),
        ("latents", "from ganstoch.data import Digits", 1),
        ("types", "from ganstoch.records import Record", 1),
        ("report", "from ganstoch.runs.fit import fit", 1),
        ("training", "from ganstoch.utils import things", 1),
        ("metrics", "from ganstoch.types import Norm\nfrom ganstoch.metrics.prdc import f", 0),
        ("metrics", "from .overfitting import f\nfrom . import overfitting", 0),
        ("records", "from ganstoch.errors import UserError", 0),
        ("cli", "from ganstoch import __version__\nfrom ganstoch.runs.fit import fit", 0),
        ("data", "import torch\nimport ganstochastic.cli", 0),
    ],
)
def test_a_wrong_import_alone_is_caught(room: str, source: str, wrong: int) -> None:
    assert len(violations(f"import os\n{source}", room=room)) == wrong


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
    graph = files_graph()
    assert "ganstoch.types" in graph["ganstoch.models.layers"]
    TopologicalSorter(graph).prepare()
    with pytest.raises(CycleError):
        TopologicalSorter({**graph, "ganstoch.types": {"ganstoch.models.layers"}}).prepare()
