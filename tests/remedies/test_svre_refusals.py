"""What cannot go with simultaneous updates, or has no full gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace

import pytest

from ganstoch.errors import UserError
from ganstoch.models import ReLUGenerator, TanhDiscriminator
from ganstoch.objectives import Relativistic
from ganstoch.remedies import (
    SVRE,
    FeatureMatching,
    LabelFlipping,
    Packing,
    Pretraining,
    Ratio,
    Remedy,
    Replay,
    Snapshots,
    Unrolling,
)
from ganstoch.training.gan import GAN

REFUSED: list[tuple[Callable[[], Sequence[Remedy]], str]] = [
    (lambda: (SVRE(), Unrolling()), "Unrolling changes the order of updates or the opponents"),
    (lambda: (SVRE(), Snapshots()), "Snapshots changes the order of updates or the opponents"),
    (lambda: (Replay(), SVRE()), "Replay changes the order of updates or the opponents"),
    (lambda: (SVRE(), Ratio(discriminator=2)), "Ratio changes the order of updates"),
    (lambda: (SVRE(), FeatureMatching()), "which FeatureMatching prevents"),
    (lambda: (SVRE(), Packing()), "which Packing prevents"),
    (lambda: (SVRE(), LabelFlipping()), "which LabelFlipping prevents"),
    (lambda: (SVRE(), Pretraining()), "SVRE and Pretraining both replace"),
]


@pytest.mark.parametrize(("remedies", "complaint"), REFUSED)
def test_refuses(
    tiny: SimpleNamespace, remedies: Callable[[], Sequence[Remedy]], complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        tiny.make(*remedies())


def test_extrapolation_alone_asks_for_less(tiny: SimpleNamespace) -> None:
    for other in (FeatureMatching(), Packing(), LabelFlipping()):
        game = tiny.make(SVRE(variance_reduction=False), other, bank="fresh")
        assert all(
            math.isfinite(x) for loss in tiny.play(game, iterations=2) for x in loss.values()
        )
    tiny.make(SVRE(variance_reduction=False), objective=Relativistic())
    with pytest.raises(UserError, match="Relativistic compares the images of a batch"):
        tiny.make(SVRE(), objective=Relativistic())


def test_refuses_latents_without_end(tiny: SimpleNamespace) -> None:
    for settings in ({"bank": "fresh"}, {"noise": 0.5}):
        with pytest.raises(UserError, match="there is no end of fresh or noisy ones; set"):
            tiny.make(SVRE(), **settings)
    with pytest.raises(UserError, match="24 images and 36 latents at once"):
        tiny.make(SVRE(), bank=36)


def test_refuses_batch_normalisation() -> None:
    def make(**settings: bool) -> GAN:
        return GAN(
            partial(ReLUGenerator, width=3),
            TanhDiscriminator,
            remedies=[SVRE(**settings)],
            shape=(2,),
        )

    with pytest.raises(UserError, match="ReLUGenerator has batch normalisation, so that"):
        make()
    make(variance_reduction=False)
