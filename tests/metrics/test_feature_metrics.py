"""What all metrics share as `torchmetrics.Metric`s: names, sides, batches, ranks, resets."""

from __future__ import annotations

import doctest
import importlib
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

import ganstoch.metrics
from ganstoch.data import Digits
from ganstoch.metrics.authpct import AuthPct, authpct
from ganstoch.metrics.base import FeatureMetric
from ganstoch.metrics.copies import Copies, copied_share
from ganstoch.metrics.ct_score import CT, ct_score
from ganstoch.metrics.features import Extractor, Pixels
from ganstoch.metrics.fid import FID, frechet_distance
from ganstoch.metrics.inception_score import InceptionScore, inception_score
from ganstoch.metrics.kid import KID, kernel_distance, kernel_distance_of_subsets
from ganstoch.metrics.mifid import MiFID, mifid
from ganstoch.metrics.overfitting import OverfittingModeDrop, overfitting_mode_drop
from ganstoch.metrics.prdc import PRDC, prdc
from ganstoch.metrics.train_vs_held_out import TrainVsHeldOut, train_vs_held_out


class Grey(Pixels):
    """Pixels that also name a class."""

    def logits(self, features: Tensor) -> Tensor:
        return features.float() / 10


METRICS: dict[str, tuple[type[FeatureMetric], dict[str, Any]]] = {
    "authpct": (AuthPct, {}),
    "copied": (Copies, {}),
    "ct": (CT, {"cells": 2}),
    "fid": (FID, {}),
    "inception_score": (InceptionScore, {"splits": 2}),
    "kid": (KID, {"subsets": 3, "subset_size": 5}),
    "mifid": (MiFID, {"epsilon": 0.5}),
    "overfitting": (OverfittingModeDrop, {"queries": 7, "seed": 3}),
    "prdc": (PRDC, {"k": 3}),
    "train_vs_held_out": (TrainVsHeldOut, {}),
}


def expected(name: str, real: Tensor, made: Tensor, held_out: Tensor) -> dict[str, float]:
    """The values, from the functions, by what follows the extractor's name."""
    if name == "authpct":
        return {"": authpct(real, made, norm="l1").percent}
    if name == "fid":
        return {"": frechet_distance(real, made)}
    if name == "kid":
        subsets = kernel_distance_of_subsets(real, made, subsets=3, size=5)
        whole = kernel_distance(real, made)
        return {"": whole, "/subset_mean": subsets.mean, "/subset_sd": subsets.sd}
    if name == "mifid":
        score = mifid(real, made, epsilon=0.5)
        return {"": score.value, "/distance": score.distance}
    results: dict[str, tuple[Any, tuple[str, ...]]] = {
        "copied": (
            lambda: copied_share(made, real, held_out, norm="l1").excess,
            ("estimate", "low", "high"),
        ),
        "ct": (lambda: ct_score(made, real, held_out, norm="l1", cells=2), ("value", "z")),
        "inception_score": (lambda: inception_score(made.float() / 10, splits=2), ("mean", "sd")),
        "prdc": (
            lambda: prdc(real, made, k=3, norm="l1"),
            ("precision", "recall", "density", "coverage"),
        ),
        "train_vs_held_out": (
            lambda: train_vs_held_out(made, real, held_out, norm="l1"),
            ("share", "low", "high", "p_value"),
        ),
    }
    result, keys = results[name]
    return {f"/{key}": getattr(result(), key) for key in keys}


def bytes_of(count: int, *, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 2, 2), generator=rng, dtype=torch.uint8)


SIDES = {
    "real": (bytes_of(60, seed=1), {"real": True}),
    "generated": (torch.cat([bytes_of(60, seed=1)[:20], bytes_of(31, seed=2)]), {"real": False}),
    "held_out": (bytes_of(50, seed=3), {"real": True, "held_out": True}),
}


def make(name: str, **settings: Any) -> FeatureMetric:
    kind, options = METRICS[name]
    return kind(Grey(), **options, **settings)


def fill(metric: FeatureMetric, part: slice = slice(None), sides: tuple[str, ...] = ()) -> None:
    for side in sides or metric.sides:
        images, how = SIDES[side]
        for batch in images[part].split(16):
            metric.update(batch, **how)


def values(metric: FeatureMetric) -> dict[str, float]:
    return {name: value.item() for name, value in metric.compute().items()}


@pytest.mark.parametrize("name", METRICS)
def test_values_are_those_of_the_function(name: str) -> None:
    metric = make(name)
    assert metric.result is None
    state = torch.get_rng_state()
    fill(metric)
    result = metric.compute()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(v.dtype == torch.float64 and v.shape == () for v in result.values())
    rows = [images.flatten(1) for images, _ in SIDES.values()]
    found = values(metric)
    if name == "overfitting":
        both = overfitting_mode_drop(rows[0], rows[1], norm="l1", queries=7, seed=3, scale=12)
        wanted = both.named("pixel_l1")
    else:
        wanted = {f"{name}/pixel_l1{key}": v for key, v in expected(name, *rows).items()}
    assert list(found) == list(wanted)
    assert found == pytest.approx(wanted, rel=1e-12, nan_ok=True)
    assert metric.result is not None
    assert values(pickle.loads(pickle.dumps(metric))) == pytest.approx(found, nan_ok=True)
    assert metric.state_dict() == {}


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("keep", [True, False])
def test_reset(name: str, keep: bool) -> None:
    whole = make(name)
    fill(whole)
    metric = make(name) if name == "inception_score" else make(name, reset_real_features=not keep)
    fill(metric)
    metric.reset()
    assert metric.result is None
    fill(metric, sides=("generated",))
    if name != "inception_score" and not keep:
        with pytest.raises(ValueError, match="no real"):
            metric.compute()
        fill(metric, sides=tuple(side for side in metric.sides if side != "generated"))
    assert values(metric) == pytest.approx(values(whole), nan_ok=True)


@pytest.mark.parametrize("name", METRICS)
def test_sides_are_gathered_over_ranks(name: str) -> None:
    """Two ranks played by one process: each gives its half, all see the whole."""
    whole = make(name)
    fill(whole)
    ranks = [make(name) for _ in range(2)]
    for metric, part in zip(ranks, (slice(0, 11), slice(11, None)), strict=True):
        fill(metric, part)
    states = [state for state in ranks[0]._defaults if getattr(ranks[0], state)]
    shares = [[torch.cat(getattr(m, state)) for state in states] for m in ranks]
    for metric in ranks:
        calls = iter(zip(*shares, strict=True))
        metric.dist_sync_fn = lambda *_, calls=calls, **__: list(next(calls))
        metric.distributed_available_fn = lambda: True
        assert values(metric) == pytest.approx(values(whole), nan_ok=True)
        assert len(metric.generated_features[0]) != len(SIDES["generated"][0])  # its half again


@pytest.mark.parametrize("name", METRICS)
def test_a_side_is_missing_or_another(name: str) -> None:
    metric = make(name)
    metric.update(SIDES["real"][0], real=True)  # which the Inception score passes over
    with pytest.raises(ValueError, match=r"before compute\(\)"):
        metric.compute()
    with pytest.raises(ValueError, match="held_out"):
        metric.update(SIDES["real"][0], real="held_out" not in metric.sides, held_out=True)
    if "real" in metric.sides:
        if "held_out" in metric.sides:
            fill(metric, sides=("held_out",))
        metric.update(torch.zeros(9, 3, 1, 1, dtype=torch.uint8), real=False)
        with pytest.raises(ValueError, match="shape"):
            metric.compute()


class Linear(nn.Module, Extractor):
    """A user's extractor, which happens to be a module."""

    name = "linear_l2"
    norm = "l2"

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 2)

    def __call__(self, images: Tensor) -> Tensor:
        return self.layer(images.float().flatten(1)).detach()


def test_collection_and_a_module_as_extractor() -> None:
    extractor = Linear()
    linear = FID(extractor)
    collection = MetricCollection({"few": OverfittingModeDrop(queries=5), "linear": linear})
    for images, how in list(SIDES.values())[:2]:
        collection.update(images, **how)
    names = {name.split("/")[1] for name in collection.compute()}
    assert names == {"pixel_l1", "linear_l2"}
    assert list(linear.parameters()) == []
    layer = extractor.layer  # as it was, though its features were taken
    assert layer.training
    assert all(parameter.requires_grad for parameter in layer.parameters())
    assert collection.state_dict() == {}


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_directions_of_the_distances(distance: Any) -> None:
    """Noise, blur, dropped classes and repeats raise them; copies of all lower them."""
    images = Digits().open(None, "train")  # type: ignore[arg-type]
    assert images is not None
    assert images.labels is not None
    pixels = images.read(torch.arange(400))[:, :1].float()
    small = pixels.unfold(2, 4, 4).unfold(3, 4, 4).mean((-1, -2))
    real, held_out, classes = small[::2], small[1::2], images.labels[1:400:2]

    def measured(generated: Tensor) -> float:
        return distance(real.flatten(1), generated.flatten(1))

    baseline = measured(held_out)
    assert measured(real.flip(0)) < min(1e-6, baseline)
    noise = 128 * torch.randn(held_out.shape, generator=torch.Generator().manual_seed(14))
    levels = [measured((held_out + x * noise).clamp(0, 255)) for x in (0.2, 0.4, 0.8)]
    assert [baseline, *levels] == sorted([baseline, *levels])
    blurred, seen = held_out, [baseline]
    for _ in range(3):
        blurred = nn.functional.avg_pool2d(blurred, 3, 1, 1, count_include_pad=False)
        seen.append(measured(blurred))
    assert seen == sorted(seen)
    assert measured(held_out[classes < 5]) > 1.5 * abs(baseline)
    assert measured(real[:1].expand(200, -1, -1, -1)) > 2 * abs(baseline)


def test_docstring_example() -> None:
    result = doctest.testmod(importlib.import_module("ganstoch.metrics.overfitting"))
    assert (result.failed, result.attempted) == (0, 9)


def test_public_names_are_metrics_and_few() -> None:
    assert len(ganstoch.metrics.__all__) <= 16
    assert all(getattr(ganstoch.metrics, name) for name in ganstoch.metrics.__all__)
    assert set(ganstoch.metrics.__all__) >= {kind.__name__ for kind, _ in METRICS.values()}
