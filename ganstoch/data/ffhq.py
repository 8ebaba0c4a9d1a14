"""Flickr-Faces-HQ: faces scaled down once, then read from the cache."""

import sys
from functools import partial
from pathlib import Path

from ganstoch.data.cache import is_read_only, load_array, locked, places, save_array
from ganstoch.data.decoding import ScaleFilter, decode_all
from ganstoch.data.files import list_files
from ganstoch.data.source import SIDE, ArrayImages, Source, require_folder
from ganstoch.errors import UserError
from ganstoch.types import Split

# The published folders, the smaller first, and the root itself.
_TREES = ("thumbnails128x128", "images1024x1024", "")
_HOLDS = "the folder above thumbnails128x128 or images1024x1024 (github.com/NVlabs/ffhq-dataset)"


class FFHQ(Source):
    """70,000 faces as published, PNG; no held-out split.

    The first run scales every image to 32x32 and keeps the result in ``ganstoch-cache`` below the
    root, or in the user's own cache where the root is read-only; the PNG files may then go. The
    root is the folder above ``thumbnails128x128`` or ``images1024x1024``, or holds
    ``00000/00000.png`` and so on itself.

    Args:
        filter: resampling filter that scales the images down.
    """

    name = "ffhq"
    summary = "FFHQ, 70,000 faces, scaled from the 128 or 1024 pixel PNG files that you downloaded"

    def __init__(self, filter: ScaleFilter = "lanczos") -> None:
        self.filter: ScaleFilter = filter

    @property
    def label(self) -> str:
        """``ffhq``, with the filter if that is not the usual one."""
        return self.name if self.filter == "lanczos" else f"{self.name}-{self.filter}"

    def open(self, root: Path, split: Split) -> ArrayImages | None:
        """Loads the converted images, after converting them if need be."""
        require_folder(root, holds=_HOLDS)
        if split == "held_out":
            return None
        for tree in _TREES:
            folder, key = root / tree, f"ffhq32-{self.filter}-{tree or 'root'}"
            names = list_files(folder, endings={".png"})[0] if folder.is_dir() else ()
            look = partial(_load, root, key, names=names)
            if (images := look()) is None and names:
                target, *otherwise = (place / key for place in places(root))
                doing = f"scale the images in {folder}"
                with locked(target, doing=doing, otherwise=tuple(otherwise)):
                    if (images := look()) is None:
                        images = self._convert(root, folder, key, names=names)
            if images is not None:
                return images
        raise UserError(f"no PNG files under {root}; --data.root must point to {_HOLDS}")

    def _convert(
        self, root: Path, folder: Path, key: str, *, names: tuple[str, ...]
    ) -> ArrayImages:
        """Scales the images, and keeps them where that is allowed."""
        print(f"scaling {len(names):,} images in {folder} once", file=sys.stderr)
        pixels = decode_all(
            [folder / name for name in names],
            shape=(3, SIDE, SIDE),
            filter=self.filter,
            fix="download it again",
            label="ffhq",
        )
        facts = {"names": names}
        for place in places(root):
            try:
                save_array(
                    place / f"{key}.npy", [pixels], rows=len(pixels), like=pixels, facts=facts
                )
                break
            except UserError as error:
                if not is_read_only(error):
                    raise
        else:
            print(f"{key} is not cached: may not write to {root}, nor at home", file=sys.stderr)
        return ArrayImages(pixels, split="train", names=names)


def _load(root: Path, key: str, *, names: tuple[str, ...]) -> ArrayImages | None:
    """The images converted before, of the names that are there now, if any are."""
    for place in places(root):
        if (entry := load_array(place / f"{key}.npy")) is not None:
            pixels, cached = entry[0], tuple(entry[1].get("names", ()))
            if names in ((), cached):
                return ArrayImages(pixels, split="train", names=cached)
    return None
