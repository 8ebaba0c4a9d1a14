"""Runs in which one player leaves the other behind, or both fall apart."""

from __future__ import annotations

from functools import partial

from ganstoch.data import Ring
from ganstoch.objectives import Hinge, Saturating, Wasserstein
from ganstoch.remedies import Timescales
from ganstoch.runs.cases.case import DENSE, POINTS, Case
from ganstoch.runs.cases.faults import (
    Alternate,
    Freeze,
    Poison,
    Rates,
    Scale,
    Shake,
    SwappedLabels,
)

__all__ = ["failing", "unbalanced"]


def unbalanced() -> list[Case]:
    """One player wins for good."""
    d_wins = partial(Case, label="discriminator_dominates")
    g_wins = partial(Case, label="generator_dominates")
    starved = partial(Case, label="vanishing_gradient")
    return [
        d_wins(
            name="G frozen from the start, conv",
            cause="G learns nothing",
            faults=[partial(Freeze, "generator")],
        ),
        d_wins(
            name="G frozen from the start, dense",
            cause="G learns nothing",
            family=DENSE,
            faults=[partial(Freeze, "generator")],
        ),
        d_wins(
            name="G frozen early, conv",
            cause="G learns nothing from iteration 100 on",
            faults=[partial(Freeze, "generator", at=100)],
            onset=100,
        ),
        d_wins(
            name="G crawls, conv",
            cause="G's rate is a thousandth of D's",
            remedies=[partial(Timescales, generator=1e-3)],
        ),
        d_wins(
            name="G crawls, dense",
            cause="G's rate is a thousandth of D's",
            family=DENSE,
            remedies=[partial(Timescales, generator=1e-3)],
        ),
        g_wins(
            name="D frozen from the start, conv",
            cause="D learns nothing",
            faults=[partial(Freeze, "discriminator")],
        ),
        g_wins(
            name="D frozen from the start, dense",
            cause="D learns nothing",
            family=DENSE,
            faults=[partial(Freeze, "discriminator")],
        ),
        g_wins(
            name="D frozen early, conv",
            cause="D learns nothing from iteration 100 on",
            faults=[partial(Freeze, "discriminator", at=100)],
            onset=100,
            iterations=350,
        ),
        g_wins(
            name="D crawls, conv",
            cause="D's rate is a thousandth of G's",
            remedies=[partial(Timescales, discriminator=1e-3)],
        ),
        g_wins(
            name="D crawls later, conv",
            cause="a fiftieth of D's rate from iteration 200 on",
            faults=[partial(Rates, at=200, discriminator=0.02)],
            onset=200,
            iterations=400,
        ),
        g_wins(
            name="labels swapped, conv",
            cause="D is told that real images are generated ones, and the reverse",
            objective=SwappedLabels,
        ),
        g_wins(
            name="labels swapped, dense",
            cause="D is told that real images are generated ones, and the reverse",
            family=DENSE,
            objective=SwappedLabels,
        ),
        starved(
            name="saturating, D far ahead, dense",
            cause="the saturating loss, ten times the rate for D and a tenth for G",
            family=DENSE,
            objective=Saturating,
            remedies=[partial(Timescales, discriminator=10.0, generator=0.1)],
        ),
        starved(
            name="saturating, D far ahead, conv",
            cause="the saturating loss, four times the rate for D and a twentieth for G",
            objective=Saturating,
            remedies=[partial(Timescales, discriminator=4.0, generator=0.05)],
        ),
        starved(
            name="saturating, D farther ahead, dense",
            cause="the saturating loss, thirty times the rate for D and a tenth for G",
            family=DENSE,
            objective=Saturating,
            remedies=[partial(Timescales, discriminator=30.0, generator=0.1)],
        ),
    ]


def failing() -> list[Case]:
    """Divergence, oscillation, numbers that are not finite, copying, standstill."""
    diverged = partial(Case, label="diverged")
    swinging = partial(Case, label="oscillating")
    numerical = partial(Case, label="non_finite")
    copying = partial(Case, label="memorising", cause="few images, full batches, and time")
    stalled = partial(Case, label="stalled")
    return [
        diverged(
            name="Wasserstein unbounded, dense",
            cause="the Wasserstein loss with nothing that bounds D's slope",
            family=DENSE,
            objective=Wasserstein,
            lr=10.0,
        ),
        diverged(
            name="G a hundred times too fast, conv",
            cause="a hundred times the rate for G from iteration 150 on",
            faults=[partial(Rates, at=150, generator=100.0)],
            onset=150,
        ),
        diverged(
            name="both a hundred times too fast, dense",
            cause="a hundred times the rates",
            family=DENSE,
            lr=100.0,
        ),
        diverged(
            name="both a hundred times too fast, conv",
            cause="a hundred times the rates",
            lr=100.0,
            iterations=500,
        ),
        diverged(
            name="weights grow, dense",
            cause="the last layer of G grows by 10 % an iteration from iteration 150 on",
            family=DENSE,
            faults=[partial(Scale, "generator.layers.9", 1.1, at=150, again=True)],
            onset=150,
        ),
        diverged(
            name="G shaken, conv",
            cause="noise on G's weights at every iteration from 200 on: its weights wander off",
            faults=[partial(Shake, "generator", 0.15, at=200)],
            onset=200,
            iterations=500,
        ),
        swinging(
            name="momentum, conv",
            cause="beta1 0.9 and three times the rates",
            beta1=0.9,
            lr=3.0,
        ),
        swinging(
            name="data turned over and over, conv",
            cause="the data are negatives in every second stretch of 25 iterations",
            faults=[partial(Alternate, period=25)],
        ),
        swinging(
            name="data turned over and over, dense",
            cause="the data are negatives in every second stretch of 25 iterations",
            family=DENSE,
            faults=[partial(Alternate, period=25)],
        ),
        numerical(
            name="NaN in G, conv",
            cause="a NaN in a weight of G at iteration 160",
            faults=[partial(Poison, "generator.layers.4", at=160)],
            onset=160,
            iterations=250,
        ),
        numerical(
            name="NaN in D, conv",
            cause="a NaN in a weight of D at iteration 110",
            faults=[partial(Poison, "discriminator.body.4", at=110)],
            onset=110,
            iterations=250,
        ),
        numerical(
            name="Inf in G, dense",
            cause="an infinite weight of G at iteration 60",
            family=DENSE,
            faults=[partial(Poison, "generator.layers.3", at=60, value=float("inf"))],
            onset=60,
            iterations=200,
        ),
        numerical(
            name="NaN in D, ring",
            cause="a NaN in a weight of D at iteration 210",
            family=POINTS,
            source=Ring,
            n=2000,
            m=64,
            faults=[partial(Poison, "discriminator.head", at=210)],
            onset=210,
            iterations=300,
        ),
        numerical(
            name="overflow, dense",
            cause="the last layer of G grows fourfold every iteration from iteration 150 on",
            family=DENSE,
            faults=[partial(Scale, "generator.layers.9", 4.0, at=150, again=True)],
            onset=205,
            iterations=250,
        ),
        copying(name="16 images, conv", n=16, m=16, iterations=700),
        copying(name="32 images, conv", n=32, m=32, iterations=800),
        copying(name="24 images, hinge, conv", n=24, m=24, objective=Hinge, iterations=800),
        stalled(
            name="G shaken a little, conv",
            cause="noise on G's weights at every iteration from 200 on: what was reached is lost",
            faults=[partial(Shake, "generator", 0.1, at=200)],
            onset=200,
            iterations=700,
        ),
        stalled(
            name="D shaken, conv",
            cause="noise on D's weights at every iteration from 200 on: what was reached is lost",
            faults=[partial(Shake, "discriminator", 0.15, at=200)],
            onset=200,
            iterations=700,
        ),
    ]
