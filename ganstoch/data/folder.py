"""Data set of the user's own: any folder, archive, table or file of images."""

from collections.abc import Sequence
from pathlib import Path

from ganstoch.data.decoding import ScaleFilter
from ganstoch.data.files import SPLITS
from ganstoch.data.image_files import FileImages, classify, readable
from ganstoch.data.images import open_files, open_images
from ganstoch.data.labels import ignored
from ganstoch.data.reading import Reading
from ganstoch.data.source import SIDE, ImageSet, Source
from ganstoch.locations import locate
from ganstoch.types import Split


class Folder(Source):
    """Images below a folder, sorted by path, or in a file; see `images.open_images`.

    A folder ``train``, in an archive too, is the training split, ``test`` or ``held_out`` beside it
    the held-out one; the first-level folders of a split are its classes, see `classify`.

    Args:
        filter: resampling filter for images that are not 32x32.
        skip_unreadable: whether to leave out files that cannot be decoded; a note counts them. This
            decodes every file at every start.
    """

    name = "folder"
    summary = (
        "your own images: a folder, archive, table or array; any size, any format that Pillow opens"
    )

    def __init__(self, filter: ScaleFilter = "lanczos", skip_unreadable: bool = False) -> None:
        self.filter: ScaleFilter = filter
        self.skip_unreadable = skip_unreadable

    @property
    def label(self) -> str:
        """``folder``, with the filter if that is not the usual one."""
        return self.name if self.filter == "lanczos" else f"{self.name}-{self.filter}"

    def open(self, root: Path, split: Split) -> ImageSet | None:
        """The images of a split; see `Source.open`."""
        option = "--data.root"
        reading = Reading(
            resize=SIDE, filter=self.filter, skip_unreadable=self.skip_unreadable, mode="RGB"
        )
        location = locate(root, option=option)
        if location.kind == "array":
            return open_images(root, option=option, reading=reading) if split == "train" else None
        files = open_files(location, option=option)
        below = {name: f"{files.top}{name}/" for name in SPLITS}
        positions: dict[str, Sequence[int]] = {
            name: [i for i, path in enumerate(files.names) if path.startswith(start)]
            for name, start in below.items()
        }
        train, *others = SPLITS
        like = positions[train]
        if not like and not (location.kind == "folder" and (root / train).is_dir()):
            if split == "held_out":
                return None
            like, positions[train], below[train] = *2 * (range(len(files.names)),), files.top
        name = train
        if split == "held_out":
            name = next((other for other in others if positions[other]), "")
            if not name:
                return None
        some, notes = readable(files, option=option, reading=reading, among=positions[name])
        images = FileImages(
            files,
            some,
            shape=(3, SIDE, SIDE),
            reading=reading,
            filter=self.filter,
            option=option,
            label="reading images",
        )
        names = [files.names[i] for i in sorted({*some, *like})]
        unlabelled = ignored(files.labels, names, where=files.where)
        images.notes = (*files.passed.notes(files.where), *notes, *unlabelled)
        # Both splits number their classes by the training split's, with its unreadable files.
        images.classes, images.labels = classify(files, some, like=like, below=below[name])
        return images
