from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from ganstoch.errors import UserError
from ganstoch.remedies import ACGAN
from ganstoch.rng import normal, rng_for


def chosen_by(z: Tensor) -> list[int]:
    """floor(3 Phi(z)) of the first coordinate."""
    return [int(3 * 0.5 * (1 + math.erf(x / math.sqrt(2)))) for x in z[:, 0].tolist()]


def cross_entropy(head: nn.Linear, features: Tensor, answers: list[int]) -> float:
    """- mean log softmax_y(W f), summed up by hand."""
    total = 0.0
    for f, y in zip(features, answers, strict=True):
        scores = [(row @ f).item() for row in head.weight]
        total -= scores[y] - math.log(sum(math.exp(s) for s in scores))
    return total / len(answers)


def test_the_losses_are_the_papers(tiny: SimpleNamespace) -> None:
    """Odena et al. 2017, Sec. 4: D maximizes L_S + L_C, G maximizes L_C - L_S."""
    gan = tiny.make(ACGAN(classes=3, weight=0.5)).double()
    scores = tiny.scores(gan)
    head, choices = gan.discriminator.heads["class"], chosen_by(scores.batch.latents)
    real = cross_entropy(head, scores.of_real.features, scores.batch.labels.tolist())
    fake = cross_entropy(head, scores.of_fake.features, choices)
    assert len(set(choices)) > 1
    d = gan.discriminator_loss(scores)
    d -= gan.objective.discriminator(scores.of_real.logits, scores.of_fake.logits)
    g = gan.generator_loss(gan.discriminator, scores.batch, scores.fakes, info=scores.info)
    g -= gan.objective.generator(scores.of_fake.logits)
    assert d.item() == pytest.approx(0.5 * (real + fake), abs=1e-12)
    assert g.item() == pytest.approx(0.5 * fake, abs=1e-12)


@pytest.mark.parametrize("points", [True, False])
def test_the_generator_gets_the_latent_and_the_class(tiny: SimpleNamespace, points: bool) -> None:
    gan = tiny.make(ACGAN(classes=3), points=points).double()
    assert gan.generator.latent_dim == tiny.make(points=points).generator.latent_dim + 1
    z = normal((30, gan.generator.latent_dim), rng_for(0, "latent")).double()
    classes = gan.generator.assigned(z, "class")
    assert classes.tolist() == chosen_by(z)
    one_hot = torch.eye(3, dtype=torch.float64)[classes]
    expected = gan.generator.inner(torch.cat([z[:, 1:], one_hot], dim=1))
    assert torch.equal(gan.generator(z), expected)
    one, other = z.clone(), z.clone()
    one[:, 0], other[:, 0] = -2.0, 2.0
    assert (gan.generator(one) - gan.generator(other)).abs().min(dim=0).values.max() > 0


def test_classes_are_learned_and_obeyed(tiny: SimpleNamespace) -> None:
    """Three clusters, one a class: the generator comes to put each class where it belongs."""
    gan = tiny.make(ACGAN(classes=3), lr=0.02)
    losses = tiny.train(gan, iterations=150)
    assert losses[0]["acgan/real_accuracy"] < 0.8
    for name in ("acgan/real_accuracy", "acgan/fake_accuracy"):
        assert sum(x[name] for x in losses[-20:]) / 20 > 0.9
    z = normal((60, gan.generator.latent_dim), rng_for(0, "evaluation"))
    classes = gan.discriminator(gan.generator(z)).others["class"].argmax(1)
    assert (classes == gan.generator.assigned(z, "class")).float().mean() > 0.9


@pytest.mark.parametrize("micro_batch", [None, 3])
def test_accuracies_are_of_the_whole_batch(tiny: SimpleNamespace, micro_batch: int | None) -> None:
    gan = tiny.make(ACGAN(classes=3), micro_batch=micro_batch).double()
    real, fake = 0, 0
    for part in tiny.draw(gan, 0)[0]:
        real += (gan.discriminator(part.real).others["class"].argmax(1) == part.labels).sum().item()
        classes = gan.discriminator(gan.generator(part.latents)).others["class"].argmax(1)
        fake += (classes == gan.generator.assigned(part.latents, "class")).sum().item()
    (losses,) = tiny.train(gan, iterations=1)
    for name, right in (("acgan/real_accuracy", real), ("acgan/fake_accuracy", fake)):
        assert losses[name] == pytest.approx(right / tiny.m, abs=1e-6)
        assert 0 < right < tiny.m


def test_refuses_data_without_labels_or_of_other_classes(tiny: SimpleNamespace) -> None:
    for classes, labelled, known in ((3, False, 0), (4, True, 3)):
        with pytest.raises(UserError, match=rf"ACGAN.* {classes} classes.* classes to {known}"):
            tiny.make(ACGAN(classes=classes), labelled=labelled)
