"""Verdicts from losses: public logs, and made ones of every family, length and scale."""

import csv
import math
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ganstoch.watch.judge import judge
from ganstoch.watch.losses import family_of, judge_losses
from ganstoch.watch.series import Array
from ganstoch.watch.sources import sources

HERE = Path(__file__).parent
LOGS = Path(os.environ.get("GANSTOCH_SHARED", "shared"), "data", "gan-logs.tar.xz")
LENGTHS = (50, 200, 1000, 5000)
OUTCOMES = {  # of the public logs: whether the FID got worse by half, or never was any good
    **dict.fromkeys(("DCGAN", "LSGAN", "ProjGAN", "WGAN-WC"), True),
    **dict.fromkeys(("SNGAN", "StyleGAN2", "CRGAN_P", "WGAN-GP"), False),
}


def public(run: str) -> list[Array]:
    with (HERE / "losses.csv").open() as file:
        next(file)  # where they are from
        rows = [row for row in csv.DictReader(file) if row["run"] == run]
    return [np.array([float(row[name]) for row in rows]) for name in ("step", "d", "g")]


def made(family: str, real: Array, fake: Array) -> tuple[Array, Array]:
    """The two losses of a discriminator with these mean logits, or, least squares, outputs."""
    if family == "logistic":
        return np.logaddexp(0, -real) + np.logaddexp(0, fake), np.logaddexp(0, -fake)
    if family == "hinge":
        return np.maximum(0, 1 - real) + np.maximum(0, 1 + fake), -fake
    return (1 - real) ** 2 / 2 + fake**2 / 2, (1 - fake) ** 2 / 2


def run(family: str, gap: Array) -> tuple[Array, Array, Array]:
    """A run whose logits lie so far apart."""
    noise = np.random.default_rng(0).normal(0, 0.15, (2, len(gap)))
    if family == "least squares":
        gap, noise = 1 - np.exp(-gap / 2), noise / 10
        real, fake = (1 + gap) / 2 + noise[0], (1 - gap) / 2 + noise[1]
    else:
        real, fake = gap / 2 + noise[0], -gap / 2 + noise[1]
    return np.arange(1.0, len(gap) + 1), *made(family, real, fake)


@pytest.mark.parametrize(("name", "decays"), OUTCOMES.items())
def test_public_logs(name: str, decays: bool) -> None:
    assert judge_losses(*public(name)).is_ill == decays


@pytest.mark.parametrize("name", ["SNGAN", "StyleGAN2", "CRGAN_P", "WGAN-GP"])
def test_no_beginning_of_a_run_that_holds_raises_an_alarm(name: str) -> None:
    steps, d, g = public(name)
    assert not any(judge_losses(steps[:n], d[:n], g[:n]).is_ill for n in range(10, 300, 10))


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("family", ["logistic", "hinge", "least squares"])
def test_a_run_in_balance_is_healthy(family: str, length: int) -> None:
    gap = np.linspace(1, 1.5, length)
    assert judge_losses(*run(family, gap)).verdict == "healthy"


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("family", ["logistic", "hinge", "least squares"])
def test_a_discriminator_that_has_won_is_named_with_its_step(family: str, length: int) -> None:
    gap = np.where(np.arange(length) < length // 2, 1.2, 12.0)
    opinion = judge_losses(*run(family, gap))
    assert opinion.verdict in ("discriminator_dominates", "diverged")
    assert opinion.since == pytest.approx(length / 2, abs=0.1 * length)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_jump_that_lasts_is_a_divergence_and_one_that_passes_is_none(length: int) -> None:
    gap = np.where(np.arange(length) < 0.6 * length, 1.2, 3.5)  # D's loss 0.32, far from nothing
    assert judge_losses(*run("logistic", gap)).verdict == "diverged"
    gap[round(0.8 * length) :] = 1.2
    assert judge_losses(*run("logistic", gap)).verdict == "healthy"


@pytest.mark.parametrize("length", LENGTHS[1:])
def test_a_discriminator_that_wins_at_once_is_named_soon(length: int) -> None:
    noise = np.random.default_rng(0).normal(0, 0.15, (2, length))  # as BigGAN's, quartiles of 0.2
    falls = np.arange(length) >= 0.9 * length
    d = np.where(falls, 0.1 + np.abs(noise[0]) / 5, 0.7 + noise[0])
    g = np.where(falls, 5.0, 1.4) + 2 * noise[1]
    opinion = judge_losses(np.arange(1.0, length + 1), d, g)
    assert opinion.verdict == "diverged"
    assert opinion.since == pytest.approx(0.9 * length, abs=0.07 * length)


def test_a_slow_rise_to_the_same_place_is_no_jump() -> None:
    assert not judge_losses(*run("logistic", np.linspace(1.2, 3.5, 1000))).is_ill


@pytest.mark.parametrize("scale", [1.0, 10.0, 100.0])
def test_a_wasserstein_critic_at_work_cannot_be_told(scale: float) -> None:
    steps, noise = np.arange(500.0), np.random.default_rng(0).normal(size=(2, 500))
    at_work = judge_losses(steps, scale * (-1 + noise[0]), scale * (5 + noise[1]))
    around_zero = judge_losses(steps, scale * 0.3 * noise[0], scale * noise[1])  # as CTGAN's
    assert at_work.verdict == around_zero.verdict == "cannot_tell"


def test_a_critic_that_tells_nothing_apart_has_no_gradient_to_give() -> None:
    noise = np.random.default_rng(0).normal(size=(2, 300))
    opinion = judge_losses(np.arange(300.0), 1e-7 * noise[0], 0.3 + 0.1 * noise[1])
    assert opinion.verdict == "vanishing_gradient"


def test_a_discriminator_that_is_constant_from_the_start() -> None:
    d, g = np.full(100, 2 * math.log(2)), np.full(100, math.log(2))
    assert judge_losses(np.arange(100.0), d, g).verdict == "vanishing_gradient"
    balance = np.random.default_rng(0).normal(0, 1e-3, 100)  # as of a ring that has been learned
    assert not judge_losses(np.arange(100.0), d + balance, g).is_ill


@pytest.mark.parametrize("family", ["logistic", "hinge"])
def test_a_discriminator_that_is_fooled(family: str) -> None:
    gap = np.where(np.arange(200) < 100, 1.0, -5.0)
    opinion = judge_losses(*run(family, gap))
    assert opinion.verdict == "generator_dominates"
    assert opinion.since == pytest.approx(100, abs=8)


def test_losses_that_grow_without_bound() -> None:
    grows = np.exp(np.linspace(0, 15, 400))
    assert judge_losses(np.arange(400.0), -grows, grows).verdict == "diverged"


def test_a_low_loss_whose_generator_still_comes_down_is_not_called_lost() -> None:
    d, g = np.full(300, 0.05), np.linspace(9, 3, 300)
    assert not judge_losses(np.arange(300.0), d, g).is_ill


def test_it_grows_surer_with_time_and_is_less_sure_beside_other_aims() -> None:
    steps, d, g = public("DCGAN")
    early, late = judge_losses(steps[:20], d[:20], g[:20]), judge_losses(steps, d, g)
    assert early.is_ill
    assert early.sure < late.sure
    assert judge_losses(steps, d, g, reconstructs=True).sure < late.sure


def test_too_few_points_cannot_tell() -> None:
    assert judge_losses(np.zeros(5), np.zeros(5), np.zeros(5)).verdict == "cannot_tell"


def test_losses_summed_over_many_discriminators_are_of_their_own_kind() -> None:
    noise = np.random.default_rng(0).normal(0, 0.2, 500)
    steps, d, g = np.arange(500.0), 3.5 + noise, 30 + noise
    assert judge_losses(steps, d, g).verdict == "healthy"  # as of HiFi-GAN and RVC
    assert family_of(d, g)[1] == pytest.approx(3.5, abs=0.1)


@pytest.mark.skipif(not LOGS.exists(), reason="needs the thirty public logs")
def test_all_thirty_public_logs(tmp_path: Path) -> None:
    subprocess.run(["tar", "-xJf", LOGS, "-C", tmp_path], check=True)
    with (LOGS.parent / "gan-logs-outcomes.csv").open() as file:
        outcomes = {row["file"]: float(row["last_over_best"]) for row in csv.DictReader(file)}
    for path in sorted(tmp_path.rglob("*.log")):
        (source,) = sources(path)
        source.read()
        judgement = judge(source.log)
        decays = outcomes[path.name] >= 1.5 or "WGAN-WC" in path.name  # which never learns
        assert judgement.opinion.is_ill == decays, path.name
        (by_losses,) = (one for one in judgement.opinions if one.basis.startswith("losses"))
        assert by_losses.verdict == "cannot_tell" or by_losses.is_ill == decays, path.name
