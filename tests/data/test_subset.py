import hashlib

import torch

from ganstoch.data import ArrayImages, choose, leftover_ids
from ganstoch.data.subset import checksum


def test_choice_is_pinned(gradient_images: ArrayImages) -> None:
    # What a published number was trained on must not move with a release of ours or of torch.
    subset = choose(gradient_images, n=10, seed=0)
    assert subset.ids.tolist() == [0, 11, 18, 27, 31, 37, 41, 79, 84, 93]
    assert subset.sha256[:16] == "1c2fdddbf97addcc"


def test_subset_is_made_of_the_chosen_images(gradient_images: ArrayImages) -> None:
    subset = choose(gradient_images, n=40, seed=3)
    assert len(subset) == 40
    assert torch.equal(subset.pixels, gradient_images.pixels[subset.ids])
    assert torch.unique(subset.ids).tolist() == subset.ids.tolist()  # different, and sorted
    assert subset.labels is not None
    assert torch.equal(subset.labels, subset.ids % 10)
    assert subset.classes == tuple("0123456789")
    assert subset.names(torch.tensor([39])) == (f"train/{int(subset.ids[39])}",)
    assert not torch.equal(choose(gradient_images, n=40, seed=2).ids, subset.ids)


def test_checksum_covers_pixels_and_shape() -> None:
    pixels = torch.arange(24, dtype=torch.uint8)
    expected = hashlib.sha256(b"uint8 (2, 3, 4) " + bytes(range(24))).hexdigest()
    assert checksum(pixels.view(2, 3, 4)) == expected
    assert checksum(pixels.view(2, 4, 3).mT) != expected
    assert checksum(pixels.view(2, 4, 3).mT.contiguous().mT) == checksum(pixels.view(2, 4, 3))
    assert checksum(pixels.view(3, 2, 4)) != expected
    assert checksum(pixels.view(2, 3, 4) + 1) != expected
    points = torch.arange(6.0).view(3, 2)
    expected = hashlib.sha256(b"float32 (3, 2) " + points.numpy().tobytes()).hexdigest()
    assert checksum(points) == expected


def test_leftover_never_meets_the_subset(gradient_images: ArrayImages) -> None:
    subset = choose(gradient_images, n=60, seed=5)
    rest = leftover_ids(gradient_images, used=subset.ids, limit=1000, seed=5)
    assert sorted(rest.tolist() + subset.ids.tolist()) == list(range(100))
    some = leftover_ids(gradient_images, used=subset.ids, limit=7, seed=5).tolist()
    other = leftover_ids(gradient_images, used=subset.ids, limit=7, seed=6).tolist()
    assert some == sorted(set(some) & set(rest.tolist()))
    assert len(some) == 7
    assert some != other
