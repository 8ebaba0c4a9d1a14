"""A feature space of an audit, and the nearest neighbours in it that several measures share.

Unseen real images tell what is natural: held-out ones, and where these are few training images too.
For "too near" a training image finds its near-duplicates; for "too far" it passes them over. Where
generated images are compared with real ones in their place (`stand_in`), the larger set is cut into
blocks of the smaller one's size. Without held-out images half of the training images stand in.
"""

from dataclasses import dataclass
from functools import partial

import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from ganstoch.metrics.copy_score import (
    HALF_AS_FAR,
    CopyScores,
    copy_scores,
    left_out_scores,
    nearest_in_parts,
)
from ganstoch.metrics.excess import design_effect, intraclass
from ganstoch.metrics.features import Extractor
from ganstoch.metrics.neighbours import first_equal, nearest_neighbours, times_each
from ganstoch.metrics.overfitting import OverfittingScores, nearest_pairs
from ganstoch.rng import rng_for, without_replacement
from ganstoch.types import Neighbours, Norm

_BLOCKS = 8  # most that are compared
_PER_GROUP, _ALIKE = 50, 4000  # images that tell how alike those of a group are
_ENOUGH = 200  # held-out images, or groups of them, from which on they alone say what is natural


@dataclass(frozen=True, kw_only=True, eq=False)
class Space:
    """The sets of an audit as one extractor sees them."""

    extractor: Extractor
    real: Tensor  # features, (N, F), uint8 or floats
    generated: Tensor  # (M, F)
    held_out: Tensor | None  # (L, F)
    groups: Tensor | None = None  # each real image's, training images first, int64, (N + L,)
    seed: int  # decides every thinning

    @property
    def real_groups(self) -> Tensor | None:
        """Of the training images (N,): of one person or source; None where none are given."""
        return None if self.groups is None else self.groups[: len(self.real)]

    @property
    def held_out_groups(self) -> Tensor | None:
        """Of the held-out images (L,), none of which is a training image's; likewise."""
        return None if self.groups is None else self.groups[len(self.real) :]

    @property
    def name(self) -> str:
        """Part of a measure's key, e.g. ``pixel_l1``."""
        return self.extractor.name

    @property
    def norm(self) -> Norm:
        """By which two rows are compared."""
        return self.extractor.norm

    @property
    def scale(self) -> float:
        """What a distance is divided by."""
        return self.extractor.scale(self.real.shape[1])

    @property
    def is_pixels(self) -> bool:
        """Whether rows are grey levels rather than a network's activations."""
        return self.name.startswith("pixel")

    @property
    def unit(self) -> str:
        """Of a scaled distance."""
        return "grey levels" if self.is_pixels else "units of the features"

    @property
    def words(self) -> str:
        """The space in a sentence."""
        return "pixels" if self.is_pixels else self.name.replace("_", " ")

    def sample(self, features: Tensor, size: int, part: str) -> Tensor:
        """At most ``size`` rows of features, drawn at random; ``part`` tells samples apart."""
        return take(features, sample_ids(len(features), size, seed=self.seed, part=part))


def sample_ids(count: int, most: int, *, seed: int, part: str) -> Tensor:
    """Ids of at most ``most`` of ``count`` images, drawn at random, ascending, int64."""
    rng = rng_for(seed, "evaluation", part=f"audit/{part}")
    return without_replacement(count, min(count, most), rng).sort().values


def take(features: Tensor, ids: Tensor) -> Tensor:
    """Rows of features; the features themselves, uncopied, where that is all of them."""
    if len(ids) == len(features) and bool((ids == torch.arange(len(ids))).all()):
        return features
    return features[ids.to(features.device)]


def linked_groups(neighbours: Tensor, linked: Tensor, *firsts: Tensor | None) -> Tensor:
    """Ids of images' groups (N,): each with its neighbour if linked, and always with all firsts."""
    everyone = torch.arange(len(neighbours))
    always = [first for first in firsts if first is not None]
    of = torch.cat([everyone[linked], *[everyone] * (1 + len(always))])
    to = torch.cat([neighbours[linked], everyone, *always])
    links = coo_matrix((torch.ones(len(of)), (of, to)), shape=(len(everyone), len(everyone)))
    return torch.from_numpy(connected_components(links, directed=False)[1]).long()


@dataclass(frozen=True, kw_only=True, eq=False)
class Searches:
    """Distances of one space, float64 on the CPU, in its own units unless told otherwise."""

    pairs: OverfittingScores  # of all images, scaled
    generated: CopyScores  # from generated images to all training images
    left_out: CopyScores  # from training images to the others
    held_out: CopyScores | None  # from held-out images to all training images
    groups: Tensor  # group of near-duplicates that each training image is in, int64, (N,)
    unseen_scores: Tensor  # copy scores of real images that were not trained on, (R,)
    unseen_groups: Tensor  # group of each of these, int64, (R,)
    unseen_nearest: Tensor  # from such images to their nearest training image, (R,)
    unseen_distances: Tensor  # the same past near-duplicates, (U,)
    from_ids: Tensor  # training images that reach_* starts from, int64, (A,)
    stand_in: Tensor  # features of the real images in the generated ones' place, (S, F)
    reach_generated: list[Tensor]  # to each block of generated images, (A,), scaled
    reach_real: list[Tensor]  # to each block of the stand-ins
    size: int  # images in a block
    design: float  # unseen images of the given groups that say no more than one; 1 without groups


def search(space: Space) -> Searches:
    """Makes all searches of a space; a ValueError for fewer than 3 different training images."""
    real, norm, seed = space.real, space.norm, space.seed
    own = left_out_scores(real, norm=norm, seed=seed, groups=space.real_groups)
    first = first_equal(real)
    # Where all occur as often, twice say, `own` passes over their duplicates. Blank pages, of
    # which every part holds one, are no group: unseen images are blank as often.
    same = first if times_each(first) > 1 else None
    near = own.scores <= HALF_AS_FAR
    groups = linked_groups(own.neighbours.ids, near, same, first_of_group(space.real_groups))
    past = own.beyond_near_duplicates()
    past = past[past.isfinite()] if past.isfinite().any() else own.neighbours.distances
    unseen: tuple[Tensor, ...] = (own.scores, groups, own.neighbours.distances, past)
    held_out, stand_in, given = None, space.held_out, space.groups
    if stand_in is None:
        from_ids, others = group_halves(groups, seed=seed)
        stand_in = take(real, others)
    else:
        from_ids = torch.arange(len(real))
        held_out = copy_scores(stand_in, real, norm=norm, seed=seed)
        near, count = held_out.neighbours.distances, len(stand_in)
        single = torch.arange(count) if space.held_out_groups is None else space.held_out_groups
        alone = (held_out.scores, len(real) + single, near, near)
        few = len(torch.unique(single)) < _ENOUGH
        given = given if few else space.held_out_groups
        unseen = tuple(torch.cat([a, b]) if few else a for a, b in zip(alone, unseen, strict=True))
    size = min(len(space.generated), len(stand_in))
    copied = copy_scores(space.generated, real, norm=norm, seed=seed)
    missed, blocks = _reach_generated(space, size)
    return Searches(
        pairs=OverfittingScores(
            overfitting=nearest_pairs(copied.neighbours, scale=space.scale),
            mode_drop=nearest_pairs(missed, scale=space.scale),
        ),
        generated=copied,
        left_out=own,
        held_out=held_out,
        groups=groups,
        unseen_scores=unseen[0],
        unseen_groups=unseen[1],
        unseen_nearest=unseen[2],
        unseen_distances=unseen[3],
        from_ids=from_ids,
        stand_in=stand_in,
        reach_generated=[block[from_ids] / space.scale for block in blocks],
        reach_real=_reach_real(space, from_ids, stand_in, size),
        size=size,
        design=1.0 if given is None else _design(space, given, own.neighbours.distances),
    )


def _design(space: Space, given: Tensor, nearest: Tensor) -> float:
    """Images of given groups that say no more than one: the more, the more alike a group's are."""
    groups, rng = space.groups, rng_for(space.seed, "evaluation", part="audit/alike")
    assert groups is not None
    groups = groups[: len(space.real)]
    some = (places_in_groups(groups, rng) < _PER_GROUP).nonzero()[:, 0]
    keys = torch.randperm(int(groups.max()) + 1, generator=rng)[groups[some]]
    ids = some[keys.argsort(stable=True)][:_ALIKE]  # whole groups, but for the last
    ranks = nearest.argsort().argsort()[ids, None]
    rows = take(space.real, ids).cpu()
    alike = max(intraclass(values, groups[ids]) for values in (rows, ranks))
    return 1 + (design_effect(given) - 1) * alike


def places_in_groups(groups: Tensor, rng: torch.Generator) -> Tensor:
    """Each image's place among those of its group, in a random order, from 0, int64, (N,)."""
    order = torch.randperm(len(groups), generator=rng)
    by_group = order[groups[order].argsort(stable=True)]
    sizes = torch.bincount(groups)
    places = torch.empty_like(order)
    places[by_group] = torch.arange(len(groups)) - (sizes.cumsum(0) - sizes)[groups[by_group]]
    return places


def first_of_group(groups: Tensor | None) -> Tensor | None:
    """For each image the first of its group, int64, (N,)."""
    if groups is None:
        return None
    first = torch.full((int(groups.max()) + 1,), len(groups))
    return first.scatter_reduce_(0, groups, torch.arange(len(groups)), "amin")[groups]


def group_halves(groups: Tensor, *, seed: int) -> tuple[Tensor, Tensor]:
    """Ids of two halves, about equally many, no group torn: searched from, and standing in."""
    names, members = torch.unique(groups, return_inverse=True)
    if len(names) == 1:  # cannot be helped
        names, members = groups, torch.arange(len(groups))
    sizes = torch.bincount(members)
    order = _order(len(names), seed=seed, part="half")
    before = sizes[order].cumsum(0) - sizes[order]
    is_first = torch.zeros(len(names), dtype=torch.bool)
    is_first[order[before < len(groups) / 2]] = True
    is_first[order[-1]] = False  # were it not for the last, one group might hold all of a half
    return is_first[members].nonzero()[:, 0], (~is_first[members]).nonzero()[:, 0]


def _reach_generated(space: Space, size: int) -> tuple[Neighbours, list[Tensor]]:
    """From training images to the nearest generated one, and their distances to each block's."""
    made = space.generated
    order, blocks = (
        _order(len(made), seed=space.seed, part="generated"),
        min(_BLOCKS, len(made) // size),
    )
    parts = torch.split(order[: blocks * size], size) + torch.split(
        order[blocks * size :], len(made)
    )
    near = CopyScores.of(
        *nearest_in_parts(
            space.real,
            [part.sort().values for part in parts if len(part)],
            rows=partial(take, made),
            norm=space.norm,
        )
    )
    return near.neighbours, list(near.parts[:, :blocks].unbind(1))


def _reach_real(space: Space, from_ids: Tensor, bank: Tensor, size: int) -> list[Tensor]:
    order, images = _order(len(bank), seed=space.seed, part="stand-in"), take(space.real, from_ids)
    return [
        nearest_neighbours(images, take(bank, block.sort().values), norm=space.norm).distances
        / space.scale
        for block in torch.split(order[: min(_BLOCKS, len(bank) // size) * size], size)
    ]


def _order(count: int, *, seed: int, part: str) -> Tensor:
    return torch.randperm(count, generator=rng_for(seed, "evaluation", part=f"audit/{part}"))
