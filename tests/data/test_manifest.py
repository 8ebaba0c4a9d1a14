import errno
import json
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
    assert json.loads(path.read_bytes()) == {
        **{"schema": 1, "source": "toy", "split_size": 100, "n": 10, "seed": 4},
        **{"ids": list(manifest.ids), "sha256": manifest.sha256},
    }
    before = path.stat().st_mtime_ns
    manifest.verify_or_write(tmp_path)
    assert path.stat().st_mtime_ns == before


def test_changes_are_noticed(
    tmp_path: Path, gradient_images: ArrayImages, manifest: Manifest
) -> None:
    manifest.verify_or_write(tmp_path)
    fewer = ArrayImages(gradient_images.pixels[:99], split="train")
    with pytest.raises(UserError, match="split_size 100, now 99"):
        Manifest.of(choose(fewer, n=10, seed=4), source="toy").verify_or_write(tmp_path)
    gradient_images.pixels[manifest.ids[3], 0, 0, 0] ^= 1
    changed = Manifest.of(choose(gradient_images, n=10, seed=4), source="toy")
    with pytest.raises(UserError, match=rf"sha256 {manifest.sha256}, now {changed.sha256}"):
        changed.verify_or_write(tmp_path)


@pytest.mark.parametrize("bit", [0, 4])
def test_any_flipped_bit_is_noticed(tmp_path: Path, manifest: Manifest, bit: int) -> None:
    path = tmp_path / NAME
    manifest.verify_or_write(tmp_path)
    content = path.read_bytes()
    for position in range(len(content) - 1):  # the last is the end of the line
        flipped = bytearray(content)
        flipped[position] ^= 1 << bit
        path.write_bytes(flipped)
        with pytest.raises(UserError, match=NAME):
            manifest.verify_or_write(tmp_path)


def test_read_only_root(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, content: bytes) -> None:
        raise UserError("read-only") from OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("ganstoch.data.cache.write_atomically", refuse)
    manifest.verify_or_write(tmp_path)
