"""`ganstoch.audit`: from images to a report, and to the files it leaves."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import ganstoch
from ganstoch.auditing.audit import audit
from ganstoch.auditing.measures import LatentGenerator
from ganstoch.auditing.report import AuditReport
from ganstoch.errors import UserError


def numbers(report: AuditReport) -> dict[str, Any]:
    """All but what a clock and a machine decide."""
    plain = report.model_dump()
    return {k: v for k, v in plain.items() if k not in ("seconds", "peak_memory", "hardware")}


def test_importing_the_package_does_not_bring_torch() -> None:
    program = (
        "import sys, ganstoch; assert 'torch' not in sys.modules; "
        "import ganstoch.cli; assert 'torch' not in sys.modules; print(ganstoch.__version__)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ganstoch.__version__), done.stderr


def test_arrays_in_memory(split: Any, make: Any) -> None:
    digits = split()
    report = audit(digits.train, make("drop half", digits), held_out=digits.held_out)
    assert report.verdict == "mode_drop"
    assert report.sentence == report.findings[0]
    assert [(role, s.images) for role, s in report.sets.items()][::2] == [
        ("real", 800),
        ("held_out", 497),
    ]
    assert report.missed_by_class == {}
    assert len(report.most_copied) == len(report.most_missed) == 12
    missed = [int(name.removeprefix("#")) for name in report.missed]
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
        i, j = (int(name.removeprefix("#")) for name in (pair.name, pair.neighbour))
        assert pair.distance == 0
        assert torch.equal(made[i], digits.train[j])
    assert report.copied_share is not None
    assert report.copied_share.low <= 0.1 <= report.copied_share.high


def test_the_same_seed_gives_the_same_report(split: Any) -> None:
    digits = split(train=200, fresh=100, held_out=100)
    one, again, other = (
        audit(digits.train, digits.fresh, held_out=digits.held_out, seed=seed) for seed in (0, 0, 1)
    )
    assert numbers(one) == numbers(again)
    assert numbers(one)["metrics"] != numbers(other)["metrics"]


def test_folders_and_arrays_give_the_same_numbers(split: Any, folder: Any) -> None:
    digits = split(train=200, fresh=100, held_out=100)
    of_arrays = audit(digits.train, digits.fresh.numpy())
    of_folders = audit(folder("train", digits.train), folder("made", digits.fresh))
    assert of_arrays.metrics == of_folders.metrics
    assert of_arrays.sets["real"].sha256 == of_folders.sets["real"].sha256
    assert of_folders.most_missed[0].name.endswith(".png")
    assert "No held-out images" in " ".join(of_arrays.notes)


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
    assert sorted(float(row["distance"]) for row in rows)[0] > 0
    text = (tmp_path / "out" / "report.json").read_text()
    assert AuditReport.model_validate_json(text) == report
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("data:image/png;base64,") >= 24


def test_several_spaces(split: Any, make: Any) -> None:
    digits = split(train=200, fresh=100, held_out=100)

    from ganstoch.metrics.features import Pixels

    class Halves(Pixels):
        name = "pixel_halves_l1"

        def __call__(self, images: torch.Tensor) -> torch.Tensor:
            return super().__call__(images)[:, ::2].contiguous()

    report = audit(digits.train, make("copy all", digits), features=("pixel", Halves()))
    assert report.verdict == "memorization"
    assert {name.split("/")[1] for name in report.metrics} == {"pixel_l1", "pixel_halves_l1"}
    assert len(report.histograms) == 4
    assert report.settings["features"] == ["pixel_l1", "pixel_halves_l1"]


def test_recovery_of_a_generator_that_stored_its_images(split: Any) -> None:
    digits = split(train=40, fresh=60, held_out=200)
    bank = (digits.train.float() / 127.5 - 1).flatten(1)
    generator = LatentGenerator(
        generate=lambda z: (z.softmax(1) @ bank).reshape(-1, 1, 8, 8), latent_dim=40
    )
    report = audit(digits.train, digits.fresh, held_out=digits.held_out, generator=generator)
    found = report.metrics["recovery/error"]
    assert found.baseline is not None
    assert found.value < 0.8 * found.baseline
    assert found.p_value is not None
    assert found.p_value < 0.01
    without = audit(digits.train, digits.fresh, generator=generator)
    assert "recovery/error" not in without.metrics
    assert any("Latent recovery" in note for note in without.notes)


REFUSED: dict[str, tuple[Callable[[Any], dict[str, Any]], list[str]]] = {
    "too few": (lambda d: {"generated": d.fresh[:19]}, ["19", "--generated"]),
    "too few held out": (lambda d: {"held_out": d.held_out[:1]}, ["1", "--held-out"]),
    "other sizes": (
        lambda d: {"generated": d.fresh[:, :, :, :6].contiguous()},
        ["8x8", "6x8", "--resize"],
    ),
    "colours": (
        lambda d: {"generated": d.fresh.expand(-1, 3, -1, -1).contiguous()},
        ["grey", "RGB"],
    ),
    "memory": (lambda d: {"memory": 2**29}, ["512 MiB are too little", "give --memory 12"]),
    "held-out images that are not": (lambda d: {"held_out": d.train[:50]}, ["50 of the 50"]),
    "a space": (lambda d: {"features": ("pixels",)}, ["pixel, inception", "'pixels'"]),
    "no space": (lambda d: {"features": ()}, ["--features"]),
    "one image many times": (
        lambda d: {"real": d.train[:1].expand(50, -1, -1, -1).contiguous()},
        ["different training images"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_in_one_line(case: str, split: Any, tmp_path: Path) -> None:
    digits = split(train=100, fresh=50, held_out=50)
    changes, words = REFUSED[case]
    asked = {"real": digits.train, "generated": digits.fresh, **changes(digits)}
    with pytest.raises(UserError) as caught:
        audit(**asked, out=tmp_path / "out")
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_stated_memory_is_enough(split: Any) -> None:
    digits = split(train=100, fresh=50, held_out=50)
    with pytest.raises(UserError, match="give --memory") as caught:
        audit(digits.train, digits.fresh, memory=1)
    needed = int(str(caught.value).split("--memory ")[1].split("MiB")[0])
    report = audit(digits.train, digits.fresh, memory=needed * 2**20)  # features are mapped
    assert numbers(report) == numbers(audit(digits.train, digits.fresh))
