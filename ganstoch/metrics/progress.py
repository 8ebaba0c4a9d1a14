"""Time left of a long computation, on standard error."""

from __future__ import annotations

from functools import partial

from tqdm import tqdm

__all__ = ["progress_bar"]

progress_bar = partial(tqdm, unit=" blocks", delay=3, disable=None, leave=False)
"""The items, one by one, with the time left; silent for the first seconds and in a log file."""
