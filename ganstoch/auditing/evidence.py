"""All that an audit's rules look at: facts of the images, and what every feature space shows."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ganstoch.auditing.appearance import Appearance, appearance, no_appearance
from ganstoch.auditing.coverage import Coverage, coverage
from ganstoch.auditing.distribution_shift import DistributionShift, distribution_shift
from ganstoch.auditing.edited import EditedCopies, search_edits
from ganstoch.auditing.facts import IDENTICAL_LEVEL, SURELY, Facts, coincidences, gather_facts
from ganstoch.auditing.feature_cache import features_of
from ganstoch.auditing.inputs import Images, Role, option
from ganstoch.auditing.proportions import Proportions, proportions
from ganstoch.auditing.repeats import Repeats, repeated_images, same_below, support_size
from ganstoch.auditing.searches import Searches, Space, sample_ids, search, take
from ganstoch.data.reading import MEMORY
from ganstoch.errors import UserError
from ganstoch.metrics.birthday import Support
from ganstoch.metrics.copies import CopiedShare, share_of_copies
from ganstoch.metrics.copy_score import HALF_AS_FAR
from ganstoch.metrics.ct_score import CTScore, ct_score
from ganstoch.metrics.excess import design_effect, intraclass
from ganstoch.metrics.features import Extractor, Pixels
from ganstoch.metrics.train_vs_held_out import TrainVsHeldOutScore, train_vs_held_out

_log = logging.getLogger("ganstoch")
_GROUPS = 4  # of training images: each half must hold two
LEAST = 20  # images of each set: half of one must hold k neighbours, twice over
NOTABLE = 0.2  # share of training images that have near-duplicates, from which on these hide copies
MOST = 10_000  # images of each set for measures whose work grows with their square


@dataclass(frozen=True, kw_only=True, eq=False)
class SpaceEvidence:
    """What one feature space shows, each with unseen real images in the same place."""

    space: Space
    searches: Searches
    copied: CopiedShare  # by edits too, where these are searched
    edited: EditedCopies | None  # None where they are not
    shift: DistributionShift
    repeats: Repeats
    coverage: Coverage
    proportions: list[Proportions]  # by clusters and, where there are labels, by classes
    support: Support  # how many different images there seem to be among the generated
    real_support: Support  # and among real ones
    train_vs_held_out: TrainVsHeldOutScore | None  # None without held-out images, as ct
    ct: CTScore | None

    @property
    def near_duplicates(self) -> float:
        """Share of training images that have one among the others, past those of their group."""
        return float((self.searches.left_out.scores <= HALF_AS_FAR).double().mean())

    @property
    def near_one(self) -> int:
        """Generated images that are as near to a single training image as a near-duplicate."""
        return int((self.searches.generated.scores <= HALF_AS_FAR).sum())


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What is known of the sets: facts, odd looks, every feature space, and notes, sentences."""

    facts: Facts
    looks: Appearance
    spaces: list[SpaceEvidence]
    notes: list[str]

    @property
    def hiding(self) -> list[SpaceEvidence]:
        """Spaces where to be near a training image is so natural that altered copies do not show.

        Held-out images would tell how near unseen images are.
        """
        unseen = "held_out" in self.facts.sets
        return [each for each in self.spaces if not unseen and each.near_duplicates >= NOTABLE]


def gather(
    sets: dict[Role, Images],
    extractors: Sequence[Extractor],
    *,
    cache: Path | None = None,
    memory: int = MEMORY,
    edits: bool = False,
    seed: int,
) -> Evidence:
    """Reads, counts and measures; ``cache`` keeps features, ``memory`` is for those of one set.

    With ``edits``, pixels are searched for copies that were mirrored, turned or shifted.
    """
    check_alike(list(sets.values()))
    for images in sets.values():
        _ = images.content  # an image that cannot be read is told before all else
    real, generated, held_out = sets["real"], sets["generated"], sets.get("held_out")
    notes = [note for images in sets.values() for note in images.notes]
    ids, looks = torch.arange(0), None
    if held_out is not None:
        ids, note = check_disjoint(real, held_out, seed=seed)
        notes += [note] if note else []
        notes += check_unmade(generated, held_out, ids, seed=seed)
        if len(ids) < LEAST:
            few = f"only {len(ids)} of the held-out images are not among the real ones"
            raise UserError(f"{few}, and an audit needs at least {LEAST}; give --held-out more")
    groups = None
    if real.groups is not None:
        groups, ids, more = check_groups(real, held_out, ids)
        notes += more
    if held_out is not None:
        looks = held_out.content.looks.iloc[ids.numpy()]
    odd = no_appearance(len(real), len(generated), len(ids))
    if not real.are_points:
        odd = appearance(real.content.looks, generated.content.looks, looks)
    if groups is not None:
        design = design_effect(groups)
        if not real.are_points:
            ranks = torch.tensor(real.content.looks.rank().to_numpy(dtype=float))
            design = 1 + (design - 1) * intraclass(ranks, groups[: len(real)])
        odd = replace(odd, excess=odd.excess.by_groups(design))
    spaces = []
    for extractor in extractors:
        _log.info("%s: features of %s images", extractor.name, f"{sum(map(len, sets.values())):,}")
        features: dict[str, Tensor] = {
            role: features_of(images, extractor, cache=cache, memory=memory)
            for role, images in sets.items()
        }
        unseen = features.pop("held_out", None)
        unseen = None if unseen is None else take(unseen, ids)
        space = Space(extractor=extractor, held_out=unseen, groups=groups, seed=seed, **features)
        _log.info("%s: neighbours", extractor.name)
        shape = real.shape if edits and isinstance(extractor, Pixels) else None
        spaces.append(_examine(space, odd, labels=real.labels, edited=shape))
    return Evidence(facts=gather_facts(sets, seed=seed), looks=odd, spaces=spaces, notes=notes)


def _examine(
    space: Space,
    looks: Appearance,
    *,
    labels: tuple[str, ...] | None,
    edited: tuple[int, ...] | None,
) -> SpaceEvidence:
    """Of a space; ``edited`` is the shape of images that are searched for copies with edits."""
    searches = search(space)
    shift = distribution_shift(searches)
    below = same_below(space, searches.left_out.neighbours)
    held_out_score = ct = None
    if space.held_out is not None and searches.held_out is not None:
        ids = sample_ids(len(space.generated), MOST, seed=space.seed, part="nearer")
        sets = (take(space.generated, ids), space.real, space.held_out)
        norm, groups, seed = space.norm, space.groups, space.seed
        held_out_score = train_vs_held_out(*sets, norm=norm, groups=groups, seed=seed)
        made, unseen_near = (
            each.neighbours.distances for each in (searches.generated, searches.held_out)
        )
        ct = ct_score(*sets, norm=space.norm, seed=space.seed, nearest=(made[ids], unseen_near))
    unseen = space.real if space.held_out is None else space.held_out
    scores = searches.generated.scores, searches.unseen_scores
    by_edits = None if edited is None else search_edits(space, searches, edited)
    copied = (
        by_edits.copied
        if by_edits
        else share_of_copies(
            *scores,
            groups=searches.unseen_groups,
            design=searches.design,
            limit=space.extractor.copy_limit,
        )
    )
    odd = {role: far | torch.from_numpy(looks.flagged[role]) for role, far in shift.is_far.items()}
    return SpaceEvidence(
        space=space,
        searches=searches,
        copied=copied,
        edited=by_edits,
        shift=shift,
        repeats=repeated_images(space, design=searches.design),
        # The estimate, for an interval's low end would let noise pass for modes left out, and its
        # high end hide real ones.
        coverage=coverage(space, searches, median_ratio=shift.median_ratio, labels=labels),
        # Images that look like no real one are not counted by class.
        proportions=proportions(space, searches, labels=labels, odd=odd),
        support=support_size(space, space.generated, threshold=below, part="generated"),
        real_support=support_size(space, unseen, threshold=below, part="real"),
        train_vs_held_out=held_out_score,
        ct=ct,
    )


def check_alike(sets: Sequence[Images]) -> None:
    """A UserError that names both if a set's channels or size are not the first one's."""
    first, *others = sets
    for other in others:
        if other.shape == first.shape:
            continue
        if first.are_points:
            fix = "give embeddings of one and the same network"
        elif first.shape[0] != other.shape[0]:
            both = f"{option(first.role)} and {option(other.role)}"
            fix = f"make {both} both grey by --mode L, or RGB by --mode RGB"
        else:
            fix = f"add --resize {min(*first.shape[1:], *other.shape[1:])}"
        raise UserError(f"{_what(first)} and {_what(other)}; {fix}")


def _what(images: Images) -> str:
    if images.are_points:
        return f"{images.where} holds rows of {images.shape[0]:,} numbers"
    channels, height, width = images.shape
    kind = "grey" if channels == 1 else "RGB"
    return f"{images.where} holds {kind} images of {width}x{height} pixels"


def check_disjoint(real: Images, held_out: Images, *, seed: int) -> tuple[Tensor, str | None]:
    """Positions of held-out images without those trained on by `coincidences`, and a note on these.

    A UserError if more than half of the different images were, or both sets are the same.
    """
    fix = "--held-out must be real images that the generator was not trained on"
    if real.content.sha256 == held_out.content.sha256:
        raise UserError(f"{held_out.where} holds the same images as {real.where}; {fix}")
    everyone, digests = torch.arange(len(held_out)), held_out.content.digests
    shared = coincidences(real.content.digests, digests, seed=seed)
    count = len(shared.identical)
    if not count:
        return everyone, None
    share = f"{count} of the {len(held_out)} held-out images"
    note = f"{share} {'is' if count == 1 else 'are'} pixel for pixel among the real ones"
    repeats = len(set(real.content.digests)) < len(real)
    if shared.identical_p > (SURELY if repeats else IDENTICAL_LEVEL):
        return everyone, f"{note}, as repeats may be."
    among = {digests[i] for i in (*shared.identical, *shared.common)}
    if 2 * len(among) > len(set(digests)):
        raise UserError(f"{share} in {held_out.where} are among those of {real.where}; {fix}")
    is_unseen = torch.ones(len(held_out), dtype=torch.bool)
    is_unseen[shared.identical] = False
    return everyone[is_unseen], f"{note}, and left out."


def check_unmade(generated: Images, held_out: Images, ids: Tensor, *, seed: int) -> list[str]:
    """A note if held-out images at positions ids were generated; a UserError if by no chance."""
    digests = tuple(held_out.content.digests[i] for i in ids.tolist())
    shared = coincidences(generated.content.digests, digests, seed=seed)
    count = len(shared.identical)
    share = f"{count} of the {len(digests)} held-out images"
    if count and shared.identical_p <= SURELY:
        fix = "--held-out must be real images that the generator neither made nor was trained on"
        raise UserError(f"{share} in {held_out.where} are in {generated.where}; {fix}")
    return [f"{share} are pixel for pixel among the generated ones."] if count else []


def check_groups(
    real: Images, held_out: Images | None, ids: Tensor
) -> tuple[Tensor, Tensor, list[str]]:
    """Group ids of training images and then of those held-out ones at positions ids (N + L,).

    Also these positions, without those whose group was trained on, and notes; a UserError if more
    than half were, too few are left, or there are too few groups.
    """
    of_real, of_unseen = real.groups or (), held_out.groups or () if held_out else ()
    place = {group: i for i, group in enumerate(dict.fromkeys(of_real))}
    known = len(place)
    if known < _GROUPS:
        few = f"the images in {real.where} are of {known} groups by --group-by"
        raise UserError(f"{few}, and an audit needs at least {_GROUPS}")
    several = f"{len(real):,} training images are of {known:,} groups"
    notes = [f"{several}, kept together; generated images are taken as independent of each other."]
    left = [i for i in ids.tolist() if of_unseen[i] not in place]
    if len(left) < len(ids):
        count = f"{len(ids) - len(left):,} of the {len(ids):,} held-out images"
        notes.append(f"{count} are of groups that were trained on, and left out.")
        if 2 * len(left) < len(ids) or len(left) < LEAST:
            fix = "--held-out must be of other groups by --group-by"
            raise UserError(f"{count} are of groups that were trained on; {fix}")
    groups = [*of_real, *(of_unseen[i] for i in left)]
    place = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    return torch.tensor([place[group] for group in groups]), torch.tensor(left).long(), notes
