"""A folder of files as a user has it: any format, nested, linked, half-copied."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from ganstoch.auditing.inputs import open_images
from ganstoch.data import decoding
from ganstoch.data import images as images_module
from ganstoch.errors import UserError

RNG = np.random.default_rng(0)


def noise(*shape: int) -> NDArray[np.uint8]:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def refused(source: Path, *, resize: int | None = None) -> str:
    """The one line that says what is wrong, from opening or, at the latest, from the first pass."""
    with pytest.raises(UserError) as caught:
        open_images(source, role="generated", resize=resize).sha256()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_nested_files_in_order_with_names_and_classes(tmp_path: Path) -> None:
    names = ("a/2.png", "b/1.bmp", "b/deep/0.png", "c/9.tiff")
    pixels = {name: save(tmp_path / name, noise(6, 8, 3)) for name in reversed(names)}
    save(tmp_path / ".hidden" / "x.png", noise(3, 3, 3))
    save(tmp_path / "a" / ".x.png", noise(3, 3, 3))
    (tmp_path / "readme.txt").write_text("no image")
    images = open_images(tmp_path, role="real")
    assert len(images) == 4
    assert images.shape == (3, 6, 8)
    assert images.names(torch.tensor([3, 0, 0])) == ("c/9.tiff", "a/2.png", "a/2.png")
    assert images.labels == ("a", "b", "b", "c")
    assert (images.where, images.path, images.role) == (str(tmp_path), tmp_path, "real")
    found = images.read(torch.tensor([2, 0]))
    assert found.dtype == torch.uint8
    assert found.is_contiguous()
    assert np.array_equal(found[0].permute(1, 2, 0), pixels["b/deep/0.png"])
    assert np.array_equal(found[1].permute(1, 2, 0), pixels["a/2.png"])
    whole = np.stack([pixels[name].transpose(2, 0, 1) for name in names])
    assert images.sha256() == hashlib.sha256(whole.tobytes()).hexdigest()
    assert len(set(images.digests())) == 4


@pytest.mark.parametrize(
    "names", [("a.png", "b.png"), ("x/a.png", "x/b.png"), ("x/a.png", "b.png")]
)
def test_no_classes_without_two_folders_that_hold_everything(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    for name in names:
        save(tmp_path / name, noise(4, 4, 3))
    assert open_images(tmp_path, role="real").labels is None


@pytest.mark.parametrize("kept", [0, 2**28])
def test_decoded_once_where_it_fits(
    kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images_module, "_CACHED_BYTES", kept)
    for i in range(40):
        save(tmp_path / f"{i:02}.png", noise(4, 4, 3))
    opened = []
    decode = decoding.decode

    def counting(path: Path, *, fix: str) -> Image.Image:
        opened.append(path.name)
        return decode(path, fix=fix)

    monkeypatch.setattr(decoding, "decode", counting)
    images = open_images(tmp_path, role="real")
    ids = torch.tensor([7, 3, 7])
    first = images.read(ids)
    everything = images.read(torch.arange(40))
    assert torch.equal(everything[ids], first)
    assert torch.equal(images.read(ids), first)
    if kept:
        assert sorted(opened) == [f"{i:02}.png" for i in range(40)]
    else:
        assert len(opened) == 46
    first.zero_()  # a reader's own copy
    assert torch.equal(images.read(ids), everything[ids])


def test_grey_folders_have_one_channel(tmp_path: Path) -> None:
    grey = save(tmp_path / "grey" / "a.png", noise(5, 5))
    high = noise(5, 5)
    Image.fromarray(high.astype(np.uint16) * 257).save(tmp_path / "grey" / "b.png")
    Image.fromarray(np.eye(5) > 0).save(tmp_path / "grey" / "c.png")  # one bit a pixel
    images = open_images(tmp_path / "grey", role="real")
    assert images.shape == (1, 5, 5)
    found = images.read(torch.arange(3))[:, 0]
    assert np.array_equal(found[0], grey)
    assert np.array_equal(found[1], high)
    assert torch.equal(found[2], torch.eye(5, dtype=torch.uint8) * 255)
    # One colour image makes the set one of colours, in which grey is grey.
    save(tmp_path / "grey" / "d.png", noise(5, 5, 3))
    mixed = open_images(tmp_path / "grey", role="real")
    assert mixed.shape == (3, 5, 5)
    assert np.array_equal(mixed.read(torch.tensor([0]))[0, 1], grey)


def test_mixed_sizes_name_two_files_and_the_fix(tmp_path: Path) -> None:
    save(tmp_path / "a.png", noise(8, 10, 3))
    save(tmp_path / "b.png", noise(8, 10, 3))
    save(tmp_path / "c.png", noise(9, 7, 3))
    message = refused(tmp_path)
    assert message.endswith("a.png has 10x8 pixels, c.png 7x9; add --resize 7")
    images = open_images(tmp_path, role="real", resize=7)
    assert images.shape == (3, 7, 7)
    assert images.read(torch.arange(3)).shape == (3, 3, 7, 7)


def test_resize_takes_the_central_square_by_lanczos(tmp_path: Path) -> None:
    pixels = save(tmp_path / "wide.png", noise(8, 14, 3))
    square = Image.fromarray(pixels[:, 3:11])
    small = np.asarray(square.resize((4, 4), Image.Resampling.LANCZOS))
    images = open_images(tmp_path, role="real", resize=4)
    assert np.array_equal(images.read(torch.tensor([0]))[0].permute(1, 2, 0), small)
    same = open_images(tmp_path, role="real", resize=8)
    assert np.array_equal(same.read(torch.tensor([0]))[0].permute(1, 2, 0), pixels[:, 3:11])


def test_turned_photographs_are_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a.jpg", "b.png", "c.webp"):
        Image.fromarray(noise(4, 9, 3)).save(tmp_path / name, exif=exif)
    images = open_images(tmp_path, role="real")
    assert images.shape == (3, 9, 4)
    assert images.read(torch.arange(3)).shape == (3, 3, 9, 4)


def test_file_that_changes_after_the_listing(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        save(tmp_path / name, noise(4, 4, 3))
    images = open_images(tmp_path, role="real")
    save(tmp_path / "b.png", noise(5, 6, 3))
    with pytest.raises(UserError, match=r"b.png has 6x5 pixels, not 4x4 as others; add --resize 4"):
        images.read(torch.tensor([1]))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_truncated_image(name: str, tmp_path: Path) -> None:
    save(tmp_path / name, noise(40, 40, 3))
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    save(tmp_path / "b.png", noise(40, 40, 3))
    message = refused(tmp_path)
    assert name in message
    assert message.endswith("; replace it or remove it")


@pytest.mark.parametrize("content", [b"", b"<html>404</html>"])
def test_file_that_is_no_image(content: bytes, tmp_path: Path) -> None:
    save(tmp_path / "a.png", noise(4, 4, 3))
    (tmp_path / "b.jpg").write_bytes(content)
    assert "b.jpg (no image, or empty); replace it" in refused(tmp_path)


@pytest.mark.parametrize("ending", ["part", "crdownload", "tmp"])
def test_unfinished_downloads(ending: str, tmp_path: Path) -> None:
    save(tmp_path / "a.png", noise(4, 4, 3))
    (tmp_path / f"b.png.{ending}").write_bytes(b"half")
    assert f"holds unfinished files: b.png.{ending}; wait" in refused(tmp_path)
    (tmp_path / f"c.png.{ending}").write_bytes(b"half")
    assert "and 1 more; wait until they are whole" in refused(tmp_path)


def test_image_of_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "a.png", noise(40, 40, 3))
    for limit in (1500, 100):  # a warning of Pillow's, and an error of Pillow's
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert "too large to unpack safely" in refused(tmp_path)


def test_nothing_to_read(tmp_path: Path) -> None:
    assert "no images under" in refused(tmp_path)
    (tmp_path / "list.txt").write_text("a.png")
    assert "--generated must point to a folder of images" in refused(tmp_path)
    np.save(tmp_path / "samples.npy", noise(3, 4, 4, 3))
    assert refused(tmp_path).endswith(f"--generated {tmp_path / 'samples.npy'}")
    assert "does not exist; --generated must" in refused(tmp_path / "nowhere")
    save(tmp_path / "one.png", noise(4, 4, 3))
    assert "is one image; --generated must point to a folder" in refused(tmp_path / "one.png")
    assert "unknown ending; --generated takes" in refused(tmp_path / "list.txt")
    assert "--resize must be at least 1 pixel, got 0" in refused(tmp_path, resize=0)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_neither_file_nor_folder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npy")
    assert "is neither a file nor a folder" in refused(tmp_path / "pipe.npy")


def test_links_that_lead_in_circles(tmp_path: Path) -> None:
    save(tmp_path / "set" / "a" / "0.png", noise(4, 4, 3))
    (tmp_path / "set" / "a" / "up").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "self").symlink_to(tmp_path / "set" / "self")
    (tmp_path / "set" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    images = open_images(tmp_path / "set", role="real")
    assert images.names(torch.arange(len(images))) == ("a/0.png",)
