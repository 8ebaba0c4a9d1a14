"""Data set of the user's own: any folder of image files."""

import sys
from collections.abc import Sequence
from pathlib import Path

from ganstoch.data.decoding import ScaleFilter, decode, in_threads
from ganstoch.data.files import classify, list_images
from ganstoch.data.images import FolderImages
from ganstoch.data.source import SIDE, Source, require_folder
from ganstoch.errors import UserError
from ganstoch.types import Split


class Folder(Source):
    """Image files in a folder and the folders below it, sorted by path; see `decoding.decode`.

    A folder ``train`` is the training split, ``test`` or ``held_out`` beside it the held-out one;
    the first-level folders of a split are its classes, see `classify`.

    Args:
        filter: resampling filter for images that are not 32x32.
        skip_unreadable: whether to leave out files that cannot be read, naming each on standard
            error. This decodes every file of the folder at every start.
    """

    name = "folder"
    summary = "your own images: any folder, any size, any format that Pillow opens"

    def __init__(self, filter: ScaleFilter = "lanczos", skip_unreadable: bool = False) -> None:
        self.filter: ScaleFilter = filter
        self.skip_unreadable = skip_unreadable

    @property
    def label(self) -> str:
        """``folder``, with the filter if that is not the usual one."""
        return self.name if self.filter == "lanczos" else f"{self.name}-{self.filter}"

    def open(self, root: Path, split: Split) -> FolderImages | None:
        """Lists the images of a split; see `Source.open`."""
        require_folder(root, holds="a folder of images")
        has_splits = (root / "train").is_dir()
        train = root / "train" if has_splits else root
        folder = train
        if split == "held_out":
            others = [root / name for name in ("test", "held_out") if (root / name).is_dir()]
            if not has_splits or not others:
                return None
            folder = others[0]
        listed, notes = list_images(folder)
        names = _readable(folder, listed) if self.skip_unreadable else listed
        if not names:
            raise UserError(f"no images under {folder}; --data.root must point to some")
        prefix = f"{folder.name}/" if has_splits else ""
        images = FolderImages(
            root,
            [prefix + name for name in names],
            shape=(3, SIDE, SIDE),
            filter=self.filter,
            fix="replace it, remove it, or set --data.source.skip_unreadable=true",
            label="reading images",
        )
        images.notes = notes
        # Both splits number their classes by the training split's, with its unreadable files.
        like = listed if split == "train" else list_images(train)[0]
        images.classes, images.labels = classify(names, like=like)
        return images


def _readable(folder: Path, names: Sequence[str]) -> tuple[str, ...]:
    """The names of those files that can be decoded; the others are named on standard error."""

    def can_be_read(name: str) -> bool:
        try:
            decode(folder / name, fix="skipped")
        except UserError as error:
            print(error, file=sys.stderr)
            return False
        return True

    readable = in_threads(can_be_read, names, label="checking images")
    return tuple(name for name, is_good in zip(names, readable, strict=True) if is_good)
