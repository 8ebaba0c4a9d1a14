"""Rows of numbers and categories as coordinates, in which l2 distances are Gower's kind.

The squared distance of two rows is a sum over columns: of a number, its squared difference over
twice the variance, which is 1 on average; of a category, 1 where it is another one [Gower 1971, A
general coefficient of similarity, with squares].
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganstoch.errors import UserError

_MOST = 1000  # categories of a column; one of more is an identifier, and is left out


def is_table(data: Any) -> bool:
    """Whether it is a pandas DataFrame, without importing pandas."""
    return type(data).__module__.partition(".")[0] == "pandas" and hasattr(data, "columns")


class TableCoordinates:
    """Learns columns from real rows; makes coordinates (N, F), float32, of any rows like them.

    A missing value is a category of its own where real ones are missing, else NaN. A category that
    no real row has differs from all that real rows have.
    """

    def __init__(self, real: Any) -> None:
        if not real.columns.is_unique:
            twice = ", ".join(map(str, real.columns[real.columns.duplicated()].unique()))
            raise UserError(f"the table has several columns of one name; rename them: {twice}")
        self.left_out: list[str] = []  # columns that are not compared, as identifiers
        # By column: the mean, the deviation and whether values are missing; or the categories.
        self._numbers: dict[Any, tuple[float, float, bool]] = {}
        self._categories: dict[Any, dict[Any, int]] = {}
        for name in real.columns:
            values = _numbers(real[name])
            if values is not None:
                present = values[~np.isnan(values)]
                spread = float(present.std()) if len(present) else 0.0
                mean = float(present.mean()) if len(present) else 0.0
                self._numbers[name] = (mean, spread or 1.0, len(present) < len(values))
                continue
            kinds = dict.fromkeys(_labels(real[name]))
            if len(kinds) > _MOST or 1 < len(kinds) == len(real):
                self.left_out.append(str(name))
            else:
                self._categories[name] = {kind: i for i, kind in enumerate(kinds)}
        if not (self._numbers or self._categories):
            raise UserError("the table has no column to compare; give numbers or categories")

    def __call__(self, rows: Any) -> Tensor:
        """Coordinates; `ValueError` for anything but a table with these columns."""
        if not is_table(rows):
            raise ValueError(f"expected a DataFrame, got a {type(rows).__name__}")
        wanted = (*self._numbers, *self._categories)
        if missing := [str(name) for name in wanted if name not in rows.columns]:
            raise ValueError(f"the table lacks the columns {', '.join(missing)}")
        columns = [np.zeros((len(rows), 0))]
        for name, (mean, spread, gaps) in self._numbers.items():
            values = _numbers(rows[name])
            if values is None:
                raise ValueError(f"the column {name} holds no numbers, as real ones do")
            scaled, absent = (values - mean) / (math.sqrt(2) * spread), np.isnan(values)
            columns.append((np.where(absent, 0, scaled) if gaps else scaled)[:, None])
            if gaps:
                columns.append(absent[:, None])
        for name, kinds in self._categories.items():
            places = [kinds.get(label, len(kinds)) for label in _labels(rows[name])]
            # So scaled that two different categories lie 1 apart.
            columns.append(np.eye(len(kinds) + 1)[places] / math.sqrt(2))
        return torch.from_numpy(np.concatenate(columns, 1)).float()

    @property
    def names(self) -> tuple[str, ...]:
        """What each number of `in_own_units` is: a column, or one of its categories."""
        kinds = [(name, kind) for name, kinds in self._categories.items() for kind in kinds]
        return (*map(str, self._numbers), *(f"{name} = {kind}" for name, kind in kinds))

    def in_own_units(self, coordinates: Tensor) -> Tensor:
        """Coordinates (N, F) as numbers of the table, NaN if missing, and 1 or 0 a category."""
        columns, place = list[Tensor](), 0
        for mean, spread, gaps in self._numbers.values():
            values = coordinates[:, place] * math.sqrt(2) * spread + mean
            if gaps:
                values = values.masked_fill(coordinates[:, place + 1] > 0.5, math.nan)
            columns.append(values)
            place += 1 + gaps
        for kinds in self._categories.values():
            columns += [coordinates[:, place + i].gt(0.5).float() for i in range(len(kinds))]
            place += len(kinds) + 1
        return torch.stack(columns, 1)


def _numbers(column: Any) -> np.ndarray[Any, Any] | None:
    """The column as floats, times in seconds; None where it holds categories."""
    kind = column.dtype.kind
    if kind in "mM":
        times = column.to_numpy(f"{'datetime' if kind == 'M' else 'timedelta'}64[ns]")
        return np.where(np.isnat(times), np.nan, times.astype("int64") / 1e9)
    if kind not in "iuf":
        return None
    return np.asarray(column.to_numpy(dtype=float, na_value=np.nan))


def _labels(column: Any) -> list[Any]:
    """The column's categories, None for what is missing."""
    present = column.notna()
    own = (bool, int, float, np.number, np.bool_)  # of which True, 1 and 1.0 are one
    return [
        None if not here else value if isinstance(value, own) else str(value)
        for value, here in zip(column, present, strict=True)
    ]
