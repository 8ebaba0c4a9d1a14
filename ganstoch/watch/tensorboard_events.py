"""TensorBoard's event files, by TensorBoard's own loader, which goes on where it stopped."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ganstoch.errors import UserError
from ganstoch.watch.series import Log, Row


class EventRows:
    """Scalars of a folder's event files, in the files' order; a subfolder's name begins theirs."""

    def __init__(self, log: Log, files: Sequence[Path]) -> None:
        self._log, self._files = log, files
        self._loaders: list[tuple[str, Any]] = []
        log.unit = "step"

    def _open(self) -> None:
        try:
            from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
        except ImportError as error:
            fix = "pip install 'ganstoch[logs]'"
            raise UserError(f"{self._files[0]} is read by tensorboard: {fix}") from error
        for file in self._files:
            inner = file.parent.relative_to(self._log.path) if self._log.path != file else Path()
            prefix = f"{inner.as_posix()}/" if inner.parts else ""
            self._loaders.append((prefix, EventFileLoader(str(file))))

    def rows(self) -> Iterator[Row]:
        """What is new."""
        from google.protobuf.message import DecodeError

        if not self._loaders:
            self._open()
        for prefix, loader in self._loaders:
            try:
                for event in loader.Load():
                    for value in event.summary.value:
                        if (number := _scalar(value)) is not None:
                            yield float(event.step), {prefix + value.tag: number}
            except (DecodeError, ValueError, OSError) as error:
                self._log.note(f"an event file is damaged ({type(error).__name__}): read so far")


def _scalar(value: Any) -> float | None:
    """A summary's number, of old and new kinds; None for pictures, texts and histograms."""
    if value.HasField("simple_value"):
        return float(value.simple_value)
    tensor = value.tensor
    if not value.HasField("tensor") or any(d.size != 1 for d in tensor.tensor_shape.dim):
        return None
    for field in ("float_val", "double_val", "int_val", "int64_val"):
        if numbers := getattr(tensor, field):
            return float(numbers[0])
    raw = tensor.tensor_content
    if tensor.dtype in (1, 2) and len(raw) == 4 * tensor.dtype:  # DT_FLOAT, DT_DOUBLE
        return float(struct.unpack("<f" if tensor.dtype == 1 else "<d", raw)[0])
    return None
