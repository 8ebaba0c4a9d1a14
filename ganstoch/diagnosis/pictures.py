"""Samples of the looks that matter: the best, where each present finding began, and the last."""

import io
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from ganstoch.diagnosis.history import History
from ganstoch.diagnosis.rules import quality
from ganstoch.diagnosis.signals import Signals
from ganstoch.diagnosis.verdicts import PERSIST
from ganstoch.errors import UserError
from ganstoch.pixels import Range, as_bytes, range_of
from ganstoch.records import write_atomically

SAMPLES = 64  # most samples of a look
BYTES = 2**24  # most bytes of a look, but for a single sample that is larger
_FILE = 2**29  # most bytes of a file that is read


def best_look(history: Sequence[Signals]) -> Signals | None:
    """The first look of the least `quality`; None where no look has any."""
    known = [signals for signals in history if math.isfinite(quality(signals))]
    return min(known, key=quality, default=None)


class Pictures:
    """Samples (S, ...) by the iteration of their look: uint8 images (S, C, H, W), else float32.

    ``real`` are training samples to show beside them, or None. Images are uint8 or floats, in
    [0, 1] or [0, 255] where real ones are, else in [-1, 1]; of their channels one or three are
    kept. ``names`` are those of a table's columns, of samples (S, D).
    """

    def __init__(self, real: Tensor | None = None, names: Sequence[str] = ()) -> None:
        self.names = tuple(names)
        self._range: Range = "symmetric"
        if real is not None and real.is_floating_point() and real.min() >= 0:
            ends = real.min().item(), real.max().item()
            self._range = "bytes" if range_of(*ends, floats=True) == "bytes" else "unit"
        self.real = None if real is None else self._kept(real)
        self.looks: dict[int, Tensor] = {}

    def look(self, iteration: int, samples: Tensor, history: History) -> None:
        """Takes up the samples (N, ...) of the look that the history ends with; drops old ones."""
        # A finding is made `PERSIST` looks after it began, so the last looks are kept until then.
        wanted = {signals.iteration for signals in history.signals[-PERSIST:]}
        wanted |= {f.since for f in history.diagnosed.findings} if history.diagnosed else set()
        if (best := best_look(history.signals)) is not None:
            wanted.add(best.iteration)
        looks = self.looks | {iteration: self._kept(samples)}
        self.looks = {at: each for at, each in looks.items() if at in wanted and len(each)}

    def _kept(self, samples: Tensor) -> Tensor:
        """The first samples, on the CPU; a copy, as a slice would keep all of them in memory."""
        samples = samples.detach().reshape(len(samples), *(samples.shape[1:] or (1,)))
        is_image = samples.ndim == 4 and samples.shape[1] <= 4
        size = samples[:1].numel() * (1 if is_image else 4)
        few = samples[: max(1, min(SAMPLES, BYTES // max(1, size)))].to("cpu", copy=True)
        if not is_image:
            return few.float()
        few = few[:, : 3 if few.shape[1] >= 3 else 1]
        return few if few.dtype == torch.uint8 else as_bytes(few.float().nan_to_num(), self._range)

    def save(self, path: Path) -> None:
        """Writes them as .npz: an array a look, named for its iteration; ``real``, ``names``."""
        arrays = {str(at): each.numpy() for at, each in self.looks.items()}
        arrays |= {} if self.real is None else {"real": self.real.numpy()}
        arrays |= {"names": np.array(self.names)} if self.names else {}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        write_atomically(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads them back; `UserError` for a file that is damaged or another's."""
        pictures, limits = cls(), {np.dtype(np.uint8), np.dtype(np.float32)}
        try:
            with zipfile.ZipFile(path) as file:
                if (size := sum(entry.file_size for entry in file.infolist())) > _FILE:
                    raise ValueError(f"{size:,} bytes of arrays")
            with np.load(path, allow_pickle=False) as stored:
                for name in stored.files:
                    each = stored[name]
                    if name == "names" and each.dtype.kind == "U":
                        pictures.names = tuple(each.flatten().tolist())
                        continue
                    wrong = each.dtype not in limits or each.ndim < 2 or 0 in each.shape
                    if wrong or len(each) > SAMPLES:
                        raise ValueError(f"{name} is {each.dtype} of shape {each.shape}")
                    if name == "real":
                        pictures.real = torch.from_numpy(each)
                    else:
                        pictures.looks[int(name)] = torch.from_numpy(each)
        except Exception as error:  # zipfile, zlib and numpy have many of their own
            raise UserError(f"{path} holds no samples of a run ({error}); remove it") from error
        return pictures
