"""Sets that may not be compared, and held-out images that were not held out."""

from __future__ import annotations

import numpy as np
import pytest

from ganstoch.auditing.evidence import check_alike, check_disjoint
from ganstoch.auditing.inputs import Images, Role, open_images
from ganstoch.errors import UserError

PAGES = np.random.default_rng(1).integers(0, 256, (60, 3, 4, 4), dtype=np.uint8)
BYTES = np.random.default_rng(0).integers(0, 256, (30, 3, 4, 4), dtype=np.uint8)


def opened(start: int, end: int, *, role: Role = "real") -> Images:
    return open_images(BYTES[start:end], role=role)


def test_grey_against_rgb() -> None:
    sets = [opened(0, 5), open_images(BYTES[:, :1], role="generated")]
    with pytest.raises(UserError) as caught:
        check_alike(sets)
    assert {"--real", "--generated"} <= set(str(caught.value).split())


def test_sizes_that_differ() -> None:
    wide = open_images(np.zeros((2, 3, 6, 8), np.uint8), role="held_out")
    with pytest.raises(UserError) as caught:
        check_alike([opened(0, 5), opened(5, 9), wide])
    assert "--resize 4" in str(caught.value)
    check_alike([opened(0, 5), opened(5, 9, role="generated")])
    check_alike([wide])


def test_held_out_images_are_the_real_ones() -> None:
    with pytest.raises(UserError, match="--held-out"):
        check_disjoint(opened(0, 3), opened(0, 3, role="held_out"), seed=0)


@pytest.mark.parametrize(
    ("start", "kept"),
    [(20, 10), (19, 10), (14, None), (12, None)],
)
def test_overlap(start: int, kept: int | None) -> None:
    """Of ten held-out images none is a training image; one, as repeats may be; six; eight."""
    real, held_out = opened(0, 20), opened(start, start + 10, role="held_out")
    if kept is None:
        with pytest.raises(UserError, match="--held-out"):
            check_disjoint(real, held_out, seed=0)
        return
    found, note = check_disjoint(real, held_out, seed=0)
    assert len(found) == kept
    assert (note is None) == (start == 20)


def test_held_out_images_that_were_trained_on_are_left_out() -> None:
    real = open_images(np.concatenate([BYTES[:20], PAGES[:40]]), role="real")
    held_out = open_images(np.concatenate([BYTES[10:30], PAGES[40:60]]), role="held_out")
    kept, note = check_disjoint(real, held_out, seed=0)
    assert kept.tolist() == [*range(10, 40)]
    assert note is not None


@pytest.mark.parametrize("seed", range(3))
def test_images_that_repeat_by_nature_may_be_in_both(seed: int) -> None:
    """One pixel at one of 300 places: most held-out images are training images too."""
    rng = np.random.default_rng(seed)
    drawn = (np.arange(300) == rng.integers(0, 300, 1500)[:, None]).astype(np.uint8)
    dots = drawn.reshape(1500, 1, 15, 20)
    real, held_out = (
        open_images(dots[:1000], role="real"),
        open_images(dots[1000:], role="held_out"),
    )
    kept, _ = check_disjoint(real, held_out, seed=0)
    assert len(kept) == 500
    # Of training images that repeat as often, those of the training set itself are told apart.
    with pytest.raises(UserError):
        check_disjoint(
            open_images(BYTES, role="real"),
            open_images(np.concatenate([BYTES[:20], BYTES[:1]]), role="held_out"),
            seed=0,
        )
