"""Features made once, checked when they come back, mapped where they are large, made by one."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ganstoch.auditing.feature_cache import default_cache, features_of
from ganstoch.auditing.inputs import Images, open_images
from ganstoch.errors import UserError
from ganstoch.metrics.features import Extractor, Pixels
from ganstoch.types import Norm

BYTES = np.random.default_rng(0).integers(0, 256, (150, 3, 4, 4), dtype=np.uint8)
LARGE = 2**30


class Linear(Extractor):
    """A small network, in effect, that counts what it is given."""

    norm: Norm = "l2"

    def __init__(self, *, seed: int = 0, name: str = "linear_l2") -> None:
        self.name = name
        self.weight = torch.randn(48, 5, generator=torch.Generator().manual_seed(seed))
        self.batches: list[int] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.batches.append(len(images))
        return images.flatten(1).float() @ self.weight

    @property
    def runs(self) -> int:
        """Times that all images went through."""
        return sum(size == 64 for size in self.batches) // 3


def images_of(pixels: np.ndarray = BYTES) -> Images:  # type: ignore[type-arg]
    return open_images(pixels, role="generated")


def expected(extractor: Linear) -> Tensor:
    return torch.from_numpy(BYTES).flatten(1).float() @ extractor.weight


def files(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.iterdir())


@pytest.mark.parametrize("memory", [LARGE, 100])
def test_made_once(memory: int, tmp_path: Path) -> None:
    extractor, cache = Linear(), tmp_path / "deep" / "cache"
    first = features_of(images_of(), extractor, cache=cache, memory=memory)
    assert torch.allclose(first, expected(extractor))
    assert extractor.runs == 1
    assert set(extractor.batches) == {4, 64}  # witnesses, and batches that are all of one size
    again = features_of(images_of(BYTES.transpose(0, 2, 3, 1)), extractor, cache=cache, memory=100)
    assert torch.equal(again, first)
    assert extractor.runs == 1
    assert files(cache) == [".json", ".npy"]
    # Other images, other names and other counts of images are other features.
    features_of(images_of(BYTES[::-1]), extractor, cache=cache, memory=memory)
    features_of(images_of(), Linear(name="other_l2"), cache=cache, memory=memory)
    assert extractor.runs == 2
    assert files(cache).count(".npy") == 3


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux' list of mappings")
@pytest.mark.parametrize("cached", [True, False])
def test_large_features_are_mapped_and_small_ones_are_not(cached: bool, tmp_path: Path) -> None:
    cache = tmp_path if cached else None

    def mapped() -> bool:
        maps = Path("/proc/self/maps").read_text()
        names = ["/ganstoch-", *(path.name for path in tmp_path.glob("*.npy"))]
        return any(name in maps for name in names)

    size = 150 * 5 * 4
    small = features_of(images_of(), Linear(), cache=cache, memory=size)
    assert not mapped()
    large = features_of(images_of(), Linear(), cache=cache, memory=size - 1)
    assert mapped()
    assert torch.equal(large, small)
    del large
    assert not mapped()


def test_what_is_written_to_the_tensor_does_not_reach_the_file(tmp_path: Path) -> None:
    extractor = Linear()
    features_of(images_of(), extractor, cache=tmp_path, memory=100).zero_()
    again = features_of(images_of(), extractor, cache=tmp_path, memory=100)
    assert torch.allclose(again, expected(extractor))
    assert extractor.runs == 1


@pytest.mark.parametrize("pixels", [BYTES[:1], BYTES[:65]])
def test_pixels_are_kept_only_where_they_do_not_fit(pixels: np.ndarray, tmp_path: Path) -> None:  # type: ignore[type-arg]
    rows = torch.from_numpy(pixels).flatten(1)
    found = features_of(images_of(pixels), Pixels(), cache=tmp_path, memory=rows.numel())
    assert found.dtype == torch.uint8
    assert torch.equal(found, rows)
    assert list(tmp_path.iterdir()) == []
    mapped = features_of(images_of(pixels), Pixels(), cache=tmp_path, memory=rows.numel() - 1)
    assert torch.equal(mapped, rows)
    assert files(tmp_path) == [".json", ".npy"]


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path, Path], object]] = {
    "a bit": lambda array, _: flip(array, -1200),  # the smallest, and of no witness
    "its shape": lambda array, _: np.save(array, np.zeros((150, 4), np.float32)),
    "all of it": lambda array, _: array.write_bytes(b""),
    "its checksum": lambda _, about: about.write_text("{"),
    "its partner": lambda _, about: about.unlink(),
}


@pytest.mark.parametrize("part", DAMAGE)
def test_damaged_files_are_made_again(part: str, tmp_path: Path) -> None:
    extractor = Linear()
    features_of(images_of(), extractor, cache=tmp_path, memory=LARGE)
    (array,), (about,) = tmp_path.glob("*.npy"), tmp_path.glob("*.json")
    DAMAGE[part](array, about)
    found = features_of(images_of(), extractor, cache=tmp_path, memory=LARGE)
    assert torch.allclose(found, expected(extractor))
    assert extractor.runs == 2
    features_of(images_of(), extractor, cache=tmp_path, memory=LARGE)
    assert extractor.runs == 2


@pytest.mark.parametrize("wrong", ["columns", "rows", "dtype"])
def test_another_shape_or_dtype_is_made_again_whatever_its_checksum(
    wrong: str, tmp_path: Path
) -> None:
    extractor = Linear()
    right = features_of(images_of(), extractor, cache=tmp_path, memory=LARGE)
    (array,), (about,) = tmp_path.glob("*.npy"), tmp_path.glob("*.json")
    kept = {"columns": right[:, :4], "rows": torch.cat([right, right[:1]]), "dtype": right.double()}
    np.save(array, kept[wrong].numpy())
    digest = hashlib.sha256(array.read_bytes()).hexdigest()
    facts = json.loads(about.read_text()) | {"sha256": digest}
    about.write_text(json.dumps(facts))
    found = features_of(images_of(), extractor, cache=tmp_path, memory=LARGE)
    assert found.dtype == right.dtype
    assert torch.equal(found, right)


def test_other_weights_under_the_same_name_are_noticed(tmp_path: Path) -> None:
    features_of(images_of(), Linear(seed=0), cache=tmp_path, memory=LARGE)
    other = Linear(seed=1)
    found = features_of(images_of(), other, cache=tmp_path, memory=LARGE)
    assert torch.allclose(found, expected(other))
    # Rounding, as another device's, is not other weights.
    rounded = Linear(seed=1)
    rounded.weight = rounded.weight.bfloat16().float()
    assert torch.equal(features_of(images_of(), rounded, cache=tmp_path, memory=LARGE), found)


def test_an_image_that_cannot_be_read_leaves_nothing(tmp_path: Path) -> None:
    class Broken(Linear):
        def __call__(self, images: Tensor) -> Tensor:
            if self.runs or len(self.batches) == 2:
                raise UserError("cannot read 70.png")
            return super().__call__(images)

    with pytest.raises(UserError, match=r"70\.png"):
        features_of(images_of(), Broken(), cache=tmp_path, memory=LARGE)
    assert files(tmp_path) == []
    (tmp_path / ".stale").touch()
    features_of(images_of(), Linear(), cache=tmp_path, memory=LARGE)
    (array,) = tmp_path.glob("*.npy")
    array.unlink()
    (tmp_path / f".{array.name}.killed").touch()  # by a process that never came to its end
    features_of(images_of(), Linear(), cache=tmp_path, memory=LARGE)
    assert {path.name for path in tmp_path.glob(".*")} == {".stale"}


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left"):
        features_of(images_of(), Linear(), cache=tmp_path, memory=LARGE)
    assert files(tmp_path) == []


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_read_only_cache_is_done_without(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(self: Path, *args: object, **kwargs: object) -> None:
        raise OSError(number, os.strerror(number), str(self))

    extractor = Linear()
    with monkeypatch.context() as patched:
        patched.setattr(Path, "mkdir", refuse)
        found = features_of(images_of(), extractor, cache=tmp_path / "c", memory=LARGE)
    assert torch.allclose(found, expected(extractor))
    assert str(tmp_path / "c") in capsys.readouterr().err
    (tmp_path / "file").touch()  # a file where the folder should be
    features_of(images_of(), extractor, cache=tmp_path / "file", memory=LARGE)
    assert str(tmp_path / "file") in capsys.readouterr().err


def test_default_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "ganstoch" / "features"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_cache() == tmp_path / "home" / ".cache" / "ganstoch" / "features"

    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    assert default_cache() is None
