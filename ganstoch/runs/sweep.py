"""Sweep files: W&B grids such as sweeps/table1.yaml, for its agents and for our own runner."""

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from ganstoch.errors import UserError
from ganstoch.records import FileModel, decode
from ganstoch.runs.configs import packaged_names, read_yaml

Scalar = str | int | float | bool | None
MOST = 10_000  # rows of a sweep: each is understood before the first one starts


class _Parameter(FileModel):
    """One ``value``, the ``values`` of a grid, plain words or numbers; or ``parameters`` in it."""

    value: Scalar = None
    values: Annotated[list[Scalar], Field(min_length=1)] | None = None
    parameters: "_Parameters | None" = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError("needs a value, a list of values, or parameters of its own")
        return self

    def under(self, key: str) -> Iterator[tuple[str, list[Scalar]]]:
        """The values of each dotted key in it."""
        if self.parameters is None:
            yield key, [self.value] if self.values is None else self.values
        for name, entry in (self.parameters or {}).items():
            yield from entry.under(f"{key}.{name}")


_Parameters = Annotated[dict[str, _Parameter], Field(min_length=1)]
_Parameter.model_rebuild()


class _File(FileModel):
    """What both readers need of a sweep file; W&B's agents take further keys."""

    model_config = ConfigDict(extra="ignore")
    name: str | None = None
    method: Literal["grid"]
    command: list[str]
    parameters: _Parameters


@dataclass(frozen=True, slots=True)
class Sweep:
    """A grid of runs: a packaged config to begin with, and the values each dotted key takes."""

    name: str
    preset: str
    parameters: Mapping[str, Sequence[Scalar]]

    def with_values(self, key: str, values: Sequence[Scalar] | None) -> Self:
        """The sweep with other values for a key, or without the key."""
        parameters = {k: v for k, v in self.parameters.items() if k != key}
        if values is not None:
            parameters[key] = values
        return replace(self, parameters=parameters)

    def points(self) -> list[dict[str, Scalar]]:
        """Every combination of values."""
        combinations = itertools.product(*self.parameters.values())
        return [dict(zip(self.parameters, values, strict=True)) for values in combinations]

    def arguments(self, point: Mapping[str, Scalar]) -> list[str]:
        """The words behind `ganstoch fit` for a point, as a W&B agent would write them."""
        return ["--config", self.preset, *(f"--{key}={value}" for key, value in point.items())]


def parse_seeds(text: str) -> list[int]:
    """The seeds of ``0,1,2``; a UserError if they are none, or one comes twice."""
    words = [word.strip() for word in text.split(",")]
    seeds = [int(word) for word in words if re.fullmatch("[0-9]{1,10}", word)]
    if len(set(seeds)) < len(words) or max(seeds) >= 2**32:
        raise UserError(
            f"--seeds wants different whole numbers below 2**32 such as 0,1,2, got {text!r}"
        )
    return seeds


def read_sweep(path: Path) -> Sweep:
    """Reads a sweep file; a `UserError` if it is not a grid that both readers understand."""
    where = f"the sweep {path}"
    content: _File = decode(_File, read_yaml(path, kind="sweep"), where, fix="see sweeps/")
    presets = [word for word in content.command if word in packaged_names()]
    if not presets or content.command != [
        "${env}",
        "ganstoch",
        "fit",
        "--config",
        *presets[:1],
        "${args}",
    ]:
        raise UserError(
            f"{where} must have the command [${{env}}, ganstoch, fit, --config, PRESET, ${{args}}]"
        )
    parameters = dict(
        each for key, entry in content.parameters.items() for each in entry.under(key)
    )
    if any(key.startswith("diagnosis.command") for key in parameters):
        raise UserError(f"{where} may not run programs: leave out diagnosis.command")
    if (rows := math.prod(map(len, parameters.values()))) > MOST:
        raise UserError(f"{where} has {rows:,} rows; make it at most {MOST:,}")
    return Sweep(content.name or path.stem, presets[0], parameters)
