"""Overfitting and mode drop [1] as a `torchmetrics.Metric`, for any training loop.

[1] Yazici et al. 2020, arXiv:2006.14265, Sec. 4.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ganstoch.metrics.collecting import Collecting
from ganstoch.metrics.features import Extractor, FeatureSpace
from ganstoch.metrics.functional import TwoWays, overfitting_mode_drop

__all__ = ["OverfittingModeDrop"]


class OverfittingModeDrop(Collecting):
    """How close generated images are to the data, and data to the generated images [1, Sec. 4].

    With N(q, S) the distance from q to the nearest member of S:

        overfitting = N(g, all data) over a sample of generated images g     generated -> data
        mode drop   = N(x, all generated) over a sample of data images x     data -> generated

    both reported as mean, mean of the worst (largest) 10 % and of the worst 5 %. In pixels, the
    distance is the mean absolute difference in grey levels per pixel and channel, range [0, 255];
    between activations of a network it is l2, from 0 on.

    ``update`` takes images (N, C, H, W), uint8 in [0, 255] or floats in [-1, 1], and the side they
    belong to. ``compute`` returns six float64 scalars,
    ``{overfitting,mode_drop}/<extractor>/{mean,worst10,worst5}``.

    Both sides are kept as features: memory is images times F (3,072 bytes an image for 32 x 32 RGB
    as bytes, four times that as floats). Every rank keeps its own, and they are gathered in rank
    order when computing, so the sample depends on the seed and on the number of ranks. No random
    number is drawn from torch's global generator. As with FID, ``forward`` is not for this metric:
    one side alone has no value.

    Args:
        features: an `Extractor`, or the name of one: "pixel", "inception", "efficientnet_lite0".
        queries: images in each sample, at least 1, or "all"; [1] takes 200.
        seed: decides which images are in the samples: the same ones at every evaluation, as long as
            as many images come in the same order.
        reset_real_features: whether ``reset`` forgets the data too; False keeps them, so that they
            are given once and serve every evaluation.

    Attributes:
        pairs: who was asked and who answered at the last ``compute``, for a figure; None before.

    Raises:
        ValueError: for another name, or ``queries`` below 1. From ``update``: for images that the
            extractor refuses. From ``compute``: if a side is missing, or the sides' images differ
            in shape.
        UserError: if a network's weights are missing or damaged, or FAISS is half installed.

    Example:
        >>> import torch
        >>> from ganstoch.metrics import OverfittingModeDrop
        >>> metric = OverfittingModeDrop("pixel", queries="all")
        >>> data = torch.tensor([0, 100], dtype=torch.uint8).reshape(2, 1, 1, 1)
        >>> metric.update(data, real=True)
        >>> metric.update(torch.full((3, 1, 1, 1), 10, dtype=torch.uint8), real=False)
        >>> values = metric.compute()
        >>> values["overfitting/pixel_l1/mean"]  # every generated image is 10 from the first
        tensor(10., dtype=torch.float64)
        >>> values["mode_drop/pixel_l1/mean"]  # and the data are 10 and 90 away
        tensor(50., dtype=torch.float64)
    """

    higher_is_better = False
    pairs: TwoWays | None

    def __init__(
        self,
        features: Extractor | FeatureSpace = "pixel",
        *,
        queries: int | Literal["all"] = 200,
        seed: int = 0,
        reset_real_features: bool = True,
    ) -> None:
        if queries != "all" and queries < 1:
            raise ValueError(f"queries must be at least 1, or 'all', got {queries}")
        super().__init__(features, reset_real_features=reset_real_features)
        self.queries = queries
        self.seed = seed
        self.pairs = None

    def compute(self) -> dict[str, Tensor]:
        """The six numbers, float64 scalars on the metric's device; smaller is closer."""
        real, generated = self.sides()
        self.pairs = overfitting_mode_drop(
            real,
            generated,
            norm=self.extractor.norm,
            queries=None if self.queries == "all" else self.queries,
            seed=self.seed,
            scale=self.extractor.scale(real.shape[1]),
        )
        return {
            name: torch.tensor(value, dtype=torch.float64).to(self.device)
            for name, value in self.pairs.named(self.extractor.name).items()
        }

    def reset(self) -> None:
        """Forgets the generated images, and the real ones unless told to keep them."""
        self.pairs = None
        super().reset()
