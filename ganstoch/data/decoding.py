"""Image files as RGB bytes: formats, the limit on size, fitting to squares, decoding in threads."""

import contextlib
import importlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from PIL import Image, ImageMode, ImageOps, UnidentifiedImageError
from torch import Tensor
from tqdm import tqdm

from ganstoch.errors import UserError
from ganstoch.types import Shape

ScaleFilter = Literal["lanczos", "bicubic", "box"]  # as Pillow has them, widened to scale down
Fit = Literal["crop", "stretch", "pad"]  # the centre, the whole with other sides, or with a border

# Formats that Pillow only recognizes, hands to another program to draw, or, FITS, unpacks before it
# looks at the size.
_NOT_PICTURES = {"BUFR", "EPS", "FITS", "GRIB", "HDF5", "MPEG", "WMF"}
_ORIENTATION = 0x0112
_TURNED = {5, 6, 7, 8}  # marks of cameras that were held on their side

# Packages that teach Pillow formats of cameras and browsers, where they are installed.
_PLUGINS = ("pillow_heif", "pillow_avif", "pillow_jxl")

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Member:
    """An image file within an archive."""

    name: str  # for messages
    open: Callable[[], IO[bytes]]  # may raise for what cannot be read; called from any thread

    def __str__(self) -> str:
        return self.name


class Unreadable(UserError):
    """An image file that cannot be decoded."""

    def __init__(self, file: Path | Member, reason: str, *, fix: str) -> None:
        self.file, self.reason = file, reason
        super().__init__(f"cannot read {file} ({reason}); {fix}")


@cache
def _formats() -> tuple[str, ...]:
    """Pillow's names of the formats to try on any file, the usual ones first."""
    Image.init()
    for name in _PLUGINS:
        with contextlib.suppress(ImportError):
            plugin = importlib.import_module(name)
            getattr(plugin, "register_heif_opener", lambda: None)()
    usual = ("JPEG", "PNG")
    return (*usual, *sorted(set(Image.OPEN) - _NOT_PICTURES - set(usual)))


@cache
def extensions() -> frozenset[str]:
    """File name endings, lower case with their dot, of the formats that can be decoded."""
    formats = _formats()
    endings = Image.registered_extensions().items()
    return frozenset(ending for ending, name in endings if name in formats)


def decode_all(
    files: Sequence[Path | Member],
    *,
    shape: Shape,
    filter: ScaleFilter | None,
    fit: Fit = "crop",
    fix: str,
    label: str | None = None,
) -> Tensor:
    """Decodes to uint8, shape (len(files), *shape): scaled by a ``filter``, else of that size."""
    channels, height, width = shape
    pixels = np.empty((len(files), height, width, channels), np.uint8)

    def fill(position: int) -> None:
        image = decode(files[position], fix=fix)
        if filter is not None:
            image = square(image, width, filter=filter, fit=fit)
        elif image.size != (width, height):
            size = f"{image.width}x{image.height} pixels, not {width}x{height} as others"
            raise UserError(f"{files[position]} has {size}; add --resize {min(width, height)}")
        pixels[position] = np.asarray(image)[..., :channels]

    in_threads(fill, range(len(files)), label=label)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def square(image: Image.Image, side: int, *, filter: ScaleFilter, fit: Fit = "crop") -> Image.Image:
    """An image at ``side`` x ``side`` pixels; "pad" puts black beside it or above and below."""
    resampling, short = Image.Resampling[filter.upper()], min(image.size)
    if fit == "pad":
        return ImageOps.pad(image, (side, side), resampling)
    if fit == "crop" and image.size != (short, short):
        left, top = (image.width - short) // 2, (image.height - short) // 2
        image = image.crop((left, top, left + short, top + short))
    return image if image.size == (side, side) else image.resize((side, side), resampling)


def decode(file: Path | Member, *, fix: str) -> Image.Image:
    """Opens an image of any mode as 8-bit RGB, upright; `Unreadable` with the ``fix`` if it fails.

    Transparency is laid on white, 16 bits are scaled to 8; of an animation the first frame counts.
    """
    return _opened(file, lambda image: to_rgb(ImageOps.exif_transpose(image)), fix=fix, whole=True)


class Header(NamedTuple):
    """What an image file says before its pixels."""

    size: tuple[int, int]  # width and height, upright
    is_grey: bool
    has_frames: bool  # several, of which the first counts


def read_header(file: Path | Member, *, fix: str) -> Header:
    """Size, kind and frames of an image file; decodes no pixel of the first."""

    def header(image: Image.Image) -> Header:
        # A PNG's mark may stand behind its pixels, and looking for it would decode them. The size
        # of a TIFF is upright already.
        look = image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info)
        turned = look and image.getexif().get(_ORIENTATION) in _TURNED
        size = (image.height, image.width) if turned else (image.width, image.height)
        grey, has_frames = is_grey(image), False
        with contextlib.suppress(Exception):  # of damage behind the first frame
            has_frames = getattr(image, "n_frames", 1) > 1
        return Header(size, grey, has_frames)

    return _opened(file, header, fix=fix, whole=False)


def is_grey(image: Image.Image) -> bool:
    """Whether an image's mode has levels of grey alone."""
    return ImageMode.getmode(image.mode).basemode == "L"


def _opened(
    file: Path | Member, use: Callable[[Image.Image], Result], *, fix: str, whole: bool
) -> Result:
    """Result of a function of an image file that is small enough to unpack; or `Unreadable`."""
    limit = Image.MAX_IMAGE_PIXELS
    reason = f"more than {limit} pixels: too large to unpack safely"
    try:
        with contextlib.ExitStack() as stack:
            content: Path | IO[bytes] = file if isinstance(file, Path) else file.open()
            if not isinstance(content, Path):
                stack.enter_context(content)
                # Read to its end, so that an archive's checksum is compared.
                content = io.BytesIO(content.read()) if whole else content
            image = stack.enter_context(Image.open(content, formats=_formats()))
            if limit is None or image.width * image.height <= limit:
                return use(image)
    except MemoryError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        pass
    except UnidentifiedImageError:
        reason = "no image, or empty"
    except Exception as error:  # a damaged file makes Pillow's decoders raise almost anything
        reason = str(error)
    raise Unreadable(file, reason, fix=fix)


def to_rgb(image: Image.Image) -> Image.Image:
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


def progress(items: Any, label: str | None, total: int, **options: Any) -> Any:
    """A bar on standard error, for what takes more than two seconds."""
    pause = 0.2 if sys.stderr.isatty() else 30  # a log file needs no animation
    return tqdm(items, label, total, delay=2, mininterval=pause, **options)


def in_threads(
    function: Callable[[Item], Result], items: Sequence[Item], *, label: str | None = None
) -> list[Result]:
    """``[function(item) for item in items]``, several at a time (decoders let go of the GIL)."""
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        with warnings.catch_warnings(action="ignore"):
            results, silent = pool.map(function, items), label is None
            return list(progress(results, label, len(items), unit=" images", disable=silent))
    finally:
        pool.shutdown(cancel_futures=True)
