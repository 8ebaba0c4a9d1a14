"""Time left of a long computation, on standard error and only where somebody looks."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

__all__ = ["shown"]

Item = TypeVar("Item")


def shown(items: Iterable[Item], label: str, *, total: int | None = None) -> Iterable[Item]:
    """The items, one by one, with the time left; silent for the first seconds and in a log file.

    Args:
        items: what the loop goes through.
        label: what the loop does.
        total: how many there are, where the items do not say so.
    """
    return tqdm(
        items, label, total, file=sys.stderr, unit=" blocks", delay=3, disable=None, leave=False
    )
