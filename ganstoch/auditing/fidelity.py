"""Measures that are meant for a network's features: FID, KID, MiFID and the Inception score.

Held-out images stand in the generator's place for a baseline; as these measures fall with the
number of images, generated and held-out ones are thinned to one number then. All training images
answer.
"""

from __future__ import annotations

from torch import Tensor

from ganstoch.auditing.readings import MOST
from ganstoch.auditing.space import Space, sample_ids, take
from ganstoch.metrics.frechet import Moments, frechet_of
from ganstoch.metrics.inception_score import Classifying, inception_score_of
from ganstoch.metrics.kernel import kernel_distance
from ganstoch.metrics.mifid import cosine_distance
from ganstoch.reporting.audit_report import Reading

__all__ = ["fidelity"]

EPSILON = 0.1
"""Cosine distance below which MiFID charges for memorisation; its authors' choice for Inception."""

_SPLITS = 10


def fidelity(space: Space) -> dict[str, Reading]:
    """All of them, by name; nothing for pixels.

    Raises:
        ValueError: for features that the measures refuse.
    """
    if space.is_pixels:
        return {}
    held_out = space.held_out
    size = min(len(space.generated), len(space.generated if held_out is None else held_out))

    def thinned(features: Tensor, most: int, part: str) -> Tensor:
        ids = sample_ids(len(features), most, seed=space.seed, part=f"fidelity/{part}")
        return take(features, ids)

    generated = thinned(space.generated, size, "generated")
    usual = None if held_out is None else thinned(held_out, size, "held out")
    real = Moments.of(space.real)
    fid = frechet_of(real, Moments.of(generated))
    usual_fid = None if usual is None else frechet_of(real, Moments.of(usual))
    distance = cosine_distance(generated, space.real)
    usual_distance = None if usual is None else cosine_distance(usual, space.real)
    fewer = min(size, MOST)
    some_real, some = (
        thinned(space.real, MOST, "kid/real"),
        thinned(space.generated, fewer, "kid/generated"),
    )
    some_usual = None if held_out is None else thinned(held_out, fewer, "kid/held out")
    name, count = space.name, f"{size:,} images against {len(space.real):,}"
    found = {
        f"fid/{name}": Reading(
            value=fid,
            baseline=usual_fid,
            wanted="low",
            meaning=f"Frechet distance of the features, {count}.",
        ),
        f"kid/{name}": Reading(
            value=kernel_distance(some_real, some),
            baseline=None if some_usual is None else kernel_distance(some_real, some_usual),
            wanted="low",
            meaning="Kernel distance of the features, unbiased: 0 for draws from the data.",
        ),
        f"mifid/{name}": Reading(
            value=_charged(fid, distance),
            baseline=(
                None
                if usual_fid is None or usual_distance is None
                else _charged(usual_fid, usual_distance)
            ),
            wanted="low",
            meaning="FID, divided by the mean cosine distance to the nearest training image where "
            f"that is below {EPSILON:g}: large for copies.",
        ),
        f"cosine/{name}": Reading(
            value=distance,
            baseline=usual_distance,
            wanted="baseline",
            meaning="Mean cosine distance of generated images to the nearest training image.",
        ),
    }
    if isinstance(space.extractor, Classifying) and size >= _SPLITS:
        score = inception_score_of(space.extractor.logits(generated), splits=_SPLITS)
        found[f"inception_score/{name}"] = Reading(
            value=score.mean,
            baseline=(
                None
                if usual is None
                else inception_score_of(space.extractor.logits(usual), splits=_SPLITS).mean
            ),
            wanted="high",
            meaning=f"How sure a classifier is of each image and how varied its answers, {size:,} "
            "images in 10 parts; it never looks at the data.",
        )
    return found


def _charged(fid: float, distance: float) -> float:
    """As `ganstoch.metrics.mifid` has it, without searching anew."""
    return fid / (distance + 1e-15) if distance < EPSILON else fid
