"""The calibration plays draws once, in the words of the rules, and counts them."""

import json
from pathlib import Path

import numpy as np
import pytest

from ganstoch.bench.calibration import main, trials
from ganstoch.bench.null_images import SYNTHETIC


def test_draws_are_made_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--kinds=disks", "--draws=1", "--most=20", f"--out={tmp_path}"]
    assert main(words) == 0
    file = tmp_path / "draws.jsonl"
    first = [json.loads(line) for line in file.read_text().splitlines()]
    assert [tuple(record["sizes"]) for record in first] == [(20, 20, 0), (20, 20, 20)]
    file.write_text("\n".join(json.dumps(each | {"findings": ["memorization"]}) for each in first))
    assert main(words) == 0
    assert len(file.read_text().splitlines()) == 2
    assert "2/2" in (tmp_path / "calibration.md").read_text()
    assert (tmp_path / "calibration.md").read_text().strip() in capsys.readouterr().out


def test_every_null_has_as_many_draws() -> None:
    kinds = ["digits", *SYNTHETIC]
    nulls = list(trials(kinds, draws=30, most=5000, classes=True))
    assert len(set(nulls)) == len(nulls)
    by_kind = {kind: sum(t.kind == kind and not t.fault for t in nulls) for kind in kinds}
    assert set(by_kind.values()) == {240, 300}  # of digits there are not enough for the largest


@pytest.mark.parametrize("kind", SYNTHETIC)
def test_a_kind_is_a_function_of_its_generator(kind: str) -> None:
    one, same, other = (SYNTHETIC[kind](12, np.random.default_rng(s)) for s in (1, 1, 2))
    assert one.dtype == np.uint8
    assert one.shape[0] == 12
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
