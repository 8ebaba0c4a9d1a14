"""Mixtures whose share of copies is known."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from ganstoch.data import Digits
from ganstoch.metrics.copies import copied_share, share_of_copies
from ganstoch.metrics.copy_score import copy_scores, left_out_scores
from ganstoch.metrics.excess import clopper_pearson

EDITS = ("exact", "noise", "brighter", "jpeg")
RESTS = ("exact", "blurred", "static", "grey")


def uniform(*shape: int, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=rng, dtype=torch.float64)


def altered(images: Tensor, how: str) -> Tensor:
    """Images as bytes again after what may befall a copy, or what other images may look like."""
    rng = torch.Generator().manual_seed(9)
    if how == "exact":
        return images
    if how in ("noise", "brighter"):
        change = 4 * torch.randn(images.shape, generator=rng) if how == "noise" else 6.0
        return (images + change).round().clamp(0, 255).to(torch.uint8)
    if how == "static":
        return torch.randint(0, 256, images.shape, generator=rng, dtype=torch.uint8)
    if how == "grey":
        return images.float().mean((1, 2, 3), keepdim=True).expand(images.shape).to(torch.uint8)
    made = []
    for image in images:
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        if how == "jpeg":
            file = io.BytesIO()
            picture.save(file, "JPEG", quality=75)
            picture = Image.open(file)
        else:
            picture = picture.filter(ImageFilter.GaussianBlur(3))
        made.append(torch.from_numpy(np.array(picture)).permute(2, 0, 1))
    return torch.stack(made)


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor, Tensor]:
    """Training, held-out and other digits, of different numbers."""
    images = Digits().open(Path(), "train")
    assert images is not None
    rng = torch.Generator().manual_seed(0)
    pixels = images.read(torch.randperm(len(images), generator=rng))
    return pixels[:900], pixels[900:1300], pixels[1300:]


@pytest.fixture(scope="module")
def digit_scores(digits: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
    """Of altered training digits, of altered others, and of those that stand for unseen ones."""
    train, unseen, others = digits
    sets = {how: altered(train[:300], how) for how in EDITS}
    sets |= {f"no copy, {how}": altered(others[:300], how) for how in RESTS}
    sets["held out"] = unseen
    one = train[:, :1]  # of three equal channels
    scores = copy_scores(torch.cat([*sets.values()])[:, :1], one, norm="l2").scores
    parts = torch.split(scores, [len(images) for images in sets.values()])
    by_name = dict(zip(sets, parts, strict=True))
    return by_name | {"left out": left_out_scores(one, norm="l2").scores}


@pytest.mark.parametrize("rest", RESTS)
@pytest.mark.parametrize("how", EDITS)
@pytest.mark.parametrize("baseline", ["held out", "left out"])
def test_digits(digit_scores: dict[str, Tensor], how: str, rest: str, baseline: str) -> None:
    for share in (0.0, 0.01, 0.1, 0.5, 1.0):
        count = round(share * 300)
        mixture = [digit_scores[how][:count], digit_scores[f"no copy, {rest}"][count:]]
        excess = share_of_copies(torch.cat(mixture), digit_scores[baseline]).excess
        assert excess.low <= share <= excess.high, (share, excess)
        assert excess.estimate == pytest.approx(share, abs=0.02)
        # No wider than an interval of 300 must be, but for what unseen images add.
        low, high = clopper_pearson(count, 300)
        assert excess.high - excess.low < high - low + 0.02


def test_what_is_only_near_everything_is_no_copy(digits: tuple[Tensor, Tensor, Tensor]) -> None:
    train, unseen, others = ((images.float() * 0.3).to(torch.uint8) for images in digits)
    excess = copied_share(altered(others, "blurred"), train, unseen, norm="l1").excess
    assert (excess.estimate, excess.low, excess.count) == (0.0, 0.0, 0)


def test_copy_all_and_copy_one(digits: tuple[Tensor, Tensor, Tensor]) -> None:
    train, unseen, _ = digits
    for generated in (train[:200], train[:1].expand(200, -1, -1, -1)):
        excess = copied_share(generated, train, unseen, norm="l1").excess
        assert (excess.estimate, excess.high, excess.count) == (1.0, 1.0, 200)
        # As sure as 200 of 200 are, less what 400 unseen images leave open.
        assert excess.low > clopper_pearson(200, 200)[0] - 0.02


def test_suspects_come_first(digits: tuple[Tensor, Tensor, Tensor]) -> None:
    train, unseen, others = digits
    generated = torch.cat([others[:50], altered(train[:3], "noise"), train[3:5], others[50:90]])
    copied = copied_share(generated, train, unseen, norm="l1")
    assert copied.suspects[:2].tolist() == [53, 54]  # of equals the first
    assert set(copied.suspects[2:5].tolist()) == {50, 51, 52}
    assert copied.suspects.sort().values.tolist() == list(range(95))
    assert torch.equal(copied.scores[copied.suspects], copied.scores.sort().values)
    assert (copied.scores <= copied.threshold).sum() == copied.excess.count


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 1.0])
@pytest.mark.parametrize(("size", "unseen"), [(1000, 2560), (1000, 200), (100, 2560), (12800, 500)])
def test_interval_covers_the_truth(share: float, size: int, unseen: int) -> None:
    """Scores whose law is known: of copies near 0, of others uniform to the power of 1/4."""
    covered = 0
    for seed in range(50):
        scores = uniform(size, seed=seed).pow(0.25)
        scores[uniform(size, seed=1000 + seed) < share] *= 0.1
        excess = share_of_copies(scores, uniform(unseen, seed=2000 + seed).pow(0.25)).excess
        assert 0 <= excess.low <= excess.estimate <= excess.high <= 1
        covered += excess.low <= share <= excess.high
    assert covered >= 44


@pytest.mark.parametrize("unseen", [100, 400, 3000])
def test_no_bias_whatever_the_numbers(unseen: int) -> None:
    train, held_out, others = (uniform(n, 3, seed=s) for n, s in ((3000, 1), (unseen, 2), (800, 3)))
    excess = copied_share(torch.cat([others, train[:200]]), train, held_out, norm="l2").excess
    assert excess.low <= 0.2 <= excess.high
    assert excess.estimate == pytest.approx(0.2, abs=0.02)
    assert copied_share(others, train, held_out, norm="l2").excess.low == 0.0


def test_threshold() -> None:
    wide = torch.linspace(0, 1, 1001, dtype=torch.float64)[1:]
    assert share_of_copies(wide, wide).threshold == pytest.approx(0.01, abs=2e-3)
    far = torch.linspace(0.8, 1, 1000, dtype=torch.float64)
    # A tenth of the held-out images have leaked: others' threshold, and taken off the share.
    leaked = torch.cat([torch.zeros(100, dtype=torch.float64), far[:900]])
    assert share_of_copies(far, far).threshold == share_of_copies(leaked, leaked).threshold == 0.5
    excess = share_of_copies(leaked, leaked).excess
    assert (excess.natural, excess.estimate, excess.low) == (0.1, 0.0, 0.0)
    some = (0.1 - 50 / 950) / (1 - 50 / 950)
    for baseline, share in ((far, 0.1), (leaked[50:], some), (torch.zeros(9), 0.0)):
        assert share_of_copies(leaked, baseline).excess.estimate == pytest.approx(share)
