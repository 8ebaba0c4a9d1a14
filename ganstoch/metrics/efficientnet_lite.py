"""EfficientNet-Lite0: Tan & Le 2019, arXiv:1905.11946, Table 1, in the Lite variant.

That has ReLU6 for swish, no squeeze-and-excitation, and stem and head that are not scaled.
"""

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

# (repeats, kernel, stride of the first, expansion, channels in, channels out)
_STAGES = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)


class _SameConv(nn.Conv2d):
    """Convolution padded as TensorFlow's SAME: the odd pixel goes to the right and the bottom."""

    def forward(self, x: Tensor) -> Tensor:
        pads: list[int] = []
        for axis in (1, 0):  # F.pad wants the last axis first
            size, kernel, stride = x.shape[2 + axis], self.kernel_size[axis], self.stride[axis]
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(x, pads))


_conv = partial(_SameConv, bias=False)
_norm = partial(nn.BatchNorm2d, eps=1e-3)


class _Block(nn.Module):
    """Inverted residual, its layers named as in the published file of weights."""

    def __init__(
        self, inputs: int, outputs: int, *, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expands = expansion > 1
        self.residual = stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv = _conv(inputs, wide, 1)
            self._bn0 = _norm(wide)
        self._depthwise_conv = _conv(wide, wide, kernel, stride=stride, groups=wide)
        self._bn1 = _norm(wide)
        self._project_conv = _conv(wide, outputs, 1)
        self._bn2 = _norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        h = F.relu6(self._bn1(self._depthwise_conv(h)))
        narrow: Tensor = self._bn2(self._project_conv(h))
        return x + narrow if self.residual else narrow


class EfficientNetLite0Network(nn.Module):
    """ImageNet classifier of 4.7 M parameters; trained on 224 x 224, takes any size from 32 on."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _conv(3, 32, 3, stride=2)
        self._bn0 = _norm(32)
        self._blocks = nn.ModuleList(
            _Block(first, outputs, kernel=kernel, stride=step, expansion=expansion)
            for repeats, kernel, stride, expansion, inputs, outputs in _STAGES
            for first, step in [(inputs, stride), *[(outputs, 1)] * (repeats - 1)]
        )
        self._conv_head = _conv(320, 1280, 1)
        self._bn1 = _norm(1280)
        self._fc = nn.Linear(1280, 1000)  # to ImageNet's classes

    def forward(self, images: Tensor) -> Tensor:
        """Activations (N, 1280) in [0, 6] of pictures (N, 3, H, W), each (bytes - 127) / 128."""
        h = F.relu6(self._bn0(self._conv_stem(images)))
        for block in self._blocks:
            h = block(h)
        maps: Tensor = F.relu6(self._bn1(self._conv_head(h)))
        return maps.mean(dim=(2, 3))
