"""Images that a program has: lists, Datasets, DataLoaders, iterables and functions."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from ganstoch.data import ImageSet
from ganstoch.data.images import open_images
from ganstoch.data.reading import Reading
from ganstoch.errors import UserError

BYTES = np.random.default_rng(0).integers(0, 256, (12, 3, 6, 5), dtype=np.uint8)
PICTURES = [Image.fromarray(pixels.transpose(1, 2, 0)) for pixels in BYTES]
TENSOR = torch.from_numpy(BYTES)
UNIT, LABELS = TENSOR / 255, torch.arange(12) % 3


class Sized(Dataset[Any]):
    """With a length, but without an end: `iter` would go on for ever."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, i: int) -> Any:
        return UNIT[i % 12], int(LABELS[i % 12])


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        yield from zip(UNIT, LABELS.tolist(), strict=True)


def opened(source: Any, **stated: Any) -> ImageSet:
    return open_images(source, option="--generated", reading=Reading(**stated))


SOURCES: dict[str, Any] = {
    "pictures": PICTURES,
    "arrays": list(BYTES),
    "channels last": [np.asarray(picture) for picture in PICTURES],
    "tensors": list(UNIT),
    "pairs": [(picture, i % 3) for i, picture in enumerate(PICTURES)],
    "dictionaries": [{"image": p, "label": i % 3} for i, p in enumerate(PICTURES)],
    "batches": list(torch.split(UNIT, 5)),
    "dataset": Sized(),
    "stream": Stream(),
    "tensors and labels": TensorDataset(UNIT, LABELS),
    "loader": DataLoader(Sized(), batch_size=5),
    "loader of tensors": DataLoader(TensorDataset(UNIT * 2 - 1), batch_size=5),
    "generator": (picture for picture in PICTURES),
    "function": lambda: iter(PICTURES),
    "function of a batch": lambda: TENSOR,
    "function of a number": lambda n: UNIT[:n],
    "in small parts": lambda n: UNIT[: min(n, 4)],
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_kind_gives_the_same_images(kind: str) -> None:
    images = opened(SOURCES[kind], count=12)
    expected = TENSOR if kind != "in small parts" else TENSOR[:4].repeat(3, 1, 1, 1)
    assert torch.equal(images.read(torch.arange(12)), expected)
    labelled = {"pairs", "dictionaries", "dataset", "stream", "tensors and labels", "loader"}
    if kind in labelled:
        assert images.labels is not None
        assert (images.labels.tolist(), images.classes) == (LABELS.tolist(), ("0", "1", "2"))
    else:
        assert images.labels is None


def test_pictures_are_grey_where_all_are_and_of_one_size() -> None:
    grey = [picture.convert("L") for picture in PICTURES]
    assert opened(grey).shape == (1, 6, 5)
    assert opened([*grey, PICTURES[0]]).shape == (3, 6, 5)
    mixed = [Image.new("RGB", (9, 7)), *PICTURES]
    with pytest.raises(UserError, match="resize"):
        opened(mixed)
    assert opened(mixed, resize=4, fit="pad").shape == (3, 4, 4)


REFUSED: dict[str, tuple[Any, str]] = {
    "empty": ([], "no images"),
    "words": ([1, 2], "int"),
    "points": ([torch.zeros(7)], r"\(7,\)"),
    "a network": (torch.nn.Identity(), "lambda"),
    "a dictionary": ({"a": TENSOR}, "dict"),
    "two numbers": (lambda n, m: TENSOR, "function"),
    "too many": (lambda n: TENSOR.repeat(9, 1, 1, 1), "asked"),
    "sizes": ([TENSOR[0], TENSOR[0, :, :4]], "alike"),
    "bytes and floats": ([TENSOR[0], UNIT[1]], "alike"),
    "range": ([UNIT[0] * 16], "--range"),
    "a number": (3, "Dataset"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    source, word = REFUSED[case]
    with pytest.raises(UserError, match=word):
        opened(source, count=12)


def test_what_needs_a_number_or_too_much_memory() -> None:
    with pytest.raises(UserError, match="how many"):
        opened(lambda n: TENSOR)
    with pytest.raises(UserError, match="memory"):
        opened(PICTURES, memory=500)


@pytest.mark.parametrize("pair", [PICTURES[:2], tuple(BYTES[:2]), (TENSOR[0], 1, TENSOR[1])])
def test_items_of_several_images_are_refused(pair: Any) -> None:
    with pytest.raises(UserError, match="several images"):
        opened([pair] * 12)
