"""`Extractor`: a space in which images are compared, and the shell that every network shares.

An extractor is no `nn.Module`, so that a metric that holds one adds nothing to its owner's
parameters and checkpoints.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from ganstoch.pixels import checked_images
from ganstoch.types import Norm, to_bytes

Device = torch.device | str
_BATCH = 64  # images per forward pass of a network


class Extractor(ABC):
    """Turns images into rows that a norm can compare."""

    name: str  # part of a metric's key, e.g. "pixel_l1"; changes whenever the numbers would
    norm: Norm  # by which two rows are compared
    # Copy score above which no image counts as a copy. Half as far as usual is a copy in any space;
    # in one that was trained to tell copies, whatever 1 % of unseen images stay under: 1.0.
    copy_limit: float = 0.5

    @abstractmethod
    def __call__(self, images: Tensor) -> Tensor:
        """Features (N, F), uint8 or float, of images (N, C, H, W), uint8 or in [-1, 1]."""

    def scale(self, width: int) -> float:
        """What a distance between rows of ``width`` features is divided by."""
        return 1.0


class Pixels(Extractor):
    """The pixels themselves, l1, as the mean absolute difference in grey levels, in [0, 255]."""

    name = "pixel_l1"
    norm: Norm = "l1"

    def __call__(self, images: Tensor) -> Tensor:
        """Features, shape (N, C*H*W); uint8 for uint8, float64 for float64, else float32."""
        checked = checked_images(images)
        if checked.is_floating_point():
            checked = checked.add(1.0).mul_(127.5)
        return checked.flatten(1)

    def scale(self, width: int) -> float:
        """Pixels times channels."""
        return float(width)


class Network(Extractor):
    """A frozen network, run on bytes in small batches, whatever precision its caller trains in.

    Args:
        network: what is moved to the device, if anything is.
        device: where it runs; None for where the images are.
    """

    norm: Norm = "l2"

    def __init__(self, network: nn.Module | None, *, device: Device | None) -> None:
        self._network = network
        self._device = device

    @abstractmethod
    def _features(self, pixels: Tensor) -> Any:
        """Features (N, F...) of uint8 images (N, 3, H, W), on the device."""

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Shape (N, F), float32. Floats are rounded to bytes, one channel is repeated thrice."""
        checked = checked_images(images)
        pixels = to_bytes(checked) if checked.is_floating_point() else checked
        if pixels.shape[1] not in (1, 3):
            raise ValueError(f"{self.name} needs 1 or 3 channels, got {pixels.shape[1]}")
        device = torch.device(images.device if self._device is None else self._device)
        if self._network is not None:
            self._network.to(device)
        rows = []
        # Under a trainer's autocast, half precision would change every number.
        with torch.autocast(device_type=device.type, enabled=False):
            for some in torch.split(pixels, _BATCH):
                found = self._features(some.to(device).expand(-1, 3, -1, -1))
                rows.append(self._as_rows(found, len(some)).to(images.device))
        return torch.cat(rows)

    def _as_rows(self, features: object, count: int) -> Tensor:
        """What a network returned, as float32 (N, F); a ValueError for what is no such thing."""
        if isinstance(features, Tensor) and _is_dense(features) and len(features) == count:
            return features.flatten(1).float()
        shape = getattr(features, "shape", None)
        got = type(features).__name__ if shape is None else f"shape {tuple(shape)}"
        raise ValueError(f"{self.name} must return a tensor (N, F) for {count} images, got {got}")

    def __deepcopy__(self, memo: dict[int, Any]) -> "Network":
        return self  # frozen, so one copy serves every clone of a metric


def _is_dense(tensor: Tensor) -> bool:
    """Whether a tensor has two axes or more of real numbers, all of them there."""
    is_strided = tensor.layout == torch.strided and not tensor.is_meta
    return is_strided and not tensor.is_complex() and tensor.ndim >= 2
