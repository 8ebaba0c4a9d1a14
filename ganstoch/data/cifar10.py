"""CIFAR-10 as its authors publish it: six pickled batches in ``cifar-10-batches-py``."""

from __future__ import annotations

import os
import pickle
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganstoch.data.download import fetch, has_md5
from ganstoch.data.preparing import once
from ganstoch.data.source import SIDE, ArrayImages, Source, require_folder
from ganstoch.errors import UserError
from ganstoch.types import Split

__all__ = ["CIFAR10"]

_FOLDER = "cifar-10-batches-py"
_BATCHES: dict[Split, tuple[str, ...]] = {
    "train": tuple(f"data_batch_{i}" for i in range(1, 6)),
    "held_out": ("test_batch",),
}
_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck"


class CIFAR10(Source):
    """50,000 training images of ten classes; its 10,000 test images are the held-out ones."""

    name = "cifar10"
    summary = "CIFAR-10, 50,000 + 10,000 photographs, 32x32 (170 MB)"

    def open(self, root: Path, split: Split) -> ArrayImages:
        """Reads the batches of a split.

        Args:
            root: the folder that holds ``cifar-10-batches-py``.
            split: ``train`` or ``held_out``.

        Raises:
            UserError: if a batch is missing or damaged.
        """
        fix = f"run: ganstoch prepare cifar10 --root {root}"
        require_folder(root / _FOLDER, holds=f"the folder above {_FOLDER}, or {fix}")
        batches = [_read_batch(root / _FOLDER / name, fix=fix) for name in _BATCHES[split]]
        return ArrayImages(
            torch.cat([pixels for pixels, _ in batches]),
            split=split,
            labels=torch.cat([labels for _, labels in batches]),
            classes=tuple(_CLASSES.split()),
        )

    def prepare(self, root: Path) -> None:
        """Downloads and unpacks the archive unless every batch is there with its published MD5.

        Args:
            root: the folder to put ``cifar-10-batches-py`` in.

        Raises:
            UserError: if the download fails.
        """
        from torchvision.datasets import CIFAR10 as Published

        files = [*Published.train_list, *Published.test_list]
        folder, archive = root / _FOLDER, root / Published.filename

        def look() -> Path | None:
            return folder if all(has_md5(folder / name, md5) for name, md5 in files) else None

        if look() is None:
            fetch(archive, url=Published.url, md5=Published.tgz_md5)
            doing = f"unpack {archive.name}"
            once(folder, doing=doing, look=look, make=lambda: _unpack(archive, root))
        for split in _BATCHES:
            self.open(root, split)


def _unpack(archive: Path, root: Path) -> Path:
    """Moves each file of the archive to its place once all are unpacked; UserError if it cannot."""
    try:
        with tempfile.TemporaryDirectory(dir=root, prefix=f".{_FOLDER}.") as folder:
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
            files = list((Path(folder) / _FOLDER).iterdir())
            (root / _FOLDER).mkdir(exist_ok=True)
            for file in files:
                os.replace(file, root / _FOLDER / file.name)
    except (OSError, tarfile.TarError) as error:
        raise UserError(f"cannot unpack {archive} ({error}); free space and try again") from error
    return root / _FOLDER


def _read_batch(path: Path, *, fix: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels, uint8 (N, 3, 32, 32), and labels, int64 (N,), of one batch file."""
    try:
        with path.open("rb") as file:
            batch = _Unpickler(file, encoding="bytes").load()
        pixels, labels = batch[b"data"], np.asarray(batch[b"labels"])
        if pixels.dtype != np.uint8 or pixels.shape != (len(labels), 3 * SIDE * SIDE):
            raise ValueError(f"pixels are {pixels.dtype} {pixels.shape} for {len(labels)} labels")
        if labels.dtype != np.int64 or not ((labels >= 0) & (labels <= 9)).all():
            raise ValueError("labels beyond 0 .. 9")
    except FileNotFoundError as error:
        raise UserError(f"no {path}; {fix}") from error
    except Exception as error:  # a damaged pickle raises almost anything
        raise UserError(f"{path} is damaged ({error}); {fix}") from error
    pixels = torch.from_numpy(pixels.copy()).reshape(-1, 3, SIDE, SIDE)
    return pixels, torch.from_numpy(labels)


class _Unpickler(pickle.Unpickler):
    """Builds arrays, dicts, lists, strings and numbers; calls nothing else a file may name."""

    def find_class(self, module: str, name: str) -> Any:
        """The few names a batch needs.

        Raises:
            pickle.UnpicklingError: for any other name.
        """
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return np.empty(0).__reduce__()[0]  # the function's home depends on NumPy's version
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes in protocol 2
            return lambda text, _codec: text.encode("latin1")
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no image needs")
