"""Flickr-Faces-HQ, scaled down once and kept."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from torch import Tensor

from ganstoch.data import cache
from ganstoch.data.decoding import ScaleFilter, decode_all
from ganstoch.data.files import list_files
from ganstoch.data.preparing import once
from ganstoch.data.source import ArrayImages, Source, require_folder
from ganstoch.errors import UserError
from ganstoch.types import Split

__all__ = ["FFHQ"]

_TREES = {"thumbnails128x128": 128, "images1024x1024": 1024}
"""The published folders and the side of their images, in pixels; the smaller, if both are there."""

_HOLDS = "the folder above thumbnails128x128 or images1024x1024 (github.com/NVlabs/ffhq-dataset)"


class FFHQ(Source):
    """70,000 faces as published, PNG; no held-out split.

    The first run scales every image to 32x32, which takes a few minutes from the thumbnails, and
    keeps the result in ``ganstoch-cache`` below the root, or in ``$XDG_CACHE_HOME/ganstoch`` or
    ``~/.cache/ganstoch`` where the root is read-only. Once converted, the PNG files may go.
    """

    name = "ffhq"
    summary = "FFHQ, 70,000 faces, scaled from the 128 or 1024 pixel PNG files that you downloaded"

    def __init__(self, filter: ScaleFilter = "lanczos") -> None:
        """Reads nothing yet.

        Args:
            filter: resampling filter that scales the images down.
        """
        self.filter: ScaleFilter = filter

    @property
    def label(self) -> str:
        """``ffhq``, with the filter if that is not the usual one."""
        return self.name if self.filter == "lanczos" else f"{self.name}-{self.filter}"

    def open(self, root: Path, split: Split) -> ArrayImages | None:
        """Loads the converted images, after converting them if need be.

        Args:
            root: the folder above ``thumbnails128x128`` or ``images1024x1024``, or the one that
                holds ``00000/00000.png`` and so on itself.
            split: ``train`` or ``held_out``.

        Raises:
            UserError: if there are no images, one is damaged or of another size, or the cache is
                damaged.
        """
        require_folder(root, holds=_HOLDS)
        if split == "held_out":
            return None
        for tree in (*_TREES, ""):
            kept = self._kept(root, tree)
            if kept is not None:
                return ArrayImages(kept[0], split=split, names=kept[1])
        raise UserError(f"no PNG files under {root}; --data.root must point to {_HOLDS}")

    def _kept(self, root: Path, tree: str) -> tuple[Tensor, tuple[str, ...]] | None:
        """The images of a published tree, scaled once, and their names; None without the tree."""
        folder, key = root / tree, f"ffhq32-{self.filter}-{tree or 'root'}"
        names = list_files(folder, endings={".png"}) if folder.is_dir() else ()
        look = partial(cache.load, root, key, names=names)
        if not names:
            return look()

        def convert() -> tuple[Tensor, tuple[str, ...]]:
            print(f"scaling {len(names):,} images in {folder} once", file=sys.stderr)
            pixels = decode_all(
                [folder / name for name in names],
                filter=self.filter,
                side=_TREES.get(tree),
                fix="download it again",
                label="ffhq",
            )
            cache.save(root, key, pixels, names=names)
            return pixels, names

        target, *otherwise = (place / key for place in cache.places(root))
        doing = f"scale the images in {folder}"
        return once(target, doing=doing, look=look, make=convert, otherwise=tuple(otherwise))
