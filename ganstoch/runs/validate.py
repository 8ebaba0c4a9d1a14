"""Whether the remedies of a configuration go together, told before any network is made."""

from __future__ import annotations

import copy
import importlib
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from ganstoch.objectives import NonSaturating, Objective
from ganstoch.remedies import Remedies, Remedy

__all__ = ["compose"]


def compose(config: dict[str, Any]) -> Remedies:
    """The remedies that a run would play with, as plain settings name them.

    Args:
        config: every setting, nested, as plain values; see `Resolved`.

    Raises:
        UserError: for a remedy's setting out of its range, or remedies and an objective that
            cannot go together.
    """
    parser = ArgumentParser(exit_on_error=False)  # knows that a list is meant for a pair
    parser.add_argument("--objective", type=Objective)
    parser.add_argument("--remedies", type=list[Remedy])
    model = copy.deepcopy(config["model"])  # parsing puts the parser's own objects into it
    given = parser.parse_object(
        {
            "objective": model["objective"] or NonSaturating.__name__,
            "remedies": model["remedies"] or [],
        }
    )
    return Remedies([_made(item) for item in given.remedies], objective=_made(given.objective))


def _made(item: Namespace) -> Any:
    module, _, name = item.class_path.rpartition(".")
    settings = item.init_args.as_dict() if "init_args" in item else {}
    return getattr(importlib.import_module(module), name)(**settings)
