"""Folders of images and files of arrays that anybody may have made.

Files that promise or unpack to more than there is room for are in tests/data.
"""

import gzip
import io
import math
import os
import pickle
import shutil
import struct
import zipfile
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


def picture(form: str = "PNG", *, seed: int = 0) -> bytes:
    """A small image of a format."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, SHAPE[:0:-1], dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def good(ground: Any) -> Path:
    """A folder of images that can be read."""
    folder: Path = ground.folder / "good"
    folder.mkdir()
    for i in range(COUNT - 1):
        (folder / f"{i:02}.png").write_bytes(picture(seed=i))
    return folder


FORMATS = st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "TGA", "ICO"])
IMAGES = st.one_of(
    st.binary(max_size=200),
    st.tuples(FORMATS, st.floats(0, 0.5)).map(
        lambda cut: picture(cut[0])[: int(cut[1] * len(picture(cut[0])))]
    ),
    st.integers(9_500, 65_535).map(lambda side: b"P6 %d %d 255\n" % (side, side)),
    st.sampled_from(
        [
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(touch pwned)\n",
            b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>",
            b"Pf\n8 8\n-1.0\n" + struct.pack("192f", *[math.nan] * 192),
            pickle.dumps(Pwned()),
            gzip.compress(bytes(10**6)),
        ]
    ),
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


def npy(shape: object, kind: str, body: bytes) -> bytes:
    """A .npy file whose header is ours to write."""
    header = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header + body


def zipped(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def saved(thing: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(thing, buffer)
    return buffer.getvalue()


SHAPES = st.sampled_from(
    ["()", "(4608,)", "(24, 5, 8, 8)", "'x'", "(2.5, 3, 8, 8)", "None", "(" * 3000 + ")" * 3000]
)
ODD = st.sampled_from(["|O", "|V3", "<c16", "<M8[D]", "<U4", "<i8", "|b1", "|S999999999999", "x"])
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
    {"images": Pwned()},
]
ENDINGS = ["x.pt", "x.npz", "x.npy", "x.pth"]
ARRAYS: st.SearchStrategy[tuple[str, bytes]] = st.one_of(
    SHAPES.map(lambda shape: ("x.npy", npy(shape, "|u1", bytes(math.prod(SHAPE))))),
    ODD.map(lambda kind: ("x.npy", npy(SHAPE, kind, pickle.dumps(Pwned()) + bytes(10**5)))),
    ODD.map(lambda kind: ("x.npz", zipped("images.npy", npy(SHAPE, kind, bytes(99))))),
    st.sampled_from(["../../pwned.npy", "/pwned.npy", "C:\\pwned.npy", "a\nb.npy"]).map(
        lambda name: ("x.npz", zipped(name, npy("(4,)", "|u1", bytes(4))))
    ),
    st.sampled_from([math.nan, math.inf, 300.0, -0.25]).map(
        lambda value: ("x.npy", npy(SHAPE, "<f4", struct.pack("<f", value) * math.prod(SHAPE)))
    ),
    st.sampled_from(TENSORS).map(lambda thing: ("x.pt", saved(thing))),
    st.tuples(st.sampled_from(ENDINGS), st.binary(max_size=99) | st.just(pickle.dumps(Pwned()))),
)


@HOSTILE
@given(made=ARRAYS)
def test_arrays(made: tuple[str, bytes], good: Path, counted: Any) -> None:
    name, content = made
    (counted.folder / name).write_bytes(content)
    counted.refuses("audit", "--real", name, "--generated", good)
    (counted.folder / name).unlink()


def test_what_is_no_file(good: Path, counted: Any) -> None:
    for name in ("x.npy", "x.png", "x"):
        path: Path = counted.folder / name
        for target in (None, name, "/dev/zero", "nowhere"):
            if target is None:
                os.mkfifo(path)
            else:
                path.symlink_to(target)
            counted.refuses("audit", "--real", name, "--generated", good)
            train_on(name, counted)
            path.unlink()
        path.mkdir()
        (path / "loop").symlink_to(path)
        counted.refuses("audit", "--real", name, "--generated", good)
        train_on(name, counted)
        shutil.rmtree(path)
