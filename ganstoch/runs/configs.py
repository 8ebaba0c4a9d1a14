"""Packaged configs (presets, data sets, rows) and sweeps, by their short names."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from ganstoch.errors import UserError
from ganstoch.plain_yaml import read_yaml
from ganstoch.runs.renamed import refuse_renamed

__all__ = ["FALLBACK", "PRESETS", "config_path", "packaged_names", "remedy_names", "sweep_path"]
__all__ += ["with_paths"]

PRESETS = ("mini", "small", "paper")
FALLBACK = "paper"
"""The config that all others are laid over."""


REMEDIES = "configs/remedies"
"""Configs that may be laid over one another and over any other, each adding a remedy."""


def _packaged(kind: str) -> dict[str, Path]:
    folder = Path(str(files("ganstoch"))) / kind
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def packaged_names() -> list[str]:
    """Short names of the packaged configs without remedies, in alphabetical order."""
    return list(_packaged("configs"))


def remedy_names() -> list[str]:
    """Short names of the packaged remedies, ``plain`` first, the others in alphabetical order."""
    return sorted(_packaged(REMEDIES), key=lambda name: (name != "plain", name))


def config_path(name: str) -> Path:
    """The config behind a short name, or the file itself.

    Raises:
        UserError: if there is neither, or the file holds no settings.
    """
    path = _find("configs", "config", name)
    content = read_yaml(path, kind="config")
    if not isinstance(content, dict):
        raise UserError(f"the config {path} holds no settings, such as 'data: {{n: 256}}'")
    return path


def sweep_path(name: str) -> Path:
    """The sweep behind a short name, or the file itself.

    Raises:
        UserError: if there is neither.
    """
    return _find("sweeps", "sweep", name)


def _find(kind: str, word: str, name: str) -> Path:
    refuse_renamed("config", name)
    known = _packaged(kind)
    if name in known:
        return known[name]
    path = Path(name).expanduser()
    if path.is_file():
        return path
    raise UserError(f"no {word} {name!r}: neither a file nor one of {', '.join(known)}")


def _remedy_paths(names: str) -> list[Path]:
    """The configs of packaged remedies whose names are joined by +.

    Raises:
        UserError: for an unknown name, or two that bring different objectives.
    """
    known = _packaged(REMEDIES)
    for name in names.split("+"):
        refuse_renamed("remedy", name)
        if name not in known:
            raise UserError(f"no remedy {name!r}; there are {', '.join(remedy_names())}")
    paths = [known[name] for name in names.split("+")]
    brought = {path.stem: _objective(path) for path in paths}
    objectives = {objective: name for name, objective in brought.items() if objective}
    if len(objectives) > 1:
        raise UserError(
            f"{' and '.join(objectives.values())} each bring an objective of their own; take one "
            "of them"
        )
    return paths


def _objective(path: Path) -> str | None:
    content = read_yaml(path, kind="config")
    objective: str | None = content.get("model", {}).get("objective")
    return objective


def with_paths(arguments: Sequence[str]) -> list[str]:
    """Command-line arguments with every ``--config NAME`` made a path.

    ``--remedy=A+B`` comes behind the configs of both.

    Raises:
        UserError: for a name that there is nothing behind, or remedies that cannot be joined.
    """
    result: list[str] = []
    words = iter(arguments)
    remedied = False
    for word in words:
        if word in ("--config", "-c"):
            name = next(words, None)
            if name is None:
                raise UserError("--config wants a name or a file, for instance --config mini")
            result.append(f"--config={config_path(name)}")
        elif word.startswith("--config="):
            result.append(f"--config={config_path(word.removeprefix('--config='))}")
        elif word == "--remedy" or word.startswith("--remedy="):
            if remedied:
                raise UserError("--remedy is given twice; join the names by +")
            remedied = True
            names = next(words, "") if word == "--remedy" else word.removeprefix("--remedy=")
            result += [*(f"--config={path}" for path in _remedy_paths(names)), f"--remedy={names}"]
        else:
            result.append(word)
    return result
