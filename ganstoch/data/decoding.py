"""An image file of any kind as 32x32 RGB bytes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ganstoch.data.parallel import in_threads
from ganstoch.data.source import SIDE
from ganstoch.errors import UserError

__all__ = ["ScaleFilter", "complaints", "decode_all", "extensions", "fit", "formats", "open_rgb"]

ScaleFilter = Literal["lanczos", "bicubic", "box"]
"""Resampling filter, as Pillow defines it: with its support widened when scaling down."""

_FILTERS: dict[ScaleFilter, Image.Resampling] = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
}
_NOT_PICTURES = {"BUFR", "EPS", "FITS", "GRIB", "HDF5", "MPEG", "WMF"}
"""Formats that Pillow only recognises, hands to another program to draw, or, FITS, unpacks before
it looks at the size."""


def extensions() -> frozenset[str]:
    """File name endings, lower case with their dot, of the formats that can be decoded."""
    known = Image.registered_extensions()
    return frozenset(ending for ending, form in known.items() if form in formats())


@cache
def formats() -> tuple[str, ...]:
    """Pillow's names of the formats to try on a file, whatever its ending; the usual ones first."""
    Image.init()
    usual = ("JPEG", "PNG")
    return (*usual, *sorted(set(Image.OPEN) - _NOT_PICTURES - set(usual)))


def decode_all(
    paths: Sequence[Path], *, filter: ScaleFilter, fix: str, label: str, side: int | None = None
) -> Tensor:
    """Several images, decoded in threads.

    Args:
        paths: the files.
        filter: for those that are not 32 pixels wide or high.
        fix: what a user can do about a file that cannot be read.
        label: what the progress display calls the work.
        side: width and height that each file must have; None for any.

    Returns:
        uint8, shape (len(paths), 3, 32, 32).

    Raises:
        UserError: if one of them cannot be read or has another size; names the first.
    """
    pixels = np.empty((len(paths), SIDE, SIDE, 3), np.uint8)

    def decode(position: int) -> None:
        image = open_rgb(paths[position], fix=fix)
        if side is not None and image.size != (side, side):
            size = f"{image.width}x{image.height} pixels, not {side}x{side}"
            raise UserError(f"{paths[position]} has {size}; {fix}")
        pixels[position] = np.asarray(fit(image, filter=filter))

    with _no_size_warning():
        in_threads(decode, range(len(paths)), label=label)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def complaints(paths: Sequence[Path], *, fix: str, label: str) -> list[UserError | None]:
    """What `decode_all` would say of each file, or None of one that it can read.

    Args:
        paths: the files; each is decoded, as a broken one may look sound from its beginning.
        fix: how the complaints end.
        label: what the progress display calls the work.
    """

    def complaint(path: Path) -> UserError | None:
        try:
            open_rgb(path, fix=fix)
        except UserError as error:
            return error
        return None

    with _no_size_warning():
        return in_threads(complaint, paths, label=label)


@contextmanager
def _no_size_warning() -> Iterator[None]:
    """Silences Pillow's warning of a large image, which `open_rgb` refuses in its own words."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def open_rgb(path: Path, *, fix: str) -> Image.Image:
    """Opens an image of any mode as 8-bit RGB, upright.

    The camera's rotation mark is obeyed. Transparent pixels are laid on white, whichever way the
    file says transparent; grey is repeated; 16 bits are scaled to 8 (65535 becomes 255); of an
    animation the first frame counts. Colour profiles are ignored.

    Args:
        path: the file.
        fix: what a user can do about it if it cannot be read.

    Raises:
        UserError: if it is damaged, cut short, no image, or larger than ``Image.MAX_IMAGE_PIXELS``.
    """
    try:
        with Image.open(path, formats=formats()) as image:
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and image.width * image.height > limit:
                raise ValueError(f"more than {limit} pixels: too large to unpack safely")
            return _to_rgb(ImageOps.exif_transpose(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        reason = f"more than {Image.MAX_IMAGE_PIXELS} pixels: too large to unpack safely"
        raise UserError(f"cannot read {path} ({reason}); {fix}") from error
    except MemoryError:
        raise
    except UnidentifiedImageError as error:
        raise UserError(f"cannot read {path} (no image, or empty); {fix}") from error
    except Exception as error:  # a damaged file makes Pillow's decoders raise almost anything
        raise UserError(f"cannot read {path} ({error}); {fix}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any mode as RGB; ValueError if the mode does not say what its values mean."""
    if image.mode == "F":
        raise ValueError("floating-point pixels, of unknown range")
    if image.mode.startswith("I"):  # 16 bits, or 32 bits in which Pillow puts 16
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("pixels of more than 16 bits")
        image = Image.fromarray(np.rint(values / 257).astype(np.uint8))  # 65535 = 257 * 255
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def fit(image: Image.Image, *, filter: ScaleFilter) -> Image.Image:
    """The central square, scaled to 32x32; a 32x32 image is returned as it is.

    Args:
        image: RGB, any size.
        filter: the resampling filter.
    """
    if image.size == (SIDE, SIDE):
        return image
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    return square if side == SIDE else square.resize((SIDE, SIDE), _FILTERS[filter])
