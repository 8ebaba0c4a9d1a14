"""In games: against every batch that a GAN could draw, and against training without it."""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.optim import SGD

import ganstoch.callbacks.gradient_noise
from ganstoch import objectives, remedies
from ganstoch.callbacks.gradient_noise import (
    FILE,
    GradientNoise,
    GradientNoiseSettings,
    measure_players,
    obstacle,
)
from ganstoch.data import Digits, Ring
from ganstoch.data.datamodule import ImageData
from ganstoch.data.subset import Sampling, draw_ids
from ganstoch.errors import UserError
from ganstoch.latents import LatentSettings
from ganstoch.models import PaperDiscriminator, PaperGenerator
from ganstoch.models.mlp import ReLUGenerator, TanhDiscriminator, TanhGenerator
from ganstoch.objectives import Objective
from ganstoch.remedies import Remedy
from ganstoch.report.run_files import read_gradient_noise
from ganstoch.training.gan import GAN
from ganstoch.training.micro_batch import split
from ganstoch.types import to_signed

Make = Callable[..., Any]
PLAYERS = ("discriminator", "generator")


def points(
    *chosen: Remedy, objective: Objective | None = None, bank: int | str = "n", noise: float = 0.0
) -> GAN:
    return GAN(
        partial(TanhGenerator, latent_dim=3, width=4, depth=1),
        partial(TanhDiscriminator, width=4, depth=1),
        objective,
        remedies=chosen,
        latents=LatentSettings(bank=bank, noise=noise),
        shape=(2,),
    ).double()


def images(**settings: Any) -> GAN:
    return GAN(
        partial(PaperGenerator, width=8, latent_dim=3),
        partial(PaperDiscriminator, width=8),
        init_std=0.2,
        **settings,
    ).double()


def dealt(gan: GAN, *, n: int, m: int, sampling: Sampling | None = None) -> ImageData:
    source = Ring() if len(gan.shape) == 1 else Digits()
    data = ImageData(source, n=n, m=m, sampling=sampling)
    data.setup("fit")
    gan.setup_data(data)
    return data


def flat(gradients: Iterable[Tensor]) -> Tensor:
    return torch.cat([gradient.flatten() for gradient in gradients])


def every_batch(gan: GAN, data: ImageData, player: str, m: int) -> Iterator[Tensor]:
    """The gradient of every batch that could come, all equally likely, by the GAN's own losses."""
    assert gan.latents is not None
    assert gan.latents.fixed is not None
    pixels, bank = data.subset.pixels, gan.latents.fixed.double()
    real = to_signed(pixels, dtype=torch.float64) if pixels.ndim == 4 else pixels.double()
    batches = itertools.product(range(len(real)), repeat=m)
    for of_x, of_z in itertools.product(batches, itertools.combinations(range(len(bank)), m)):
        fakes = gan.generator(bank[list(of_z)])
        if player == "generator":
            loss = gan.objective.generator(gan.discriminator(fakes).logits)
        else:
            logits = gan.discriminator(real[list(of_x)]).logits
            loss = gan.objective.discriminator(logits, gan.discriminator(fakes.detach()).logits)
        yield flat(torch.autograd.grad(loss, list(getattr(gan, player).parameters())))


def trace(gradients: Tensor) -> float:
    return float((gradients - gradients.mean(0)).square().sum(1).mean())


@pytest.mark.parametrize(
    "objective", [objectives.NonSaturating(), objectives.LeastSquares(), objectives.Hinge(), None]
)
def test_by_every_batch(objective: Objective | None) -> None:
    gan = images() if objective is None else points(objective=objective)
    n, m = (3, 2) if objective is None else (4, 2)
    data = dealt(gan, n=n, m=m)
    measured = measure_players(gan, data, iteration=0, draws=2)
    gan.discriminator.power_iterate()  # as the coming update does first
    for player in PLAYERS:
        gradients = torch.stack(list(every_batch(gan, data, player, m)))
        assert measured[player].noise == pytest.approx(trace(gradients), rel=1e-9)
        signal = float(gradients.mean(0).square().sum())
        assert measured[player].signal == pytest.approx(signal, rel=1e-9)
        alone = torch.stack(list(every_batch(gan, data, player, 1)))
        assert measured[player].single == pytest.approx(trace(alone), rel=1e-9)
        assert measured[player].noise > 0


def test_the_full_batch_is_the_gradient_that_is_followed() -> None:
    gan = images()
    data = dealt(gan, n=4, m=4)
    measured = measure_players(gan, data, iteration=0, draws=2)
    assert [(each.noise, each.ratio) for each in measured.values()] == [(0.0, None)] * 2
    weights = list(gan.discriminator.parameters())
    before = [p.detach().clone() for p in weights]
    assert gan.latents is not None
    z = gan.latents.draw(0, 4, device=torch.device("cpu"))
    part = split(data.batch(0), z, micro_batch=None, dtype=torch.float64)
    steps = [SGD(player.parameters(), lr=1.0) for player in (gan.discriminator, gan.generator)]
    gan.train_iteration([part], *steps, iteration=0)
    moved = flat(b - p.detach() for b, p in zip(before, weights, strict=True))
    assert measured["discriminator"].signal == pytest.approx(float(moved.square().sum()), rel=1e-9)


@pytest.mark.parametrize("rule", ["permutation", "with_replacement"])
def test_the_rules_of_sampling(rule: Sampling) -> None:
    n, m = 4, 3
    share_of = ganstoch.callbacks.gradient_noise._share_of_images
    values = torch.tensor([0.0, 1.0, 5.0, 7.0], dtype=torch.float64)
    for iteration in range(4):
        ids = [draw_ids(rule, count=n, m=m, seed=seed, iteration=iteration) for seed in range(3000)]
        drawn = float(torch.stack([values[each].mean() for each in ids]).var(correction=0))
        share = share_of(rule, n=n, m=m, iteration=iteration)
        assert share * float(values.var(correction=0)) == pytest.approx(drawn, rel=0.12)
    assert share_of("exactly_once", n=4, m=4, iteration=1) == 0.0
    assert share_of("permutation", n=4, m=4, iteration=1) == 0.0


def generator_gradients(gan: GAN, *, m: int, count: int) -> Tensor:
    """Those of so many of the run's own draws of latents."""
    latents: Any = gan.latents
    cpu = torch.device("cpu")
    z = torch.stack([latents.draw(i, m, device=cpu).double() for i in range(count)])

    def loss(weights: dict[str, Tensor], z: Tensor) -> Tensor:
        fakes = functional_call(gan.generator, weights, (z,))
        return gan.objective.generator(gan.discriminator(fakes).logits)

    weights = {name: p.detach() for name, p in gan.generator.named_parameters()}
    gradients = vmap(grad(loss), in_dims=(None, 0))(weights, z)
    return torch.cat([each.flatten(1) for each in gradients.values()], dim=1).detach()


@pytest.mark.parametrize(("bank", "noise"), [("n", 0.5), ("fresh", 0.0), ("fresh", 0.5)])
def test_estimates_against_many_batches(bank: str, noise: float) -> None:
    gan = points(bank=bank, noise=noise)
    data = dealt(gan, n=4, m=2)
    measured = measure_players(gan, data, iteration=0, draws=1500)["generator"]
    drawn = generator_gradients(gan, m=2, count=6000)
    assert measured.noise == pytest.approx(trace(drawn), rel=0.1)
    signal = float(drawn.mean(0).square().sum()) - trace(drawn) / 6000
    assert measured.signal == pytest.approx(signal, rel=0.15)


@pytest.mark.parametrize("passes", [2, 3, 64])
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_parts_change_nothing(passes: int, noise: float, monkeypatch: pytest.MonkeyPatch) -> None:
    gan = images(latents=LatentSettings(noise=noise))
    data = dealt(gan, n=5, m=2)
    monkeypatch.setattr(ganstoch.callbacks.gradient_noise, "EXAMPLES", 1)
    one = measure_players(gan, data, iteration=0, draws=2)
    monkeypatch.setattr(ganstoch.callbacks.gradient_noise, "EXAMPLES", passes)
    other = measure_players(gan, data, iteration=0, draws=2)
    for player in PLAYERS:
        for value in ("signal", "noise", "single"):
            expected = getattr(one[player], value)
            assert getattr(other[player], value) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    "remedy",
    [
        remedies.Packing(size=2),
        remedies.MinibatchDiscrimination(),
        remedies.DiscriminatorBatchNorm(),
        remedies.FeatureMatching(),
        remedies.R1(),
        remedies.LabelSmoothing(),
        remedies.ExperienceReplay(),
        remedies.Unrolling(steps=1),
    ],
    ids=lambda remedy: type(remedy).__name__,
)
def test_remedies_that_change_the_gradient_are_refused(remedy: Remedy) -> None:
    assert obstacle(images(remedies=[remedy]))


def test_objectives_and_networks_that_tie_examples_are_refused() -> None:
    assert obstacle(points(objective=objectives.RelativisticAverage())) == "RelativisticAverage"
    assert obstacle(points(objective=objectives.Relativistic())) == "Relativistic"
    networks = partial(ReLUGenerator, width=4, depth=1), partial(TanhDiscriminator, width=4)
    assert obstacle(GAN(*networks, shape=(2,))) == "ReLUGenerator"
    free = remedies.Timescales(discriminator=4.0), remedies.Ratio(discriminator=2)
    assert obstacle(points(*free, remedies.WeightClipping())) is None


def noticing(folder: Path, *, every: int) -> GradientNoise:
    return GradientNoise(GradientNoiseSettings(every=every, draws=2), folder / FILE)


def test_a_run_leaves_its_values(run: Make, journalist: Any, tmp_path: Path) -> None:
    run(noticing(tmp_path, every=2), steps=3, loggers=[journalist])
    content = read_gradient_noise(tmp_path)
    assert content is not None
    assert [moment.iteration for moment in content.history] == [0, 2, 3]
    assert (content.every, content.n, content.m, content.draws) == (2, 64, 16, None)
    written = [(step, keys) for step, keys in journalist.metrics if "gradient" in next(iter(keys))]
    assert [step for step, _ in written] == [0, 2, 3]
    names = ("signal", "noise", "ratio", "critical_batch")
    assert set(written[-1][1]) == {f"gradient/{p}/{name}" for p in PLAYERS for name in names}
    last = content.history[-1].discriminator
    assert written[-1][1]["gradient/discriminator/signal"] == last.signal
    assert last.ratio == pytest.approx(last.signal / last.noise)


def test_the_full_batch_has_no_ratio_to_log(
    make_gan: Make, make_data: Make, fit: Make, journalist: Any, tmp_path: Path
) -> None:
    fit(make_gan(), make_data(m=64), noticing(tmp_path, every=1), steps=1, loggers=[journalist])
    assert json.loads((tmp_path / FILE).read_text())["history"][0]["generator"]["ratio"] is None
    assert all("gradient/generator/ratio" not in keys for _, keys in journalist.metrics)


def test_a_run_that_has_diverged_says_so(run: Make, diverge: Make, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"iteration 1.*model\.optimizer\.lr"):
        run(diverge("generator"), noticing(tmp_path, every=1), steps=3)
