from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from ganstoch.remedies import FeatureMatching, Remedy
from ganstoch.remedies.base import DiscriminatorPass, StepInfo
from ganstoch.rng import normal, rng_for
from ganstoch.training.gan import GAN
from ganstoch.types import DiscriminatorOutput, MicroBatch


def features(part: str, n: int = 6) -> Tensor:
    return normal((n, 4), rng_for(0, "data", part=part)).double()


def scores_of(real: Tensor, fake: Tensor) -> DiscriminatorPass:
    """A generator's pass in which only the critiques matter."""
    none = torch.empty(0)
    part = MicroBatch(none, none, 1.0, none, None, none, 0)
    critiques = [DiscriminatorOutput(f[:, 0], f) for f in (fake, real)]
    return DiscriminatorPass(
        StepInfo(0, 0), part, none, none, lambda x: critiques[0], critiques[0], critiques[1]
    )


def by_hand(real: Tensor, fake: Tensor) -> float:
    total = 0.0
    for k in range(real.shape[1]):
        of_real = sum(float(row[k]) for row in real) / len(real)
        of_fake = sum(float(row[k]) for row in fake) / len(fake)
        total += (of_real - of_fake) ** 2
    return total


def test_is_the_distance_of_the_means() -> None:
    real, fake = features("real"), features("fake")
    loss = FeatureMatching().generator_loss(torch.tensor(3.0).double(), scores_of(real, fake))
    assert loss.item() == pytest.approx(by_hand(real, fake), abs=1e-12)


def test_is_not_the_distance_of_pairs() -> None:
    real = features("real")
    shuffled = real[torch.tensor([1, 2, 3, 4, 5, 0])]
    loss = FeatureMatching().generator_loss(torch.tensor(3.0).double(), scores_of(real, shuffled))
    assert loss.item() == pytest.approx(0.0, abs=1e-30)
    assert (real - shuffled).square().sum(1).mean() > 1.0  # which a loss of pairs would be


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_takes_the_objectives_place_by_its_share(share: float) -> None:
    real, fake = features("real"), features("fake")
    loss = FeatureMatching(share=share).generator_loss(
        torch.tensor(3.0, dtype=torch.float64), scores_of(real, fake)
    )
    expected = (1 - share) * 3.0 + share * by_hand(real, fake)
    assert loss.item() == pytest.approx(expected, abs=1e-12)


def test_whole_share_forgets_even_an_infinite_loss() -> None:
    endless = torch.tensor(float("inf"))
    loss = FeatureMatching().generator_loss(endless, scores_of(features("real"), features("fake")))
    assert loss.isfinite()


def test_what_others_add_stays_in_either_order() -> None:
    real, fake = features("real"), features("fake")

    class Adding(Remedy):
        def generator_loss(self, loss: Tensor, scores: DiscriminatorPass) -> Tensor:
            return loss + 7.0

    for given in ([FeatureMatching(), Adding()], [Adding(), FeatureMatching()]):
        found = GAN(remedies=given).generator_loss_of(scores_of(real, fake))
        assert found.item() == pytest.approx(by_hand(real, fake) + 7.0, abs=1e-12)


def test_penalises_a_generator_of_one_image() -> None:
    real = features("real")

    def loss(fake: Tensor) -> float:
        return FeatureMatching().generator_loss(torch.zeros(()), scores_of(real, fake)).item()

    assert loss(real.flip(0)) == pytest.approx(0.0, abs=1e-30)
    assert min(loss(one.expand(6, 4)) for one in real) > 0.1


@pytest.mark.parametrize("points", [True, False])
def test_the_generator_minimises_it_and_the_discriminator_does_not(
    tiny: SimpleNamespace, points: bool
) -> None:
    game = tiny.make(FeatureMatching(), points=points, lr=1e-3).double()
    plain = tiny.make(points=points, lr=1e-3).double()
    ((part,),) = tiny.draw(game, 0)
    step_d, step_g = game.configure_optimizers()
    game.train_iteration([[part]], step_d, step_g, iteration=0)
    plain.train_iteration([[part]], *plain.configure_optimizers(), iteration=0)
    for one, other in zip(
        game.discriminator.parameters(), plain.discriminator.parameters(), strict=True
    ):
        assert torch.equal(one, other)  # its update came first and is the plain game's
    start = tiny.make(points=points).double()
    real, fake = (
        game.discriminator(x).features for x in (part.real, start.generator(part.latents))
    )
    expected = by_hand(real.detach(), fake.detach())
    assert game.losses["loss/generator"].item() == pytest.approx(expected, abs=1e-12)
    moved = game.discriminator(game.generator(part.latents)).features
    assert by_hand(real.detach(), moved.detach()) < expected
