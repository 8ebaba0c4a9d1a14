from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganstoch.errors import UserError
from ganstoch.models import Generator, PaperDiscriminator, PaperGenerator
from ganstoch.remedies import ACGAN, Remedy
from ganstoch.remedies.base import DiscriminatorPass, RemedySpec, StepInfo
from ganstoch.rng import normal, rng_for
from ganstoch.training.gan import GAN, AdamSettings


class Packs(Remedy):
    """A stand-in: pairs of examples side by side."""

    @property
    def spec(self) -> RemedySpec:
        return RemedySpec(pack=2)


class Rigid(Generator):
    """Takes latents of one length only."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.latent_dim = 2

    def forward(self, latents: Tensor) -> Tensor:
        return latents


def phi(z: float) -> float:
    return 0.5 * (1 + math.erf(z / math.sqrt(2)))


def judged(game: GAN, tiny: SimpleNamespace) -> DiscriminatorPass:
    part = tiny.draw(game, 0)[0][0]
    fakes = game.generator(part.latents).detach()
    return game.discriminate(game.discriminator, part, fakes, info=StepInfo(0, 0))


def cross_entropy(head: nn.Linear, features: Tensor, answers: list[int]) -> float:
    """- mean log softmax_y(W f), summed up by hand."""
    total = 0.0
    for f, y in zip(features, answers, strict=True):
        scores = [(row @ f).item() for row in head.weight]
        total -= scores[y] - math.log(sum(math.exp(s) for s in scores))
    return total / len(answers)


def test_the_losses_are_the_papers(tiny: SimpleNamespace) -> None:
    """Odena et al. 2017, Sec. 4: D maximises L_S + L_C, G maximises L_C - L_S."""
    game = tiny.make(ACGAN(classes=3, weight=0.5)).double()
    scores = judged(game, tiny)
    head = game.discriminator.heads["class"]
    assert isinstance(head, nn.Linear)
    assert scores.of_real is not None
    assert scores.batch.labels is not None
    chosen = [int(3 * phi(z[0].item())) for z in scores.batch.latents]
    real = cross_entropy(head, scores.of_real.features, scores.batch.labels.tolist())
    fake = cross_entropy(head, scores.of_fake.features, chosen)
    assert len(set(chosen)) > 1
    plain_d = game.objective.discriminator(scores.of_real.logits, scores.of_fake.logits)
    plain_g = game.objective.generator(scores.of_fake.logits)
    d = game.discriminator_loss_of(scores) - plain_d
    g = game.generator_loss_of(scores) - plain_g
    assert d.item() == pytest.approx(0.5 * (real + fake), abs=1e-12)
    assert g.item() == pytest.approx(0.5 * fake, abs=1e-12)


@pytest.mark.parametrize("points", [True, False])
def test_the_generator_gets_the_latent_and_the_class(tiny: SimpleNamespace, points: bool) -> None:
    game = tiny.make(ACGAN(classes=3), points=points).double()
    plain = tiny.make(points=points)
    assert game.generator.latent_dim == plain.generator.latent_dim + 1
    z = normal((30, game.generator.latent_dim), rng_for(0, "latent")).double()
    said = game.generator.assigned(z, "class")
    assert said is not None
    assert said.tolist() == [int(3 * phi(x)) for x in z[:, 0].tolist()]
    one_hot = torch.eye(3, dtype=torch.float64)[said]
    inner = game.generator.inner
    assert isinstance(inner, Generator)
    assert torch.equal(game.generator(z), inner(torch.cat([z[:, 1:], one_hot], dim=1)))
    one, other = z.clone(), z.clone()
    one[:, 0], other[:, 0] = -2.0, 2.0
    assert (game.generator(one) - game.generator(other)).abs().min(dim=0).values.max() > 0


def test_classes_are_learnt_and_obeyed(tiny: SimpleNamespace) -> None:
    """Three clusters, one a class: the generator comes to put each class where it belongs."""
    game = tiny.make(ACGAN(classes=3), lr=0.02)
    losses = tiny.play(game, iterations=150)
    assert losses[0]["acgan/real_accuracy"] < 0.8
    for name in ("acgan/real_accuracy", "acgan/fake_accuracy"):
        assert sum(x[name] for x in losses[-20:]) / 20 > 0.9
    z = normal((60, game.generator.latent_dim), rng_for(0, "evaluation"))
    said = game.generator.assigned(z, "class")
    assert said is not None
    told = game.discriminator(game.generator(z)).others["class"].argmax(1)
    assert (told == said).float().mean() > 0.9


@pytest.mark.parametrize("micro_batch", [None, 3])
def test_accuracies_are_of_the_whole_batch(tiny: SimpleNamespace, micro_batch: int | None) -> None:
    game = tiny.make(ACGAN(classes=3), micro_batch=micro_batch).double()
    right = dict.fromkeys(("real", "fake"), 0.0)
    for part in tiny.draw(game, 0)[0]:
        said = game.discriminator(part.real).others["class"].argmax(1)
        right["real"] += (said == part.labels).sum().item() / tiny.m
        said = game.discriminator(game.generator(part.latents)).others["class"].argmax(1)
        right["fake"] += (said == game.generator.assigned(part.latents, "class")).sum().item() / 8
    (losses,) = tiny.play(game, iterations=1)
    for name, expected in right.items():
        assert losses[f"acgan/{name}_accuracy"] == pytest.approx(expected, abs=1e-6)
        assert 0.0 < expected < 1.0


def test_trains_on_the_labels_of_a_source(
    make_data: Callable[..., Any], fit: Callable[..., Any]
) -> None:
    game = GAN(
        partial(PaperGenerator, width=16, latent_dim=8),
        partial(PaperDiscriminator, width=16),
        remedies=[ACGAN(classes=10)],
        optimizer=AdamSettings(lr=1e-3),
    )
    fit(game, make_data(), steps=2)
    assert set(game.losses) == {
        "loss/discriminator",
        "loss/generator",
        "acgan/real_accuracy",
        "acgan/fake_accuracy",
    }


def test_refuses_data_without_labels_or_of_other_classes(tiny: SimpleNamespace) -> None:
    with pytest.raises(UserError, match="ACGAN needs labels, and these data have none"):
        tiny.make(ACGAN(classes=3), classes=None)
    with pytest.raises(UserError, match="told of 4 classes, and the data have 3; set its classes"):
        tiny.make(ACGAN(classes=4))


def test_refuses_a_generator_whose_latents_have_one_length() -> None:
    with pytest.raises(UserError, match="needs a generator with an argument latent_dim"):
        GAN(Rigid, remedies=[ACGAN(classes=3)])
