"""What every metric on two sets of images shares: it collects features, side by side."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from ganstoch.metrics.features import Extractor, FeatureSpace, make_extractor

__all__ = ["Collecting", "Side"]

Side = Literal["real", "generated", "held_out"]


class Collecting(Metric):
    """Features of real images, of generated ones and, where a metric wants them, held-out ones.

    Every rank keeps its own features; they are gathered in rank order when computing. No random
    number is drawn from torch's global generator. ``forward`` is not for such a metric: one side
    alone has no value.

    Args:
        features: an `Extractor`, or the name of one.
        reset_real_features: whether ``reset`` forgets the real and held-out images too; False keeps
            them, so that they are given once and serve every evaluation.

    Raises:
        ValueError: for an unknown name. From ``update``: for images that the extractor refuses.
            From ``compute``: if a side is missing, or two sides' images differ in shape.
        UserError: if a network's weights are missing or damaged.
    """

    is_differentiable = False
    full_state_update = False
    takes_held_out: ClassVar[bool] = False
    """Whether the metric looks at held-out real images too."""

    extractor: Extractor
    real_features: list[Tensor]
    generated_features: list[Tensor]
    held_out_features: list[Tensor]

    def __init__(
        self, features: Extractor | FeatureSpace = "pixel", *, reset_real_features: bool = True
    ) -> None:
        super().__init__()
        extractor = make_extractor(features) if isinstance(features, str) else features
        # Past nn.Module's own setter: a stranger's extractor may be a module, and would then join
        # every checkpoint and every optimiser of the metric's owner.
        object.__setattr__(self, "extractor", extractor)
        self.reset_real_features = reset_real_features
        self.add_state("real_features", default=[], dist_reduce_fx="cat")
        self.add_state("generated_features", default=[], dist_reduce_fx="cat")
        if self.takes_held_out:  # ranks cannot gather a state that stays empty
            self.add_state("held_out_features", default=[], dist_reduce_fx="cat")

    def update(self, images: Tensor, *, real: bool, held_out: bool = False) -> None:
        """Adds images to one side.

        Args:
            images: shape (N, C, H, W), uint8 in [0, 255] or floats in [-1, 1].
            real: True for real images, False for generated ones.
            held_out: True for real images that the generator was not trained on.
        """
        if held_out and not (real and self.takes_held_out):
            raise ValueError(
                "held-out images are real ones: update(images, real=True, held_out=True)"
                if self.takes_held_out
                else f"{type(self).__name__} does not look at held-out images"
            )
        features = self.extractor(images).to(self.device)
        side: Side = "held_out" if held_out else "real" if real else "generated"
        getattr(self, f"{side}_features").append(features)

    def gathered(self, side: Side) -> Tensor:
        """All features of a side, shape (N, F), in the order in which they came.

        Raises:
            ValueError: if there are none.
        """
        features = getattr(self, f"{side}_features")
        if len(features) == 0:  # a list, or one tensor once ranks are gathered
            call = {"real": "real=True", "generated": "real=False"}
            how = call.get(side, "real=True, held_out=True")
            name = side.replace("_", "-")
            raise ValueError(f"no {name} images yet: call update(images, {how}) before compute()")
        return dim_zero_cat(features)

    def sides(self) -> tuple[Tensor, Tensor]:
        """Features of the real and of the generated images, (N, F) and (M, F).

        Raises:
            ValueError: if a side is missing, or their images differ in shape.
        """
        real, generated = self.gathered("real"), self.gathered("generated")
        if real.shape[1] != generated.shape[1]:
            raise ValueError(
                f"real images give {real.shape[1]} features and generated ones "
                f"{generated.shape[1]}: their shapes differ"
            )
        return real, generated

    def reset(self) -> None:
        """Forgets the generated images, and the real ones unless told to keep them."""
        sides = ("real_features", "held_out_features")[: 2 if self.takes_held_out else 1]
        kept = {side: list(getattr(self, side)) for side in sides}  # reset empties them in place
        super().reset()
        if not self.reset_real_features:
            for side, features in kept.items():
                setattr(self, side, features)
