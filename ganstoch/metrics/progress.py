"""Time left of a long computation, on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

__all__ = ["progress_bar"]

Item = TypeVar("Item")


def progress_bar(
    items: Iterable[Item], label: str, *, total: int | None = None, unit: str = " blocks"
) -> Iterable[Item]:
    """The items, one by one, with the time left; silent for the first seconds and in a log file."""
    return tqdm(items, label, total, file=sys.stderr, unit=unit, delay=3, disable=None, leave=False)
