"""What all metrics share as `torchmetrics.Metric`s: names, sides, batches, ranks, resets."""

import doctest
import importlib
import pickle
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from ganstoch import metrics
from ganstoch.data import Digits
from ganstoch.metrics.authpct import authpct
from ganstoch.metrics.base import FeatureMetric
from ganstoch.metrics.cmmd import cmmd
from ganstoch.metrics.copies import copied_share
from ganstoch.metrics.ct_score import ct_score
from ganstoch.metrics.features import Pixels
from ganstoch.metrics.fid import frechet_distance
from ganstoch.metrics.fld import fld
from ganstoch.metrics.inception_score import inception_score
from ganstoch.metrics.kid import kernel_distance, kernel_distance_of_subsets
from ganstoch.metrics.l2_memorization import l2_memorization
from ganstoch.metrics.membership import membership
from ganstoch.metrics.memorized_fraction import memorized_fraction
from ganstoch.metrics.mifid import mifid
from ganstoch.metrics.mind import mind
from ganstoch.metrics.overfitting import overfitting_mode_drop
from ganstoch.metrics.prdc import prdc
from ganstoch.metrics.train_vs_held_out import train_vs_held_out
from ganstoch.metrics.vendi import vendi_score


class Grey(Pixels):
    """Pixels that also name a class."""

    def logits(self, features: Tensor) -> Tensor:
        return features.float() / 10


METRICS: dict[str, tuple[Callable[..., FeatureMetric], str]] = {
    "authpct": (metrics.AuthPct, ""),
    "cmmd": (metrics.CMMD, ""),
    "copied": (metrics.Copies, "estimate low high"),
    "ct": (partial(metrics.CT, cells=2), "value z"),
    "fid": (metrics.FID, ""),
    "fld": (metrics.FLD, "value gap"),
    "inception_score": (partial(metrics.InceptionScore, splits=2), "mean sd"),
    "kid": (partial(metrics.KID, subsets=3, subset_size=5), " subset_mean subset_sd"),
    "l2_memorization": (metrics.L2Memorization, "percent low high"),
    "membership": (metrics.Membership, "auc auc_low auc_high tpr tpr_low tpr_high p_value"),
    "memorized_fraction": (metrics.MemorizedFraction, "share low high"),
    "mifid": (partial(metrics.MiFID, epsilon=0.5), " distance"),
    "mind": (metrics.MIND, ""),
    "overfitting": (partial(metrics.OverfittingModeDrop, queries=7, seed=3), "mean worst10 worst5"),
    "prdc": (partial(metrics.PRDC, k=3), "precision recall density coverage"),
    "train_vs_held_out": (metrics.TrainVsHeldOut, "share low high p_value"),
    "vendi": (metrics.Vendi, ""),
}
every_metric = pytest.mark.parametrize("name", METRICS)


def images_of(count: int, *, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 2, 2), generator=rng, dtype=torch.uint8)


SIDES: dict[str, tuple[Tensor, dict[str, bool]]] = {
    "real": (images_of(60, seed=1), {"real": True}),
    "generated": (torch.cat([images_of(60, seed=1)[:20], images_of(31, seed=2)]), {"real": False}),
    "held_out": (images_of(50, seed=3), {"real": True, "held_out": True}),
}


@pytest.fixture(scope="module")
def numbers() -> dict[str, Sequence[float]]:
    """Every metric's values from its function, in the order of their names."""
    real, made, held_out = (images.flatten(1) for images, _ in SIDES.values())
    excess = copied_share(made, real, held_out, norm="l1").excess
    subsets = kernel_distance_of_subsets(real, made, subsets=3, size=5)
    both = overfitting_mode_drop(real, made, norm="l1", queries=7, seed=3, scale=12)
    return {
        "authpct": [authpct(real, made, norm="l1")],
        "cmmd": [cmmd(real, made)],
        "copied": [excess.estimate, excess.low, excess.high],
        "ct": ct_score(made, real, held_out, norm="l1", cells=2)[:2],
        "fid": [frechet_distance(real, made)],
        "fld": fld(made, real, held_out)[:2],
        "inception_score": inception_score(made.float() / 10, splits=2),
        "kid": [kernel_distance(real, made), *subsets],
        "l2_memorization": [100 * x for x in l2_memorization(made, real)[:3]],
        "membership": membership(made, real, held_out, norm="l1"),
        "memorized_fraction": memorized_fraction(made, real)[:3],
        "mifid": mifid(real, made, epsilon=0.5)[::2],
        "mind": [mind(real, made)],
        "overfitting": [*both.overfitting.tail, *both.mode_drop.tail],
        "prdc": prdc(real, made, k=3, norm="l1"),
        "train_vs_held_out": train_vs_held_out(made, real, held_out, norm="l1"),
        "vendi": [vendi_score(made)],
    }


def filled(name: str, part: slice = slice(None)) -> FeatureMetric:
    metric = METRICS[name][0](Grey())
    fill(metric, part)
    return metric


def fill(
    metric: FeatureMetric, part: slice = slice(None), sides: Sequence[str] | None = None
) -> None:
    for side in metric.sides if sides is None else sides:
        images, how = SIDES[side]
        for batch in torch.split(images[part], 16):
            metric.update(batch, **how)


def values(metric: FeatureMetric) -> dict[str, float]:
    return {name: value.item() for name, value in metric.compute().items()}


@every_metric
def test_values_are_those_of_the_function(name: str, numbers: dict[str, Sequence[float]]) -> None:
    state = torch.get_rng_state()
    metric = filled(name)
    assert metric.result is None
    assert all(v.dtype == torch.float64 and v.shape == () for v in metric.compute().values())
    assert metric.result is not None
    assert torch.equal(torch.get_rng_state(), state)
    names = [
        f"{key}/pixel_l1/{part}".rstrip("/")
        for key in (["overfitting", "mode_drop"] if name == "overfitting" else [name])
        for part in METRICS[name][1].split(" ")
    ]
    assert list(values(metric)) == names
    expected = dict(zip(names, numbers[name], strict=True))
    assert values(metric) == pytest.approx(expected, rel=1e-12, nan_ok=True)
    assert values(pickle.loads(pickle.dumps(metric))) == pytest.approx(expected, nan_ok=True)
    assert metric.state_dict() == {}
    metric.reset()
    assert metric.result is None
    fill(metric, sides=["generated"])
    if metric.sides != ("generated",):
        with pytest.raises(ValueError, match="no real images"):
            metric.compute()
    metric.reset_real_features = False
    metric.reset()
    fill(metric)
    metric.reset()
    fill(metric, sides=["generated"])
    assert values(metric) == pytest.approx(expected, nan_ok=True)


@every_metric
def test_sides_are_gathered_over_ranks(name: str, numbers: dict[str, Sequence[float]]) -> None:
    ranks = [filled(name, part) for part in (slice(0, 11), slice(11, None))]
    states = [state for state in ranks[0]._defaults if getattr(ranks[0], state)]
    shares = [[torch.cat(getattr(m, state)) for state in states] for m in ranks]
    for metric in ranks:
        calls = iter(zip(*shares, strict=True))
        metric.dist_sync_fn = lambda *_, calls=calls, **__: list(next(calls))
        metric.distributed_available_fn = lambda: True
        assert [*values(metric).values()] == pytest.approx([*numbers[name]], nan_ok=True)
        assert len(metric.generated_features[0]) != len(SIDES["generated"][0])  # its half again


@every_metric
def test_a_side_is_missing_or_another(name: str) -> None:
    metric = METRICS[name][0](Grey())
    metric.update(SIDES["real"][0], real=True)  # which the Inception score passes over
    with pytest.raises(ValueError, match=r"before compute\(\)"):
        metric.compute()
    with pytest.raises(ValueError, match="held_out"):
        metric.update(SIDES["real"][0], real="held_out" not in metric.sides, held_out=True)
    if "real" in metric.sides:
        metric = METRICS[name][0](Grey())
        for side in metric.sides:
            images, how = SIDES[side]
            metric.update(images if side == "real" else images[..., :1], **how)
        with pytest.raises(ValueError, match="features a row"):
            metric.compute()


@pytest.mark.parametrize(
    ("kind", "setting"),
    [
        ("CT", {"cells": 0}),
        ("OverfittingModeDrop", {"queries": 0}),
        ("PRDC", {"k": 0}),
        ("InceptionScore", {"splits": 0}),
        ("KID", {"subsets": 0}),
        ("KID", {"subset_size": 1}),
        ("MiFID", {"epsilon": -0.1}),
    ],
)
def test_settings_are_checked_before_any_image(kind: str, setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        getattr(metrics, kind)(Grey(), **setting)


class Linear(nn.Module, metrics.Extractor):
    """A user's extractor, which happens to be a module."""

    name = "linear_l2"
    norm = "l2"

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 2)

    def __call__(self, images: Tensor) -> Tensor:
        features: Tensor = self.layer(images.float().flatten(1))
        return features.detach()


def test_collection_and_a_module_as_extractor() -> None:
    extractor = Linear()
    linear = metrics.FID(extractor)
    collection = MetricCollection({"few": metrics.OverfittingModeDrop(queries=5), "linear": linear})
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
def test_directions_of_the_distances(distance: Callable[[Tensor, Tensor], float]) -> None:
    images = Digits().open(Path(), "train")
    assert images is not None
    assert images.labels is not None
    pixels = images.read(torch.arange(400))[:, :1].float()
    rows = pixels.unfold(2, 4, 4).unfold(3, 4, 4).mean((-1, -2)).flatten(1)
    real, held_out, classes = rows[::2], rows[1::2], images.labels[1:400:2]
    noise = 128 * torch.randn(held_out.shape, generator=torch.Generator().manual_seed(14))
    levels = [(held_out + x * noise).clamp(0, 255) for x in (0.0, 0.2, 0.4, 0.8)]
    rising = [distance(real, generated) for generated in (real.flip(0), *levels)]
    assert rising == sorted(rising)
    assert rising[0] < 1e-6
    assert distance(real, held_out[classes < 5]) > 1.5 * abs(rising[1])
    assert distance(real, real[:1].expand(200, -1)) > 2 * abs(rising[1])


def test_docstring_example() -> None:
    result = doctest.testmod(importlib.import_module("ganstoch.metrics.overfitting"))
    assert (result.failed, result.attempted) == (0, 9)
