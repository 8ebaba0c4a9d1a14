"""What an audit did not check, why, and what would make it."""

from collections.abc import Iterator

from ganstoch.auditing.edited import missed_edits, space_of_edits
from ganstoch.auditing.evidence import Evidence
from ganstoch.auditing.inputs import Embeddings
from ganstoch.auditing.report import NotChecked, percent

_HELD_OUT = "Give --held-out: real images that the generator was not trained on."


def not_checked(evidence: Evidence, *, recovery: bool, labelled: bool) -> Iterator[NotChecked]:
    """Every check that was not made; ``recovery``: whether a generator was given."""
    spaces, sets = evidence.spaces, evidence.facts.sets
    if "held_out" not in sets:
        yield NotChecked(
            name="nearer to training than to unseen images",
            reason="No held-out images; training images compared with each other stand in.",
            fix=_HELD_OUT,
        )
        yield NotChecked(
            name="membership of training images",
            reason="How well they can be told is told against held-out images.",
            fix=_HELD_OUT,
        )
    if not recovery:
        yield NotChecked(
            name="training images among what the generator can make",
            reason="No generator was given, only its images.",
            fix="Give --checkpoint, or in Python generator=.",
        )
    elif "held_out" not in sets:
        yield NotChecked(
            name="training images among what the generator can make",
            reason="The test compares with held-out images.",
            fix=_HELD_OUT,
        )
    for space in evidence.hiding:
        share = f"{percent(space.near_duplicates)} of the training images have near-duplicates"
        yield NotChecked(
            name=f"altered copies among near-duplicates, by {space.space.words}",
            reason=f"{share}, so that unseen images may be as near to them as copies.",
            fix=f"{_HELD_OUT} Where near-duplicates are of one source, give --group-by.",
        )
    names = [space_of_edits(s.space.name, searched=s.edited is not None) for s in spaces]
    missed = missed_edits(names)
    are_points = any(isinstance(space.space.extractor, Embeddings) for space in spaces)
    if (missed is None or missed) and not are_points:
        reason = f"These spaces find less than 90 in 100: {'; '.join(missed or [])}."
        yield NotChecked(
            name="copies with edits",
            reason="Which edits these spaces see is not known." if missed is None else reason,
            fix="Add sscd to --features (ganstoch prepare sscd), or --search-edits.",
        )
    if are_points:
        yield NotChecked(
            name="images of one colour, odd looks, pictures",
            reason="Embeddings have no pixels; every image is a row of numbers.",
            fix="Give --real and --generated.",
        )
    if not labelled:
        yield NotChecked(
            name="classes left out",
            reason="The training images have no labels.",
            fix="Give a folder for each class, a dataset.json, or a column label.",
        )
    for space in spaces:
        if not space.proportions:
            yield NotChecked(
                name=f"parts of the data left out, by {space.space.words}",
                reason="Too few images for clusters.",
                fix="Give more images.",
            )
