"""A batch that several ranks share trains as it does on one; what cannot be shared is refused."""

import dataclasses
import os
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from ganstoch import Diagnosis, Monitor, OverfittingModeDrop
from ganstoch.callbacks.evaluation import Evaluation
from ganstoch.callbacks.gradient_noise import GradientNoise, GradientNoiseSettings
from ganstoch.callbacks.probe import Probe, ProbeSettings
from ganstoch.callbacks.progress import LossLogger
from ganstoch.data import Digits
from ganstoch.data.datamodule import ImageData
from ganstoch.diagnosis.signals import to_columns
from ganstoch.errors import UserError
from ganstoch.latents import LatentSettings
from ganstoch.models import DCGANDiscriminator, DCGANGenerator, PaperDiscriminator, PaperGenerator
from ganstoch.objectives import Objective, RelativisticAverage
from ganstoch.remedies import R1, Packing, Remedy, Unrolling
from ganstoch.rng import share
from ganstoch.training.distributed import Ranks, refuse_differences
from ganstoch.training.gan import GAN
from ganstoch.training.micro_batch import split
from ganstoch.types import Batch


@pytest.mark.parametrize("world", [1, 2, 3])
def test_parts_of_all_ranks_are_the_packs_of_one(world: int) -> None:
    """13 images in packs of 3, at most 4 at once: 5 packs, of which the last begins again."""
    packs, weight = [], 0.0
    for rank in range(world):
        mine = share(13, rank=rank, world=world, group=3)
        batch = Batch(100.0 + mine[:, None], mine, size=13)
        settings = {"rank": rank, "world": world, "group": 3, "micro_batch": 4}
        for part in split(batch, mine[:, None].double(), dtype=torch.float64, **settings):
            assert torch.equal(part.real[:, 0] - 100, part.latents[:, 0])
            assert torch.equal(part.positions, part.ids)
            assert part.size == 13
            packs += part.positions.view(-1, 3).tolist()
            weight += part.weight
    assert sorted(packs) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11], [12, 0, 1]]
    assert weight == pytest.approx(world)


def paper_gan(*remedies: Remedy, objective: Objective | None = None, **settings: Any) -> GAN:
    return GAN(
        partial(PaperGenerator, width=16, latent_dim=8),
        partial(PaperDiscriminator, width=16),
        objective,
        remedies=remedies,
        **settings,
    )


def test_who_looks_at_whole_batches_is_refused() -> None:
    data = ImageData(Digits(), n=64, m=16)
    dcgan = GAN(DCGANGenerator, DCGANDiscriminator, shape=(3, 28, 28))
    for gan, by in (
        (paper_gan(objective=RelativisticAverage()), "RelativisticAverage"),
        (paper_gan(Unrolling(steps=1)), "Unrolling"),
        (dcgan, "DCGANGenerator"),
    ):
        gan.check_ranks(data, world=1)
        with pytest.raises(UserError, match=rf"{by} .*trainer\.devices=1"):
            gan.check_ranks(data, world=2)


def test_more_devices_than_packs_are_refused() -> None:
    data = ImageData(Digits(), n=64, m="n/16")
    packs, as_many = Packing(size=3), Packing(size=3, matched="packs")
    for gan, most in ((paper_gan(), 4), (paper_gan(packs), 2), (paper_gan(as_many), 4)):
        gan.check_ranks(data, world=most)
        with pytest.raises(UserError, match=rf"data\.m is 4, .* {most + 1} devices"):
            gan.check_ranks(data, world=most + 1)


def test_differences_are_named(on_ranks: Callable[..., list[Any]]) -> None:

    def work() -> None:
        rank = int(os.environ["LOCAL_RANK"])
        torch.distributed.init_process_group("gloo", rank=rank, world_size=3)
        point = {"weights": "a", "torch": "2"}
        refuse_differences(point, world=3)
        with pytest.raises(UserError, match="differ in torch;"):
            refuse_differences(point | ({"torch": "3"} if rank == 2 else {}), world=3)

    on_ranks(work, 3)


@pytest.fixture
def train(fit: Callable[..., Any], journalist: Any, state_of: Any) -> Callable[..., Any]:
    """Trains in double precision; all that is left: numbers, metrics, what was logged."""

    def train(devices: int, gan: GAN, *, steps: int) -> dict[str, Any]:
        evaluation = Evaluation(every=steps // 2, queries=40, semantic=None, held_out=True)
        data, callbacks = ImageData(Digits(), n=48, m=13), (evaluation, LossLogger())
        settings = {"devices": devices, "precision": "64-true", "log_every_n_steps": 3}
        with warnings.catch_warnings(action="ignore"):  # Lightning's about itself
            trainer = fit(gan, data, *callbacks, steps=steps, loggers=[journalist], **settings)
        assert evaluation.latest is not None
        pairs = evaluation.latest.pairs["pixel_l1"]
        return {
            "numbers": state_of(trainer),
            "generated": evaluation.latest.generated,
            "ids": [pairs.overfitting.neighbours.ids, pairs.mode_drop.neighbours.ids],
            "metrics": [dict(m.metrics) for m in evaluation.history],
            "baseline": evaluation.baseline,
            "seen": [m.images_seen for m in evaluation.history],
            "logged": journalist.metrics,
        }

    return train


def test_two_ranks_are_one(on_ranks: Callable[..., Any], train: Callable[..., Any]) -> None:
    """13 images, so 7 and 6, at most 3 at once: 3 parts and 2; noise on the latents; a penalty."""

    def gan() -> GAN:
        latents = LatentSettings(noise=0.5)
        return paper_gan(R1(gamma=1.0), latents=latents, micro_batch=3, ema_decay=0.9)

    one, other = on_ranks(lambda: train(2, gan(), steps=20))
    assert all(torch.equal(one["numbers"][k], other["numbers"][k]) for k in one["numbers"])
    assert torch.equal(one["generated"], other["generated"])
    assert one["metrics"] == other["metrics"]
    assert other["logged"] == []

    alone = train(1, gan(), steps=20)
    assert one["numbers"].keys() == alone["numbers"].keys()
    gaps = [(one["numbers"][k] - alone["numbers"][k]).abs().max() for k in one["numbers"]]
    assert max(gaps) < 1e-10
    assert (one["generated"] - alone["generated"]).abs().max() < 1e-10
    assert all(map(torch.equal, one["ids"], alone["ids"]))
    assert one["seen"] == alone["seen"]
    ours, theirs = (
        [each["baseline"], *each["metrics"], *(values for _, values in each["logged"])]
        for each in (one, alone)
    )
    for mine, expected in zip(ours, theirs, strict=True):
        assert mine == pytest.approx(expected, rel=1e-10)
    assert [step for step, _ in one["logged"]] == [3, 6, 9, 10, 12, 15, 18, 20]
    assert len(one["metrics"]) == 2
    assert len(one["metrics"][0]) == 9


def test_two_ranks_measure_what_one_does(
    on_ranks: Callable[..., Any], fit: Callable[..., Any], tmp_path: Path
) -> None:
    """The diagnosis, the probe and the gradients' noise; every rank comes to the same verdict."""

    def measured(devices: int) -> dict[str, Any]:
        folder = tmp_path / str(devices) / os.environ.get("LOCAL_RANK", "0")
        probe = Probe(ProbeSettings(every=4, images=40), folder / "probe.json")
        noise = GradientNoise(GradientNoiseSettings(every=4), folder / "noise.json")
        diagnosis = Diagnosis(every=2, images=16, path=folder / "diagnosis.json")
        data = ImageData(Digits(), n=48, m=13)
        settings = {"devices": devices, "precision": "64-true"}
        with warnings.catch_warnings(action="ignore"):
            fit(paper_gan(), data, diagnosis, probe, noise, steps=8, **settings)
        columns = to_columns(diagnosis.history)
        noises = [[n.signal, n.noise] for each in noise.history.values() for n in each.values()]
        written = sorted(path.name for path in folder.glob("*.json"))
        return {"signals": columns, "probe": probe.points, "noise": noises, "written": written}

    one, other = on_ranks(lambda: measured(2))
    assert one["signals"] == other["signals"]
    assert one["probe"] == other["probe"]
    assert one["written"] == ["diagnosis.json", "noise.json", "probe.json"]
    assert other["written"] == []
    alone = measured(1)
    assert one["signals"].keys() == alone["signals"].keys()
    for name, values in alone["signals"].items():
        mine = [v for v in one["signals"][name] if v is not None]  # drift is not known at first
        assert len(one["signals"][name]) == len(values)
        expected = [v for v in values if v is not None]
        assert mine == pytest.approx(expected, rel=1e-3, abs=1e-6), name
    assert one["probe"] == [pytest.approx(point, abs=1e-6) for point in alone["probe"]]
    assert one["noise"] == [pytest.approx(pair, rel=1e-8) for pair in alone["noise"]]


def test_a_monitor_on_each_rank_judges_the_batch_of_all(on_ranks: Callable[..., Any]) -> None:
    real, fake = torch.randn(64, 1), torch.randn(64, 1) - 1
    points = torch.randn(200, 2)

    def watched(rank: int, world: int) -> list[dict[str, Any]]:
        # Each rank's generator is slightly another: the first one's samples are those that count.
        monitor = Monitor(
            points, sample=lambda n: torch.randn(n, 2) + rank, every=5, images=32, world=world
        )
        for step in range(16):
            mine = slice(rank, None, world)
            loss = nn.functional.softplus(fake[mine]).mean()
            loss = loss * torch.nan if (step, rank, world) == (7, 1, 2) else loss
            monitor.step(step, loss_d=loss, real_logits=real[mine], fake_logits=fake[mine])
        assert monitor.notes == []
        signals = [dataclasses.asdict(signals) for signals in monitor.history]
        return [{k: v for k, v in each.items() if v is not None} for each in signals]

    def work() -> list[dict[str, Any]]:
        rank = int(os.environ["LOCAL_RANK"])
        torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
        return watched(rank, 2)

    one, other = on_ranks(work)
    alone = watched(0, 1)
    assert one == other
    assert [each.pop("broken") for each in one] == ["", "", *["loss_d, iteration 7"] * 2]
    for mine, expected in zip(one, alone, strict=True):
        expected.pop("broken")
        assert mine == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["empty", "other size", "all empty"])
def test_ranks_with_unequal_sides_all_refuse(kind: str, on_ranks: Callable[..., Any]) -> None:
    def work() -> str:
        rank = int(os.environ["LOCAL_RANK"])
        torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
        metric = OverfittingModeDrop("pixel")
        images = torch.zeros(20, 3, 8, 8, dtype=torch.uint8).random_()
        metric.update(images, real=True)
        if kind == "other size":
            metric.update(images[..., rank:], real=False)
        elif kind == "empty" and rank == 0:
            metric.update(images, real=False)
        with pytest.raises(ValueError, match="generated") as caught:
            metric.compute()
        return str(caught.value)

    one, other = on_ranks(work)
    assert one == other
    assert "\n" not in one


def test_ranks_that_differ_are_refused(on_ranks: Any, train: Any) -> None:
    def work() -> str:
        gan = paper_gan(seed=int(os.environ["LOCAL_RANK"]))
        with pytest.raises(UserError) as caught:
            train(2, gan, steps=2)
        return str(caught.value)

    one, other = on_ranks(work)
    assert one == other
    assert "differ in generator, discriminator, average, latents, settings;" in one


def test_a_rank_that_fails_takes_its_children_along() -> None:
    killed: list[int] = []
    strategy = Ranks()
    strategy._launcher = SimpleNamespace(  # type: ignore[assignment]
        procs=[SimpleNamespace(kill=lambda i=i: killed.append(i)) for i in (1, 2)]
    )
    strategy.on_exception(UserError("the disk is full"))
    assert killed == [1, 2]
    strategy._launcher = None
    strategy.on_exception(UserError("under srun there are none"))
