"""Definitions by hand, scenarios that fix which direction is which, and a stranger's trainer."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ganstoch.metrics.overfitting import (
    OverfittingModeDrop,
    TailMeans,
    overfitting_mode_drop,
    tail_means,
)


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("count", "worst10", "worst5"),
    [(1, 1, 1), (9, 1, 1), (11, 2, 1), (20, 2, 1), (21, 3, 2), (30, 3, 2), (200, 20, 10)],
)
def test_worst_are_the_largest(count: int, worst10: int, worst5: int) -> None:
    shuffled = torch.randperm(count, generator=torch.Generator().manual_seed(count)) + 1

    def top(k: int) -> float:
        return sum(range(count - k + 1, count + 1)) / k

    assert tail_means(shuffled.float()) == TailMeans((count + 1) / 2, top(worst10), top(worst5))


def test_copy_all() -> None:
    real = draw(60, 32, seed=1)
    both = overfitting_mode_drop(real, real.flip(0), norm="l2", queries=None)
    assert both.overfitting.tail == both.mode_drop.tail == TailMeans(0.0, 0.0, 0.0)


def test_copy_one() -> None:
    real = draw(60, 32, seed=2)
    both = overfitting_mode_drop(real, real[17].expand(40, 32), norm="l1", queries=None)
    assert both.overfitting.tail.worst5 == 0.0
    assert set(both.overfitting.neighbours.ids.tolist()) == {17}
    expected = (real - real[17]).abs().sum(1).double().mean().item()
    assert both.mode_drop.tail.mean == pytest.approx(expected, rel=1e-6)
    assert both.mode_drop.neighbours.distances[17] == 0


def test_drop_half() -> None:
    near, far = draw(50, 8, seed=3), draw(50, 8, seed=4) + 1000
    both = overfitting_mode_drop(torch.cat([near, far]), near, norm="l2", queries=None)
    assert both.overfitting.tail.worst5 == 0.0
    distances = both.mode_drop.neighbours.distances
    assert (distances[:50] == 0).all()
    assert (distances[50:] > 2000).all()
    assert both.mode_drop.tail.worst10 > 2 * both.mode_drop.tail.mean * 0.99


def test_samples_search_the_whole_other_side() -> None:
    real, generated = draw(300, 6, seed=9), draw(250, 6, seed=10)
    sampled = overfitting_mode_drop(real, generated, norm="l1", queries=20, seed=3)
    whole = overfitting_mode_drop(real, generated, norm="l1", queries=None)
    for some, every in zip(sampled, whole, strict=True):
        assert len(some.queries) == len(set(some.queries.tolist())) == 20
        assert torch.equal(some.neighbours.distances, every.neighbours.distances[some.queries])
        assert torch.equal(some.neighbours.ids, every.neighbours.ids[some.queries])
    assert max(sampled.mode_drop.queries) > 250 > max(sampled.overfitting.queries)
    assert max(sampled.overfitting.neighbours.ids) > 250


def test_samples_are_the_same_in_every_evaluation() -> None:
    real = draw(100, 3, seed=11)
    first, later, other = (
        [
            direction.queries.tolist()
            for direction in overfitting_mode_drop(
                real, draw(100, 3, seed=s), norm="l1", queries=10, seed=seed
            )
        ]
        for s, seed in ((12, 5), (13, 5), (13, 6))
    )
    assert first == later
    assert first[0] != first[1] != other[1]


def test_refuses() -> None:
    real = draw(4, 3, seed=1)
    with pytest.raises(ValueError, match="queries"):
        overfitting_mode_drop(real, real, norm="l1", queries=0)
    with pytest.raises(ValueError, match="scale"):
        overfitting_mode_drop(real, real, norm="l1", scale=0.0)
    for distances in (torch.zeros(0), torch.zeros(2, 2)):
        with pytest.raises(ValueError, match=r"shape \(Q,\)"):
            tail_means(distances)


class Stranger(pl.LightningModule):
    """Somebody else's GAN, with the metric as the only thing of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Unflatten(1, (1, 4, 4)))
        self.closeness = OverfittingModeDrop("pixel", queries=5)

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.closeness.update(batch, real=True)
        self.closeness.update(self.generator(torch.randn(len(batch), 4)), real=False)

    def on_validation_epoch_end(self) -> None:
        self.log_dict(self.closeness.compute())
        self.closeness.reset()


# The stranger's own choices, of which Lightning warns.
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.filterwarnings("ignore:.*GPU available but not used")
@pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec")
def test_in_a_strangers_module(tmp_path: Path) -> None:
    model, images = Stranger(), draw(2, 4, 1, 4, 4, seed=17).tanh()  # two batches
    settings: dict[str, Any] = {"logger": False, "enable_progress_bar": False}
    trainer = pl.Trainer(accelerator="cpu", default_root_dir=tmp_path, **settings)
    batches: DataLoader[Tensor] = DataLoader(images, batch_size=None)  # type: ignore[arg-type]
    trainer.validate(model, batches, verbose=False)
    assert 0 < trainer.callback_metrics["overfitting/pixel_l1/mean"] < 255
    assert not any("closeness" in key for key in model.state_dict())
