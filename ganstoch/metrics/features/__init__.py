"""In which space images are compared: pixels (l1), or a trained network's activations (l2).

Pixels and Inception are those of Yazici et al. 2020, arXiv:2006.14265, Sec. 4.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from ganstoch.errors import UserError
from ganstoch.metrics.features.base import Device, Extractor, Network, Pixels
from ganstoch.metrics.features.efficientnet import EfficientNetLite0, missing_package
from ganstoch.metrics.features.inception import Inception
from ganstoch.metrics.features.onnx_model import SSCD, Onnx
from ganstoch.metrics.features.python_code import PythonCode, TorchScript, load_callable
from ganstoch.metrics.features.timm_models import CLIP, DINOv2, Timm
from ganstoch.metrics.features.weights import FILES, missing_file

__all__ = ["CLIP", "SPACES", "SSCD", "AnyFeatures", "DINOv2", "EfficientNetLite0", "Extractor"]
__all__ += ["Inception", "Network", "Onnx", "Pixels", "PythonCode", "Timm", "TorchScript"]
__all__ += ["FILES_OF", "make_extractor", "missing_weights"]

AnyFeatures = Extractor | str | Callable[[Tensor], Any]  # an nn.Module can be called, too
_NETWORKS: dict[str, Callable[..., Extractor]] = {
    "inception": Inception,
    # Twice the side of our pictures; 224 would enlarge them sevenfold, at forty times the cost.
    "efficientnet_lite0": partial(EfficientNetLite0, size=64),
    "dinov2": DINOv2,
    "clip": CLIP,
    "sscd": SSCD,
    "sscd_distilled": partial(SSCD, distilled=True),
}
SPACES = ("pixel", *_NETWORKS)
FILES_OF = ("onnx", "torchscript", "timm")  # which begin a space that a file holds
_OTHERS = "onnx:FILE, torchscript:FILE, timm:NAME, timm:NAME:FILE and module:callable"


def make_extractor(
    features: AnyFeatures, *, weights: Path | None = None, device: Device | None = None
) -> Extractor:
    """The extractor that is meant.

    Args:
        features: one of `SPACES`; ``onnx:FILE``, ``torchscript:FILE``, ``timm:NAME[:FILE]``;
            ``module:callable`` or the callable itself, a function or `nn.Module` that maps uint8
            images (N, 3, H, W) to features (N, F), see `PythonCode`; or an extractor.
        weights: a named network's file of weights; None for its usual place.
        device: where a network runs; None for where the images are. ONNX runs on the CPU.

    Raises:
        UserError: if weights or a library are missing or damaged, or nothing can be a space.
        ValueError: if there is no such space.
    """
    if isinstance(features, Extractor):
        return features
    if not isinstance(features, str):
        if not callable(features) or isinstance(features, type):
            kind = features.__name__ if isinstance(features, type) else type(features).__name__
            takes = f"one of {', '.join(SPACES)}, an Extractor, an nn.Module or a function"
            raise UserError(f"features cannot be a {kind}; give {takes}")
        return PythonCode(features, device=device)
    if features == "pixel":
        return Pixels()
    if features in _NETWORKS:
        return _NETWORKS[features](weights, device=device)
    kind, _, rest = features.partition(":")
    if not rest:
        raise ValueError(f"features must be {', '.join(SPACES)}, {_OTHERS}, got {features!r}")
    if weights is not None:
        raise UserError(f"weights go with {', '.join(_NETWORKS)}, not with {features}")
    if kind == "onnx":
        return Onnx(Path(rest))
    if kind == "torchscript":
        return TorchScript(Path(rest), device=device)
    if kind == "timm":
        name, _, file = rest.partition(":")
        return Timm(name, Path(file) if file else None, device=device)
    return make_extractor(load_callable(features), device=device)


def missing_weights(space: str, weights: Path | None = None) -> str | None:
    """What a named space lacks and how to get it, in one line; None if its weights are there."""
    if space in FILES:
        return missing_file(space, weights)
    return missing_package() if space == "efficientnet_lite0" and weights is None else None
