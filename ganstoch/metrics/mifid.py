"""MiFID: the Frechet distance, penalized for memorized training images.

[1] Bai, Lin, Raffel, Kan 2021, "On training sample memorization: Lessons from benchmarking
    generative modeling with a large-scale competition", arXiv:2106.03062.

    m = mean_g min_x (1 - |cos(g, x)|),    MiFID = FID / m if m < epsilon, else FID,

with g the features of generated and x of training images.
"""

from typing import NamedTuple, Unpack

import torch
from torch import Tensor

from ganstoch.metrics.base import FeatureMetric, Features, Options
from ganstoch.metrics.features import Inception
from ganstoch.metrics.fid import frechet_distance
from ganstoch.metrics.neighbours import nearest_neighbours
from ganstoch.metrics.neighbours.byte_search import float64_blocks

EPSILON = 0.1  # m from which on nothing counts as memorized in Inception's space [1]
_GUARD = 1e-15  # added to m by the authors, so that there is a quotient where m is 0


class MiFIDScore(NamedTuple):
    """MiFID, and the FID and mean cosine distance m that it is made of."""

    value: float
    fid: float
    distance: float


def mifid(train: Tensor, generated: Tensor, *, epsilon: float = EPSILON) -> MiFIDScore:
    """MiFID [1] of features of training (N, F) and generated images (M, F), at least 2 each."""
    if not epsilon > 0:
        raise ValueError(f"epsilon must be above 0, got {epsilon}")
    distance = cosine_distance(generated, train)
    fid = frechet_distance(train, generated)
    return MiFIDScore(penalized(fid, distance, epsilon=epsilon), fid, distance)


def penalized(fid: float, distance: float, *, epsilon: float) -> float:
    """FID / m where m is below epsilon, else FID."""
    return fid / (distance + _GUARD) if distance < epsilon else fid


def cosine_distance(generated: Tensor, train: Tensor) -> float:
    """Mean over generated images (M, F...) of the least 1 - |cos| to a training image (N, F...).

    Of unit vectors, |u - v|^2 / 2 = 1 - cos. Rows of zeros are passed over, as the authors do.
    """
    queries, bank = _units(generated, name="generated"), _units(train, name="training")
    nearest = nearest_neighbours(queries, bank, norm="l2").distances
    if min(queries.min(), bank.min()) < 0:  # else no cosine is below 0
        opposite = nearest_neighbours(queries.neg_(), bank, norm="l2").distances
        nearest = torch.minimum(nearest, opposite)
    return nearest.square().div(2).mean().item()


def _units(features: Tensor, *, name: str) -> Tensor:
    """Rows that are not 0, at length 1; float64 if they were, else float32."""
    rows = features.detach().flatten(1)
    nonzero = rows.ne(0).any(1).nonzero()[:, 0]
    if len(nonzero) == 0:
        raise ValueError(f"{name} features are all 0 or none: shape {tuple(features.shape)}")
    dtype = torch.float64 if rows.dtype == torch.float64 else torch.float32
    units = torch.empty(len(nonzero), rows.shape[1], dtype=dtype, device=rows.device)
    for block in float64_blocks(units):
        part = rows[nonzero[block]].double()
        units[block] = part / part.norm(dim=1, keepdim=True)
    return units


class MiFID(FeatureMetric):
    """MiFID [1], ``mifid/<extractor>``, and m by itself, ``mifid/<extractor>/distance``.

    Args:
        epsilon: m from which on nothing counts as memorized; None for 0.1 in Inception's space.
            Elsewhere it must be given (between pixels most images are within 0.1): half the m of
            held-out images is a start.
    """

    default_features = "inception"
    higher_is_better = False

    def __init__(
        self, features: Features = None, *, epsilon: float | None = None, **options: Unpack[Options]
    ) -> None:
        super().__init__(features, **options)
        if epsilon is None and not isinstance(self.extractor, Inception):
            raise ValueError(
                f"epsilon must be given for {self.extractor.name}: {EPSILON:g} is for Inception; "
                "half the distance of held-out images is a start"
            )
        if epsilon is not None and not epsilon > 0:
            raise ValueError(f"epsilon must be above 0, got {epsilon}")
        self.epsilon = EPSILON if epsilon is None else epsilon

    def _measure(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        self.result = mifid(real, generated, epsilon=self.epsilon)
        key = f"mifid/{self.extractor.name}"
        return {key: self.result.value, f"{key}/distance": self.result.distance}
