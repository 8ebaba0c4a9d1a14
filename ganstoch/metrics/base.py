"""`FeatureMetric`: the torchmetrics shell of every metric on sets of images."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, TypedDict

import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat
from torchmetrics.utilities.distributed import gather_all_tensors

from ganstoch.errors import UserError
from ganstoch.metrics.features import AnyFeatures, Extractor, make_extractor
from ganstoch.pixels import RANGES, Range, checked_images

Side = Literal["real", "generated", "held_out"]
Features = AnyFeatures | None
_MANY = 16  # images of a side, from which on it means something that none is dark


class Options(TypedDict, total=False):
    """What every metric may be told by name, see `FeatureMetric`."""

    seed: int
    reset_real_features: bool
    value_range: Range


class MeanSd(NamedTuple):
    """Mean and standard deviation of several values of one measure."""

    mean: float
    sd: float

    @classmethod
    def of(cls, values: list[float]) -> MeanSd:
        """In float64; the deviation divides by the number of values."""
        numbers = torch.tensor(values, dtype=torch.float64)
        return cls(numbers.mean().item(), numbers.std(correction=0).item())


def warn_of_repeats(distances: Tensor, *, side: Side, k: int) -> None:
    """Warns where all distances (N,) to the k-th nearest other are 0: nothing lies nearer."""
    if not distances.any():
        warnings.warn(
            f"each {side} image occurs more than {k} times, so that nothing lies within the "
            "distance to its nearest others, and the numbers mean nothing; give each image once",
            stacklevel=3,
        )


def _form(rows: Sequence[Tensor] | Tensor) -> list[int]:
    """Rows of features as all ranks must have them but for their number: that, length and type."""
    parts = [rows] if isinstance(rows, Tensor) else list(rows)
    count = sum(len(part) for part in parts)
    first = next((part for part in parts if len(part)), torch.empty(0, 0))
    kinds = first.is_floating_point(), first.element_size()
    return [count, math.prod(first.shape[1:]), *map(int, kinds)]


class FeatureMetric(Metric):
    """A function of the features of real, generated and perhaps held-out images.

    A subclass names its `sides` and implements `_measure`. Every rank keeps its own features;
    torchmetrics gathers them in rank order before `compute`. `result` is what the metric's function
    returned at the last `compute`.

    Args:
        features: what `make_extractor` takes; None for the subclass's default.
        seed: decides what a metric draws, if it draws anything.
        reset_real_features: False keeps real and held-out images over ``reset``: give them once.
        value_range: of images given as floats: "symmetric" in [-1, 1], "unit" in [0, 1] or "bytes"
            in [0, 255]. A batch outside is refused; a side whose floats all lie in [0, 1] makes a
            warning, unless that is their range.
    """

    is_differentiable = False
    full_state_update = False
    sides: ClassVar[tuple[Side, ...]] = ("real", "generated")
    default_features: ClassVar[str] = "pixel"

    extractor: Extractor
    real_features: list[Tensor]
    generated_features: list[Tensor]
    held_out_features: list[Tensor]

    def __init__(
        self,
        features: Features = None,
        *,
        seed: int = 0,
        reset_real_features: bool = True,
        value_range: Range = "symmetric",
    ) -> None:
        super().__init__()
        features = self.default_features if features is None else features
        extractor = make_extractor(features)
        if value_range not in RANGES:
            raise UserError(f"value_range must be one of {', '.join(RANGES)}, got {value_range!r}")
        # Past nn.Module's own setter: a user's extractor may be a module, and would then join
        # every checkpoint and every optimizer of the metric's owner.
        object.__setattr__(self, "extractor", extractor)
        self.seed = seed
        self.reset_real_features = reset_real_features
        self.value_range: Range = value_range
        self.result: Any = None
        # Least of a side's floats, and how many images these are; bytes have no other range.
        self._floats: dict[Side, tuple[float, int]] = {}
        # Ranks cannot gather a state that stays empty, so there are those of the sides only.
        for side in self.sides:
            self.add_state(f"{side}_features", default=[], dist_reduce_fx="cat")

    @staticmethod
    def _at_least(least: int, **numbers: int) -> None:
        """Refuses a setting before all images have been looked at."""
        for name, number in numbers.items():
            if number < least:
                raise ValueError(f"{name} must be {least} or more, got {number}")

    @abstractmethod
    def _measure(self, *features: Any, **_: Any) -> dict[str, float]:
        """The metric's values by name, from the features of its sides in their order."""

    def update(self, images: Tensor | NDArray[Any], *, real: bool, held_out: bool = False) -> None:
        """Adds images to one side.

        Args:
            images: shape (N, C, H, W), uint8 in [0, 255] or floats of ``value_range``, as a tensor
                or a numpy array; (N, H, W, C) where no axis but the last can be the channels'.
            real: True for real images, False for generated ones.
            held_out: True for real images that the generator was not trained on.
        """
        side: Side = "held_out" if held_out else "real" if real else "generated"
        if side == "real" and self.sides == ("generated",):
            return  # nothing to compare with, so that one loop may feed every metric
        if side not in self.sides or (held_out and not real):
            raise ValueError(
                f"{type(self).__name__} takes images of {', '.join(self.sides)}; "
                "held_out=True goes with real=True"
            )
        checked = checked_images(images, values=self.value_range)
        if checked.is_floating_point():
            least, count = self._floats.get(side, (torch.inf, 0))
            self._floats[side] = min(least, checked.min().item()), count + len(checked)
        getattr(self, f"{side}_features").append(self.extractor(checked).to(self.device))

    def compute(self) -> dict[str, Tensor]:
        """The metric's values by name, float64 scalars on the metric's device."""
        features = []
        for side in self.sides:
            self._warn_of_range(side)
            rows = getattr(self, f"{side}_features")
            if len(rows) == 0:  # a list, or one tensor once ranks are gathered
                raise ValueError(f"no {side} images yet: give them to update() before compute()")
            features.append(dim_zero_cat(rows))
        return {
            name: torch.tensor(value, dtype=torch.float64, device=self.device)
            for name, value in self._measure(*features).items()
        }

    def _sync_dist(
        self, dist_sync_fn: Callable[..., Any] = gather_all_tensors, process_group: Any = None
    ) -> None:
        """Gathers what each rank has; all of them refuse sides that cannot be gathered."""
        if dist_sync_fn is gather_all_tensors:
            own = [_form(getattr(self, f"{side}_features")) for side in self.sides]
            group = process_group or self.process_group
            every = torch.stack(gather_all_tensors(torch.tensor(own, device=self.device), group))
            for side, forms in zip(self.sides, every.unbind(1), strict=True):
                empty = (forms[:, 0] == 0).nonzero().flatten().tolist()
                if 0 < len(empty) < len(forms):
                    raise UserError(
                        f"ranks {empty} have no {side} images, and others have: give each rank "
                        "some to update() before compute()"
                    )
                if not empty and not bool((forms[:, 1:] == forms[0, 1:]).all()):
                    raise UserError(
                        f"the ranks' {side} features differ in length or type; give them the same "
                        "features= of images of one size and type"
                    )
        super()._sync_dist(dist_sync_fn, process_group)

    def _warn_of_range(self, side: Side) -> None:
        """Images without a pixel below the middle of [-1, 1] were most likely made in [0, 1]."""
        least, count = self._floats.get(side, (-1.0, 0))
        if self.value_range == "symmetric" and least >= 0 and count >= _MANY:
            self._floats.pop(side)  # said once
            warnings.warn(
                f"all {count:,} {side} images given as floats lie in [0, 1] and were taken to be "
                'in [-1, 1]; if [0, 1] is their range, make the metric with value_range="unit"',
                stacklevel=3,
            )

    def _named(self, key: str, result: object, *parts: str) -> dict[str, float]:
        """Parts of a result under the names of metrics, e.g. ``prdc/pixel_l1/recall``."""
        return {f"{key}/{self.extractor.name}/{part}": getattr(result, part) for part in parts}

    def reset(self) -> None:
        """Forgets the images."""
        self.result = None
        kept = [] if self.reset_real_features else ["real", "held_out"]
        self._floats = {side: seen for side, seen in self._floats.items() if side in kept}
        states = [f"{side}_features" for side in self.sides if side != "generated"]
        features = {state: list(getattr(self, state)) for state in states}
        super().reset()  # empties the lists in place
        if not self.reset_real_features:
            for state, rows in features.items():
                setattr(self, state, rows)
