"""`ganstoch.audit`: from images to a report, and to the files it leaves."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ganstoch.auditing.audit import audit
from ganstoch.auditing.measures import LatentGenerator
from ganstoch.auditing.report import AuditReport, percent
from ganstoch.errors import UserError
from ganstoch.metrics.features import Pixels
from ganstoch.metrics.neighbours import approximate


def numbers(report: AuditReport) -> dict[str, Any]:
    """All but what a clock and a machine decide."""
    return report.model_dump(exclude={"seconds", "peak_memory", "hardware"})


def position(name: str) -> int:
    return int(name.removeprefix("#"))


def test_arrays_in_memory(split: Any, make: Any) -> None:
    digits = split()
    report = audit(digits.train, make("drop half", digits), held_out=digits.held_out)
    assert report.verdict == "mode_drop"
    assert report.sentence == report.findings[0]
    assert (report.sets["real"].images, report.sets["held_out"].images) == (800, 497)
    assert report.missed_by_class == {}
    assert len(report.most_copied) == len(report.most_missed) == 12
    missed = [position(name) for name in report.missed]
    assert len(set(missed)) == len(missed) > 50
    assert (digits.labels[missed] >= 5).double().mean() > 0.9
    assert len(missed) / 800 == pytest.approx(report.metrics["missed/pixel_l1"].value, abs=0.02)
    for pair in report.most_missed:
        assert pair.distance > (pair.typical or 0)
    forth, back = report.histograms
    assert sum(forth.counts["generated"]) == report.sets["generated"].images
    assert sum(forth.counts["held out"]) == 497
    assert {sum(counts) for counts in back.counts.values()} == {800}


def test_pairs_are_neighbours(split: Any, make: Any) -> None:
    digits = split()
    made = make("copy a tenth", digits)
    report = audit(digits.train, made, held_out=digits.held_out)
    assert report.verdict == "memorization"
    for pair in report.most_copied:
        assert pair.distance == 0
        assert torch.equal(made[position(pair.name)], digits.train[position(pair.neighbour)])
    assert report.copied_share is not None
    assert report.copied_share.low <= 0.1 <= report.copied_share.high


def test_numbers_depend_on_images_and_seed_alone(split: Any, folder: Any) -> None:
    digits = split(train=200, fresh=100, held_out=100)
    one, again, other = (audit(digits.train, digits.fresh.numpy(), seed=seed) for seed in (0, 0, 1))
    assert numbers(one) == numbers(again)
    assert one.metrics != other.metrics
    of_folders = audit(folder("train", digits.train), folder("made", digits.fresh))
    assert one.metrics == of_folders.metrics
    assert one.sets["real"].sha256 == of_folders.sets["real"].sha256
    assert of_folders.most_missed[0].name.endswith(".png")


def test_classes_come_from_folders(split: Any, make: Any, folder: Any, tmp_path: Path) -> None:
    digits = split()
    train = folder("train", digits.train, digits.labels)
    (train / "class 7").rename(train / "=1+1")  # a spreadsheet would run it
    made = folder("made", make("drop half", digits))
    report = audit(train, made, held_out=digits.held_out, out=tmp_path / "out")
    names = ["=1+1", *(f"class {digit}" for digit in range(10) if digit != 7)]
    assert list(report.missed_by_class) == names
    assert report.missed_by_class["class 6"] > 0.3 > report.missed_by_class["class 0"]
    assert "class 6" in report.sentence
    with (tmp_path / "out" / "missed.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["image"].removeprefix("'") for row in rows] == list(report.missed)
    assert {row["image"].split("/")[0] for row in rows} == {row["class"] for row in rows}
    assert "'=1+1" in {row["class"] for row in rows}
    assert min(float(row["distance"]) for row in rows) > 0
    text = (tmp_path / "out" / "report.json").read_text()
    assert AuditReport.model_validate_json(text) == report
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("data:image/png;base64,") >= 24


def test_several_spaces(split: Any, make: Any) -> None:
    class Halves(Pixels):
        name = "pixel_halves_l1"

        def __call__(self, images: torch.Tensor) -> torch.Tensor:
            return super().__call__(images)[:, ::2].contiguous()

    digits = split(train=200, fresh=100, held_out=100)
    report = audit(digits.train, make("copy all", digits), features=("pixel", Halves()))
    assert report.verdict == "memorization"
    assert {name.split("/")[1] for name in report.metrics} == {"pixel_l1", "pixel_halves_l1"}
    assert len(report.histograms) == 4
    assert report.settings["features"] == ["pixel_l1", "pixel_halves_l1"]


def test_approximate_searches(split: Any, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    monkeypatch.setattr(approximate, "_LEAST", 90)  # an eighth of the training images are 100
    digits = split(held_out=300)
    sets = {"real": digits.train, "generated": make("copy a tenth", digits)}
    sets["held_out"] = digits.held_out
    given: Any = {f"{role}_features": each.flatten(1).float() for role, each in sets.items()}
    exact, report = audit(**given), audit(**given, approximate=True)
    recall = report.settings.pop("approximate_recall")
    assert 0.95 < recall <= 1
    assert exact.settings == report.settings
    assert any(percent(recall) in note for note in set(report.notes) - set(exact.notes))
    assert report.verdict == exact.verdict == "memorization"
    assert [pair.distance for pair in report.most_copied] == [0] * 12
    for name, measure in exact.metrics.items():
        assert report.metrics[name].value == pytest.approx(measure.value, rel=0.1, abs=0.05)


def test_recovery_of_a_generator_that_stored_its_images(split: Any) -> None:
    digits = split(train=40, fresh=60, held_out=200)
    bank = (digits.train.float() / 127.5 - 1).flatten(1)
    generator = LatentGenerator(
        generate=lambda z: (z.softmax(1) @ bank).reshape(-1, 1, 8, 8), latent_dim=40
    )
    report = audit(digits.train, digits.fresh, held_out=digits.held_out, generator=generator)
    recovery = report.metrics["recovery/error"]
    assert recovery.value < 0.8 * (recovery.baseline or 0)
    assert (recovery.p_value or 0) < 0.01
    without = audit(digits.train, digits.fresh, generator=generator)
    assert "recovery/error" not in without.metrics
    assert len(without.not_checked) > len(report.not_checked)


# Mistakes of `ganstoch audit` are in test_command.py.
REFUSED: dict[str, tuple[Callable[[Any], dict[str, Any]], str]] = {
    "too few": (lambda d: {"generated": d.fresh[:19]}, "--generated"),
    "too few held out": (lambda d: {"held_out": d.held_out[:1]}, "--held-out"),
    "too few left": (lambda d: {"held_out": torch.cat([d.train[:8], d.held_out[:19]])}, "19"),
    "one image many times": (lambda d: {"real": d.train[:1].repeat(50, 1, 1, 1)}, "different"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(case: str, split: Any, tmp_path: Path) -> None:
    digits = split(train=100, fresh=50, held_out=50)
    changes, key = REFUSED[case]
    sets = {"real": digits.train, "generated": digits.fresh, **changes(digits)}
    with pytest.raises(UserError, match=key):
        audit(**sets, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
