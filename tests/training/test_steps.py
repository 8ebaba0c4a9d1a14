"""What counts as an iteration, and that everybody counts alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor

from ganstoch.callbacks.evaluation import Evaluation
from ganstoch.callbacks.progress import LossLogger
from ganstoch.training.gan import GAN

Make = Callable[..., Any]


def note_calls(gan: GAN) -> list[tuple[int, int]]:
    """The iteration and the number of images of each call of `play`."""
    calls: list[tuple[int, int]] = []
    train = gan.train_iteration

    def noted(draws: Any, *optimizers: Any, iteration: int, **others: Any) -> None:
        calls.append((iteration, sum(len(part.pixels) for parts in draws for part in parts)))
        train(draws, *optimizers, iteration=iteration, **others)

    gan.train_iteration = noted  # type: ignore[method-assign]
    return calls


@pytest.mark.parametrize("micro_batch", [None, 5])
def test_max_steps_counts_updates_of_both_players(
    make_gan: Make, make_data: Make, fit: Make, micro_batch: int | None
) -> None:
    gan = make_gan(micro_batch=micro_batch)
    calls = note_calls(gan)
    trainer = fit(gan, make_data(), steps=5)
    assert calls == [(i, 16) for i in range(5)]
    assert trainer.global_step == 5
    for optimizer in trainer.optimizers:
        steps = {state["step"].item() for state in optimizer.state.values()}
        assert steps == {5.0}
    assert sum(len(optimizer.state) for optimizer in trainer.optimizers) == 8 + 10


def test_checkpoints_and_curves_are_on_the_same_axis(
    make_gan: Make,
    make_data: Make,
    fit: Make,
    make_losses: Make,
    journalist: Any,
    tmp_path: Path,
) -> None:
    losses, evaluation = make_losses(), Evaluation(every=2, queries=4, semantic=None)
    checkpoints = ModelCheckpoint(
        tmp_path, filename="{step}", every_n_train_steps=2, save_top_k=-1, monitor=None
    )
    gan = make_gan()
    callbacks = (evaluation, losses, LossLogger(), checkpoints)
    fit(gan, make_data(), *callbacks, steps=5, loggers=[journalist])

    assert sorted(path.name for path in tmp_path.glob("*.ckpt")) == ["step=2.ckpt", "step=4.ckpt"]
    for step in (2, 4):
        content = torch.load(tmp_path / f"step={step}.ckpt", weights_only=True)
        assert content["global_step"] == step
        states = [s for o in content["optimizer_states"] for s in o["state"].values()]
        assert {s["step"].item() for s in states} == {float(step)}

    curve = {step: m for step, m in journalist.metrics if "loss/generator" in m}
    assert curve == {
        step: {"loss/discriminator": d, "loss/generator": g}
        for step, (d, g) in losses.trace.items()
    }
    assert list(curve) == [1, 2, 3, 4, 5]
    measured = {step: m for step, m in journalist.metrics if "loss/generator" not in m}
    assert measured == {m.iteration: m.metrics for m in evaluation.history}
    assert list(measured) == [2, 4, 5]
    assert [m.images_seen for m in evaluation.history] == [32, 64, 80]


def test_trains_on_the_draws_of_its_iteration(make_gan: Make, make_data: Make, fit: Make) -> None:
    gan, data = make_gan(noise=0.5), make_data()
    seen: list[tuple[Tensor, Tensor]] = []
    train = gan.train_iteration

    def noted(draws: Any, *optimizers: Any, **others: Any) -> None:
        ((part,),) = draws
        seen.append((part.pixels, part.latents))
        train(draws, *optimizers, **others)

    gan.train_iteration = noted
    fit(gan, data, steps=3)
    for i, (pixels, latents) in enumerate(seen):
        assert torch.equal(pixels, data.batch(i).pixels)
        assert torch.equal(latents, gan.latents.draw(i, 16, device=torch.device("cpu")))


def test_a_full_batch_is_the_whole_of_both_sets(make_gan: Make, make_data: Make, fit: Make) -> None:
    gan, data = make_gan(), make_data(m="n")
    fit(gan, data, steps=1)
    assert gan.latents is not None
    assert torch.equal(data.batch(0).pixels, data.subset.pixels)
    assert torch.equal(gan.latents.draw(0, 64, device=torch.device("cpu")), gan.latents.fixed)


def test_stops_where_a_callback_says_so(make_gan: Make, make_data: Make, fit: Make) -> None:
    class Enough(Callback):
        def on_train_batch_end(
            self, trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any
        ) -> None:
            trainer.should_stop = trainer.global_step == 3

    assert fit(make_gan(), make_data(), Enough(), steps=10).global_step == 3
