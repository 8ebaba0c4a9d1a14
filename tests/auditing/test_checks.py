"""Sets that may not be compared, and held-out images that were not held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganstoch.auditing.checks import check_alike, check_disjoint, exact_copies
from ganstoch.auditing.inputs import Images, Role, open_images
from ganstoch.errors import UserError

BYTES = np.random.default_rng(0).integers(0, 256, (30, 3, 4, 4), dtype=np.uint8)


def opened(start: int, end: int, *, role: Role = "real") -> Images:
    return open_images(BYTES[start:end], role=role)


def test_grey_against_rgb() -> None:
    sets = [opened(0, 5), open_images(BYTES[:, :1], role="generated")]
    with pytest.raises(UserError) as caught:
        check_alike(sets)
    assert str(caught.value) == (
        "real array holds RGB images and generated array grey ones; "
        "repeat the channel of --generated three times, or make --real grey"
    )
    with pytest.raises(UserError, match=r"generated array holds grey .* channel of --generated"):
        check_alike(sets[::-1])


def test_sizes_that_differ() -> None:
    wide = open_images(np.zeros((2, 3, 6, 8), np.uint8), role="held_out")
    with pytest.raises(UserError) as caught:
        check_alike([opened(0, 5), opened(5, 9), wide])
    assert str(caught.value) == (
        "real array holds images of 4x4 pixels and held-out array of 8x6; add --resize 4"
    )
    check_alike([opened(0, 5), opened(5, 9, role="generated")])
    check_alike([wide])


def test_held_out_folder_is_the_real_one(tmp_path: Path) -> None:
    for i in range(3):
        Image.fromarray(BYTES[i].transpose(1, 2, 0)).save(tmp_path / f"{i}.png")
    (tmp_path / "link").symlink_to(tmp_path)
    real = open_images(tmp_path, role="real")
    for again in (tmp_path, tmp_path / "link", tmp_path / ".." / tmp_path.name):
        with pytest.raises(UserError, match="given both as --real and as --held-out"):
            check_disjoint(real, open_images(again, role="held_out"))
    with pytest.raises(UserError, match="held-out array holds the same images as"):
        check_disjoint(real, opened(0, 3, role="held_out"))


@pytest.mark.parametrize(
    ("start", "end", "verdict"),
    [
        (20, 30, None),
        (19, 29, "1 of the 10 held-out images is pixel for pixel"),
        (15, 25, "5 of the 10 held-out images are pixel for pixel"),
        (14, 24, UserError),
        (3, 9, UserError),
    ],
)
def test_overlap(start: int, end: int, verdict: str | type[Exception] | None) -> None:
    real, held_out = opened(0, 20), opened(start, end, role="held_out")
    if verdict is UserError:
        with pytest.raises(UserError, match=r"\d of the \d+ held-out images .* are among those"):
            check_disjoint(real, held_out)
        return
    note = check_disjoint(real, held_out)
    assert note is verdict or (isinstance(verdict, str) and note is not None and verdict in note)


def test_exact_copies() -> None:
    generated = np.concatenate([BYTES[28:], BYTES[5:6], BYTES[5:6], BYTES[6:7]])
    generated[4, 0, 0, 0] ^= 1  # almost
    found = exact_copies(open_images(generated, role="generated"), among=opened(0, 20))
    assert found.tolist() == [2, 3]
    # The same bytes in another shape are other images.
    flat = open_images(BYTES.reshape(30, 3, 2, 8), role="generated")
    assert exact_copies(flat, among=opened(0, 30)).tolist() == []
