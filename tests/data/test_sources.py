from __future__ import annotations

from pathlib import Path

import pytest
import torch

import ganstoch.data
from ganstoch.data import ArrayImages, Source, find_source
from ganstoch.errors import UserError

NAMES = [
    *("bimodal", "cifar10", "digits", "fashion_mnist", "ffhq", "folder", "gaussians1200", "grid"),
    *("ring", "stacked_fashion", "stacked_mnist", "svhn"),
]
WORLDS = ("bimodal", "gaussians1200", "grid", "ring", "stacked_fashion", "stacked_mnist")


@pytest.mark.parametrize("name", NAMES)
def test_every_source_is_found_by_name(name: str) -> None:
    source = find_source(name)
    assert source.name == name
    assert source.__name__ in ganstoch.data.__all__
    assert getattr(ganstoch.data, source.__name__) is source
    assert source().label == name
    assert source.summary.strip()
    assert "\n" not in source.summary


def test_no_shipped_source_is_forgotten() -> None:
    shipped = [s for s in Source.__subclasses__() if s.__module__.startswith("ganstoch.")]
    assert sorted(source.name for source in shipped) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_modes_are_known_of_the_worlds_alone(name: str, tmp_path: Path) -> None:
    world = find_source(name)().known_modes(tmp_path)
    assert (world is not None) == (name in WORLDS)


def test_unknown_source_lists_the_known() -> None:
    with pytest.raises(
        UserError, match=r"no data set 'cifar'; there are bimodal, cifar10, digits, fashion"
    ):
        find_source("cifar")


def test_prepare_opens_by_default(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no images under"):
        find_source("folder")().prepare(tmp_path)
    find_source("digits")().prepare(tmp_path / "gone")


def test_images_in_memory_are_copied_out() -> None:
    pixels = torch.zeros(4, 3, 32, 32, dtype=torch.uint8)
    images = ArrayImages(pixels, split="held_out", names=["a", "b", "c", "d"])
    images.read(torch.tensor([1, 1])).fill_(5)
    assert pixels.max() == 0
    assert images.names(torch.tensor([3, 0])) == ("d", "a")


def test_unknown_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        ganstoch.data.Nothing  # noqa: B018
