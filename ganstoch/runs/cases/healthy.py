"""Runs that are well, and runs that look bad at first and recover."""

from __future__ import annotations

from functools import partial

from ganstoch.data import Ring
from ganstoch.objectives import Hinge, LeastSquares, RelativisticAverage, Saturating, Wasserstein
from ganstoch.remedies import R1, WGANGP, LabelSmoothing, Packing, Timescales
from ganstoch.runs.cases.case import DCGAN, DENSE, POINTS, Case
from ganstoch.runs.cases.faults import Rates, Scale, Unfreeze

__all__ = ["healthy", "recovering"]


def healthy() -> list[Case]:
    """Several kinds of games at settings that are known to go well."""
    well = partial(
        Case, label="healthy", cause="settings that are known to go well", iterations=450
    )
    return [
        well(name="conv"),
        well(name="conv m=32", m=32),
        well(name="conv m=8", m=8),
        well(name="conv latent noise", noise=0.5),
        well(name="conv hinge", objective=Hinge),
        well(name="conv least squares", objective=LeastSquares),
        well(name="conv relativistic", objective=RelativisticAverage),
        well(name="conv R1", remedies=[R1]),
        well(name="conv smoothed", remedies=[LabelSmoothing]),
        well(name="conv packed", remedies=[partial(Packing, size=2)]),
        well(name="conv WGAN-GP", objective=Wasserstein, remedies=[WGANGP]),
        well(name="conv half rate", lr=0.5),
        well(name="conv faster D", remedies=[partial(Timescales, discriminator=2.0)]),
        well(name="dense", family=DENSE),
        well(name="dense m=32", family=DENSE, m=32),
        well(name="dcgan", family=DCGAN, m=32),
        well(name="ring", family=POINTS, source=Ring, n=2000, m=64, iterations=400),
    ]


def recovering() -> list[Case]:
    """Games whose cause of trouble ends early; by their end all is well."""
    late = partial(Case, label="healthy")
    return [
        late(
            name="D ahead, then conv",
            cause="G is held for 100 iterations: D wins at first, then all goes well",
            faults=[partial(Unfreeze, "generator", at=100)],
            iterations=450,
        ),
        late(
            name="D ahead, then dense",
            cause="G is held for 100 iterations",
            family=DENSE,
            faults=[partial(Unfreeze, "generator", at=100)],
            iterations=450,
        ),
        late(
            name="D far ahead of a saturating loss",
            cause="G is held for 75 iterations of ten times D's rate, under the saturating loss",
            family=DENSE,
            objective=Saturating,
            faults=[
                partial(Unfreeze, "generator", at=75),
                partial(Rates, discriminator=10.0),
                partial(Rates, at=75, discriminator=0.1),
            ],
            iterations=450,
        ),
        late(
            name="D faster under a saturating loss, ring",
            cause="ten times the rate for D and a tenth for G: well balanced here",
            family=POINTS,
            source=Ring,
            n=2000,
            m=64,
            objective=Saturating,
            remedies=[partial(Timescales, discriminator=10.0, generator=0.1)],
            iterations=300,
        ),
        late(
            name="D late, then conv",
            cause="D is held for 100 iterations: G fools it at first",
            faults=[partial(Unfreeze, "discriminator", at=100)],
            iterations=450,
        ),
        late(
            name="slow start",
            cause="a tenth of the rates for 100 iterations",
            faults=[
                partial(Rates, discriminator=0.1, generator=0.1),
                partial(Rates, at=100, discriminator=10.0, generator=10.0),
            ],
            iterations=450,
        ),
        late(
            name="a blow to G",
            cause="one layer of G halved once, at iteration 200",
            faults=[partial(Scale, "generator.layers.0", 0.5, at=200)],
            iterations=450,
        ),
    ]
