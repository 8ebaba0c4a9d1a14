from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from ganstoch.data import Folder
from ganstoch.errors import UserError
from ganstoch.types import Split


def grey(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (32, 32), value).save(path)


def read(root: Path, *, split: Split = "train") -> torch.Tensor:
    images = Folder().open(root, split)
    assert images is not None
    return images.read(torch.arange(len(images)))


def names(root: Path, *, split: Split = "train", skip: bool = False) -> tuple[str, ...]:
    images = Folder(skip_unreadable=skip).open(root, split)
    assert images is not None
    return images.names(torch.arange(len(images)))


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def test_lists_images_alone_in_order(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.png", "b/10.PNG", "a.jpg", "b.gif", "B/1.webp", "b/c/d/3.bmp", "é.png")
    touch(tmp_path, "notes.txt", "list.csv", ".hidden.png", ".cache/1.png", "b/._1.png", "Makefile")
    (tmp_path / "folder.png").mkdir()
    expected = ("B/1.webp", "a.jpg", "b.gif", "b/10.PNG", "b/2.png", "b/c/d/3.bmp", "é.png")
    assert names(tmp_path) == expected


def test_reads_in_the_order_asked_for(tmp_path: Path) -> None:
    for i in range(50):
        grey(tmp_path / f"{i:02}.png", i)
    images = Folder().open(tmp_path, "train")
    assert images is not None
    ids = [7, 3, 3, 49, 0] * 10
    assert images.read(torch.tensor(ids))[:, 0, 5, 5].tolist() == ids
    assert images.read(torch.empty(0, dtype=torch.int64)).shape == (0, 3, 32, 32)


def test_link_loops_end(tmp_path: Path) -> None:
    touch(tmp_path, "x/1.png", "y/2.png")
    (tmp_path / "x" / "up").symlink_to(tmp_path)
    (tmp_path / "x" / "y").symlink_to(tmp_path / "y")
    (tmp_path / "y" / "x").symlink_to(tmp_path / "x")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    (tmp_path / "self.png").symlink_to(tmp_path / "self.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert names(tmp_path) == ("x/1.png", "y/2.png")


def test_follows_links_to_elsewhere(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/1.png", "elsewhere/2.png", "root/z/3.png")
    (tmp_path / "root" / "a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "b").symlink_to(tmp_path / "root" / "z")
    (tmp_path / "root" / "4.png").symlink_to(tmp_path / "elsewhere" / "1.png")
    assert names(tmp_path / "root") == ("4.png", "a/1.png", "a/2.png", "z/3.png")


def test_missing_or_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone does not exist; --data.root must point to a folder"):
        names(tmp_path / "gone")
    touch(tmp_path, "empty/notes.txt", "file.png")
    with pytest.raises(UserError, match=r"no images under .*empty; --data.root must point"):
        names(tmp_path / "empty")
    with pytest.raises(UserError, match=r"file.png is a file, not a folder"):
        names(tmp_path / "file.png")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_forbidden_folder_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "secret/b.png")
    (tmp_path / "secret").chmod(0)
    try:
        with pytest.raises(UserError, match=r"may not read .*secret"):
            names(tmp_path)
    finally:
        (tmp_path / "secret").chmod(0o700)


# --- labels and splits ---------------------------------------------------------------------------


def labels(root: Path, split: Split = "train") -> tuple[tuple[str, ...], list[int] | None]:
    images = Folder().open(root, split)
    assert images is not None
    return images.classes, None if images.labels is None else images.labels.tolist()


def test_first_level_folders_are_classes(tmp_path: Path) -> None:
    touch(tmp_path, "dog/1.png", "cat/2.png", "cat/deep/3.png", "ant/4.png")
    assert labels(tmp_path) == (("ant", "cat", "dog"), [0, 1, 1, 2])


@pytest.mark.parametrize(
    "paths", [("1.png", "2.png"), ("a/1.png", "2.png", "b/3.png"), ("a/1.png",)]
)
def test_no_classes(tmp_path: Path, paths: tuple[str, ...]) -> None:
    touch(tmp_path, *paths)
    assert labels(tmp_path) == ((), None)


@pytest.mark.parametrize("other", ["test", "held_out"])
def test_train_folder_beside_a_held_out_one(tmp_path: Path, other: str) -> None:
    touch(tmp_path, "train/a/1.png", "train/b/2.png", "train/c/3.png")
    assert Folder().open(tmp_path, "held_out") is None
    touch(tmp_path, f"{other}/c/4.png", f"{other}/b/5.png")
    assert names(tmp_path) == ("train/a/1.png", "train/b/2.png", "train/c/3.png")
    assert names(tmp_path, split="held_out") == (f"{other}/b/5.png", f"{other}/c/4.png")
    assert labels(tmp_path, "held_out") == (("a", "b", "c"), [1, 2])  # numbered as in train
    touch(tmp_path, f"{other}/new/6.png")
    assert labels(tmp_path, "held_out") == ((), None)


def test_skipped_files_do_not_renumber_the_classes(tmp_path: Path) -> None:
    for path in ("train/b/1.png", "train/c/2.png", "test/c/3.png"):
        grey(tmp_path / path, 0)
    touch(tmp_path, "train/a/broken.png")
    for split, expected in (("train", [1, 2]), ("held_out", [2])):
        images = Folder(skip_unreadable=True).open(tmp_path, split)
        assert images is not None
        assert images.labels is not None
        assert (images.classes, images.labels.tolist()) == (("a", "b", "c"), expected)


def test_reads_below_the_split(tmp_path: Path) -> None:
    for path, value in (("train/1.png", 11), ("test/1.png", 22)):
        grey(tmp_path / path, value)
    assert read(tmp_path).unique().tolist() == [11]
    assert read(tmp_path, split="held_out").unique().tolist() == [22]


def test_filter_is_part_of_the_label() -> None:
    assert [Folder().label, Folder("box").label] == ["folder", "folder-box"]
