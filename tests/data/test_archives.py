"""Archives that would write elsewhere, or unpack to more than there is room for."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from ganstoch.data import SVHN, FashionMNIST
from ganstoch.data.cifar10 import _unpack
from ganstoch.errors import UserError

OUTSIDE = {
    "above": ("../pwned", tarfile.REGTYPE, ""),
    "absolute": ("/tmp/ganstoch-pwned", tarfile.REGTYPE, ""),
    "through a link": ("cifar-10-batches-py/away", tarfile.SYMTYPE, "../../.."),
    "a hard link": ("cifar-10-batches-py/away", tarfile.LNKTYPE, "/etc/passwd"),
    "a device": ("cifar-10-batches-py/away", tarfile.CHRTYPE, ""),
}


@pytest.mark.parametrize("kind", OUTSIDE)
def test_a_tar_file_writes_nothing_outside(kind: str, tmp_path: Path) -> None:
    name, form, target = OUTSIDE[kind]
    root = tmp_path / "root"
    root.mkdir()
    with tarfile.open(root / "x.tar", "w") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = form, target
        tar.addfile(member, io.BytesIO())
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="cannot unpack"):
        _unpack(root / "x.tar", root)
    assert sorted(tmp_path.rglob("*")) == before
    assert not Path("/tmp/ganstoch-pwned").exists()


def test_a_gzip_file_that_unpacks_to_gigabytes(tmp_path: Path) -> None:
    for name in ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"):
        header = struct.pack(">4I", 0x0803, 10**6, 28, 28)
        (tmp_path / name).write_bytes(gzip.compress(header + bytes(10**7)))
    with pytest.raises(UserError, match="announces 784000000 values, no such set has as many"):
        FashionMNIST().open(tmp_path, "train")


def test_a_matlab_file_that_says_it_is_too_large(tmp_path: Path) -> None:
    file = tmp_path / "train_32x32.mat"
    pixels = np.zeros((32, 32, 3, 100), np.uint8)
    savemat(file, {"X": pixels, "y": np.ones((100, 1), np.uint8)})
    content = bytearray(file.read_bytes())
    at = content.index(struct.pack("<4i", 32, 32, 3, 100))
    content[at : at + 16] = struct.pack("<4i", 32, 32, 3, 10**6)
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"X is said to have the shape \(32, 32, 3, 1000000\)"):
        SVHN().open(tmp_path, "train")
