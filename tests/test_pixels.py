"""One validation of layout and range: what every entrance takes, maps and refuses."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ganstoch import Diagnosis, NeighbourMonitor
from ganstoch.diagnosis.adapters import real_images
from ganstoch.diagnosis.spaces import range_warning
from ganstoch.errors import UserError
from ganstoch.metrics import FID, PRDC, OverfittingModeDrop
from ganstoch.pixels import checked_images, checked_set
from ganstoch.types import to_signed

BYTES = torch.randint(0, 256, (40, 3, 6, 5), generator=torch.Generator().manual_seed(0)).byte()
SIGNED, UNIT, LEVELS = to_signed(BYTES), BYTES / 255, BYTES.float()


@pytest.mark.parametrize("images", [SIGNED, UNIT, LEVELS], ids=["symmetric", "unit", "bytes"])
@pytest.mark.parametrize("make", [Tensor.clone, Tensor.numpy, Tensor.double, Tensor.half])
def test_whole_sets_are_told_apart_by_their_ends(images: Tensor, make: Callable[..., Any]) -> None:
    made = checked_set(make(images.clone()), what="real")
    assert torch.allclose(made.float(), SIGNED, atol=1e-2)
    last = checked_set(make(images.permute(0, 2, 3, 1).contiguous()), what="real")
    assert torch.equal(last, made)


def test_bytes_and_documented_floats_are_taken_as_they_are() -> None:
    assert checked_images(BYTES) is not None
    assert torch.equal(checked_images(BYTES.numpy()), BYTES)
    assert torch.equal(checked_images(SIGNED), SIGNED)
    few = torch.rand(2, 1, 1, 3)  # (N, C, H, W) is what is documented
    assert checked_images(few).shape == (2, 1, 1, 3)


REFUSED: dict[str, tuple[Any, str]] = {
    "levels": (LEVELS, "bytes"),
    "beyond": (SIGNED * 3, r"\[-1, 1\]"),
    "nan": (SIGNED / 0, "finite"),
    "ints": (BYTES.int(), "int32"),
    "one image": (BYTES[0], r"\(3, 6, 5\)"),
    "a list": ([BYTES[0]], "list"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_metrics_refuse_what_is_certainly_wrong(case: str) -> None:
    images, word = REFUSED[case]
    with pytest.raises(UserError, match=word):
        OverfittingModeDrop("pixel").update(images, real=True)


def distance(real: Any, generated: Any, **options: Any) -> float:
    metric = OverfittingModeDrop("pixel", queries="all", **options)
    metric.update(real, real=True)
    metric.update(generated, real=False)
    return metric.compute()["overfitting/pixel_l1/mean"].item()


@pytest.mark.parametrize(("images", "values"), [(UNIT, "unit"), (LEVELS, "bytes")])
def test_a_stated_range_gives_the_numbers_of_bytes(images: Tensor, values: str) -> None:
    right = distance(BYTES[:20], BYTES[20:])
    assert distance(images[:20], BYTES[20:], value_range=values) == pytest.approx(right, abs=1e-3)
    made = images[20:].permute(0, 2, 3, 1).numpy()
    assert distance(BYTES[:20], made, value_range=values) == pytest.approx(right, abs=1e-3)
    with pytest.raises(UserError, match="value_range"):
        distance(images, images, value_range="0-1")


def test_a_side_without_a_dark_pixel_makes_one_warning() -> None:
    metric = OverfittingModeDrop("pixel", reset_real_features=False)
    for some in UNIT.split(10):
        metric.update(some, real=True)
    metric.update(SIGNED, real=False)
    with pytest.warns(UserWarning, match="value_range"):
        metric.compute()
    metric.reset()
    metric.update(UNIT[:3], real=False)  # too few to tell
    metric.compute()


@pytest.mark.parametrize("features", [3, FID])
def test_what_is_no_extractor_is_refused_at_once(features: Any) -> None:
    with pytest.raises(UserError, match="Extractor"):
        FID(features)


def test_prdc_warns_where_each_image_occurs_more_than_k_times() -> None:
    real, made = BYTES[:20], BYTES[20:22].repeat(10, 1, 1, 1)
    for k, warns in ((5, True), (9, True), (10, False)):
        metric = PRDC("pixel", k=k)
        metric.update(real, real=True)
        metric.update(made, real=False)
        if warns:
            with pytest.warns(UserWarning, match=f"generated.*{k} times"):
                assert metric.compute()["prdc/pixel_l1/recall"] == 0
        else:
            metric.compute()


@pytest.mark.parametrize("callback", [NeighbourMonitor, Diagnosis])
def test_monitors_take_every_range_of_real_images(callback: Any) -> None:
    watching = callback(real=UNIT, held_out=LEVELS.permute(0, 2, 3, 1).numpy())
    module: Any = type("Trainer", (), {"datamodule": None})()
    real, held_out = real_images(module, watching.real, watching.held_out)
    assert held_out is not None
    for images in (real, held_out):
        assert torch.allclose(images, SIGNED, atol=1e-5)
    with pytest.raises(UserError, match="held_out"):
        real_images(module, UNIT, LEVELS * 3)
    points = torch.randn(9, 2)
    assert real_images(module, points, None)[0] is points


def test_real_floats_of_another_range_than_the_generator_s_are_told() -> None:
    assert all(range_warning(made, LEVELS) for made in (SIGNED, UNIT))
    assert not range_warning(LEVELS, LEVELS)
    assert not range_warning(SIGNED, SIGNED * 2)


@pytest.mark.parametrize(
    ("made", "warned"), [(UNIT, True), (LEVELS, True), (SIGNED, False), (BYTES, False)]
)
def test_a_generator_of_another_range_is_told(made: Tensor, warned: bool) -> None:
    assert ("sample=" in range_warning(made, BYTES)) is warned
