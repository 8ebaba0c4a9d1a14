"""Features made once, checked when they come back, mapped where they are large, made by one."""

import errno
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganstoch.auditing.feature_cache import features_of
from ganstoch.auditing.inputs import open_images
from ganstoch.data.cache import user_cache
from ganstoch.errors import UserError
from ganstoch.metrics.features import Extractor, Pixels
from ganstoch.types import Norm

BYTES = np.random.default_rng(0).integers(0, 256, (150, 3, 4, 4), dtype=np.uint8)
SIZE = 150 * 5 * 4  # of the features below


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

    @property
    def expected(self) -> Tensor:
        return torch.from_numpy(BYTES).flatten(1).float() @ self.weight


def features(
    extractor: Extractor, cache: Path | None, *, pixels: NDArray[Any] = BYTES, memory: int = SIZE
) -> Tensor:
    images = open_images(pixels, role="generated")
    return features_of(images, extractor, cache=cache, memory=memory)


def suffixes(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.iterdir())


@pytest.mark.parametrize("memory", [SIZE, 100])
def test_made_once(memory: int, tmp_path: Path) -> None:
    extractor, cache = Linear(), tmp_path / "deep" / "cache"
    first = features(extractor, cache, memory=memory)
    assert torch.allclose(first, extractor.expected)
    assert extractor.runs == 1
    assert set(extractor.batches) == {4, 64}  # witnesses, and batches that are all of one size
    again = features(extractor, cache, pixels=BYTES.transpose(0, 2, 3, 1), memory=100)
    assert torch.equal(again, first)
    again.zero_()  # changes no file
    assert torch.equal(features(extractor, cache), first)
    assert extractor.runs == 1
    assert suffixes(cache) == [".json", ".npy"]
    # Other images, other names and other counts of images are other features.
    features(extractor, cache, pixels=255 - BYTES)
    features(Linear(name="other_l2"), cache)
    assert extractor.runs == 2
    assert suffixes(cache).count(".npy") == 3


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux' list of mappings")
@pytest.mark.parametrize("cached", [True, False])
def test_large_features_are_mapped_and_small_ones_are_not(cached: bool, tmp_path: Path) -> None:
    cache = tmp_path if cached else None

    def mapped() -> bool:
        maps = Path("/proc/self/maps").read_text()
        return "/ganstoch-" in maps or any(path.name in maps for path in tmp_path.glob("*.npy"))

    small = features(Linear(), cache)
    assert not mapped()
    large = features(Linear(), cache, memory=SIZE - 1)
    assert mapped()
    assert torch.equal(large, small)
    del large
    assert not mapped()


@pytest.mark.parametrize("count", [1, 65])
def test_pixels_are_kept_only_where_they_do_not_fit(count: int, tmp_path: Path) -> None:
    rows = torch.from_numpy(BYTES[:count]).flatten(1)
    whole, mapped = (
        features(Pixels(), tmp_path / name, pixels=BYTES[:count], memory=memory)
        for name, memory in (("none", rows.numel()), ("some", rows.numel() - 1))
    )
    assert whole.dtype == torch.uint8
    assert torch.equal(whole, rows)
    assert torch.equal(mapped, rows)
    assert not (tmp_path / "none").exists()
    assert suffixes(tmp_path / "some") == [".json", ".npy"]


def test_added_images_alone_go_through_the_extractor(tmp_path: Path) -> None:
    extractor = Linear()
    features(extractor, tmp_path, pixels=BYTES[:130])
    made = sum(size == 64 for size in extractor.batches)
    mixed = BYTES[::-1]  # the twenty others first, and all in another order
    found = features(extractor, tmp_path, pixels=mixed)
    assert torch.equal(found, features(Linear(), None, pixels=mixed))
    assert sum(size == 64 for size in extractor.batches) == made + 1
    for about in tmp_path.glob("*.json"):  # digests that are not those filed are not believed
        filed = json.loads(about.read_text())
        about.write_text(
            json.dumps(filed | {"digests": filed["digests"][32:] + filed["digests"][:32]})
        )
    features(extractor, tmp_path, pixels=BYTES[10:])
    assert sum(size == 64 for size in extractor.batches) == made + 1 + 3


def test_what_other_weights_made_is_not_added_to(tmp_path: Path) -> None:
    features(Linear(seed=0), tmp_path, pixels=BYTES[:130])
    other = Linear(seed=1)
    assert torch.allclose(features(other, tmp_path), other.expected)


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def replace(array: Path, about: Path, content: NDArray[Any]) -> None:
    """Other features whose checksum holds."""
    np.save(array, content)
    digest = hashlib.sha256(array.read_bytes()).hexdigest()
    about.write_text(json.dumps(json.loads(about.read_text()) | {"sha256": digest}))


DAMAGE: dict[str, Callable[[Path, Path], object]] = {
    "a bit": lambda array, _: flip(array, -1200),  # the smallest, and of no witness
    "all of it": lambda array, _: array.write_bytes(b""),
    "its checksum": lambda _, about: about.write_text("{"),
    "its partner": lambda _, about: about.unlink(),
    "columns": lambda array, about: replace(array, about, np.load(array)[:, :4]),
    "rows": lambda array, about: replace(array, about, np.load(array)[:-1]),
    "dtype": lambda array, about: replace(array, about, np.load(array).astype(float)),
}


@pytest.mark.parametrize("part", DAMAGE)
def test_damaged_files_are_made_again(part: str, tmp_path: Path) -> None:
    extractor = Linear()
    features(extractor, tmp_path)
    (array,), (about,) = tmp_path.glob("*.npy"), tmp_path.glob("*.json")
    DAMAGE[part](array, about)
    again = features(extractor, tmp_path)
    assert torch.allclose(again, extractor.expected)
    assert extractor.runs == 2
    features(extractor, tmp_path)
    assert extractor.runs == 2


def test_other_weights_under_the_same_name_are_noticed(tmp_path: Path) -> None:
    features(Linear(seed=0), tmp_path)
    other, rounded = Linear(seed=1), Linear(seed=1)
    made = features(other, tmp_path)
    assert torch.allclose(made, other.expected)
    rounded.weight = rounded.weight.bfloat16().float()  # as another device's
    assert torch.equal(features(rounded, tmp_path), made)


def test_an_image_that_cannot_be_read_leaves_nothing(tmp_path: Path) -> None:
    class Broken(Linear):
        def __call__(self, images: Tensor) -> Tensor:
            if len(self.batches) == 2:
                raise UserError("cannot read 70.png")
            return super().__call__(images)

    with pytest.raises(UserError, match=r"70\.png"):
        features(Broken(), tmp_path)
    assert suffixes(tmp_path) == []


def test_a_folder_that_takes_no_files_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(self: Path, *args: object, **kwargs: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))

    extractor = Linear()
    (tmp_path / "file").touch()  # where the folder should be
    for place in ("file", "folder"):
        assert torch.allclose(features(extractor, tmp_path / place), extractor.expected)
        assert str(tmp_path / place) in capsys.readouterr().err
        monkeypatch.setattr(Path, "mkdir", refuse)


def test_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert user_cache() == tmp_path / ".cache" / "ganstoch"
    monkeypatch.setattr(Path, "home", nobody)
    assert user_cache() is None
