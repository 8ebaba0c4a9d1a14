"""Files of arrays whose headers promise more than a machine has, or names that are programs."""

from __future__ import annotations

import io
import resource
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from ganstoch.auditing.audit import audit
from ganstoch.auditing.inputs import open_images
from ganstoch.cli import main
from ganstoch.errors import UserError


def header(shape: str) -> bytes:
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", content)
    return buffer.getvalue()


HUGE = ["(10000000000000000000000, 3, 8, 8)", "(4611686018427387904, 3, 8, 8)", "(-1, 3, 8, 8)"]


@pytest.mark.parametrize("shape", [*HUGE, "(100000000, 3, 8, 8)"])
@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_a_header_that_promises_too_much(shape: str, ending: str, tmp_path: Path) -> None:
    content = header(shape) + bytes(1000)
    file = tmp_path / f"x.{ending}"
    file.write_bytes(content if ending == "npy" else zipped(content))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=r"cannot read .*x\.np|unpacks to 18,311 MiB"):
        open_images(file, role="real")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**17


def test_an_archive_that_unpacks_to_more_than_it_may(tmp_path: Path) -> None:
    file = tmp_path / "x.npz"
    file.write_bytes(zipped(header("(100000, 3, 8, 8)") + bytes(192 * 10**5)))
    with pytest.raises(UserError, match=r"unpacks to 18 MiB; save the array as \.npy"):
        open_images(file, role="real", memory=2**24)
    assert len(open_images(file, role="real", memory=2**25)) == 10**5


def test_a_recompressed_file_of_torch(tmp_path: Path) -> None:
    torch.save(torch.zeros(30, 3, 8, 8, dtype=torch.uint8), tmp_path / "x.pt")
    with (
        zipfile.ZipFile(tmp_path / "x.pt") as source,
        zipfile.ZipFile(tmp_path / "y.pt", "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in source.namelist():
            archive.writestr(name, source.read(name))
    with pytest.raises(UserError, match=r"y\.pt was compressed"):
        open_images(tmp_path / "y.pt", role="real")


def test_a_jpeg_that_promises_too_much(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "x.jpg")
    content = bytearray((tmp_path / "x.jpg").read_bytes())
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = b"\xff\xff\xff\xff"
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(UserError, match="too large to unpack safely"):
        open_images(tmp_path, role="real")


def test_no_fits_whose_numbers_are_unpacked_before_their_size_is_known(tmp_path: Path) -> None:
    (tmp_path / "x.fits").write_bytes(b"SIMPLE  =                    T" + b" " * 2850)
    with pytest.raises(UserError, match="no images under"):
        open_images(tmp_path, role="real")


def test_names_that_are_programs(split: Any, folder: Callable[..., Path], tmp_path: Path) -> None:
    digits = split(train=60, fresh=40, held_out=40)
    train = folder("train", digits.train, digits.labels)
    for i, label in enumerate(sorted(p for p in train.iterdir())):
        label.rename(train / f"<script>alert({i})<&script>")
    made = folder("<img src=x onerror=alert(1)>", digits.fresh)
    audit(train, made, out=tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "&lt;script&gt;alert(" in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "<script" not in page
    assert "<img src=x" not in page


def test_memory_without_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--memory", "9" * 400]) == 2
    assert "--memory must be a size such as 2GiB" in capsys.readouterr().err
