"""What an audit did not check, why, and what would make it."""

from collections.abc import Iterator

from ganstoch.auditing.evidence import Evidence
from ganstoch.auditing.inputs import Embeddings
from ganstoch.auditing.report import NotChecked

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
    if all(space.space.is_pixels for space in spaces):
        yield NotChecked(
            name="copies with edits",
            reason="By pixels a mirrored, shifted or cropped copy is none.",
            fix="Add a network to --features.",
        )
    if any(isinstance(space.space.extractor, Embeddings) for space in spaces):
        yield NotChecked(
            name="images of one colour, odd looks, pictures",
            reason="Embeddings have no pixels; every image is a row of numbers.",
            fix="Give --real and --generated.",
        )
    if not labelled:
        yield NotChecked(
            name="classes left out",
            reason="The training images have no labels.",
            fix="Sort them into a folder for each class.",
        )
    for space in spaces:
        if not space.proportions:
            yield NotChecked(
                name=f"parts of the data left out, by {space.space.words}",
                reason="Too few images for clusters.",
                fix="Give more images.",
            )
