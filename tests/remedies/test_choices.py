"""ACGAN and mixtures: a coordinate of the latent chooses, and a head tells what it chose."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from ganstoch.errors import UserError
from ganstoch.remedies import ACGAN, Mixture, Remedy
from ganstoch.remedies.choice import choose
from ganstoch.rng import normal, rng_for


def chosen_by(z: Tensor) -> list[int]:
    """floor(3 Phi(z)) of the first coordinate."""
    return [int(3 * 0.5 * (1 + math.erf(x / math.sqrt(2)))) for x in z[:, 0].tolist()]


def cross_entropy(gan: Any, kind: str, features: Tensor, answers: list[int]) -> float:
    """- mean log softmax_y(W f) of a head, summed up by hand."""
    total = 0.0
    for f, y in zip(features, answers, strict=True):
        scores = [(row @ f).item() for row in gan.discriminator.heads[kind].weight]
        total -= scores[y] - math.log(sum(math.exp(s) for s in scores))
    return total / len(answers)


def test_the_losses_are_the_papers(tiny: SimpleNamespace) -> None:
    """Both in D's loss and, of generated examples, in G's.

    Odena et al. 2017, Sec. 4: D maximizes L_S + L_C, G maximizes L_C - L_S. Hoang et al. 2018
    (MGAN), Eq. 2: - beta sum_k pi_k E log C_k(G_k(z)), with no term of real examples.
    """
    kinds = {"class": ACGAN(classes=3, weight=0.5), "mixture": Mixture(generators=3, identity=0.5)}
    for kind, remedy in kinds.items():
        gan = tiny.make(remedy).double()
        scores = tiny.scores(gan)
        choices = chosen_by(scores.batch.latents)
        fake = cross_entropy(gan, kind, scores.of_fake.features, choices)
        real = cross_entropy(gan, kind, scores.of_real.features, scores.batch.labels.tolist())
        assert len(set(choices)) > 1
        d = gan.discriminator_loss(scores)
        d -= gan.objective.discriminator(scores.of_real.logits, scores.of_fake.logits)
        g = gan.generator_loss(gan.discriminator, scores.batch, scores.fakes, info=scores.info)
        g -= gan.objective.generator(scores.of_fake.logits)
        of_real = real if kind == "class" else 0.0
        assert d.item() == pytest.approx(0.5 * (of_real + fake), abs=1e-12)
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
    for classes, labelled, words in ((3, False, "labels"), (4, True, "4 classes.* classes to 3")):
        with pytest.raises(UserError, match=f"ACGAN.* {words}"):
            tiny.make(ACGAN(classes=classes), labelled=labelled)


def latents_of(gan: Any, choices: list[int]) -> Tensor:
    """Latents whose first coordinate lies in the middle of each choice's share."""
    share = (torch.tensor(choices, dtype=torch.float64) + 0.5) / len(gan.generator.members)
    rest = normal((len(choices), gan.generator.latent_dim - 1), rng_for(0, "latent")).double()
    return torch.cat([torch.special.ndtri(share)[:, None], rest], dim=1)


def test_choices_are_quantiles_of_the_normal() -> None:
    """The quartiles of N(0, 1) are -0.67449, 0 and 0.67449."""
    z = torch.tensor([-40.0, -0.6745, -0.6744, -1e-6, 1e-6, 0.6744, 0.6745, 9.0, 40.0])
    assert choose(z, 4).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 3]
    assert choose(z.double(), 4).tolist() == choose(z, 4).tolist()
    assert not choose(z, 1).any()


@pytest.mark.parametrize("points", [True, False])
def test_the_generator_that_a_latent_chooses_answers(tiny: SimpleNamespace, points: bool) -> None:
    gan = tiny.make(Mixture(generators=3), points=points).double()
    choices = [2, 0, 1, 1, 2, 0, 0]
    z = latents_of(gan, choices)
    made = gan.generator(z)
    assert gan.generator.assigned(z, "mixture").tolist() == choices
    for i, choice in enumerate(choices):
        answers = [member(z[i : i + 1, 1:])[0] for member in gan.generator.members]
        assert (made[i] - answers[choice]).abs().max() < 1e-12
        assert min((answers[0] - answers[k]).abs().max() for k in (1, 2)) > 1e-9  # not alike
    assert made.shape == (7, *gan.shape)


@pytest.mark.parametrize("acgan_first", [True, False])
def test_stacks_with_classes(tiny: SimpleNamespace, acgan_first: bool) -> None:
    both: list[Remedy] = [ACGAN(classes=3), Mixture(generators=2, identity=0.5)]
    gan = tiny.make(*(both if acgan_first else both[::-1])).double()
    assert gan.generator.latent_dim == 3 + 2
    z = normal((40, 5), rng_for(0, "latent")).double()
    outer, inner = ("mixture", "class") if acgan_first else ("class", "mixture")
    counts = {"mixture": 2, "class": 3}
    for column, kind in enumerate((outer, inner)):
        assert torch.equal(gan.generator.assigned(z, kind), choose(z[:, column], counts[kind]))
    assert gan.generator.assigned(z, "weather") is None
