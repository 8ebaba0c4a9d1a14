"""Folders of images and files of arrays that anybody may have made."""

from __future__ import annotations

import gzip
import io
import math
import os
import pickle
import shutil
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

HOSTILE = settings(settings.get_profile("hostile"), max_examples=60)
COUNT = 24
"""Images of a set; an audit wants 20."""
SHAPE = (COUNT, 3, 8, 8)


class Pwned:
    """Unpickled by anybody who believes a file, it leaves a file behind."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch pwned",)


@pytest.fixture(scope="module")
def good(ground: Any) -> Path:
    """A folder of images that can be read."""
    folder: Path = ground.folder / "good"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(COUNT - 1):
        pixels = rng.integers(0, 256, SHAPE[:0:-1], dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
    return folder


def picture(form: str, side: int = 8) -> bytes:
    """A small image of a format."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(1).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + crc


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """A PNG file that says it has this size."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"".join([b"\x89PNG\r\n\x1a\n", header, *chunks, chunk(b"IEND", b"")])


def large_jpeg(width: int, height: int) -> bytes:
    """A JPEG file whose header is of another size than its pixels."""
    content = bytearray(picture("JPEG"))
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(content)


SIZES = st.integers(9_500, 65_535)
FORMATS = st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "TGA", "ICO"])
IMAGES = st.one_of(
    st.binary(max_size=200),
    st.tuples(FORMATS, st.floats(0, 0.5)).map(
        lambda cut: picture(cut[0])[: int(cut[1] * len(picture(cut[0])))]
    ),
    st.tuples(SIZES, SIZES).map(
        lambda size: png(*size, chunk(b"IDAT", zlib.compress(bytes(10**6))))
    ),
    st.tuples(SIZES, SIZES).map(lambda size: large_jpeg(*size)),
    st.tuples(SIZES, SIZES).map(lambda size: b"P6 %d %d 255\n" % size),
    st.integers(1, 4).map(lambda i: png(8 * (i // 3), 8 * (i % 2))),
    st.sampled_from([b"zTXt", b"iCCP"]).map(
        lambda kind: png(8, 8, chunk(kind, b"k\0\0" + zlib.compress(bytes(200_000_000))))
    ),
    st.just(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(touch pwned)\n"),
    st.just(b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>"),
    st.just(b"Pf\n8 8\n-1.0\n" + struct.pack("192f", *[math.nan] * 192)),
    st.just(pickle.dumps(Pwned())),
    st.just(gzip.compress(bytes(10**6))),
)
NAMES = st.sampled_from(
    [
        *("x.png", "x.jpg", "x.JPEG", "a\nb.png", "\x1b[2J.png", "\u202egpj.png", "=1+1.png"),
        *("é.gif", "<script>alert(1)<.png", "%s.png", "-rf.png", "x" * 240 + ".png"),
        os.fsdecode(b"\xff\xfe.png"),
    ]
)


def train_on(root: Path | str, counted: Any) -> None:
    words = [*counted.fit, f"--data.n={COUNT}", "--data.source=Folder", f"--data.root={root}"]
    counted.refuses(*words, "--out=out")


@settings(HOSTILE, max_examples=90)
@given(content=IMAGES, name=NAMES, trained=st.booleans())
def test_one_bad_image(content: bytes, name: str, trained: bool, good: Path, counted: Any) -> None:
    bad = good / name
    bad.write_bytes(content)
    if trained:
        train_on(good, counted)
    else:
        counted.refuses("audit", "--real", good, "--generated", good)
    bad.unlink()


def npy(shape: str, kind: str = "|u1", body: bytes = bytes(math.prod(SHAPE))) -> bytes:
    """A .npy file whose header is ours to write."""
    header = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header + body


def zipped(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def saved(thing: Any, *, new: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(thing, buffer, _use_new_zipfile_serialization=new)
    return buffer.getvalue()


LENGTH = st.sampled_from([-1, 0, 10**30, 2**62, 2**63, 10**9]) | st.integers(25, 10**18)
SHAPES = st.one_of(
    LENGTH.map(lambda length: f"({length}, 3, 8, 8)"),
    LENGTH.map(lambda length: f"(24, 3, {length}, 8)"),
    st.sampled_from(
        ["()", "(4608,)", "(24, 5, 8, 8)", "'x'", "(2.5, 3, 8, 8)", "None", "(24, 3, 8, 3)"]
    ),
    st.just("(" * 3000 + ")" * 3000),
)
KINDS = st.sampled_from(["|u1", "<f4", "<f8"])
ODD = st.sampled_from(
    ["|O", "|V3", "<c16", "<M8[D]", "|S9", "<U4", "<i8", "|b1", "|S999999999999", "x"]
)
TENSORS = [
    torch.zeros(1, 3, 8, 8, dtype=torch.uint8).expand(10**9, 3, 8, 8),
    torch.zeros(SHAPE).to_sparse(),
    torch.zeros(SHAPE, dtype=torch.complex64),
    torch.empty(SHAPE, device="meta"),
    torch.full(SHAPE, math.inf, dtype=torch.bfloat16),
    torch.zeros(SHAPE, dtype=torch.complex64).conj().imag,
    [1, 2],
    {"a": {"b": 1}},
    {"a": torch.zeros(SHAPE), "b": torch.zeros(SHAPE)},
    Pwned(),
    {"images": Pwned()},
]
WHOLE = saved(torch.zeros(SHAPE, dtype=torch.uint8))


def recompressed() -> bytes:
    """A file of torch.save whose numbers unpack to 2 GB."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(WHOLE)) as source,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in source.namelist():
            if name.endswith("data/0"):
                with archive.open(name, "w", force_zip64=True) as entry:
                    for _ in range(200):
                        entry.write(bytes(10**7))
            else:
                archive.writestr(name, source.read(name))
    return buffer.getvalue()


ARRAYS: st.SearchStrategy[tuple[str, bytes]] = st.one_of(
    st.tuples(SHAPES, KINDS).map(lambda made: ("x.npy", npy(*made))),
    ODD.map(lambda kind: ("x.npy", npy(str(SHAPE), kind, pickle.dumps(Pwned()) + bytes(10**5)))),
    st.tuples(SHAPES, KINDS).map(lambda made: ("x.npz", zipped("images.npy", npy(*made)))),
    ODD.map(lambda kind: ("x.npz", zipped("images.npy", npy(str(SHAPE), kind, bytes(99))))),
    st.sampled_from(["../../pwned.npy", "/pwned.npy", "C:\\pwned.npy", "a\nb.npy"]).map(
        lambda name: ("x.npz", zipped(name, npy("(4,)")))
    ),
    st.sampled_from([math.nan, math.inf, 300.0, -0.25]).map(
        lambda value: ("x.npy", npy(str(SHAPE), "<f4", struct.pack("<f", value) * math.prod(SHAPE)))
    ),
    st.tuples(st.sampled_from(TENSORS), st.booleans()).map(
        lambda made: ("x.pt", saved(made[0], new=made[1]))
    ),
    st.integers(0, len(WHOLE) * 9 // 10).map(lambda end: ("x.pt", WHOLE[:end])),
    st.sampled_from(["x.pt", "x.npz", "x.npy", "x.pth"]).map(lambda n: (n, pickle.dumps(Pwned()))),
    st.tuples(st.sampled_from(["x.pt", "x.npz", "x.npy"]), st.binary(max_size=99)),
)


@HOSTILE
@given(made=ARRAYS)
def test_arrays(made: tuple[str, bytes], good: Path, counted: Any) -> None:
    name, content = made
    (counted.folder / name).write_bytes(content)
    counted.refuses("audit", "--real", name, "--generated", good)
    (counted.folder / name).unlink()


def test_arrays_that_unpack_to_gigabytes(good: Path, counted: Any) -> None:
    for name, content in (
        ("x.npz", zipped("images.npy", npy("(3000000, 3, 16, 16)", body=bytes(10**9)))),
        ("x.pt", recompressed()),
    ):
        (counted.folder / name).write_bytes(content)
        counted.refuses("audit", "--real", name, "--generated", good)
        (counted.folder / name).unlink()


def test_what_is_no_file(good: Path, counted: Any) -> None:
    here: Path = counted.folder
    for name in ("x.npy", "x.png", "x"):
        for make in (
            os.mkfifo,
            lambda path: path.symlink_to(path.name),
            lambda path: path.symlink_to("/dev/zero"),
            lambda path: path.symlink_to("nowhere"),
            lambda path: path.mkdir(),
            lambda path: (path.mkdir(), (path / "loop").symlink_to(path)),
        ):
            make(here / name)
            counted.refuses("audit", "--real", name, "--generated", good)
            train_on(name, counted)
            if (here / name).is_dir() and not (here / name).is_symlink():
                shutil.rmtree(here / name)
            else:
                (here / name).unlink()
