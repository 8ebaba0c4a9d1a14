from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from ganstoch.remedies import FeatureMatching, Remedy
from ganstoch.remedies.base import DiscriminatorPass, StepInfo
from ganstoch.rng import normal, rng_for
from ganstoch.types import DiscriminatorOutput

REAL, FAKE = (normal((6, 4), rng_for(0, "data", part=part)).double() for part in ("real", "fake"))
OBJECTIVE = torch.tensor(3.0, dtype=torch.float64)


def by_hand(real: Tensor, fake: Tensor) -> float:
    total = 0.0
    for k in range(real.shape[1]):
        of_real = sum(float(row[k]) for row in real) / len(real)
        of_fake = sum(float(row[k]) for row in fake) / len(fake)
        total += (of_real - of_fake) ** 2
    return total


def loss_of(
    tiny: SimpleNamespace, fake: Tensor, *, share: float = 1.0, given: Tensor = OBJECTIVE
) -> float:
    """The generator's loss where examples are their own features."""
    scores = tiny.scores_of(lambda x: DiscriminatorOutput(x[:, 0], x), REAL, fake)
    return FeatureMatching(share=share).generator_loss(given, scores).item()


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_takes_the_objectives_place_by_its_share(tiny: SimpleNamespace, share: float) -> None:
    expected = (1 - share) * 3.0 + share * by_hand(REAL, FAKE)
    assert loss_of(tiny, FAKE, share=share) == pytest.approx(expected, abs=1e-12)


def test_is_of_the_means_and_nothing_else(tiny: SimpleNamespace) -> None:
    assert loss_of(tiny, REAL.roll(1, 0)) == pytest.approx(0.0, abs=1e-30)
    assert loss_of(tiny, REAL, given=torch.tensor(torch.inf)) == 0.0


def test_what_others_add_stays_in_either_order(tiny: SimpleNamespace) -> None:
    class Adding(Remedy):
        def generator_loss(self, loss: Tensor, scores: DiscriminatorPass) -> Tensor:
            return loss + 7.0

    for given in ([FeatureMatching(), Adding()], [Adding(), FeatureMatching()]):
        gan = tiny.make(*given).double()
        ((part,),) = tiny.draw(gan, 0)
        fakes, critic = gan.generator(part.latents), gan.discriminator
        loss = gan.generator_loss(critic, part, fakes, info=StepInfo(0, 0))
        distance = by_hand(*(critic(x).features.detach() for x in (part.real, fakes)))
        assert loss.item() == pytest.approx(distance + 7.0, abs=1e-12)


@pytest.mark.parametrize("points", [True, False])
def test_only_the_generator_minimizes_it(tiny: SimpleNamespace, points: bool) -> None:
    gan, plain, start = (
        tiny.make(*remedies, points=points).double() for remedies in ([FeatureMatching()], [], [])
    )
    ((part,),) = tiny.draw(gan, 0)
    (losses,) = tiny.train(gan, iterations=1)
    tiny.train(plain, iterations=1)
    pairs = zip(gan.discriminator.parameters(), plain.discriminator.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)  # its update came first
    real, fake, moved = (
        gan.discriminator(x).features.detach()
        for x in (part.real, start.generator(part.latents), gan.generator(part.latents))
    )
    assert losses["loss/generator"] == pytest.approx(by_hand(real, fake), abs=1e-12)
    assert by_hand(real, moved) < by_hand(real, fake)
