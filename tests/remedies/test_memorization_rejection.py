"""Memorization rejection: what near copies would add to the losses is left out."""

from types import SimpleNamespace

import pytest
import torch

from ganstoch.remedies import MemorizationRejection
from ganstoch.remedies.base import DataFacts, StepInfo
from ganstoch.types import DiscriminatorOutput

REAL = torch.tensor([[0.0, 0.0], [0.0, 2.0], [5.0, 0.0], [5.0, 2.0]])  # 2 apart from the nearest
FAKES = torch.tensor([[0.0, 0.9], [0.0, 1.1], [1.0, 1.0], [6.1, 0.0], [5.0, 2.0]])
NEAR = torch.tensor([1.0, 1.0, 0.0, 0.0, 1.0])  # nearer than 1


@pytest.fixture
def remedy() -> MemorizationRejection:
    made = MemorizationRejection(threshold=0.5)
    made.setup(DataFacts(n=4, m=5, latents=None, pixels=REAL, labels=None))  # type: ignore[arg-type]
    return made


def test_near_is_a_share_of_the_distance_among_real_examples(remedy: MemorizationRejection) -> None:
    assert remedy.radius == pytest.approx(1.0)
    assert remedy.rejected(FAKES).tolist() == NEAR.tolist()


def test_bytes_are_compared_as_the_images_that_they_stand_for() -> None:
    made, pixels = MemorizationRejection(threshold=0.1), torch.zeros(3, 1, 2, 2, dtype=torch.uint8)
    pixels[1], pixels[2] = 255, 128
    made.setup(DataFacts(n=3, m=2, latents=None, pixels=pixels, labels=None))  # type: ignore[arg-type]
    grey, white = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    assert made.rejected(torch.cat([white, grey, (white + grey) / 2])).tolist() == [1, 1, 0]


def test_losses_are_those_of_the_rest(tiny: SimpleNamespace, remedy: MemorizationRejection) -> None:
    gan = tiny.make(remedy)
    remedy.setup(DataFacts(n=4, m=5, latents=gan.latents, pixels=REAL, labels=None))
    logits, real = torch.linspace(-1, 2, 5), torch.linspace(0, 1, 5)
    scores = tiny.scores_of(lambda x: DiscriminatorOutput(x[:, 0], x), FAKES, FAKES)
    scores = type(scores)(
        StepInfo(0, 0), scores.batch, gan.generator, FAKES, FAKES, FAKES, scores.critic,
        DiscriminatorOutput(logits, FAKES), DiscriminatorOutput(real, FAKES), 1,
    )  # fmt: skip
    softplus = torch.nn.functional.softplus
    kept = 1 - NEAR
    assert gan.discriminator_loss(scores).item() == pytest.approx(
        (softplus(-real) + kept * softplus(logits)).mean().item()
    )
    loss = remedy.generator_loss(softplus(-logits).mean(), scores)
    assert loss.item() == pytest.approx((kept * softplus(-logits)).mean().item())
    assert remedy.observe(scores) == {"memorization_rejection/rejected": pytest.approx(0.6)}


def test_one_training_example_has_no_scale_and_rejects_nothing() -> None:
    made = MemorizationRejection()
    made.setup(DataFacts(n=1, m=1, latents=None, pixels=REAL[:1], labels=None))  # type: ignore[arg-type]
    assert made.rejected(REAL).sum() == 0
