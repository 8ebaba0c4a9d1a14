"""YAML of plain values: no key twice, no tags that build objects, no aliases that grow without end.

jsonargparse reads every config, and every value of a command line, as YAML. Importing this module
puts `load_yaml` in the place of its loader, for every parser.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

from ganstoch.errors import UserError

__all__ = ["load_yaml", "read_yaml"]

_MOST = 100_000
"""Characters of a text, and values in it with every alias written out: configs have hundreds."""

_load = get_loader("yaml")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Refuses a key that comes twice, of which PyYAML would take the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise yaml.YAMLError(f"the key {min(twice)!r} comes twice")
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, *, kind: str) -> Any:
    """What a YAML file holds.

    Args:
        path: the file.
        kind: what it is to the user, "config" or "sweep".

    Raises:
        UserError: if it cannot be read, or is no YAML of plain values.
    """
    try:
        with path.open(encoding="utf-8") as file:
            return load_yaml(file.read(_MOST + 1))
    except OSError as error:
        raise UserError(f"cannot read the {kind} {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"the {kind} {path} is no YAML: {error}") from error


def load_yaml(text: str) -> Any:
    """A text's value; what is a number and what a word is jsonargparse's choice.

    Raises:
        yaml.YAMLError: if it is no YAML, too large with its aliases written out, too deep, or has
            a tag, a key twice or a null byte.
    """
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
    """Counts values with every alias written out; a YAMLError for too many, or a null byte."""
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
        elif isinstance(value, bytes | set | tuple):
            raise yaml.YAMLError("a tag asks for more than plain values")
