"""Measures that are meant for a network's features: FID, KID, MiFID and the Inception score.

As everywhere in the audit a value is of all images, with a baseline where there are as many
held-out images as generated ones; where there are fewer, the same once more of as many of either,
under a name that ends in ``_thinned``. All training images answer.

MiFID charges for memorisation where the mean cosine distance to the nearest training image is below
an epsilon, and its authors' 0.1 is for Inception. In another space epsilon is half the distance of
held-out images, and without these MiFID is not reported there.
"""

from __future__ import annotations

from torch import Tensor

from ganstoch.auditing.readings import MOST
from ganstoch.auditing.space import Space, sample_ids, take
from ganstoch.metrics.copy_score import HALF_AS_FAR
from ganstoch.metrics.features import Inception
from ganstoch.metrics.fid import GaussianStats, frechet_from_stats
from ganstoch.metrics.inception_score import Classifying, inception_score
from ganstoch.metrics.kid import kernel_distance
from ganstoch.metrics.mifid import EPSILON, cosine_distance, penalized
from ganstoch.report.audit_report import Reading

__all__ = ["fidelity"]

_SPLITS = 10


def fidelity(space: Space) -> dict[str, Reading]:
    """All of them, by name; nothing for pixels.

    Raises:
        ValueError: for features that the measures refuse.
    """
    if space.is_pixels:
        return {}
    made, held_out = space.generated, space.held_out
    real = GaussianStats.of(space.real)
    enough = held_out is not None and len(held_out) >= len(made)
    usual = None if held_out is None else _thinned(space, held_out, len(made), "held out")
    epsilon: float | None = EPSILON
    if not isinstance(space.extractor, Inception):
        epsilon = None if usual is None else HALF_AS_FAR * cosine_distance(usual, space.real)
    readings = _measured(space, real, made, usual if enough else None, epsilon=epsilon)
    if held_out is not None and not enough:
        some = _thinned(space, made, len(held_out), "generated")
        thinned = _measured(space, real, some, held_out, epsilon=epsilon)
        readings |= {
            name.replace("/", "_thinned/", 1): reading for name, reading in thinned.items()
        }
    return readings


def _thinned(space: Space, features: Tensor, most: int, part: str) -> Tensor:
    ids = sample_ids(len(features), most, seed=space.seed, part=f"fidelity/{part}")
    return take(features, ids)


def _measured(
    space: Space, real: GaussianStats, made: Tensor, usual: Tensor | None, *, epsilon: float | None
) -> dict[str, Reading]:
    """Of generated images, and of as many held-out ones if any."""
    fid = frechet_from_stats(real, GaussianStats.of(made))
    usual_fid = None if usual is None else frechet_from_stats(real, GaussianStats.of(usual))
    distance = cosine_distance(made, space.real)
    usual_distance = None if usual is None else cosine_distance(usual, space.real)
    few_real, few = (
        _thinned(space, rows, MOST, f"kid/{part}")
        for rows, part in ((space.real, "real"), (made, "generated"))
    )
    few_usual = None if usual is None else _thinned(space, usual, MOST, "kid/held out")
    name, count = space.name, f"{len(made):,} images against {len(space.real):,}"
    found = {
        f"fid/{name}": Reading(
            value=fid,
            baseline=usual_fid,
            wanted="low",
            meaning=f"Frechet distance of the features, {count}.",
        ),
        f"kid/{name}": Reading(
            value=kernel_distance(few_real, few),
            baseline=None if few_usual is None else kernel_distance(few_real, few_usual),
            wanted="low",
            meaning=f"Kernel distance of the features, unbiased: 0 for draws from the data; "
            f"{len(few):,} images.",
        ),
        f"cosine/{name}": Reading(
            value=distance,
            baseline=usual_distance,
            wanted="baseline",
            meaning=f"Mean cosine distance of generated images to the nearest training image, "
            f"{count}.",
        ),
    }
    if epsilon is not None:
        found[f"mifid/{name}"] = Reading(
            value=penalized(fid, distance, epsilon=epsilon),
            baseline=(
                None
                if usual_fid is None or usual_distance is None
                else penalized(usual_fid, usual_distance, epsilon=epsilon)
            ),
            wanted="low",
            meaning="FID, divided by the mean cosine distance to the nearest training image where "
            f"that is below {epsilon:.3g}: large for copies; {count}.",
        )
    if isinstance(space.extractor, Classifying) and len(made) >= _SPLITS:
        score = inception_score(space.extractor.logits(made), splits=_SPLITS)
        found[f"inception_score/{name}"] = Reading(
            value=score.mean,
            baseline=(
                None
                if usual is None
                else inception_score(space.extractor.logits(usual), splits=_SPLITS).mean
            ),
            wanted="high",
            meaning=f"How sure a classifier is of each image and how varied its answers, "
            f"{len(made):,} images in 10 parts; it never looks at the data.",
        )
    return found
