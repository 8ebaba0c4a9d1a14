"""Flickr-Faces-HQ: 70,000 faces."""

from pathlib import Path

from ganstoch.data.decoding import ScaleFilter
from ganstoch.data.files import list_files
from ganstoch.data.images import FolderImages
from ganstoch.data.source import SIDE, Source, require_folder
from ganstoch.errors import UserError
from ganstoch.types import Split

# The published folders, the smaller first, and the root itself.
_TREES = ("thumbnails128x128", "images1024x1024", "")
_HOLDS = "the folder above thumbnails128x128 or images1024x1024 (github.com/NVlabs/ffhq-dataset)"


class FFHQ(Source):
    """70,000 faces as published, PNG; no held-out split.

    Args:
        filter: resampling filter that scales the images to 32x32.
    """

    name = "ffhq"
    summary = "FFHQ, 70,000 faces, scaled from the 128 or 1024 pixel PNG files that you downloaded"

    def __init__(self, filter: ScaleFilter = "lanczos") -> None:
        self.filter: ScaleFilter = filter

    @property
    def label(self) -> str:
        """``ffhq``, with the filter if that is not the usual one."""
        return self.name if self.filter == "lanczos" else f"{self.name}-{self.filter}"

    def open(self, root: Path, split: Split) -> FolderImages | None:
        """Lists the images; see `Source.open`."""
        require_folder(root, holds=_HOLDS)
        if split == "held_out":
            return None
        for folder in (root / tree for tree in _TREES):
            names = list_files(folder, endings={".png"})[0] if folder.is_dir() else ()
            if names:
                return FolderImages(
                    folder,
                    names,
                    shape=(3, SIDE, SIDE),
                    filter=self.filter,
                    fix="download it again",
                    label="reading ffhq",
                )
        raise UserError(f"no PNG files under {root}; --data.root must point to {_HOLDS}")
