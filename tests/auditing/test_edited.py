"""Copies with edits in an audit: found and told only where they are searched for."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from ganstoch.auditing import edited
from ganstoch.auditing.audit import audit
from ganstoch.errors import UserError

RESULTS = Path(__file__).parents[2] / "results" / "edits" / "edits.csv"


@pytest.fixture(scope="module")
def photographs() -> Tensor:
    """Squares of the photographs that come with scikit-learn, 16 px a side, in random order."""
    from sklearn.datasets import load_sample_images

    pictures = [torch.from_numpy(np.array(image)) for image in load_sample_images().images]
    cut = [p.unfold(0, 16, 16).unfold(1, 16, 16).reshape(-1, 3, 16, 16) for p in pictures]
    squares = torch.cat(cut)
    squares = squares[squares.float().flatten(1).std(1) > 12]
    return squares[torch.randperm(len(squares), generator=torch.Generator().manual_seed(0))]


@pytest.mark.parametrize("held_out", [True, False])
def test_mirrored_copies(photographs: Tensor, held_out: bool, tmp_path: Path) -> None:
    train, fresh, rest = photographs[:500], photographs[500:800], photographs[800:1100]
    made = torch.cat([train[:60].flip(3), fresh[60:]])
    unseen = rest if held_out else None
    plain = audit(train, made, held_out=unseen)
    assert plain.verdict != "memorization"
    assert "copied/pixel_l1" in plain.metrics
    assert all(pair.edit == "" for pair in plain.most_copied)
    report = audit(train, made, held_out=unseen, search_edits=True, out=tmp_path / "out")
    assert report.verdict == "memorization"
    measure = report.metrics["copied_with_edits/pixel_l1"]
    assert measure.low is not None
    assert measure.high is not None
    assert measure.low <= 0.2 <= measure.high
    assert "copied/pixel_l1" not in report.metrics  # another quantity
    assert report.settings["search_edits"]
    assert [pair.edit for pair in report.most_copied] == ["mirrored"] * len(report.most_copied)
    assert [p.neighbour for p in report.most_copied] == [p.name for p in report.most_copied]
    table = pd.read_csv(tmp_path / "out" / "generated.csv")
    assert (table["edit"][:60] == "mirrored").mean() > 0.9
    assert "mirrored" in (tmp_path / "out" / "report.html").read_text()


def test_no_copies(photographs: Tensor) -> None:
    train, fresh, rest = photographs[:500], photographs[500:800], photographs[800:1100]
    report = audit(train, fresh, held_out=rest, search_edits=True)
    assert "memorization" not in report.verdicts


def test_only_pixels_are_searched(photographs: Tensor) -> None:
    def means(images: Tensor) -> Tensor:
        return images.float().mean((2, 3))

    with pytest.raises(UserError, match="--search-edits"):
        audit(photographs[:100], photographs[100:200], features=means, search_edits=True)


def test_what_each_space_finds_is_what_was_measured() -> None:
    rows = pd.read_csv(RESULTS)
    worst = rows.groupby(["space", "edit"], sort=False)["copies_found"].min().unstack(sort=False)
    assert tuple(rows["edit"].unique()) == edited.EDITS
    assert edited.FOUND.keys() == set(worst.index)
    for space, found in edited.FOUND.items():
        assert found == tuple(edit for edit in edited.EDITS if worst.loc[space, edit] >= 0.9)


def test_which_edits_are_missed_is_told(photographs: Tensor) -> None:
    sets: Any = photographs[:100], photographs[100:200]
    pixels, both = audit(*sets), audit(*sets, search_edits=True)
    (reason,), (less,) = (
        [left.reason for left in report.not_checked if left.name == "copies with edits"]
        for report in (pixels, both)
    )
    assert "mirrored" in reason
    assert "mirrored" not in less
    assert any("mirrored" in note for note in pixels.notes)
    assert edited.missed_edits(["someone's own"]) is None
