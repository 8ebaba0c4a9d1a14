"""How a set of images is to be read: what the user has stated; None lets the images say."""

from dataclasses import dataclass
from typing import Literal, get_args

from ganstoch.data.decoding import Fit, ScaleFilter
from ganstoch.errors import UserError
from ganstoch.pixels import LAYOUTS, RANGES, Layout, Range

Mode = Literal["L", "RGB"]
MEMORY = 2 * 2**30  # bytes that images may take unless told otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What is stated of images; a `UserError` for what none of them can be."""

    resize: int | None = None  # side in pixels of the square that each image is fitted to
    fit: Fit = "crop"  # how, see `square`
    filter: ScaleFilter = "lanczos"  # by which it is scaled
    mode: Mode | None = None  # grey or RGB; None as the images are
    skip_unreadable: bool = False  # whether files that cannot be decoded are left out
    layout: Layout | None = None  # of arrays
    range: Range | None = None  # of arrays
    memory: int = MEMORY  # bytes that arrays which are not mapped may take
    count: int | None = None  # images to ask of a function of their number

    def __post_init__(self) -> None:
        if self.resize is not None and self.resize < 1:
            raise UserError(f"--resize must be at least 1 pixel, got {self.resize}")
        for name, allowed in (
            ("fit", get_args(Fit)),
            ("mode", (None, *get_args(Mode))),
            ("layout", (None, *LAYOUTS)),
            ("range", (None, *RANGES)),
        ):
            if (value := getattr(self, name)) not in allowed:
                words = ", ".join(str(each) for each in allowed if each)
                raise UserError(f"--{name} must be one of {words}, got {value!r}")
