"""Whole audits of photographs whose verdict is certain from how their images were made."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from ganstoch.auditing.audit import audit
from ganstoch.bench.null_images import SYNTHETIC, grey_blobs

CIFAR = Path(__file__).parents[3] / "shared/data/cifar10-jpeg.tar"
Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def photographs() -> Pixels:
    """Photographs where they are at hand, else smooth random images of three colours."""
    rng = np.random.default_rng(0)
    if not CIFAR.exists():
        return np.concatenate([grey_blobs(2500, rng) for _ in range(3)], axis=1)
    pictures = []
    with tarfile.open(CIFAR) as tar:
        for member in sorted((m for m in tar if m.isfile()), key=lambda m: m.name)[::6]:
            file = tar.extractfile(member)
            assert file is not None
            pictures.append(np.asarray(Image.open(io.BytesIO(file.read())).convert("RGB")))
    order = rng.permutation(len(pictures))
    return np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2)[order])


def jpeg(images: Pixels, quality: int = 50) -> Pixels:
    made = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image.transpose(1, 2, 0)).save(file, "JPEG", quality=quality)
        made.append(np.asarray(Image.open(file)))
    return np.stack(made).transpose(0, 3, 1, 2)


def replaced(images: Pixels, some: Any) -> Pixels:
    made = images.copy()
    made[: len(some)] = some
    return made


RNG = np.random.default_rng(5)
FAULTS: dict[str, tuple[Callable[[Pixels, Pixels], Any], set[str]]] = {
    "5 % noise": (lambda real, made: RNG.integers(0, 256, made[:25].shape), {"distribution_shift"}),
    "5 % black": (lambda real, made: 0 * made[:25], {"distribution_shift", "mode_collapse"}),
    "5 % one image": (lambda real, made: made[:1].repeat(25, 0), {"mode_collapse"}),
    "7 % nearly one image": (
        lambda real, made: (made[:1] + RNG.integers(-4, 5, made[:35].shape)).clip(0, 255),
        {"mode_collapse"},
    ),
    "5 % of some colour": (
        lambda real, made: np.broadcast_to(RNG.integers(0, 256, (25, 3, 1, 1)), made[:25].shape),
        {"distribution_shift"},
    ),
    "half one image": (lambda real, made: made[:1].repeat(250, 0), {"mode_collapse"}),
    "ten images, jittered": (
        lambda real, made: (made[np.arange(500) % 10] + RNG.integers(-4, 5, made.shape)).clip(
            0, 255
        ),
        {"mode_collapse"},
    ),
    "2 % copies": (lambda real, made: real[:10], {"memorization"}),
    "5 % copies as JPEG": (lambda real, made: jpeg(real[:25], 90), {"memorization"}),
}


@pytest.mark.parametrize("held_out", [0, 50, 500])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_share_is_found(fault: str, held_out: int, photographs: Pixels) -> None:
    bad, right = FAULTS[fault]
    real, made, unseen = photographs[:1000], photographs[1000:1500], photographs[1500:]
    made = replaced(made, bad(real, made))
    report = audit(real, made, held_out=unseen[:held_out] if held_out else None)
    assert report.verdict in right, report.sentence
    assert ("one single colour" in " ".join(report.findings)) >= (fault == "5 % of some colour")


@pytest.mark.parametrize("again", ["some as JPEG", "all as JPEG", "all"])
def test_data_saved_twice_are_no_fault_of_the_generator(again: str, photographs: Pixels) -> None:
    first = photographs[:600]
    twice = {"some as JPEG": jpeg(first[:200]), "all as JPEG": jpeg(first), "all": first}[again]
    report = audit(np.concatenate([first, twice]), photographs[1000:1400])
    assert report.findings == (), report.sentence
    assert report.metrics["median_ratio/pixel_l1"].value == pytest.approx(1.0, abs=0.1)
    overfitting = report.metrics["overfitting/pixel_l1/mean"]
    assert overfitting.baseline == pytest.approx(overfitting.value, rel=0.1)


@pytest.mark.parametrize(
    ("real", "made", "copies", "verdict"),
    [
        (140, 100, 20, "memorization"),
        (30, 30, 12, "memorization"),
        (60, 25, 10, "memorization"),
        (1000, 500, 1, "undecided"),
    ],
)
def test_named_copies(real: int, made: int, copies: int, verdict: str, photographs: Pixels) -> None:
    images = replaced(photographs[1000 : 1000 + made], photographs[7 : 7 + copies])
    report = audit(photographs[:real], images)
    assert report.verdict == verdict
    names = [(twin.generated, twin.real) for twin in report.identical]
    assert names == [(f"#{i}", f"#{7 + i}") for i in range(copies)]


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("kind", [*SYNTHETIC, "photographs and black"])
def test_nothing_is_found_in_draws_alike(kind: str, held_out: bool, photographs: Pixels) -> None:
    if kind in SYNTHETIC:
        images = SYNTHETIC[kind](900, np.random.default_rng(2))
        real, made, unseen = np.split(images, [500, 700])
    else:
        black = np.zeros((60, *photographs.shape[1:]), np.uint8)
        real = np.concatenate([photographs[:500], black])
        made, unseen = (
            np.concatenate([photographs[i : i + 180], black[:20]]) for i in (1000, 1500)
        )
    report = audit(real, made, held_out=unseen if held_out else None)
    assert report.findings == (), report.sentence


def test_copies_with_edits_are_never_nothing(photographs: Pixels) -> None:
    cropped = [
        Image.fromarray(image.transpose(1, 2, 0)[2:-2, 2:-2]).resize(image.shape[1:][::-1])
        for image in photographs[:500]
    ]
    made = np.stack([np.asarray(image) for image in cropped]).transpose(0, 3, 1, 2).copy()
    report = audit(photographs[:1000], made, held_out=photographs[1500:2000])
    assert report.verdict in ("memorization", "undecided")


def test_the_table_says_what_each_generated_image_is(photographs: Pixels, tmp_path: Path) -> None:
    made = replaced(photographs[1000:1300], photographs[:20])
    made[20:40] = 0
    audit(photographs[:600], made, out=tmp_path / "out")
    rows = pd.read_csv(tmp_path / "out" / "generated.csv", keep_default_na=False)
    assert list(rows["image"]) == [f"#{i}" for i in range(300)]
    flags = [set(filter(None, text.split("; "))) for text in rows["flags"]]
    assert all({"identical", "copy"} <= each for each in flags[:20])
    assert all("one colour" in each for each in flags[20:40])
    assert ["repeats another" in each for each in flags[20:40]] == [False] + 19 * [True]
    assert sum(map(bool, flags[40:])) < 20
    assert list(rows["nearest_real"][:20]) == [f"#{i}" for i in range(20)]
    assert set(rows["distance"][:20]) == {0.0}
