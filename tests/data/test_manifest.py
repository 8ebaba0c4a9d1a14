from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ganstoch.data import ArrayImages, Manifest, choose
from ganstoch.errors import UserError

NAME = "ganstoch-toy-n10-seed4.json"


@pytest.fixture
def manifest(gradient_images: ArrayImages) -> Manifest:
    return Manifest.of(choose(gradient_images, n=10, seed=4), source="toy")


def test_first_use_writes_it(tmp_path: Path, manifest: Manifest) -> None:
    manifest.verify_or_write(tmp_path)
    path = tmp_path / NAME
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
    manifest.verify_or_write(tmp_path)
    assert path.stat().st_mtime_ns == before


def test_one_changed_pixel_is_noticed(
    tmp_path: Path, gradient_images: ArrayImages, manifest: Manifest
) -> None:
    manifest.verify_or_write(tmp_path)
    gradient_images.pixels[manifest.ids[3], 0, 0, 0] ^= 1
    changed = Manifest.of(choose(gradient_images, n=10, seed=4), source="toy")
    with pytest.raises(UserError, match=rf"sha256 {manifest.sha256}, now {changed.sha256}"):
        changed.verify_or_write(tmp_path)


def test_other_images_on_disk_are_noticed(
    tmp_path: Path, gradient_images: ArrayImages, manifest: Manifest
) -> None:
    manifest.verify_or_write(tmp_path)
    fewer = ArrayImages(gradient_images.pixels[:99], split="train")
    with pytest.raises(UserError, match="split_size 100, now 99"):
        Manifest.of(choose(fewer, n=10, seed=4), source="toy").verify_or_write(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sha256", "0" * 64),
        ("ids", [0] * 10),
        ("seed", 5),
        ("n", 11),
        ("source", "other"),
        ("schema", 2),
        ("split_size", "many"),
    ],
)
def test_tampering_is_noticed(tmp_path: Path, manifest: Manifest, key: str, value: object) -> None:
    path = tmp_path / NAME
    manifest.verify_or_write(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_bytes()), key: value}))
    with pytest.raises(UserError, match=key):
        manifest.verify_or_write(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b"\xff\xfe"])
def test_no_manifest_at_all(tmp_path: Path, manifest: Manifest, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(UserError, match=NAME):
        manifest.verify_or_write(tmp_path)


def test_read_only_root_goes_without(
    tmp_path: Path, manifest: Manifest, make_read_only: Callable[[Path], None]
) -> None:
    make_read_only(tmp_path)
    manifest.verify_or_write(tmp_path)
    assert list(tmp_path.iterdir()) == []
