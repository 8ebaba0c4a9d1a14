from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from ganstoch.models import Generator
from ganstoch.remedies import ACGAN, Mixture, Remedy
from ganstoch.remedies.base import DiscriminatorPass, RemedySpec, StepInfo
from ganstoch.remedies.choice import choose
from ganstoch.rng import normal, rng_for
from ganstoch.training.gan import GAN


class Packs(Remedy):
    """A stand-in: pairs of examples side by side."""

    @property
    def spec(self) -> RemedySpec:
        return RemedySpec(pack=2)


def members(game: GAN) -> list[Generator]:
    found = game.generator.members
    assert isinstance(found, nn.ModuleList)
    return [m for m in found if isinstance(m, Generator)]


def latents_of(game: GAN, choices: list[int]) -> Tensor:
    """Latents whose first coordinate lies in the middle of each choice's share."""
    share = (torch.tensor(choices, dtype=torch.float64) + 0.5) / len(members(game))
    rest = normal((len(choices), game.generator.latent_dim - 1), rng_for(0, "latent")).double()
    return torch.cat([torch.special.ndtri(share)[:, None], rest], dim=1)


def judged(game: GAN, tiny: SimpleNamespace) -> DiscriminatorPass:
    part = tiny.draw(game, 0)[0][0]
    fakes = game.generator(part.latents).detach()
    return game.discriminate(game.discriminator, part, fakes, info=StepInfo(0, 0))


def test_choices_are_quantiles_of_the_normal() -> None:
    """The quartiles of N(0, 1) are -0.67449, 0 and 0.67449."""
    z = torch.tensor([-40.0, -0.6745, -0.6744, -1e-6, 1e-6, 0.6744, 0.6745, 9.0, 40.0])
    assert choose(z, 4).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 3]
    assert choose(z.double(), 4).tolist() == choose(z, 4).tolist()
    assert choose(z, 1).unique().tolist() == [0]


@pytest.mark.parametrize("points", [True, False])
def test_the_generator_that_a_latent_chooses_answers(tiny: SimpleNamespace, points: bool) -> None:
    game = tiny.make(Mixture(generators=3), points=points).double()
    choices = [2, 0, 1, 1, 2, 0, 0]
    z = latents_of(game, choices)
    made = game.generator(z)
    said = game.generator.assigned(z, "mixture")
    assert said is not None
    assert said.tolist() == choices
    for i, choice in enumerate(choices):
        answers = [member(z[i : i + 1, 1:])[0] for member in members(game)]
        assert (made[i] - answers[choice]).abs().max() < 1e-12
        assert min((answers[0] - answers[k]).abs().max() for k in (1, 2)) > 1e-9  # not alike
    assert made.shape == (7, *game.shape)


def test_a_generator_learns_from_its_own_latents_only(tiny: SimpleNamespace) -> None:
    game = tiny.make(Mixture(generators=3)).double()
    z = latents_of(game, [1, 1, 1, 0])
    game.generator(z).square().sum().backward()
    steep = [member.layers[0].weight.grad for member in members(game)]
    assert torch.count_nonzero(steep[2]) == 0
    alone = latents_of(game, [1, 1, 1, 0])[:3, 1:]
    (expected,) = torch.autograd.grad(
        members(game)[1](alone).square().sum(), members(game)[1].layers[0].weight
    )
    assert (steep[1] - expected).abs().max() < 1e-12
    assert steep[0].abs().max() > 0


def test_measuring_asks_the_same_generator_as_training(tiny: SimpleNamespace) -> None:
    game = tiny.make(Mixture(generators=3))
    assert game.latents is not None
    drawn = game.latents.draw(5, tiny.m, device=torch.device("cpu"))
    ids = game.latents.draw_ids(5, tiny.m)
    in_training = game.generator.assigned(drawn, "mixture")
    measured = game.average.generator.assigned(game.latents.evaluation()[ids], "mixture")
    assert in_training is not None
    assert measured is not None
    assert torch.equal(in_training, measured)
    assert len(in_training.unique()) > 1


def test_identity_is_the_cross_entropy_of_who_made_it(tiny: SimpleNamespace) -> None:
    """MGAN, Eq. 2: - beta sum_k pi_k E log C_k(G_k(z)), in both players' losses."""
    game = tiny.make(Mixture(generators=3, identity=0.7)).double()
    scores = judged(game, tiny)
    head = game.discriminator.heads["mixture"]
    assert isinstance(head, nn.Linear)
    assert scores.of_real is not None
    expected, rows = 0.0, head.weight.tolist()
    for features, z in zip(scores.of_fake.features, scores.batch.latents, strict=True):
        logits = [sum(w * f for w, f in zip(row, features.tolist(), strict=True)) for row in rows]
        share = [math.exp(s) / sum(math.exp(other) for other in logits) for s in logits]
        k = int(3 * 0.5 * (1 + math.erf(z[0].item() / math.sqrt(2))))
        expected -= 0.7 * math.log(share[k]) / tiny.m
    plain_d = game.objective.discriminator(scores.of_real.logits, scores.of_fake.logits)
    plain_g = game.objective.generator(scores.of_fake.logits)
    d = game.discriminator_loss_of(scores) - plain_d
    g = game.generator_loss_of(scores) - plain_g
    assert d.item() == pytest.approx(expected, abs=1e-12)
    assert g.item() == pytest.approx(expected, abs=1e-12)


def test_equal_generators_cannot_be_told_apart_and_are_driven_apart(tiny: SimpleNamespace) -> None:
    """Equal generators cost log K whatever the head says, on average; training lowers it."""
    game = tiny.make(Mixture(generators=2, identity=2.0), lr=0.02)
    one, other = members(game)
    other.load_state_dict(one.state_dict())
    z = latents_of(game, [0, 1])[:1].float().repeat(2, 1)
    z[1, 0] *= -1

    def distance() -> float:
        return (one(z[:1, 1:]) - other(z[:1, 1:])).abs().max().item()

    def cost() -> float:
        said = game.discriminator(game.generator(z)).others["mixture"]
        return nn.functional.cross_entropy(said, torch.tensor([0, 1])).item()

    assert distance() == 0.0
    assert cost() >= math.log(2)
    tiny.play(game, iterations=80)
    assert distance() > 0.1
    assert cost() < 0.6 * math.log(2)


@pytest.mark.parametrize("acgan_first", [True, False])
def test_stacks_with_classes(tiny: SimpleNamespace, acgan_first: bool) -> None:
    both: list[Remedy] = [ACGAN(classes=3), Mixture(generators=2, identity=0.5)]
    game = tiny.make(*(both if acgan_first else both[::-1])).double()
    assert game.generator.latent_dim == 3 + 2
    z = normal((40, 5), rng_for(0, "latent")).double()
    outer, inner = ("mixture", "class") if acgan_first else ("class", "mixture")
    counts = {"mixture": 2, "class": 3}
    for column, kind in enumerate((outer, inner)):
        said = game.generator.assigned(z, kind)
        assert said is not None
        assert torch.equal(said, choose(z[:, column], counts[kind]))
    assert game.generator.assigned(z, "weather") is None
    assert all(
        math.isfinite(x) for losses in tiny.play(game, iterations=2) for x in losses.values()
    )


class Tiny(Generator):
    """Takes its latents for examples."""

    def __init__(self, shape: tuple[int, ...], *, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim

    def forward(self, latents: Tensor) -> Tensor:
        return latents
