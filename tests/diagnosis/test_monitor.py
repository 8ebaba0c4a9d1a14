"""The monitor in plain loops: it finds what is wrong, disturbs nothing, and survives anything."""

import functools
import logging
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from ganstoch import Monitor
from ganstoch.diagnosis import measure, references
from ganstoch.diagnosis.signals import Networks
from ganstoch.diagnosis.undisturbed import modules_of
from ganstoch.errors import UserError


def points(count: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, 2, generator=rng) * torch.tensor([1.0, 0.1])


def fresh(n: int) -> Tensor:
    return torch.randn(n, 2) * torch.tensor([1.0, 0.1])


class Loop:
    """A plain GAN on points, with batch norm, dropout and a learning rate that can be ruined."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        layers = (nn.Linear(4, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 2))
        self.generator = nn.Sequential(*layers)
        self.discriminator = nn.Sequential(
            nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Dropout(0.1), nn.Linear(32, 1)
        )

    def sample(self, n: int) -> Tensor:
        made: Tensor = self.generator(torch.randn(n, 4) + np.random.rand() + random.random())
        return made

    def train(self, monitor: Monitor | None, *, steps: int = 60) -> list[Tensor]:
        players = (self.discriminator, self.generator)
        optimizers = [torch.optim.Adam(p.parameters(), 1e-3, (0.5, 0.9)) for p in players]
        real, soft = points(512), nn.functional.softplus
        for step in range(steps):
            fake = self.sample(32)
            r = self.discriminator(real[torch.randint(512, (32,))])
            f = self.discriminator(fake.detach())
            loss_d = soft(-r).mean() + soft(f).mean()
            optimizers[0].zero_grad()
            torch.autograd.backward(loss_d)
            optimizers[0].step()
            loss_g = soft(-self.discriminator(fake)).mean()
            optimizers[1].zero_grad()
            torch.autograd.backward(loss_g)
            optimizers[1].step()
            if monitor is not None:
                monitor.step(step, loss_d=loss_d, loss_g=loss_g, real_logits=r, fake_logits=f)
        return [*self.generator.state_dict().values(), *self.discriminator.state_dict().values()]


def watch(loop: Loop, **options: Any) -> Monitor:
    return Monitor(points(512), held_out=points(256, 1), every=10, images=32, **options)


@pytest.mark.parametrize("given", ["functions", "networks", "a method", "what fails"])
def test_training_goes_the_same_way_bit_for_bit(given: str) -> None:
    alone, loop = Loop(), Loop()
    weights = alone.train(None)
    options: dict[str, Any] = {"sample": lambda n: loop.generator(torch.randn(n, 4))}
    if given == "networks":
        options = {"sample": loop.generator, "latents": torch.randn(32, 4)}
    elif given == "a method":
        options = {"sample": loop.sample}
    elif given == "what fails":
        options = {"sample": lambda n: loop.sample(n)[None, None] / 0}
    Loop()  # seeds as the first did
    watched = loop.train(watch(loop, discriminator=loop.discriminator, **options))
    assert all(torch.equal(a, b) for a, b in zip(weights, watched, strict=True))
    assert loop.generator.training


def test_the_networks_that_a_function_refers_to_are_found() -> None:
    loop = Loop()
    generator, critic = loop.generator, loop.discriminator

    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.g, self.d = generator, critic
            self._fixed = {"g": [generator]}

        def sample(self, n: int) -> Any:
            return self.g(n)

        def fixed(self, n: int) -> Any:
            return self._fixed["g"][0](n)

        def both(self, n: int) -> Any:
            return [self.d(x) for x in (self.sample(n),)]

    pair = Pair()
    for function in (
        *(loop.sample, lambda n: loop.generator(n), lambda n: loop.sample(n)),
        *(pair.sample, pair.fixed, lambda n: pair.sample(n), lambda n: pair.g(n), generator),
        functools.partial(lambda net, n: net(n), generator),
    ):
        assert modules_of(function) == [generator]
    assert {*modules_of(pair.both)} == {generator, critic}
    assert modules_of(fresh) == modules_of(None) == []


def test_signals_are_those_of_measure() -> None:
    loop = Loop()
    real, held_out, z = points(512), points(256, 1), torch.randn(32, 4)
    monitor = Monitor(
        real, held_out=held_out, sample=loop.generator, latents=z, space=lambda x: x, images=32
    )
    monitor.step(0, loss_d=torch.tensor(1.5, requires_grad=True), loss_g=np.float32(0.5))
    loop.generator.eval()
    known = references(real, held_out, size=32)
    expected, _ = measure(Networks(sample=loop.generator, latents=z), known, iteration=0)
    (signals,) = monitor.history
    assert signals.sensitivity == pytest.approx(expected.sensitivity)
    assert signals.closeness == expected.closeness
    assert signals.reach == expected.reach
    assert (signals.loss_discriminator, signals.loss_generator) == (1.5, 0.5)
    assert signals.gradient_generator is None  # there has been no backward pass


def test_the_gradient_is_that_of_the_generator() -> None:
    loop = Loop()
    monitor = watch(loop, sample=lambda n: loop.generator(torch.randn(n, 4)))
    loop.train(monitor, steps=11)
    norms = [p.grad.norm() for p in loop.generator.parameters() if p.grad is not None]
    assert monitor.history[-1].iteration == 10
    expected = torch.stack(norms).norm().item()
    assert monitor.history[-1].gradient_generator == pytest.approx(expected, rel=1e-5)


SCALES: Any = iter(range(10**9))


@pytest.mark.parametrize(
    ("sample", "verdict"),
    [
        (fresh, "healthy"),
        (lambda n: torch.rand(1, 2).expand(n, 2) * next(SCALES), "complete_collapse"),
        (lambda n: points(3)[torch.randint(3, (n,))], "partial_collapse"),
        (lambda n: points(512)[:n] + 1e-3 * torch.randn(n, 2), "memorization"),
        (lambda n: fresh(n).fill_(torch.nan), "non_finite"),
    ],
)
def test_failures_are_named(sample: Callable[[int], Tensor], verdict: str) -> None:
    heard: list[Any] = []
    monitor = Monitor(points(512), held_out=points(256, 1), sample=sample, act=heard.append)
    told = []
    for step in range(0, 1000, 50):
        monitor.step(step)
        told.append(monitor.verdict)
    assert told[-1] == verdict
    assert len(monitor.notes) == (verdict == "complete_collapse")  # others at each call
    assert len(monitor.history) == 10
    if verdict == "healthy":
        assert told[0] == "cannot_tell"
        assert heard == []
    else:
        assert verdict in [finding.verdict for finding in heard]
        assert verdict not in monitor.not_judged


def test_losses_alone_tell_little_and_say_what_would_tell_more() -> None:
    monitor = Monitor(every=5)
    told: list[str] = [monitor.verdict]
    for step in range(31):
        monitor.step(step, loss_d=torch.tensor(0.7), loss_g=0.9)
    told.append(monitor.verdict)
    assert monitor.not_judged["complete_collapse"] == "real"
    assert monitor.not_judged["generator_dominates"] == "discriminator"
    assert not {"non_finite", "diverged"} & set(monitor.not_judged)
    monitor.step(33, loss_d=torch.tensor(torch.inf))
    monitor.step(35, loss_d=0.5)
    assert [*told, monitor.verdict] == ["cannot_tell", "cannot_tell", "non_finite"]
    assert monitor.history[-1].broken == "loss_d, iteration 33"
    assert "non_finite" not in monitor.not_judged


def test_each_argument_passed_leaves_less_unjudged() -> None:
    loop = Loop()
    loop.train(None, steps=2)  # so that there is a gradient
    given: dict[str, Any] = {}
    parts = {
        "real": points(512),
        "sample": loop.generator,
        "latents": torch.randn(32, 4),
        "discriminator": loop.discriminator,
        "held_out": points(256, 1),
    }
    parts["sample"] = lambda z: loop.generator(z if isinstance(z, Tensor) else torch.randn(z, 4))
    for _ in parts:
        monitor = Monitor(every=1, images=32, **given)
        for step in range(3):
            monitor.step(step)
        asked = set(monitor.not_judged.values()) - {"loss_d"}
        name = next(name for name in parts if name not in given)
        assert name in asked
        given[name] = parts[name]
    monitor = Monitor(every=1, images=32, **given)
    for step in range(3):
        monitor.step(step, loss_d=1.0)
    assert monitor.not_judged == {}


@pytest.mark.parametrize("patches", [False, True])
def test_logits_are_compared_without_samples(patches: bool) -> None:
    real, fake = torch.tensor([2.0, 2.0, -1.0, 3.0]), torch.tensor([-2.0, 2.0, -2.0, -2.0])
    monitor = Monitor()
    given = [
        x[:, None, None, None] * torch.ones(4, 1, 5, 5) if patches else x for x in (real, fake)
    ]
    monitor.step(0, real_logits=[given[0], "more"], fake_logits=(given[1],))
    (signals,) = monitor.history
    assert signals.gap == pytest.approx(2.5)
    assert signals.separation == pytest.approx((3 * 4 + 1 + 2 * 0.5) / 16)
    assert (signals.accuracy_real, signals.accuracy_fake) == (0.75, 0.75)


BAD: dict[str, Callable[[int], Any]] = {
    "raises": lambda n: 1 / 0,
    "shape": lambda n: torch.zeros(n, 3),
    "few": lambda n: torch.zeros(n - 1, 2),
    "text": lambda n: "samples",
    "none": lambda n: None,
    "complex": lambda n: torch.zeros(n, 2, dtype=torch.complex64),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_sample_is_noted_once_and_the_rest_goes_on(kind: str, caplog: Any) -> None:
    monitor = Monitor(points(64), sample=BAD[kind], every=2)
    with caplog.at_level(logging.WARNING, logger="ganstoch"):
        for step in range(9):
            monitor.step(step, loss_d=1.0)
    (note,) = monitor.notes
    assert "sample" in note
    assert sum("sample" in message for message in caplog.messages) == 1
    assert [signals.loss_discriminator for signals in monitor.history] == [1.0] * 5
    assert monitor.verdict == "cannot_tell"
    assert monitor.not_judged["oscillating"] == "sample"


@pytest.mark.parametrize(("low", "high"), [(0, 255), (0, 1), (-1, 1), (-2.1, 2.6)])
def test_a_discriminator_is_asked_about_images_in_the_units_of_training(
    low: float, high: float
) -> None:
    seen: list[tuple[float, float]] = []

    def discriminator(x: Tensor) -> Tensor:
        seen.append((x.min().item(), x.max().item()))
        return x.mean((1, 2, 3))

    def images(n: int) -> Tensor:
        made = low + (high - low) * torch.rand(n, 1, 4, 4)
        made[:, 0, 0, :2] = torch.tensor([low, high])
        return made

    monitor = Monitor(images(90), sample=images, discriminator=discriminator, every=1, images=20)
    monitor.step(1)
    assert len(seen) >= 2  # of real and generated ones
    assert all(ends == pytest.approx((low, high)) for ends in seen)


def test_samples_of_a_generator_of_one_s_own_do_not_oscillate() -> None:
    own = torch.Generator().manual_seed(3)
    spread = torch.tensor([1.0, 0.1])
    moving = Monitor(
        points(512), sample=lambda n: torch.randn(n, 2, generator=own) * spread, every=1
    )
    seeded = Monitor(points(512), sample=fresh, every=1)
    for step in range(12):
        moving.step(step)
        seeded.step(step)
    assert [moving.verdict, seeded.verdict] == ["healthy", "healthy"]
    assert {signals.turn for signals in moving.history} == {None}
    assert seeded.history[1].drift == 0
    assert len(moving.notes) == 1
    assert seeded.notes == []


def test_what_fails_once_is_measured_again_later() -> None:
    calls = iter(range(100))

    def sample(n: int) -> Tensor:
        if 3 < next(calls) < 6:
            raise RuntimeError("out of memory")
        return fresh(n)

    monitor = Monitor(points(64), sample=sample, discriminator=lambda x: 1 / 0, every=1)
    for step in range(8):
        monitor.step(
            step, loss_g={"no": "number"}, real_logits="none", fake_logits=torch.tensor(1.0)
        )
    seen = [signals.closeness is not None for signals in monitor.history]
    assert seen.count(False) == 2
    assert seen[-1]
    assert monitor.pictures is not None
    assert all(seen[iteration] for iteration in monitor.pictures.looks)
    assert len(monitor.notes) == 5  # sample, discriminator, loss_g and both logits


def test_samples_are_kept_where_the_function_writes_to_its_own_tensor_again() -> None:
    own = torch.zeros(256, 2)
    monitor = Monitor(points(512), sample=lambda n: own, every=1)
    for step in range(4):
        own.copy_(points(256, step))
        monitor.step(step)
    assert [signals.drift for signals in monitor.history if not signals.drift] == [None]


@pytest.mark.parametrize("direct", [False, True])
def test_a_look_does_not_wait_for_other_devices(direct: bool) -> None:
    class Waits(nn.DataParallel[nn.Module]):
        def forward(self, *inputs: Any, **others: Any) -> Any:
            raise AssertionError

    generator = Waits(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    sample = generator if direct else lambda z: generator(z)
    monitor = Monitor(points(64), sample=sample, latents=torch.randn(32, 2))
    monitor.step(0)
    assert monitor.notes == []
    assert monitor.history[0].sensitivity is not None
    with pytest.raises(AssertionError):
        generator(torch.randn(8, 2))


def test_tuples_of_a_generator_and_latents_of_any_shape() -> None:
    net = nn.ConvTranspose2d(6, 1, 8)
    images = torch.rand(100, 1, 8, 8) * 2 - 1
    monitor = Monitor(
        images, sample=lambda z: (net(z).tanh(), "w"), latents=torch.randn(64, 6, 1, 1)
    )
    monitor.step(0)
    assert (monitor.history[0].sensitivity or 0) > 0
    assert monitor.notes == []


def test_samples_that_record_no_gradient_are_no_deaf_generator() -> None:
    weights = torch.randn(4, 2)
    monitor = Monitor(points(64), sample=lambda z: z.detach() @ weights, latents=torch.randn(32, 4))
    deaf = Monitor(points(64), sample=lambda z: z * 0 @ weights, latents=torch.randn(32, 4))
    for step in range(0, 500, 100):
        monitor.step(step)
        deaf.step(step)
    assert monitor.history[-1].sensitivity is None
    assert monitor.not_judged["ignores_latent"] == "latents"
    assert len(monitor.notes) == 1
    assert deaf.verdict == "ignores_latent"


def test_a_step_may_come_in_parts_and_twice() -> None:
    monitor = Monitor(every=2)
    for step in range(5):
        monitor.step(step, loss_d=float(step))
        monitor.step(step, loss_g=10.0 + step)
    told = [(s.iteration, s.loss_discriminator, s.loss_generator) for s in monitor.history]
    assert told == [(0, 0, 10), (2, 2, 12), (4, 4, 14)]


def test_a_run_that_is_resumed_undoes_what_came_after() -> None:
    monitor = Monitor(every=10)
    for step in [*range(1, 51), *range(25, 61)]:
        monitor.step(step, loss_d=1.0 if monitor.notes or step < 50 else torch.nan)
    assert [signals.iteration for signals in monitor.history] == [10, 20, 30, 40, 50, 60]
    assert len(monitor.notes) == 1
    assert monitor.history[-1].broken == ""


def test_a_counter_of_each_epoch_counts_on() -> None:
    monitor = Monitor(every=10)
    for _ in range(3):
        for step in range(20):
            monitor.step(step, loss_d=1.0)
    assert [signals.iteration for signals in monitor.history] == [0, 10, 20, 30, 40, 50]
    assert len(monitor.notes) == 1


def test_steps_in_strides_are_looked_at_once_an_interval() -> None:
    monitor = Monitor(every=100)
    for step in range(70, 1000, 70):
        monitor.step(step, loss_d=1.0)
    looked = [signals.iteration // 100 for signals in monitor.history]
    assert looked == list(range(1, 10))


def test_goes_on_from_its_state() -> None:
    def monitor() -> Monitor:
        return Monitor(points(64), sample=fresh_by_step, every=10, images=16)

    def fresh_by_step(n: int) -> Tensor:
        return points(n, seed=at)

    whole, first, second = monitor(), monitor(), monitor()
    for at in range(1, 71):
        whole.step(at, loss_d=1.0)
        (first if at <= 35 else second).step(at, loss_d=1.0)
        if at == 35:
            state = first.state_dict()
            second.load_state_dict(state)
    assert second.history == whole.history
    assert whole.history[-1].turn is not None


def test_nothing_is_read_between_looks() -> None:
    class Loud(Tensor):
        def item(self) -> Any:
            raise AssertionError

        __float__ = __bool__ = tolist = item

    monitor = Monitor(every=1000)
    monitor.step(0)
    for step in range(1, 500):
        loss: Any = torch.ones(1).as_subclass(Loud)
        monitor.step(step, loss_d=loss, real_logits=loss, fake_logits=loss)
    assert monitor.notes == []


def test_reports_what_was_seen(tmp_path: Path) -> None:
    given: dict[str, Any] = {"real": points(64), "sample": lambda n: torch.zeros(n, 2)}
    for options in ({}, given):
        monitor, page = Monitor(every=1, **options), tmp_path / f"{len(options)}.html"
        monitor.report(page)
        for step in range(4):
            monitor.step(step, loss_d=1.0)
        monitor.report(page, title="points")
        text = page.read_text()
        assert "points" in text
        assert all(name in text for name in monitor.not_judged.values())
    towns = pd.DataFrame({"height": np.arange(64.0), "town": ["Ulm", "Bonn"] * 32})
    monitor = Monitor(towns, sample=lambda n: towns.sample(n, replace=True), every=1)
    for step in range(3):
        monitor.step(step)
    monitor.report(page)
    assert all(name in page.read_text() for name in ("height", "town = Ulm", "town = Bonn"))


def test_what_acts_may_end_training_and_nothing_else_does() -> None:
    def stop(finding: Any) -> None:
        raise KeyboardInterrupt(finding.verdict)

    monitor = Monitor(every=1, act=stop)
    with pytest.raises(KeyboardInterrupt, match="non_finite"):
        monitor.step(0, loss_g=torch.nan)
    monitor.step("third")  # type: ignore[arg-type]
    assert len(monitor.notes) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"every": 0},
        {"images": 4},
        {"real": points(3)},
        {"real": torch.zeros(64, 2)},
        {"real": points(64).fill_(torch.nan)},
        {"real": torch.zeros(64, 5000)},  # a vector or a sound
        {"real": torch.zeros(64, 5, 7)},
        {"real": "images"},
        {"real": [torch.rand(8, 3, 4, 4)] * 9, "space": "image"},  # a list of batches
        {"real": torch.rand(64, 3, 4, 4), "held_out": [torch.rand(8, 3, 4, 4)] * 9},
        {"real": pd.Series(range(64))},
        {"real": pd.DataFrame(np.zeros((64, 2)), columns=["a", "a"])},
        {"real": points(64), "space": "sound"},
        {"real": points(64), "space": "waveform"},
        {"real": points(64), "held_out": torch.zeros(8, 3)},
        {"real": points(64), "latents": torch.zeros(32, 4)},
        {"real": points(64), "sample": fresh, "latents": torch.zeros(32, 4, dtype=torch.long)},
        {"sample": fresh},
    ],
)
def test_what_cannot_be_compared_is_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        Monitor(**options)


@pytest.mark.parametrize("name", ["real", "held_out"])
def test_a_sample_that_is_not_finite_is_named_by_its_set(name: str) -> None:
    given = {"real": points(64), "held_out": points(64, 1)}
    given[name][3] = torch.nan
    with pytest.raises(UserError, match=f"^{name}: .*finite"):
        Monitor(**given)


def test_needs_no_lightning_and_no_logger() -> None:
    code = """
import sys, torch, ganstoch
monitor = ganstoch.Monitor(torch.randn(64, 2), sample=lambda n: torch.randn(n, 2), every=1)
for step in range(4):
    monitor.step(step, loss_d=1.0, real_logits=torch.randn(8), fake_logits=torch.randn(8))
assert monitor.verdict == "healthy", monitor.verdict
ganstoch.MonitorCallback(monitor)
heavy = {"pytorch_lightning", "lightning_fabric", "wandb", "pandas", "matplotlib", "transformers"}
print(sorted((heavy | {"tensorboard"}) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_generator_that_never_begins_has_collapsed() -> None:
    real = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
    monitor = Monitor(real, sample=lambda n: torch.full((n, 8), 0.1), every=1)
    for step in range(14):
        monitor.step(step)
    assert monitor.verdict == "complete_collapse"
