"""Packaged configs and sweeps by their names, renamed words, and safe YAML for all parsers."""

import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

from ganstoch.errors import UserError

PRESETS = ("mini", "small", "paper")
FALLBACK = "paper"  # the config that all others are laid over
# Data whose modes are known; the ring by PacGAN's protocol and by that of unrolled GANs.
SYNTHETIC = ("ring", "ring_unrolled", "grid", "1200d", "bimodal", "stacked")
_MOST = 100_000  # characters of a YAML text, and values in it with every alias written out
_SEEDS = "leave it out; run once for each --seed_everything, or use ganstoch remedies --seeds"
_load = get_loader("yaml")

# Words of version 0.5.0 that are gone: kind, word, and what to do.
RENAMED: dict[str, dict[str, str]] = {
    "command": {"replay": "use ganstoch verify"},
    "option": {
        "fit --seeds": _SEEDS,
        "remedies --world": "use --synthetic NAME; for images, leave it out",
    },
    "config": {
        "m3200": "use n4",
        "m800": "use n16",
        "m200": "use n64",
        "m50": "use n256",
        "m3200-noise": "use n4-noise",
    },
    "class": {"Replay": "use ExperienceReplay"},
    "remedy": {"replay": "use experience_replay"},
    "key": {
        "model.forms": "leave it out: a fixed rule chooses how convolutions are computed",
        "seeds": _SEEDS,
    },
}


def refuse_renamed(kind: str, word: str) -> None:
    """Refuses a word of version 0.5.0, naming what took its place."""
    if hint := RENAMED[kind].get(word):
        raise UserError(f"{kind} {word} is of an earlier version; {hint}")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Refuses a key that comes twice, of which PyYAML would take the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise yaml.YAMLError(f"the key {min(twice)!r} comes twice")
        return super().construct_mapping(node, deep)


def load_yaml(text: str) -> Any:
    """A text's value, as jsonargparse reads it; a `yaml.YAMLError` if it is no YAML, or unsafe."""
    if len(text) > _MOST:
        raise yaml.YAMLError(f"it is longer than {_MOST:,} characters")
    try:
        _refuse_endless(yaml.load(text, Loader=_Loader))  # a safe loader's child
        return _load(text)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        # A number of thousands of digits, a tag that does not fit its value, too deep.
        raise yaml.YAMLError(str(error) or type(error).__name__) from error


set_loader("yaml", load_yaml, exceptions=(yaml.YAMLError,))


def _refuse_endless(value: Any) -> None:
    """Counts values with every alias written out, and refuses those that no setting may be."""
    waiting, count = [value], 0
    while waiting:
        count += 1
        if count > _MOST:
            raise yaml.YAMLError(f"with its aliases written out it has more than {_MOST:,} values")
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str) and "\0" in value:
            raise yaml.YAMLError("it holds a null byte")
        elif isinstance(value, str) and _is_special(value):
            raise yaml.YAMLError(f"{value} is no regular file")
        elif isinstance(value, bytes | set | tuple):
            raise yaml.YAMLError("a tag asks for more than plain values")


def _is_special(name: str) -> bool:
    """Whether it names a pipe or a device, which the parser would open, and perhaps wait for."""
    return os.path.exists(name) and not (os.path.isfile(name) or os.path.isdir(name))


def read_yaml(path: Path, *, kind: str) -> Any:
    """What a YAML file holds, a "config" or "sweep"; a UserError if it is none of plain values."""
    try:
        with path.open(encoding="utf-8") as file:
            return load_yaml(file.read(_MOST + 1))
    except OSError as error:
        raise UserError(f"cannot read the {kind} {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"the {kind} {path} is no YAML: {error}") from error


def _packaged(kind: str) -> dict[str, Path]:
    folder = Path(str(files("ganstoch"))) / kind
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def packaged_names() -> list[str]:
    """Short names of the packaged configs without remedies, in alphabetical order."""
    return list(_packaged("configs"))


def remedy_names() -> list[str]:
    """Short names of the packaged remedies, ``plain`` first, the others in alphabetical order."""
    return sorted(_packaged("configs/remedies"), key=lambda name: (name != "plain", name))


def config_path(name: str) -> Path:
    """The config behind a short name, or the file itself; a UserError if it holds no settings."""
    path = _find("config", name)
    if not isinstance(read_yaml(path, kind="config"), dict):
        raise UserError(f"the config {path} holds no settings, such as 'data: {{n: 256}}'")
    return path


def sweep_path(name: str) -> Path:
    """The sweep behind a short name, or the file itself; a UserError if there is neither."""
    return _find("sweep", name)


def _find(kind: str, name: str) -> Path:
    refuse_renamed("config", name)
    packaged = _packaged(f"{kind}s")
    path = packaged.get(name) or Path(name).expanduser()
    if not path.is_file():
        raise UserError(f"no {kind} {name!r}: neither a file nor one of {', '.join(packaged)}")
    return path


def _remedy_paths(names: str) -> list[Path]:
    """The configs of packaged remedies whose names are joined by +, of one objective at most."""
    packaged = _packaged("configs/remedies")
    objectives = {}
    for name in names.split("+"):
        refuse_renamed("remedy", name)
        if name not in packaged:
            raise UserError(f"no remedy {name!r}; there are {', '.join(remedy_names())}")
        content = read_yaml(packaged[name], kind="config")
        if objective := content.get("model", {}).get("objective"):
            objectives[objective] = name
    if len(objectives) > 1:
        raise UserError(f"{' and '.join(objectives.values())} each bring an objective; take one")
    return [packaged[name] for name in names.split("+")]


def with_paths(arguments: Sequence[str]) -> list[str]:
    """Command-line arguments with every ``--config NAME`` made a path, ``--remedy A+B`` several."""
    result: list[str] = []
    words = iter(arguments)
    remedied = False
    for word in words:
        option, equals, name = word.partition("=")
        if _is_special(name if equals else word):
            raise UserError(f"{name or word} is no regular file")
        if option not in ("--config", "--remedy", "-c") or (option == "-c" and equals):
            result.append(word)
            continue
        name = name if equals else next(words, "")
        if option == "--remedy":
            if remedied:
                raise UserError("--remedy is given twice; join the names by +")
            remedied = True
            result += [*(f"--config={path}" for path in _remedy_paths(name)), f"--remedy={name}"]
        elif name or equals:
            result.append(f"--config={config_path(name)}")
        else:
            raise UserError("--config wants a name or a file, for instance --config mini")
    return result
