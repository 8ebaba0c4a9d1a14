"""Data sets: sources of images, the fixed subset chosen from one, the draws from the subset."""

from ganstoch.data.digits import Digits
from ganstoch.data.ffhq import FFHQ
from ganstoch.data.folder import Folder
from ganstoch.data.gaussians import Bimodal, Grid, HighDimensional, Ring
from ganstoch.data.source import ArrayImages, ImageSet, Source
from ganstoch.data.stacked import StackedFashion, StackedMNIST
from ganstoch.data.subset import Manifest, Sampling, Subset, choose, draw_ids, leftover_ids
from ganstoch.data.torchvision_sets import CIFAR10, SVHN, FashionMNIST
from ganstoch.errors import UserError

__all__ = ["CIFAR10", "FFHQ", "SVHN", "Digits", "FashionMNIST", "Folder"]
__all__ += ["Bimodal", "Grid", "HighDimensional", "Ring", "StackedFashion", "StackedMNIST"]
__all__ += ["ArrayImages", "ImageSet", "Manifest", "Sampling", "Source", "Subset"]
__all__ += ["choose", "draw_ids", "find_source", "leftover_ids"]


def find_source(name: str) -> type[Source]:
    """The source of that name, e.g. ``cifar10``; a `UserError` if there is none."""
    sources = {source.name: source for source in Source.__subclasses__()}
    if name not in sources:
        raise UserError(f"no data set {name!r}; there are {', '.join(sorted(sources))}")
    return sources[name]
