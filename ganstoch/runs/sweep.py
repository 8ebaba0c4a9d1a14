"""Sweep files: one list of rows, read alike by W&B's agents and by our own runner.

A file is a W&B grid: `command` with `${args}` in it, and `parameters` under dotted keys, each with
a `value` or a list of `values`. See sweeps/table1.yaml.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ganstoch.errors import UserError
from ganstoch.runs.configs import packaged_names, read_yaml

__all__ = ["Scalar", "Sweep", "parse_seeds", "read_sweep"]

Scalar = str | int | float | bool | None

MOST = 10_000
"""Rows of a sweep: each is understood before the first one starts."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """A grid of runs.

    Attributes:
        name: the sweep's name.
        preset: the preset, or other packaged config, that its command names.
        parameters: the values each dotted key takes.
    """

    name: str
    preset: str
    parameters: Mapping[str, Sequence[Scalar]]

    def with_values(self, key: str, values: Sequence[Scalar] | None) -> Sweep:
        """The sweep with other values for a key, or without the key."""
        parameters = {k: v for k, v in self.parameters.items() if k != key}
        if values is not None:
            parameters[key] = values
        return replace(self, parameters=parameters)

    def points(self) -> list[dict[str, Scalar]]:
        """Every combination of values."""
        keys = list(self.parameters)
        return [
            dict(zip(keys, values, strict=True))
            for values in itertools.product(*self.parameters.values())
        ]

    def arguments(self, point: Mapping[str, Scalar]) -> list[str]:
        """The words behind `ganstoch fit` for a point, as a W&B agent would write them."""
        return ["--config", self.preset, *(f"--{key}={value}" for key, value in point.items())]


def parse_seeds(text: str) -> list[int]:
    """The seeds of ``0,1,2``.

    Raises:
        UserError: if they are none, or one comes twice.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(re.fullmatch("[0-9]{1,10}", word) for word in words):
        raise UserError(f"--seeds wants different whole numbers such as 0,1,2, got {text!r}")
    seeds = [int(word) for word in words]
    if len(set(seeds)) < len(seeds) or max(seeds) >= 2**32:
        raise UserError(f"--seeds wants different whole numbers below 2**32, got {text!r}")
    return seeds


def read_sweep(path: Path) -> Sweep:
    """Reads a sweep file.

    Raises:
        UserError: if it is missing, no YAML, or not a grid that both readers understand.
    """
    content = read_yaml(path, kind="sweep")
    if not isinstance(content, dict) or content.get("method") != "grid":
        raise UserError(f"the sweep {path} must have 'method: grid'")
    command = content.get("command")
    if not isinstance(command, list) or command[1:3] != ["ganstoch", "fit"]:
        raise UserError(f"the sweep {path} must have a command [${{env}}, ganstoch, fit, ...]")
    presets = [word for word in command if word in packaged_names()]
    if command != ["${env}", "ganstoch", "fit", "--config", *presets[:1], "${args}"]:
        raise UserError(
            f"the sweep {path} must have the command [${{env}}, ganstoch, fit, --config, PRESET, "
            "${args}]"
        )
    parameters = content.get("parameters")
    if not isinstance(parameters, dict) or not parameters:
        raise UserError(f"the sweep {path} has no parameters")
    values = {str(key): _values(path, key, entry) for key, entry in parameters.items()}
    if (rows := math.prod(map(len, values.values()))) > MOST:
        raise UserError(f"the sweep {path} has {rows:,} rows; make it at most {MOST:,}")
    name = content.get("name", path.stem)
    if not isinstance(name, str):
        raise UserError(f"the sweep {path}: its name must be a word")
    return Sweep(name=name, preset=presets[0], parameters=values)


def _values(path: Path, key: object, entry: object) -> list[Scalar]:
    """The values of one parameter."""
    if isinstance(entry, dict) and set(entry) == {"value"}:
        values = [entry["value"]]
    elif isinstance(entry, dict) and set(entry) == {"values"} and isinstance(entry["values"], list):
        values = entry["values"]
    else:
        raise UserError(f"the sweep {path}: parameter {key} must have 'value' or a list 'values'")
    if not values or not all(isinstance(v, str | int | float | bool | None) for v in values):
        raise UserError(f"the sweep {path}: the values of {key} must be plain words or numbers")
    return values
