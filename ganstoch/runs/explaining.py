"""A parser's complaints, in words for whoever typed the line."""

from __future__ import annotations

import inspect
import re
from typing import Any

from jsonargparse import ArgumentError

from ganstoch.data.source import Source
from ganstoch.errors import UserError
from ganstoch.models.base import Discriminator, Generator
from ganstoch.objectives import Objective
from ganstoch.remedies import Remedy
from ganstoch.runs.renamed import refuse_renamed

__all__ = ["KINDS", "explain", "refuse_endless"]

KINDS: dict[str, type[Any]] = {
    "data.source": Source,
    "model.generator": Generator,
    "model.discriminator": Discriminator,
    "model.objective": Objective,
    "model.remedies": Remedy,
}
"""The keys that take the name of a class, and what classes."""


def explain(error: ArgumentError | UnicodeDecodeError) -> str:
    """The parser's message, which for an unknown class speaks of import paths."""
    if isinstance(error, UnicodeDecodeError):
        return f"a file of settings is no text: {error}"
    message = " ".join(str(error.message).split())
    refused = re.search(
        r"--([\w.]+)|Group '(\w+)' does not accept option '(\w+)'|Option '(\w+)' is not", message
    )
    if refused:
        refuse_renamed("key", refused[1] or refused[4] or f"{refused[2]}.{refused[3]}")
    unknown = re.search(r'Parser key "([\w.]+)":.* dot import path string: (\S+)', message)
    if unknown is None or unknown[1] not in KINDS:
        return message
    known = sorted(_concrete(KINDS[unknown[1]]))
    return f"{unknown[1]}: no class {unknown[2]!r}; there are {', '.join(known)}"


def _concrete(kind: type[Any]) -> set[str]:
    """Names of the classes of a kind that are there to be chosen, at any depth below it."""
    found: set[str] = set()
    for child in kind.__subclasses__():
        chosen = not (inspect.isabstract(child) or child.__name__.startswith("_"))
        found |= _concrete(child) | ({child.__name__} if chosen else set())
    return found


def refuse_endless(settings: Any, *, key: str = "") -> None:
    """Whole numbers have no end in Python, and 64 bits in everything that computes with them.

    Args:
        settings: plain values, nested.
        key: dotted name of them all.

    Raises:
        UserError: naming the first setting beyond.
    """
    if isinstance(settings, int) and abs(settings) >= 2**63:
        raise UserError(f"{key} must lie within 64 bits, got {str(settings)[:20]}...")
    if isinstance(settings, dict):
        for name, value in settings.items():
            refuse_endless(value, key=f"{key}.{name}".lstrip("."))
    elif isinstance(settings, list):
        for value in settings:
            refuse_endless(value, key=key)
