"""Networks in ONNX files, run by onnxruntime on the CPU; among them SSCD.

[1] Pizzi et al. 2022, arXiv:2202.10261: "A Self-Supervised Descriptor for Image Copy Detection".
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganstoch.errors import UserError
from ganstoch.metrics.features.base import Device, Network
from ganstoch.metrics.features.weights import file_name, find_weights, sha256_of

_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}


class Onnx(Network):
    """The output (N, F) of a network in an ONNX file, l2.

    Layout and kind of its one input are the model's own: (N, 3, H, W) or (N, H, W, 3); bytes where
    it takes uint8, x / 255 in [0, 1] where it takes floats, and no other normalisation. Pictures
    are stretched to the model's H and W where these are fixed, and otherwise taken as they are.
    """

    def __init__(self, path: Path, *, name: str | None = None, size: int | None = None) -> None:
        self.path = path
        self._session = _open(path)
        self.name = name or file_name("onnx", path, sha256_of(path))
        self._inspect(size)
        super().__init__(None, device="cpu")

    def _inspect(self, size: int | None) -> None:
        """Finds layout, kind and size of the input; a UserError where they leave room to guess."""
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            counts = f"{len(inputs)} inputs and {len(outputs)} outputs"
            raise UserError(f"{self.path} has {counts}; give a model with one of each")
        shape, kind = inputs[0].shape, inputs[0].type
        axes = [i for i in (1, 3) if len(shape) == 4 and shape[i] == 3]
        if any(type(length) is int and length < 1 for length in shape):
            axes = []  # of no pixel
        if len(axes) != 1 or (kind != "tensor(uint8)" and kind not in _FLOATS):
            wanted = "uint8 or floats, with 3 channels fixed in the second or the last axis"
            raise UserError(f"{self.path} takes {kind} {shape}; give a model that takes {wanted}")
        self._input, self._channels_last = inputs[0].name, axes == [3]
        self._kind = _FLOATS.get(kind)
        self._batch = shape[0] if isinstance(shape[0], int) else None
        fixed = shape[1:3] if self._channels_last else shape[2:]
        self._side = (size, size) if size else fixed if all(type(s) is int for s in fixed) else None

    def _features(self, pixels: Tensor) -> Any:
        if self._side is not None and list(pixels.shape[2:]) != list(self._side):
            pixels = F.interpolate(pixels, size=self._side, mode="bilinear", antialias=True)
        if self._channels_last:
            pixels = pixels.permute(0, 2, 3, 1)
        rows = pixels.contiguous().numpy()
        if self._kind is not None:
            rows = (rows / np.float32(255)).astype(self._kind)
        if self._batch is None:
            return torch.from_numpy(self._run(rows))
        several = []
        for start in range(0, len(rows), self._batch):
            some = rows[start : start + self._batch]
            filled = np.concatenate([some, some[-1:].repeat(self._batch - len(some), 0)])
            several.append(self._run(filled)[: len(some)])
        return torch.from_numpy(np.concatenate(several))

    def _run(self, rows: Any) -> Any:
        try:
            return np.asarray(self._session.run(None, {self._input: rows})[0], np.float32)
        except Exception as error:  # e.g. images smaller than the network's kernels
            first = (str(error).splitlines() or [""])[0][:200]
            raise ValueError(f"{self.name} failed on images {rows.shape}: {first}") from error

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_session": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._session = _open(self.path)


class SSCD(Onnx):
    """SSCD's copy descriptor [1]: 512 numbers of length 1, l2; ``distilled`` is a small student.

    Pictures are stretched to a square, and made of bytes as all others.
    """

    SIZE = 160
    copy_limit = 1.0

    def __init__(
        self, weights: Path | None = None, *, device: Device | None = None, distilled: bool = False
    ) -> None:
        space = "sscd_distilled" if distilled else "sscd"
        path = find_weights(space, weights)
        usual = weights is None or sha256_of(path).startswith(path.stem.split("-")[-1])
        name = f"{space}_l2" if usual else f"{space}_{sha256_of(path)[:8]}_l2"
        super().__init__(path, name=name, size=self.SIZE)


def _open(path: Path) -> Any:
    """A session from memory: weights in other files, which no name would cover, are refused."""
    try:
        import onnxruntime as ort
    except ImportError as error:
        fix = "pip install 'ganstoch[onnx]'"
        raise UserError(f"this space needs onnxruntime; run: {fix}") from error
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
    options.log_severity_level = 3
    try:
        content = path.read_bytes()
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        first = (str(error).splitlines() or [""])[0][:200]
        fix = "give one ONNX file"
        raise UserError(f"onnxruntime cannot load {path} ({first}); {fix}") from error
