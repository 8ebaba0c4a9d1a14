"""Overfitting and mode drop in GAN training, with every source of chance in hand."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.5.0"


def __getattr__(name: str) -> Any:
    """Imports `audit` when it is first used (PEP 562): it brings torch, which takes seconds."""
    if name == "audit":
        return importlib.import_module("ganstoch.auditing.audit").audit
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
