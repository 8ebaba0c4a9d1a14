"""The bar over images that takes a while to read, on standard error and only on a terminal."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

__all__ = ["image_bar"]


def image_bar(total: int, label: str) -> Any:
    """A bar that counts images, to be used as a context; nothing before two seconds are over.

    Args:
        total: images in all.
        label: what is done with them.
    """
    return tqdm(
        total=total,
        desc=label,
        unit=" images",
        file=sys.stderr,
        disable=None,  # silent where standard error is no terminal
        delay=2,
        leave=False,
    )
