"""YAML that anybody may have written: plain values only, and only as many as a person would write.

jsonargparse reads every config, and every value of a command line, as YAML. Its loader builds no
objects, but it follows aliases that double at every line or lead to themselves, and takes the last
of a key that comes twice. So a text's events are looked at first; they are no more than characters.
Importing this module puts `load_yaml` in the place of that loader, for every parser.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

from ganstoch.errors import UserError

__all__ = ["load_yaml", "read_yaml", "refuse_pipes"]

_MOST = 100_000
"""Characters of a text, and values in it with every alias written out: configs have hundreds."""
_DEEPEST = 40
"""Lists and mappings within each other."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_load = get_loader("yaml")


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
    _check(text)
    try:
        return _load(text)
    except ValueError as error:  # a number with thousands of digits
        raise yaml.YAMLError(str(error)) from error


set_loader("yaml", load_yaml, exceptions=(yaml.YAMLError,))


@dataclass(slots=True)
class _Collection:
    """A list or mapping whose end has not come yet.

    Attributes:
        anchor: its name, if any.
        before: values that came before it.
        is_mapping: whether every other child is a key.
        children: how many have come.
        keys: those that have come.
    """

    anchor: str | None
    before: int
    is_mapping: bool
    children: int = 0
    keys: set[str] = field(default_factory=set)

    def take(self, event: yaml.NodeEvent) -> None:
        """Counts a child; a YAMLError for a key that was there before."""
        if self.is_mapping and self.children % 2 == 0 and isinstance(event, yaml.ScalarEvent):
            if event.value in self.keys:
                raise yaml.YAMLError(f"the key {event.value!r} comes twice")
            self.keys.add(event.value)
        self.children += 1


def _check(text: str) -> None:
    """A YAMLError for what `load_yaml` refuses."""
    if len(text) > _MOST:
        raise yaml.YAMLError(f"it is longer than {_MOST:,} characters")
    values = 0
    sizes: dict[str, int] = {}  # of what an alias stands for
    around: list[_Collection] = []
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.NodeEvent):
            if around:
                around[-1].take(event)
            if tag := getattr(event, "tag", None):
                raise yaml.YAMLError(f"the tag {tag} asks for more than plain values")
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise yaml.YAMLError(f"*{event.anchor} leads nowhere, or to itself")
            values += sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            if "\0" in event.value:
                raise yaml.YAMLError("it holds a null byte")
            values += 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            mapping = isinstance(event, yaml.MappingStartEvent)
            around.append(_Collection(event.anchor, values, mapping))
            values += 1
            if len(around) > _DEEPEST:
                raise yaml.YAMLError(f"it is nested more than {_DEEPEST} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            ended = around.pop()
            if ended.anchor:
                sizes[ended.anchor] = values - ended.before
        if values > _MOST:
            raise yaml.YAMLError(f"with its aliases written out it has more than {_MOST:,} values")


def refuse_pipes(settings: Any) -> None:
    """The parser opens what a setting names if it can be read, and a pipe may have no other end.

    Raises:
        UserError: if a word among lists and mappings of settings names one.
    """
    if isinstance(settings, str):
        if _is_pipe(settings):
            raise UserError(f"{settings} is a pipe; settings are read from files")
    elif isinstance(settings, list):
        for each in settings:
            refuse_pipes(each)
    elif isinstance(settings, dict):
        refuse_pipes(list(settings.values()))


def _is_pipe(name: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(name).st_mode)
    except (OSError, ValueError):  # no name of a file at all
        return False
