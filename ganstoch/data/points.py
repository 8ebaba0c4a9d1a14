"""Embeddings (N, F) of anything, in files or in memory, as an `ImageSet` of points."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganstoch.data import labels as labelling
from ganstoch.data.arrays import ends_of, load_array, to_numpy
from ganstoch.data.reading import Reading
from ganstoch.data.source import ImageSet
from ganstoch.data.tables import LABEL, labels_of, one_column, open_parquet, told
from ganstoch.errors import UserError
from ganstoch.locations import Location, locate_table

_LARGEST = float(np.finfo(np.float32).max)


class NumericPoints(ImageSet):
    """Rows of an array (N, F), mapped or not; a `UserError` for another shape, and for NaN."""

    def __init__(self, array: NDArray[Any], *, where: str) -> None:
        self.where = where
        if array.ndim != 2 or 0 in array.shape:
            fix = "embeddings are of shape (N, F), a row each"
            raise UserError(f"{where} has shape {array.shape}; {fix}")
        if array.dtype.kind not in "fiu":
            raise UserError(f"{where} holds {array.dtype}; embeddings are numbers")
        low, high = ends_of(array)
        if not (low >= -_LARGEST and high <= _LARGEST):  # so that NaN is refused too
            bad = (i for i, row in enumerate(array) if not (np.abs(row) <= _LARGEST).all())
            first = next(bad, 0)
            raise UserError(f"{where} contains NaN or infinite values, first in row #{first}")
        self._array, self.shape = array, (array.shape[1],)

    def __len__(self) -> int:
        return len(self._array)

    def read(self, ids: Tensor) -> Tensor:
        """See `ImageSet.read`; by adding 0, a zero has one sign, and equal rows equal bytes."""
        rows = self._array[ids.numpy()].astype(np.float32)
        return torch.from_numpy(np.ascontiguousarray(rows)).add_(0.0)


def open_points(source: Any, *, option: str, reading: Reading) -> ImageSet:
    """Opens embeddings: an array or tensor (N, F), or a .npy, .npz, .pt or .parquet file of them.

    Args:
        source: the place as `locate` takes it, ``file:KEY`` for one of several arrays or columns;
            or the numbers.
        option: of the command line, for messages.
        reading: of which only the memory counts.

    Raises:
        UserError: for what does not exist, cannot be told, is no (N, F), or holds NaN.
    """
    if isinstance(source, Tensor):
        source = to_numpy(source)
    if isinstance(source, np.ndarray):
        return NumericPoints(source, where=f"{option.removeprefix('--')} array")
    if not isinstance(source, Path | str):
        fix = "give an array or tensor (N, F), or a file"
        raise UserError(f"{option} cannot be a {type(source).__name__}; {fix}")
    location = locate_table(source, option=option)
    if location.kind == "parquet":
        with told(location.text):
            return _of_table(location, memory=reading.memory)
    (path,) = location.paths
    array, notes = load_array(path, key=location.key, axes=(2,), memory=reading.memory)
    points = NumericPoints(array, where=location.text)
    points.path, points.notes = path, notes
    return points


def _of_table(location: Location, *, memory: int) -> NumericPoints:
    """A column of lists of numbers; or where there is none, all columns of numbers but labels."""
    (path,) = location.paths
    file = open_parquet(path)
    import pyarrow as pa

    schema = file.schema_arrow
    lists = [field.name for field in schema if _is_list(pa, field.type)]
    scalars = [f.name for f in schema if _is_number(pa, f.type) and f.name != LABEL]
    rows = file.metadata.num_rows
    notes: tuple[str, ...] = ()
    if lists or location.key is not None or not scalars:
        found = {"where": location.text, "names": schema.names, "what": "embeddings"}
        name = one_column(location.key, lists, **found)
        _check_size(file, [name], where=location.text, memory=memory)
        column = file.read(columns=[name]).column(0)
        if not _is_list(pa, column.type) or column.null_count or not rows:
            raise UserError(f"{location.text} must hold lists of numbers, none of them missing")
        lengths = set(pa.compute.list_value_length(column).to_pylist())
        if len(lengths) != 1:
            raise UserError(f"{location.text} holds lists of {len(lengths)} lengths, not (N, F)")
        flat = np.concatenate([chunk.flatten().to_numpy(False) for chunk in column.chunks])
        array = flat.reshape(rows, *lengths)
    else:
        _check_size(file, scalars, where=location.text, memory=memory)
        array = np.stack([file.read([n])[n].to_numpy().astype(np.float64) for n in scalars], 1)
        left_out = [name for name in schema.names if name not in scalars]
        more = f"; passed over: {', '.join(left_out)}" if left_out else ""
        notes = (f"The rows of {path} were taken to be {', '.join(scalars)}{more}.",)
    points = NumericPoints(array, where=location.text)
    points.path, points.notes = path, notes
    names = [f"#{i}" for i in range(rows)]
    if (labels := labels_of([file], names)) is not None:
        points.classes, points.labels = labelling.numbered(list(labels.values()))
        points.notes += labelling.ignored(labels, names, where=location.text)
    return points


def _check_size(file: Any, names: Sequence[str], *, where: str, memory: int) -> None:
    """A `UserError` for columns whose numbers, 8 bytes each, do not fit the memory."""
    groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
    columns = [group.column(i) for group in groups for i in range(group.num_columns)]
    below = tuple(f"{name}." for name in names)
    size = 8 * sum(c.num_values for c in columns if f"{c.path_in_schema}.".startswith(below))
    if size > memory:
        fix = "save the array as .npy, which is not read whole, or give as much with --memory"
        raise UserError(f"{where} unpacks to {size / 2**20:,.0f} MiB; {fix}")


def _is_list(pa: Any, kind: Any) -> bool:
    types = pa.types
    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(is_list) and _is_number(pa, kind.value_type)


def _is_number(pa: Any, kind: Any) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))
