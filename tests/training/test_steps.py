"""What counts as an iteration, and that everybody counts alike."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from ganstoch.callbacks.evaluation import Evaluation
from ganstoch.callbacks.progress import LossLogger

Make = Callable[..., Any]


@pytest.mark.parametrize("micro_batch", [None, 5])
def test_max_steps_counts_updates_of_both_players(
    make_gan: Make, make_data: Make, fit: Make, micro_batch: int | None
) -> None:
    gan = make_gan(micro_batch=micro_batch)
    calls: list[tuple[int, int]] = []
    train = gan.train_iteration

    def recorded(draws: Any, *optimizers: Any, iteration: int) -> None:
        calls.append((iteration, sum(len(part.pixels) for parts in draws for part in parts)))
        train(draws, *optimizers, iteration=iteration)

    gan.train_iteration = recorded
    trainer = fit(gan, make_data(), steps=5)
    assert calls == [(i, 16) for i in range(5)]
    assert trainer.global_step == 5
    for optimizer in trainer.optimizers:
        steps = {state["step"].item() for state in optimizer.state.values()}
        assert steps == {5.0}
    assert sum(len(optimizer.state) for optimizer in trainer.optimizers) == 8 + 10


def test_checkpoints_and_curves_are_on_the_same_axis(
    make_gan: Make, make_data: Make, fit: Make, make_losses: Make, journalist: Any, tmp_path: Path
) -> None:
    losses, evaluation = make_losses(), Evaluation(every=2, queries=4, semantic=None)
    checkpoints = ModelCheckpoint(
        tmp_path, filename="{step}", every_n_train_steps=2, save_top_k=-1, monitor=None
    )
    callbacks = (evaluation, losses, LossLogger(), checkpoints)
    fit(make_gan(), make_data(), *callbacks, steps=5, loggers=[journalist])

    for step in (2, 4):
        content = torch.load(tmp_path / f"step={step}.ckpt", weights_only=True)
        assert content["global_step"] == step
        states = [s for o in content["optimizer_states"] for s in o["state"].values()]
        assert {s["step"].item() for s in states} == {float(step)}

    assert list(losses.trace) == [1, 2, 3, 4, 5]
    names = ("loss/discriminator", "loss/generator")
    curve = {step: dict(zip(names, pair, strict=True)) for step, pair in losses.trace.items()}
    assert {step: m for step, m in journalist.metrics if "loss/generator" in m} == curve
    measured = {step: m for step, m in journalist.metrics if "loss/generator" not in m}
    assert measured == {m.iteration: m.metrics for m in evaluation.history}
    assert [(m.iteration, m.images_seen) for m in evaluation.history] == [(2, 32), (4, 64), (5, 80)]
