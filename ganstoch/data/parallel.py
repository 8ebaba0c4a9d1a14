"""The same function over many files, in threads, with the time left shown when it takes long."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TypeVar

from tqdm import tqdm

__all__ = ["in_threads"]

_CHUNK = 16
"""Items handed to a thread at once: for tiny files the hand-over costs as much as the work."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(
    function: Callable[[Item], Result], items: Sequence[Item], *, label: str
) -> list[Result]:
    """``[function(item) for item in items]``, several at a time (decoders let go of the GIL).

    Args:
        function: called once for each item, from any thread.
        items: what to call it with.
        label: what the progress display on standard error calls the work.

    The first exception, in the order of the items, is raised; work not yet begun is then dropped.
    """
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        chunks = [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
        results = pool.map(lambda chunk: [function(item) for item in chunk], chunks)
        progress = tqdm(
            chain.from_iterable(results),
            label,
            len(items),
            file=sys.stderr,
            unit=" images",
            delay=2,  # silent for what takes less
            mininterval=0.2 if sys.stderr.isatty() else 30,  # a log file needs no animation
        )
        return list(progress)
    finally:
        pool.shutdown(cancel_futures=True)
