"""Networks that a user brings: a TorchScript file, or a function or module of Python.

TorchScript runs the operations of torch that a file names, and nothing else of Python. What
``module:callable`` names is the user's own program: it is taken from the command line and from
Python alone, never from a report, a record or a configuration file.
"""

import copy
import hashlib
import importlib
import inspect
import io
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganstoch.errors import UserError
from ganstoch.metrics.features.base import Device, Extractor, Network
from ganstoch.metrics.features.weights import digest_of, file_name, plain, sha256_of

_TAKES = "uint8 images (N, 3, H, W) and returns (N, F)"


class TorchScript(Network):
    """What a TorchScript file makes of uint8 images (N, 3, H, W), as they are: (N, F), l2."""

    def __init__(self, path: Path, *, device: Device | None = None) -> None:
        digest = sha256_of(path)
        try:
            with warnings.catch_warnings(action="ignore"):  # torch would have us use another format
                load: Any = torch.jit.load
                network = load(io.BytesIO(path.read_bytes()), map_location="cpu")
        except Exception as error:  # of whatever is no such file
            fix = "give what torch.jit.save has written"
            raise UserError(f"cannot read TorchScript from {path}; {fix}") from error
        self.path, self.name = path, file_name("torchscript", path, digest)
        super().__init__(network.eval(), device=device)

    def _features(self, pixels: Tensor) -> Any:
        return _call(self._network, pixels, self.name)

    def __reduce__(self) -> Any:
        return type(self), (self.path,)


class PythonCode(Network):
    """What a function or an `nn.Module` makes of uint8 images (N, 3, H, W): (N, F), l2.

    Of a module a copy is taken, in eval. The name holds a digest of the code in its file, and of a
    module's weights; what a function reads elsewhere is not in it.
    """

    def __init__(self, function: Callable[[Tensor], Any], *, device: Device | None = None) -> None:
        network, code = None, function
        if isinstance(function, nn.Module):
            network = copy.deepcopy(function).eval().requires_grad_(False)
            function, code = network, type(function)
        elif not hasattr(function, "__qualname__"):  # an object that can be called
            code = type(function)
        digest = hashlib.sha256(_source(code))
        if network is not None:
            digest.update(digest_of(network).encode())
        where = plain(f"{code.__module__}.{code.__qualname__}")
        self.name = f"python_{where}_{digest.hexdigest()[:8]}_l2"
        self._function = function
        super().__init__(network, device=device)

    def _features(self, pixels: Tensor) -> Any:
        return _call(self._function, pixels, self.name)


def load_callable(text: str) -> Any:
    """What ``module:name`` names, classes of extractors and modules made; the folder counts.

    Raises:
        UserError: if there is no such thing, or nothing that can be called.
    """
    module, _, names = text.partition(":")
    sys.path.append(os.getcwd())  # last, so that it shadows nothing
    try:
        found: Any = importlib.import_module(module)
        for name in names.split("."):
            found = getattr(found, name)
        if isinstance(found, type) and issubclass(found, Extractor | nn.Module):
            found = found()
    except (Exception, SystemExit) as error:  # whatever the user's program raises
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"cannot take features from {text} ({reason})") from error
    finally:
        sys.path.pop()
    if not callable(found):
        raise UserError(f"{text} is no function, nn.Module or Extractor")
    return found


def _call(function: Any, pixels: Tensor, name: str) -> Any:
    try:
        return function(pixels)
    except (Exception, SystemExit) as error:  # whatever it raises, it is of what it was given
        first = (str(error).strip().splitlines() or [""])[-1][:200]
        reason = f"{type(error).__name__}: {first}"
        raise ValueError(f"{name} failed ({reason}); give what takes {_TAKES}") from error


def _source(code: Any) -> bytes:
    """The file that a function or class stands in; else its own instructions, if any."""
    try:
        return inspect.getsource(inspect.getmodule(code) or code).encode()
    except (OSError, TypeError):
        return bytes(getattr(getattr(code, "__code__", None), "co_code", b""))
