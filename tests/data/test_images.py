"""Folders of image files as users have them, opened for training and for the audit."""

import os
import re
import resource
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from ganstoch.data import Folder, ImageSet
from ganstoch.data import decoding as decoding_module
from ganstoch.data import image_files as images_module
from ganstoch.data.decoding import ScaleFilter
from ganstoch.data.images import open_images
from ganstoch.data.reading import Reading
from ganstoch.errors import UserError
from ganstoch.types import Split


def train(root: Path, *, split: Split = "train", filter: ScaleFilter = "lanczos") -> ImageSet:
    images = Folder(filter).open(root, split)
    assert images is not None
    return images


def audit(root: Path, *, resize: int | None = None) -> ImageSet:
    return open_images(root, option="--real", reading=Reading(resize=resize))


Opener = Callable[[Path], ImageSet]
OPENERS: list[Opener] = [train, audit]


def names(images: ImageSet) -> tuple[str, ...]:
    return images.names(torch.arange(len(images)))


def read(images: ImageSet) -> torch.Tensor:
    return images.read(torch.arange(len(images)))


def labels(images: ImageSet) -> Any:
    return images.classes, None if images.labels is None else images.labels.tolist()


def save(root: Path, *paths: str, value: int = 0, size: tuple[int, int] = (32, 32)) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", size, value).save(root / path)


def noisy(path: Path, *shape: int) -> NDArray[np.uint8]:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(str(path))).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def even(mode: str, value: object) -> Image.Image:
    return Image.new(mode, (32, 32), value)  # type: ignore[arg-type]


def refused(opener: Opener, root: Path) -> str:
    """The one line that says what is wrong, from opening or, at the latest, from reading."""
    with pytest.raises(UserError) as caught:
        read(opener(root))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("opener", OPENERS)
def test_lists_images_alone_in_order(opener: Opener, tmp_path: Path) -> None:
    expected = ("B/1.webp", "a.jpg", "b.gif", "b/10.PNG", "b/2.png", "b/c/d/3.bmp", "é.png")
    save(tmp_path, *reversed(expected))
    for path in ("notes.txt", ".hidden.png", ".cache/1.png", "b/._1.png", "Makefile", "Thumbs.db"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "folder.png").mkdir()
    images = opener(tmp_path)
    assert names(images) == expected
    assert (images.where, images.path) == (str(tmp_path), tmp_path)
    assert " 6 " in images.notes[0]  # passed over: the hidden folder counts once


@pytest.mark.parametrize("opener", OPENERS)
def test_links(opener: Opener, tmp_path: Path) -> None:
    save(tmp_path, "elsewhere/1.png", "root/x/2.png", "root/y/3.png")
    root = tmp_path / "root"
    (root / "away").symlink_to(tmp_path / "elsewhere")
    (root / "4.png").symlink_to(tmp_path / "elsewhere" / "1.png")
    (root / "x" / "up").symlink_to(root)
    (root / "x" / "y").symlink_to(root / "y")
    (root / "y" / "x").symlink_to(root / "x")
    (root / "self").symlink_to(root / "self")
    (root / "self.png").symlink_to(root / "self.png")
    (root / "gone.png").symlink_to(root / "nowhere.png")
    assert names(opener(root)) == ("4.png", "away/1.png", "x/2.png", "y/3.png")


def test_nothing_to_train_on_or_audit(tmp_path: Path) -> None:
    (tmp_path / "list.txt").touch()
    os.mkfifo(tmp_path / "pipe.npy")
    for file in (".", "gone", "list.txt", "pipe.npy"):
        assert str(tmp_path) in refused(train, tmp_path / file)
        assert "--real" in refused(audit, tmp_path / file)
    save(tmp_path, "one.png")
    assert "--real" in refused(audit, tmp_path / "one.png")
    with pytest.raises(UserError, match="--resize"):
        audit(tmp_path, resize=0)


@pytest.mark.parametrize("opener", OPENERS)
def test_first_level_folders_are_classes(opener: Opener, tmp_path: Path) -> None:
    save(tmp_path / "one", "a/1.png")
    save(tmp_path, "dog/1.png", "cat/2.png", "cat/deep/3.png", "ant/4.png")
    assert labels(opener(tmp_path / "one")) == ((), None)
    shutil.rmtree(tmp_path / "one")
    assert labels(opener(tmp_path)) == (("ant", "cat", "dog"), [0, 1, 1, 2])
    save(tmp_path, "5.png")
    assert labels(opener(tmp_path)) == ((), None)


@pytest.mark.parametrize("other", ["test", "held_out"])
def test_train_folder_beside_a_held_out_one(tmp_path: Path, other: str) -> None:
    save(tmp_path, "train/a/1.png", "train/b/2.png", "train/c/3.png", value=11)
    assert Folder().open(tmp_path, "held_out") is None
    save(tmp_path, f"{other}/c/4.png", f"{other}/b/5.png", value=22)
    assert names(train(tmp_path)) == ("train/a/1.png", "train/b/2.png", "train/c/3.png")
    held_out = train(tmp_path, split="held_out")
    assert names(held_out) == (f"{other}/b/5.png", f"{other}/c/4.png")
    assert labels(held_out) == (("a", "b", "c"), [1, 2])  # numbered as in train
    assert torch.unique(read(train(tmp_path))).tolist() == [11]
    assert torch.unique(read(held_out)).tolist() == [22]
    save(tmp_path, f"{other}/new/6.png")
    assert labels(train(tmp_path, split="held_out")) == ((), None)


@pytest.mark.parametrize("cache", [0, 2**28])
def test_reads_in_the_order_asked_for_and_once_where_it_fits(
    cache: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images_module, "_CACHED_BYTES", cache)
    for i in range(50):
        save(tmp_path, f"{i:02}.png", value=i)
    decoded, decode = [], decoding_module.decode

    def counting(path: Path, *, fix: str) -> Image.Image:
        decoded.append(path.name)
        return decode(path, fix=fix)

    monkeypatch.setattr(decoding_module, "decode", counting)
    images = audit(tmp_path)
    ids = torch.tensor([7, 3, 3, 49, 0])
    first = images.read(ids)
    assert first.is_contiguous()
    assert first[:, 0, 5, 5].tolist() == ids.tolist()
    assert read(images)[:, 0, 5, 5].tolist() == list(range(50))
    assert len(decoded) == (50 if cache else 55)
    first.zero_()  # a reader's own copy
    assert images.read(ids)[:, 0, 5, 5].tolist() == ids.tolist()
    assert train(tmp_path).read(ids[:0]).shape == (0, 3, 32, 32)


def sixteen(value: int) -> Image.Image:
    return Image.fromarray(np.full((32, 32), value, np.uint16))


def palette(*colours: int) -> Image.Image:
    image = even("P", 1)
    image.putpalette(list(colours))
    return image


@pytest.mark.parametrize(
    ("image", "ending", "options", "expected"),
    [
        (even("RGB", (10, 20, 30)), "png", {}, (10, 20, 30)),
        (even("RGB", (10, 20, 30)), "webp", {"lossless": True}, (10, 20, 30)),
        (even("1", 1), "png", {}, (255, 255, 255)),
        (even("LA", (77, 255)), "png", {}, (77, 77, 77)),
        (even("LA", (77, 0)), "png", {}, (255, 255, 255)),
        (even("RGBA", (10, 20, 30, 255)), "png", {}, (10, 20, 30)),
        (even("RGBA", (10, 20, 30, 0)), "png", {}, (255, 255, 255)),
        (even("RGBA", (0, 51, 255, 51)), "png", {}, (204, 214, 255)),  # 4/5 white
        (palette(1, 2, 3, 40, 50, 60), "png", {}, (40, 50, 60)),
        (palette(1, 2, 3, 40, 50, 60), "gif", {}, (40, 50, 60)),
        (palette(1, 2, 3, 40, 50, 60), "png", {"transparency": 1}, (255, 255, 255)),
        (palette(1, 2, 3, 0, 51, 255), "png", {"transparency": b"\xff\x33"}, (204, 214, 255)),
        (even("RGB", (9, 9, 9)), "png", {"transparency": (9, 9, 9)}, (255, 255, 255)),
        (even("CMYK", (255, 0, 0, 0)), "tif", {}, (0, 255, 255)),
        (sixteen(257 * 100 + 128), "png", {}, (100, 100, 100)),
        (sixteen(257 * 100 + 129), "png", {}, (101, 101, 101)),
        (sixteen(257 * 100), "tif", {}, (100, 100, 100)),
        (even("I", 257 * 100), "tif", {}, (100, 100, 100)),
    ],
)
def test_every_mode_becomes_rgb(
    tmp_path: Path, image: Image.Image, ending: str, options: dict[str, Any], expected: Any
) -> None:
    image.save(tmp_path / f"a.{ending}", **options)
    colour = torch.tensor(expected, dtype=torch.uint8).view(1, 3, 1, 1)
    assert torch.equal(read(train(tmp_path)), colour.expand(1, 3, 32, 32))


@pytest.mark.parametrize("image", [even("F", 0.5), even("I", 65536), even("I", -1)])
def test_refuses_values_of_unknown_range(tmp_path: Path, image: Image.Image) -> None:
    image.save(tmp_path / "a.tif")
    assert "a.tif" in refused(train, tmp_path)


def test_grey_folders_have_one_channel_under_audit(tmp_path: Path) -> None:
    grey = noisy(tmp_path / "a.png", 5, 5)
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "b.png")
    Image.fromarray(np.eye(5) > 0).save(tmp_path / "c.png")  # one bit a pixel
    assert np.array_equal(read(audit(tmp_path))[:, 0], np.stack([grey, grey, np.eye(5) * 255]))
    # One colour image makes the set one of colours, in which grey is grey.
    noisy(tmp_path / "d.png", 5, 5, 3)
    assert np.array_equal(audit(tmp_path).read(torch.tensor([0]))[0, 1], grey)


@pytest.mark.parametrize(("width", "height"), [(48, 32), (32, 48), (33, 32), (32, 32)])
def test_crops_the_centre(tmp_path: Path, width: int, height: int) -> None:
    whole = noisy(tmp_path / "a.png", height, width, 3)
    left, top = (width - 32) // 2, (height - 32) // 2
    expected = whole[top : top + 32, left : left + 32].transpose(2, 0, 1)
    for images in (train(tmp_path), audit(tmp_path, resize=32)):
        assert np.array_equal(read(images)[0], expected)


def test_scales_the_central_square(tmp_path: Path, noise: Callable[[int], Any]) -> None:
    small = noise(1)[0].transpose(1, 2, 0)
    square = np.kron(small, np.ones((2, 2, 1), np.uint8))
    margin = np.full((64, 13, 3), 255, np.uint8)
    Image.fromarray(np.concatenate([margin, square, margin], 1)).save(tmp_path / "a.png")
    box = read(train(tmp_path, filter="box"))[0]
    assert np.array_equal(box.numpy(), small.transpose(2, 0, 1))
    lanczos = np.asarray(Image.fromarray(square).resize((32, 32), Image.Resampling.LANCZOS))
    for images in (train(tmp_path), audit(tmp_path, resize=32)):
        assert np.array_equal(read(images)[0].numpy(), lanczos.transpose(2, 0, 1))


@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
def test_obeys_the_rotation_mark(tmp_path: Path, ending: str) -> None:
    upright = np.zeros((32, 40, 3), np.uint8)
    upright[:4, :8] = 200
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn me right by a quarter"
    lying = Image.fromarray(np.rot90(upright).copy())
    options: Any = {"lossless": True} if ending == "webp" else {}
    lying.save(tmp_path / f"a.{ending}", exif=exif, **options)
    images = audit(tmp_path)
    assert images.shape == (3, 32, 40)
    assert np.array_equal(read(images)[0].numpy(), upright.transpose(2, 0, 1))
    cropped = upright[:, 4:36].transpose(2, 0, 1)
    assert np.array_equal(read(train(tmp_path))[0].numpy(), cropped)


def test_mixed_sizes_under_audit_name_two_files_and_the_fix(tmp_path: Path) -> None:
    save(tmp_path, "a.png", "b.png", size=(10, 8))
    images = audit(tmp_path)
    save(tmp_path, "b.png", size=(9, 8))  # after the listing
    with pytest.raises(UserError, match=r"b.png .*--resize 8"):
        read(images)
    save(tmp_path, "c.png", size=(9, 7))
    assert re.search(r"a\.png.*b\.png.*--resize 7$", refused(audit, tmp_path))
    assert read(audit(tmp_path, resize=7)).shape == (3, 1, 7, 7)


def broken(path: Path, kind: str) -> None:
    if kind == "text":
        path.write_text("not found" if path.suffix == ".png" else "")
    else:
        pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path, format=kind)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("kind", ["text", "JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF"])
def test_an_unreadable_file_is_named_or_skipped(tmp_path: Path, kind: str) -> None:
    noisy(tmp_path / "a.png", 64, 64, 3)
    noisy(tmp_path / "c.png", 64, 64, 3)
    broken(tmp_path / "b.png", kind)
    for opener in OPENERS:
        assert f"{tmp_path}/b.png" in refused(opener, tmp_path)
    assert len(train(tmp_path).read(torch.tensor([0, 2]))) == 2  # only what is read is decoded
    with pytest.raises(UserError, match="skip_unreadable"):
        read(train(tmp_path))
    images = Folder(skip_unreadable=True).open(tmp_path, "train")
    assert images is not None
    assert names(images) == ("a.png", "c.png")
    assert f"{tmp_path}/b.png" in images.notes[-1]
    (tmp_path / "a.png").unlink()
    (tmp_path / "c.png").unlink()
    with pytest.raises(UserError, match=r"--data\.root"):
        Folder(skip_unreadable=True).open(tmp_path, "train")


def test_all_unreadable_files_are_counted_at_once(tmp_path: Path) -> None:
    for i in range(9):
        noisy(tmp_path / f"{i}.png", 64, 64, 3)
        if i > 4:
            broken(tmp_path / f"{i}.png", "JPEG" if i % 2 else "text")
    for opener in OPENERS:
        said = refused(opener, tmp_path)
        assert " 4 of the 9 " in said
        assert [f"{i}.png" in said for i in (5, 6, 7, 8)] == [True, True, True, False]
    skipped = open_images(tmp_path, option="--real", reading=Reading(skip_unreadable=True))
    assert names(skipped) == tuple(f"{i}.png" for i in range(5))
    assert " 4 " in skipped.notes[0]


def test_what_is_passed_over_is_counted_by_its_ending(tmp_path: Path) -> None:
    save(tmp_path, "a.png", "b.png")
    for path in ("1.xcf", "2.XCF", "plain", ".hidden.png", "sub/.DS_Store", "__MACOSX/c.png"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    for opener in OPENERS:
        (note,) = opener(tmp_path).notes
        counts = ("6 files", ".xcf 2", "no ending 1", "hidden 1", ".DS_Store, __MACOSX) 2")
        assert [count for count in counts if count not in note] == []
    (tmp_path / "a.png").unlink()
    (tmp_path / "b.png").unlink()
    assert ".xcf 2" in refused(audit, tmp_path)


def test_formats_of_a_plugin_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "camera_plugin.py").write_text(
        "from PIL import Image, PngImagePlugin\n"
        "class Camera(PngImagePlugin.PngImageFile): format = 'CAMERA'\n"
        "def register_heif_opener():\n"
        "    Image.register_open('CAMERA', Camera, lambda prefix: prefix[:4] == b'\\x89PNG')\n"
        "    Image.register_extension('CAMERA', '.camera')\n"
    )
    save(tmp_path / "photos", "a.png")
    (tmp_path / "photos" / "a.png").rename(tmp_path / "photos" / "a.camera")
    monkeypatch.syspath_prepend(tmp_path)
    assert ".camera 1" in refused(audit, tmp_path / "photos")
    for registry in (Image.OPEN, Image.EXTENSION):
        monkeypatch.setattr(Image, "OPEN" if registry is Image.OPEN else "EXTENSION", {**registry})
    monkeypatch.setattr(Image, "ID", [*Image.ID])
    monkeypatch.setattr(decoding_module, "_PLUGINS", ("no_such_plugin", "camera_plugin"))
    for cached in (decoding_module._formats, decoding_module.extensions):
        cached.cache_clear()
    try:
        assert names(audit(tmp_path / "photos")) == ("a.camera",)
        assert read(audit(tmp_path / "photos")).shape == (1, 1, 32, 32)
    finally:
        for cached in (decoding_module._formats, decoding_module.extensions):
            cached.cache_clear()


@pytest.mark.parametrize(
    ("fit", "expected"),
    [("crop", [[1, 1], [1, 1]]), ("stretch", [[1, 2], [1, 2]]), ("pad", [[0, 0], [1, 2]])],
)
def test_fits_a_square(fit: Any, expected: Any, tmp_path: Path) -> None:
    wide = np.zeros((32, 128), np.uint8)
    wide[:, :96], wide[:, 96:] = 100, 200
    Image.fromarray(
        wide if fit == "crop" else np.repeat([[100, 200]], 32, 0).repeat(64, 1).astype(np.uint8)
    ).save(tmp_path / "a.png")
    images = open_images(tmp_path, option="--real", reading=Reading(resize=64, fit=fit))
    assert images.shape == (1, 64, 64)
    pixels = read(images)[0, 0]
    corner, middle = (pixels[row, [8, -8]].tolist() for row in (4, 32))
    assert [[v // 100 for v in corner], [v // 100 for v in middle]] == expected


def test_modes(tmp_path: Path) -> None:
    grey = noisy(tmp_path / "grey" / "a.png", 5, 5)
    Image.fromarray(np.stack([grey] * 3, 2)).save(tmp_path / "a.png")
    colour = noisy(tmp_path / "b.png", 5, 5, 3)
    shutil.move(tmp_path / "grey", tmp_path.parent / "grey")
    as_grey = open_images(tmp_path, option="--real", reading=Reading(mode="L"))
    assert np.array_equal(read(as_grey)[0, 0], grey)
    assert np.array_equal(read(as_grey)[1, 0], Image.fromarray(colour).convert("L"))
    rgb = open_images(tmp_path.parent / "grey", option="--real", reading=Reading(mode="RGB"))
    assert np.array_equal(read(rgb)[0], np.stack([grey] * 3))


def test_skipped_files_do_not_renumber_the_classes(tmp_path: Path) -> None:
    save(tmp_path, "train/b/1.png", "train/c/2.png", "test/c/3.png")
    (tmp_path / "train" / "a").mkdir()
    broken(tmp_path / "train" / "a" / "broken.png", "text")
    splits: dict[Split, list[int]] = {"train": [1, 2], "held_out": [2]}
    for split, expected in splits.items():
        images = Folder(skip_unreadable=True).open(tmp_path, split)
        assert images is not None
        assert labels(images) == (("a", "b", "c"), expected)


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("ending", ["part", "crdownload", "tmp"])
def test_unfinished_downloads(
    opener: Callable[[Path], ImageSet], ending: str, tmp_path: Path
) -> None:
    save(tmp_path, "a.png")
    (tmp_path / f"b.png.{ending}").write_bytes(b"half")
    assert f"b.png.{ending}" in refused(opener, tmp_path)


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("side", [10_000, 60_000])  # Pillow warns above 9,459, raises above 13,378
def test_refuses_a_decompression_bomb(
    opener: Opener, tmp_path: Path, side: int, recwarn: pytest.WarningsRecorder
) -> None:
    save(tmp_path, "a.png")  # gets a header that promises gigabytes
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[16:24] = struct.pack(">2I", side, side)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    (tmp_path / "a.png").write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "too large" in refused(opener, tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**15  # KiB
    assert not list(recwarn)
