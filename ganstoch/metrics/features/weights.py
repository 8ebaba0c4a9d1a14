"""Files of weights: where they are looked for, whether they are whole, and how they are read."""

import hashlib
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from ganstoch.errors import UserError

Loaded = TypeVar("Loaded", bound=nn.Module)


class WeightsFile(NamedTuple):
    """A published file of weights, kept in torch hub's folder of checkpoints."""

    name: str
    sha256: str = ""  # its beginning, as published; "" where none is

    @property
    def path(self) -> Path:
        """Where it is looked for."""
        return Path(torch.hub.get_dir()) / "checkpoints" / self.name


# The name under which the FID weights are published; its last part begins their sha256.
INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
FILES = {
    "inception": WeightsFile(INCEPTION_FILE, "6726825d"),
    "dinov2": WeightsFile("vit_large_patch14_dinov2.lvd142m.safetensors"),
    "clip": WeightsFile("vit_large_patch14_clip_quickgelu_336.openai.safetensors"),
    "sscd": WeightsFile(
        "sscd-86386042.onnx", "86386042eb852df12dee402ac7e305827cc246f5fab261acf7994c49bb2cb181"
    ),
    "sscd_distilled": WeightsFile(
        "sscd_distilled-240436cc.onnx",
        "240436cc531e2e10299f2c60d6fe581d1f9f405e3ee8360e81e9e6cfc0a8a9ab",
    ),
}


def find_weights(space: str, given: Path | None) -> Path:
    """A space's file: the one given, or the one in its usual place, with its published checksum.

    Raises:
        UserError: if it is missing, or damaged.
    """
    file = FILES[space]
    path = file.path if given is None else given
    if missing := missing_file(space, given):
        raise UserError(missing)
    if path.name == file.name and file.sha256:  # then it must be what was published
        digest = sha256_of(path)
        if not digest.startswith(file.sha256):
            raise UserError(
                f"{path} is damaged: its sha256 begins {digest[:8]}, not {file.sha256[:8]}; "
                f"remove it and run: ganstoch prepare {space}"
            )
    return path


def missing_file(space: str, given: Path | None = None) -> str | None:
    """How to get a space's file, in one line; None if it is there."""
    path = FILES[space].path if given is None else given
    if path.is_file():
        return None
    return (
        f"{space} needs its weights, not found at {path}; "
        f"run: ganstoch prepare {space}, or put the file there"
    )


def sha256_of(path: Path) -> str:
    """Of a file's content, in hexadecimal; a UserError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}); give another file") from error


def digest_of(network: nn.Module) -> str:
    """Sha256 of a network's layers and weights."""
    digest = hashlib.sha256(repr(network).encode())
    for key, value in network.state_dict().items():
        digest.update(key.encode())
        if isinstance(value, Tensor) and value.numel():
            digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def file_name(kind: str, path: Path, digest: str) -> str:
    """The name of a space that a file holds, with the beginning of the file's sha256."""
    return f"{kind}_{plain(path.stem)}_{digest[:8]}_l2"


def plain(text: str) -> str:
    """A text with nothing in it but letters, digits and ``._-``, as part of a metric's key."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)


def read_state(path: Path) -> Any:
    """The state dict in a file, safetensors or what torch.save has written, on the CPU."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with warnings.catch_warnings(action="ignore"):  # on a bad file, the error says enough
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file, or one with a program in it, raises almost any
        raise UserError(
            f"cannot read weights from {path} ({type(error).__name__}); give a state dict of "
            "nothing but tensors, saved by torch.save"
        ) from error
    if zipfile.is_zipfile(path) and zipfile.ZipFile(path).testzip():  # torch checks no checksum
        raise UserError(f"{path} is damaged")
    return state


def fill(network: Loaded, state: Any, path: Path, *, assign: bool = False) -> Loaded:
    """A network with a state dict in it, read from a path: float32, frozen, in eval."""
    try:
        network.load_state_dict(state, assign=assign)
    except (RuntimeError, TypeError, AttributeError) as error:  # of entries that are no tensors
        first = [line.strip() for line in str(error).splitlines()][:2]
        raise UserError(f"{path} holds other weights: {' '.join(first)[:200]}") from error
    return network.float().requires_grad_(False).eval()


def load_weights(build: Callable[[], Loaded], path: Path) -> Loaded:
    """What ``build`` makes, with the state dict in a file: float32 on the CPU, frozen, in eval."""
    state = read_state(path)
    with torch.device("meta"):  # neither memory nor chance is spent on weights that are replaced
        network = build()
    return fill(network, state, path, assign=True)
