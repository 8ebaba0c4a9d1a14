"""All that an audit's rules look at, gathered from the sets of images: facts, looks, measures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from ganstoch.auditing.appearance import Appearance, appearance
from ganstoch.auditing.checks import check_alike, check_disjoint
from ganstoch.auditing.facts import Facts, gather_facts
from ganstoch.auditing.inputs import Images, Role, option
from ganstoch.auditing.measure import Measured, measure
from ganstoch.auditing.space import Space, take
from ganstoch.errors import UserError
from ganstoch.metrics.features import Extractor

__all__ = ["LEAST", "Evidence", "gather"]

_log = logging.getLogger("ganstoch")

LEAST = 20
"""Images of each set: half of one must hold k neighbours, twice over."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """What is known of the sets.

    Attributes:
        facts: what is certain.
        looks: which generated images look like no real one.
        spaces: what was measured, at least one space.
        notes: what was decided on the way, each a sentence.
    """

    facts: Facts
    looks: Appearance
    spaces: tuple[Measured, ...]
    notes: tuple[str, ...] = ()


def gather(
    sets: dict[Role, Images],
    extractors: Sequence[Extractor],
    *,
    features: Callable[[Images, Extractor], Tensor],
    seed: int,
) -> Evidence:
    """Reads, counts and measures.

    Args:
        sets: of one shape, each of at least `LEAST` images: "real", "generated", perhaps
            "held_out".
        extractors: of the feature spaces, at least one.
        features: of all images of a set in a space, shape (N, F).
        seed: decides every sample and permutation.

    Raises:
        UserError: for images that cannot be read or compared.
    """
    check_alike(list(sets.values()))
    for images in sets.values():
        images.sha256()  # reads every image: one that cannot be read is told before all else
    notes = [note for images in sets.values() for note in images.notes]
    kept = None
    if "held_out" in sets:
        kept, note = check_disjoint(sets["real"], sets["held_out"], seed=seed)
        notes += [note] if note else []
        if len(kept) < LEAST:
            raise UserError(
                f"only {len(kept)} of the held-out images are not among the real ones, and an "
                f"audit needs at least {LEAST}; give {option('held_out')} more"
            )
    looks = appearance(
        sets["real"].looks(),
        sets["generated"].looks(),
        None if kept is None else sets["held_out"].looks().of(kept.numpy()),
    )
    spaces = []
    for extractor in extractors:
        _log.info("%s: features of %s images", extractor.name, f"{sum(map(len, sets.values())):,}")
        rows = {role: features(images, extractor) for role, images in sets.items()}
        space = Space(
            extractor=extractor,
            real=rows["real"],
            generated=rows["generated"],
            held_out=None if kept is None else take(rows["held_out"], kept),
            seed=seed,
        )
        _log.info("%s: neighbours", extractor.name)
        spaces.append(measure(space, looks, labels=sets["real"].labels))
    return Evidence(
        facts=gather_facts(sets, seed=seed),
        looks=looks,
        spaces=tuple(spaces),
        notes=tuple(notes),
    )
