"""Images that a program has: lists, Datasets, DataLoaders, other iterables, functions of a number.

All are read once, into one array; an item is an image, or an image with a label, or a batch.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from ganstoch.data.arrays import to_numpy
from ganstoch.data.decoding import is_grey, square, to_rgb
from ganstoch.data.labels import Label
from ganstoch.data.reading import Reading
from ganstoch.errors import UserError

_IMAGE, _LABEL = ("image", "img", "pixel_values", "images"), ("label", "labels")


def collect(
    source: Any, *, option: str, reading: Reading
) -> tuple[NDArray[Any], list[Label] | None]:
    """All images as one array, and their labels, if all have one.

    Args:
        source: a list or another iterable, a Dataset with or without a length, a DataLoader, or a
            function: of a number n, to as many images, or of nothing, to an iterable. Items are PIL
            images, arrays or tensors, of one image or a batch, or tuples and mappings that begin
            with, or name, such a one and then a label.
        option: of the command line, for messages.
        reading: what is stated of the images; ``count`` of them are asked of a function of n.

    Raises:
        UserError: for what is none of these, holds more than ``reading.memory``, or images of
            several sizes without ``reading.resize``.
    """
    what = f"{option.removeprefix('--')} {type(source).__name__}"
    parts: list[NDArray[Any]] = []
    labels: list[Label | None] = []
    pictures: list[bool] = []  # whether each PIL image is grey
    size = 0
    for item in _items(source, what=what, reading=reading):
        image, label = _pair(item, what=what)
        if isinstance(image, Image.Image):
            pictures.append(is_grey(image))
        part = _batch(image, what=what, reading=reading)
        kinds = {(each.shape[1:], str(each.dtype)) for each in (part, *parts[:1])}
        if len(kinds) > 1:
            both = " and ".join(f"{shape} {dtype}" for shape, dtype in sorted(kinds))
            raise UserError(f"{what} holds images of {both}; make them alike (resize)")
        size += part.nbytes
        if size > reading.memory:
            fix = "write them to an archive, or give more memory"
            raise UserError(f"{what} holds more than {reading.memory / 2**20:,.0f} MiB; {fix}")
        parts.append(part)
        labels += _labels(label, len(part))
    if not parts:
        raise UserError(f"{what} holds no images; {option} must give some")
    array = np.concatenate(parts)
    if len(pictures) == len(parts) and all(pictures):
        array = array[:, :1]
    known = [label for label in labels if label is not None]
    return array, known if len(known) == len(array) else None


def _items(source: Any, *, what: str, reading: Reading) -> Iterator[Any]:
    if isinstance(source, Mapping | bytes | nn.Module):
        fix = "give images, or a function that makes them, such as lambda n: G(torch.randn(n, 128))"
        raise UserError(f"{what} is no set of images; {fix}")
    if isinstance(source, Iterable):
        yield from source
    elif hasattr(source, "__getitem__") and hasattr(source, "__len__"):  # a torch Dataset
        yield from (source[i] for i in range(len(source)))
    elif callable(source):
        yield from _called(source, what=what, reading=reading)
    else:
        kinds = "a path, an array, a list, a Dataset, a DataLoader or a function"
        raise UserError(f"{what} is no set of images; give {kinds}")


def _called(make: Callable[..., Any], *, what: str, reading: Reading) -> Iterator[Any]:
    try:
        needed = [
            parameter
            for parameter in inspect.signature(make).parameters.values()
            if parameter.default is parameter.empty
            and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):  # of a program without a signature
        needed = []
    if not needed:
        made = make()
        yield from (made,) if isinstance(made, Tensor | np.ndarray) else made
        return
    if len(needed) > 1 or reading.count is None:
        fix = "give a function of nothing that returns the images"
        raise UserError(f"how many images {what} shall make is not known; {fix}")
    left = reading.count
    while left > 0:
        batch = make(left)
        count = len(batch)
        if not 0 < count <= left:
            raise UserError(f"{what} made {count} images where {left} were asked for")
        left -= count
        yield from (batch,) if isinstance(batch, Tensor | np.ndarray) else batch


def _pair(item: Any, *, what: str) -> tuple[Any, Any]:
    """An item's image and its label, if it has one."""
    if isinstance(item, Mapping):
        image = next((item[name] for name in _IMAGE if name in item), None)
        return image, next((item[name] for name in _LABEL if name in item), None)
    if isinstance(item, tuple | list) and item and not np.isscalar(item[0]):
        if any(_is_image(each) and np.shape(each) == np.shape(item[0]) for each in item[1:]):
            raise UserError(f"{what} holds items of several images; give each alone, or a batch")
        return item[0], item[1] if len(item) > 1 else None
    return item, None


def _is_image(value: Any) -> bool:
    return isinstance(value, Image.Image) or getattr(value, "ndim", 0) > 1


def _batch(image: Any, *, what: str, reading: Reading) -> NDArray[Any]:
    """An item's images as (n, ...); PIL images as (1, 3, H, W)."""
    if isinstance(image, Image.Image):
        try:
            rgb = to_rgb(image)
        except ValueError as error:
            raise UserError(f"{what} holds an image of {error}") from error
        if reading.resize is not None:
            rgb = square(rgb, reading.resize, filter=reading.filter, fit=reading.fit)
        return np.asarray(rgb).transpose(2, 0, 1)[None]
    array = to_numpy(image) if isinstance(image, Tensor) else image
    if not isinstance(array, np.ndarray) or array.dtype == object:
        kind = type(image).__name__
        fix = "give PIL images, arrays or tensors, each alone or with a label"
        raise UserError(f"{what} holds items of type {kind}; {fix}")
    if array.ndim == 4 and len(array):
        return array
    if array.ndim == 2 or (array.ndim == 3 and {array.shape[0], array.shape[2]} & {1, 3}):
        return array[None]
    raise UserError(f"{what} holds an item of shape {array.shape}, neither an image nor a batch")


def _labels(label: Any, count: int) -> Sequence[Label | None]:
    """The label of each of so many images."""
    if isinstance(label, Tensor | np.ndarray):
        label = label.tolist()
    several = list(chain(label)) if isinstance(label, list | tuple) else [label]
    if len(several) != count or any(type(each) not in (int, str) for each in several):
        return [None] * count
    return several
