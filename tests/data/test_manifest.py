from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ganstoch.data import ArrayImages, choose, verify
from ganstoch.data.manifest import Manifest, check_in, describe
from ganstoch.errors import UserError


@pytest.fixture
def manifest(gradient_images: ArrayImages) -> Manifest:
    return describe(choose(gradient_images, n=10, seed=4), source="toy")


def test_first_use_writes_it(tmp_path: Path, manifest: Manifest) -> None:
    check_in(tmp_path, manifest)
    path = tmp_path / "ganstoch-toy-n10-seed4.json"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    content = json.loads(path.read_bytes())
    assert content == {
        "schema": 1,
        "source": "toy",
        "split_size": 100,
        "n": 10,
        "seed": 4,
        "ids": list(manifest.ids),
        "sha256": manifest.sha256,
    }
    before = path.stat().st_mtime_ns
    check_in(tmp_path, manifest)
    assert path.stat().st_mtime_ns == before


def test_one_changed_pixel_is_noticed(
    tmp_path: Path, gradient_images: ArrayImages, manifest: Manifest
) -> None:
    check_in(tmp_path, manifest)
    gradient_images.pixels[manifest.ids[3], 0, 0, 0] ^= 1
    changed = describe(choose(gradient_images, n=10, seed=4), source="toy")
    with pytest.raises(
        UserError, match=rf"sha256 {changed.sha256}, in .* {manifest.sha256}; restore .* or remove"
    ):
        check_in(tmp_path, changed)


def test_other_images_on_disk_are_noticed(
    tmp_path: Path, gradient_images: ArrayImages, manifest: Manifest
) -> None:
    check_in(tmp_path, manifest)
    fewer = ArrayImages(gradient_images.pixels[:99], split="train")
    with pytest.raises(UserError, match="written for split_size 100, found 99"):
        check_in(tmp_path, describe(choose(fewer, n=10, seed=4), source="toy"))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sha256", "0" * 64, "the images have changed"),
        ("ids", [0] * 10, "lists other images"),
        ("seed", 5, "written for seed 5, found 4"),
        ("n", 11, "written for n 11, found 10"),
        ("source", "other", "written for source other, found toy"),
        ("schema", 2, "no manifest of this version"),
    ],
)
def test_tampering_is_noticed(
    tmp_path: Path, manifest: Manifest, key: str, value: object, message: str
) -> None:
    path = tmp_path / "ganstoch-toy-n10-seed4.json"
    path.write_text(json.dumps({**json.loads(manifest.encode()), key: value}))
    with pytest.raises(UserError, match=message):
        check_in(tmp_path, manifest)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b"\xff\xfe"])
def test_no_manifest_at_all(tmp_path: Path, manifest: Manifest, content: bytes) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"manifest.json.*remove it"):
        verify(path, manifest)


def test_read_only_root_goes_without(
    tmp_path: Path, manifest: Manifest, make_read_only: Callable[[Path], None]
) -> None:
    make_read_only(tmp_path)
    check_in(tmp_path, manifest)
    assert list(tmp_path.iterdir()) == []


def test_read_only_root_is_still_verified(
    tmp_path: Path, manifest: Manifest, make_read_only: Callable[[Path], None]
) -> None:
    path = tmp_path / "ganstoch-toy-n10-seed4.json"
    path.write_bytes(manifest.encode().replace(manifest.sha256.encode(), b"0" * 64))
    make_read_only(tmp_path)
    with pytest.raises(UserError, match="the images have changed"):
        check_in(tmp_path, manifest)


def test_full_disk_is_said(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match=r"cannot write .*No space left.*free space"):
        check_in(tmp_path, manifest)
    assert list(tmp_path.iterdir()) == []


def test_labels_do_not_count(gradient_images: ArrayImages, manifest: Manifest) -> None:
    gradient_images.labels = torch.zeros(100, dtype=torch.int64)
    assert describe(choose(gradient_images, n=10, seed=4), source="toy") == manifest
