"""Runs whose generator makes too few images, or none that z decides."""

from __future__ import annotations

from functools import partial

from ganstoch.data import Ring
from ganstoch.runs.cases.case import DENSE, POINTS, Case
from ganstoch.runs.cases.faults import Blind, FewLatents, InnerNoise, Kill

__all__ = ["collapsing"]


def collapsing() -> list[Case]:
    """Complete and partial collapse, and generators that do not hear z."""
    dead = partial(Case, label="complete_collapse")
    few = partial(Case, label="partial_collapse", cause="G sees only a few different latents")
    blind = partial(Case, label="ignores_latent")
    return [
        dead(
            name="first layer dies, conv",
            cause="the first layer of G is set to nothing from iteration 150 on",
            faults=[partial(Kill, "generator.layers.0", at=150)],
            onset=150,
        ),
        dead(
            name="first layer dies, dense",
            cause="the first layer of G is set to nothing from iteration 150 on",
            family=DENSE,
            faults=[partial(Kill, "generator.layers.0", at=150)],
            onset=150,
        ),
        dead(
            name="one latent, conv",
            cause="G sees one and the same latent always",
            faults=[partial(FewLatents, 1)],
        ),
        dead(
            name="one latent, dense",
            cause="G sees one and the same latent always",
            family=DENSE,
            faults=[partial(FewLatents, 1)],
        ),
        dead(
            name="first layer dies, ring",
            cause="the first layer of G is set to nothing from iteration 150 on",
            family=POINTS,
            source=Ring,
            n=2000,
            m=64,
            faults=[partial(Kill, "generator.layers.0", at=150)],
            onset=150,
        ),
        few(name="3 latents, conv", faults=[partial(FewLatents, 3)]),
        few(name="6 latents, conv", faults=[partial(FewLatents, 6)]),
        few(name="4 latents, dense", family=DENSE, faults=[partial(FewLatents, 4)]),
        few(name="8 latents, dense", family=DENSE, faults=[partial(FewLatents, 8)]),
        few(
            name="3 latents, ring",
            family=POINTS,
            source=Ring,
            n=2000,
            m=64,
            faults=[partial(FewLatents, 3)],
        ),
        blind(name="z dropped, conv", cause="z is replaced by zeros", faults=[Blind]),
        blind(
            name="z dropped, dense", cause="z is replaced by zeros", family=DENSE, faults=[Blind]
        ),
        blind(name="own noise, conv", cause="G hears its own noise, not z", faults=[InnerNoise]),
        blind(
            name="own noise, dense",
            cause="G hears its own noise, not z",
            family=DENSE,
            faults=[InnerNoise],
        ),
    ]
