"""The bench of edited copies: edits keep a picture's shape, the table says what it counts."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

from ganstoch.auditing.edited import EDITS as NAMED
from ganstoch.auditing.edited import SEARCHED
from ganstoch.bench.edits import EDITS, Sets, edited, main, measure

SIDE = 32


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Smooth pictures, none of which is like another."""
    rng = torch.Generator().manual_seed(0)
    small = torch.randint(256, (260, 3, 8, 8), generator=rng).float()
    large = torch.nn.functional.interpolate(small, size=(SIDE, SIDE), mode="bicubic")
    return large.clamp(0, 255).byte()


def test_edits_keep_the_shape_and_are_the_same_each_time(images: Tensor) -> None:
    assert tuple(EDITS) == NAMED
    for name in EDITS:
        made = edited(images[:3], name)
        assert (made.shape, made.dtype) == ((3, 3, SIDE, SIDE), torch.uint8)
        assert torch.equal(made, edited(images[:3], name))
        changed = (made != images[:3]).flatten(1).any(1)
        assert changed.all() if name != "exact" else not changed.any()
    assert torch.equal(edited(images[:3], "mirrored"), images[:3].flip(3))
    shifted = edited(images[:20], "shifted by 4 px")
    middles = [
        images[:20].roll((d, r), (2, 3))[..., 8:-8, 8:-8]
        for d in range(-4, 5)
        for r in range(-4, 5)
    ]
    same = torch.stack([(m == shifted[..., 8:-8, 8:-8]).flatten(1).all(1) for m in middles])
    assert same.any(0).all()


@pytest.mark.parametrize("space", ["pixel", SEARCHED])
def test_what_is_found_of_what_was_planted(images: Tensor, space: str) -> None:
    sets = Sets(images[:60], images[60:160], images[160:])
    rows = {row["edit"]: row for row in measure(sets, space)}
    assert rows["exact"]["copies_found"] == 1
    assert rows["exact"]["copies_low"] == pytest.approx(0.025 ** (1 / 60), abs=1e-4)
    assert (rows["mirrored"]["copies_found"] == 1) is (space == SEARCHED)
    assert all(row["unseen_found"] <= 0.05 for row in rows.values())


def test_the_table_and_its_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("skimage")
    assert main(["--spaces", "pixel", "--sides", "128", "--out", str(tmp_path)]) == 0
    rows = pd.read_csv(tmp_path / "edits.csv")
    assert list(rows["edit"]) == list(EDITS)
    text = (tmp_path / "edits.md").read_text()
    assert text in capsys.readouterr().out
    line = next(line for line in text.splitlines() if line.startswith("| mirrored"))
    assert f"{100 * rows['copies_found'][list(EDITS).index('mirrored')]:.0f} %" in line
    kept = Path(__file__).parents[2] / "results" / "edits" / "edits.csv"
    before = pd.read_csv(kept)
    before = before[before["images"].str.endswith("128 px") & (before["space"] == "pixel")]
    # Libraries that draw and compress differ by a level here and there.
    gaps = before["copies_found"].to_numpy() - rows["copies_found"].to_numpy()
    assert abs(gaps).max() <= 0.1
