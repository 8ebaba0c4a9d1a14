from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from ganstoch.data import Folder
from ganstoch.data.decoding import ScaleFilter
from ganstoch.errors import UserError

Colour = tuple[int, int, int]


def even(mode: str, value: object, size: tuple[int, int] = (32, 32)) -> Image.Image:
    return Image.new(mode, size, value)  # type: ignore[arg-type]


def read(root: Path, *, filter: ScaleFilter = "lanczos") -> torch.Tensor:
    images = Folder(filter).open(root, "train")
    assert images is not None
    return images.read(torch.arange(len(images)))


def names(root: Path, *, skip: bool = False) -> tuple[str, ...]:
    images = Folder(skip_unreadable=skip).open(root, "train")
    assert images is not None
    return images.names(torch.arange(len(images)))


def sixteen(value: int) -> Image.Image:
    return Image.fromarray(np.full((32, 32), value, np.uint16))


def palette(*colours: int) -> Image.Image:
    image = even("P", 1)
    image.putpalette(list(colours))
    return image


# --- modes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "ending", "options", "expected"),
    [
        (even("RGB", (10, 20, 30)), "png", {}, (10, 20, 30)),
        (even("RGB", (10, 20, 30)), "bmp", {}, (10, 20, 30)),
        (even("RGB", (10, 20, 30)), "webp", {"lossless": True}, (10, 20, 30)),
        (even("L", 77), "png", {}, (77, 77, 77)),
        (even("1", 1), "png", {}, (255, 255, 255)),
        (even("LA", (77, 255)), "png", {}, (77, 77, 77)),
        (even("LA", (77, 0)), "png", {}, (255, 255, 255)),
        (even("RGBA", (10, 20, 30, 255)), "png", {}, (10, 20, 30)),
        (even("RGBA", (10, 20, 30, 0)), "png", {}, (255, 255, 255)),
        (even("RGBA", (0, 51, 255, 51)), "png", {}, (204, 214, 255)),  # 4/5 white
        (palette(1, 2, 3, 40, 50, 60), "png", {}, (40, 50, 60)),
        (palette(1, 2, 3, 40, 50, 60), "gif", {}, (40, 50, 60)),
        (palette(1, 2, 3, 40, 50, 60), "png", {"transparency": 1}, (255, 255, 255)),
        (palette(1, 2, 3, 40, 50, 60), "png", {"transparency": 0}, (40, 50, 60)),
        (palette(1, 2, 3, 0, 51, 255), "png", {"transparency": b"\xff\x33"}, (204, 214, 255)),
        (even("RGB", (9, 9, 9)), "png", {"transparency": (9, 9, 9)}, (255, 255, 255)),
        (even("CMYK", (255, 0, 0, 0)), "tif", {}, (0, 255, 255)),
        (even("CMYK", (0, 0, 0, 255)), "tif", {}, (0, 0, 0)),
        (sixteen(65535), "png", {}, (255, 255, 255)),
        (sixteen(0), "png", {}, (0, 0, 0)),
        (sixteen(257 * 100 + 128), "png", {}, (100, 100, 100)),
        (sixteen(257 * 100 + 129), "png", {}, (101, 101, 101)),
        (sixteen(257 * 100), "tif", {}, (100, 100, 100)),
        (even("I", 257 * 100), "tif", {}, (100, 100, 100)),
    ],
)
def test_every_mode_becomes_rgb(
    tmp_path: Path, image: Image.Image, ending: str, options: dict[str, object], expected: Colour
) -> None:
    image.save(tmp_path / f"a.{ending}", **options)  # type: ignore[arg-type]
    pixels = read(tmp_path)
    assert pixels.shape == (1, 3, 32, 32)
    assert pixels.dtype == torch.uint8
    assert torch.equal(
        pixels, torch.tensor(expected, dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    )


def test_big_endian_sixteen_bits(tmp_path: Path) -> None:
    # A PGM file holds the high byte first.
    content = b"P5 32 32 65535\n" + struct.pack(">H", 257 * 100) * 1024
    (tmp_path / "a.pgm").write_bytes(content)
    assert set(read(tmp_path).flatten().tolist()) == {100}


@pytest.mark.parametrize(
    ("image", "reason"),
    [(even("F", 0.5), "floating-point"), (even("I", 65536), "16 bits"), (even("I", -1), "16 bits")],
)
def test_refuses_values_of_unknown_range(tmp_path: Path, image: Image.Image, reason: str) -> None:
    image.save(tmp_path / "a.tif")
    with pytest.raises(UserError, match=rf"cannot read {tmp_path}/a.tif \(.*{reason}"):
        read(tmp_path)


def test_a_32_pixel_image_is_untouched(
    tmp_path: Path, noise: Callable[[int], NDArray[np.uint8]]
) -> None:
    expected = noise(1)[0]
    Image.fromarray(expected.transpose(1, 2, 0)).save(tmp_path / "a.png")
    assert np.array_equal(read(tmp_path)[0].numpy(), expected)


def test_jpeg_pixels_are_pillows(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.arange(32, dtype=np.uint8)[:, None, None] * 8, (32, 32, 3))
    Image.fromarray(np.ascontiguousarray(ramp)).save(tmp_path / "a.JPEG", quality=95)
    assert (
        read(tmp_path)[0].int() - torch.from_numpy(ramp.copy()).permute(2, 0, 1)
    ).abs().max() <= 3


# --- geometry ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "height"), [(48, 32), (32, 48), (33, 32), (32, 32)])
def test_crops_the_centre(
    tmp_path: Path, rng: np.random.Generator, width: int, height: int
) -> None:
    whole = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(whole).save(tmp_path / "a.png")
    left, top = (width - 32) // 2, (height - 32) // 2
    expected = whole[top : top + 32, left : left + 32].transpose(2, 0, 1)
    assert np.array_equal(read(tmp_path)[0].numpy(), expected)


def test_scales_the_central_square(
    tmp_path: Path, noise: Callable[[int], NDArray[np.uint8]]
) -> None:
    small = noise(1)[0].transpose(1, 2, 0)
    square = np.kron(small, np.ones((2, 2, 1), np.uint8))
    margin = np.full((64, 13, 3), 255, np.uint8)
    Image.fromarray(np.concatenate([margin, square, margin], 1)).save(tmp_path / "a.png")
    assert np.array_equal(read(tmp_path, filter="box")[0].numpy(), small.transpose(2, 0, 1))
    lanczos = np.asarray(Image.fromarray(square).resize((32, 32), Image.Resampling.LANCZOS))
    assert np.array_equal(read(tmp_path)[0].numpy(), lanczos.transpose(2, 0, 1))


def test_enlarges_a_small_image(tmp_path: Path) -> None:
    even("RGB", (1, 2, 3), (5, 9)).save(tmp_path / "a.png")
    assert read(tmp_path)[0, :, 0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
def test_obeys_the_rotation_mark(tmp_path: Path, ending: str) -> None:
    upright = np.zeros((32, 32, 3), np.uint8)
    upright[:4, :8] = 200
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn me right by a quarter"
    lying = Image.fromarray(np.rot90(upright).copy())
    options = {"lossless": True} if ending == "webp" else {}
    lying.save(tmp_path / f"a.{ending}", exif=exif, **options)
    assert np.array_equal(read(tmp_path)[0].numpy(), upright.transpose(2, 0, 1))


# --- what is wrong with a file -------------------------------------------------------------------


def broken(path: Path, kind: str) -> None:
    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("not found")
    else:
        image.save(path, format=kind)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("kind", ["empty", "text", "JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF"])
def test_an_unreadable_file_is_named(tmp_path: Path, kind: str) -> None:
    broken(tmp_path / "b.png", kind)
    even("RGB", 0).save(tmp_path / "a.png")
    images = Folder().open(tmp_path, "train")
    assert images is not None
    assert len(images.read(torch.tensor([0]))) == 1  # only what is read is decoded
    with pytest.raises(UserError, match=rf"cannot read {tmp_path}/b.png .*skip_unreadable=true"):
        images.read(torch.tensor([0, 1]))


@pytest.mark.parametrize("kind", ["empty", "text", "JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF"])
def test_an_unreadable_file_is_skipped_on_request(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "c"):
        even("RGB", 0).save(tmp_path / f"{name}.png")
    broken(tmp_path / "b.png", kind)
    assert names(tmp_path, skip=True) == ("a.png", "c.png")
    assert f"cannot read {tmp_path}/b.png" in capsys.readouterr().err
    assert names(tmp_path) == ("a.png", "b.png", "c.png")


def test_nothing_but_unreadable_files(tmp_path: Path) -> None:
    broken(tmp_path / "b.png", "text")
    with pytest.raises(UserError, match="no images under"):
        names(tmp_path, skip=True)


@pytest.mark.parametrize("limit", [1023, 600, 500])  # Pillow warns above it, and raises above twice
def test_refuses_a_decompression_bomb(
    tmp_path: Path, limit: int, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    even("RGB", 0).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(
        UserError, match=rf"cannot read {tmp_path}/a.png \(more than {limit} pixels"
    ):
        read(tmp_path)
    assert not list(recwarn)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1024)
    assert len(read(tmp_path)) == 1


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99)))
    (tmp_path / "a.png").write_bytes(png + chunk(b"IEND", b""))
    with pytest.raises(UserError, match=r"a.png \(more than \d+ pixels: too large"):
        read(tmp_path)


def test_no_other_program_draws_an_image(tmp_path: Path) -> None:
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\nshowpage\n"
    (tmp_path / "a.png").write_bytes(postscript)
    (tmp_path / "b.eps").write_bytes(postscript)
    assert names(tmp_path) == ("a.png",)
    with pytest.raises(UserError, match=r"cannot read .*a.png \(no image, or empty\)"):
        read(tmp_path)
