from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from ganstoch.remedies import ACGAN, Mixture, Remedy
from ganstoch.remedies.choice import choose
from ganstoch.rng import normal, rng_for


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


def test_identity_is_the_cross_entropy_of_who_made_it(tiny: SimpleNamespace) -> None:
    """MGAN, Eq. 2: - beta sum_k pi_k E log C_k(G_k(z)), in both players' losses."""
    gan = tiny.make(Mixture(generators=3, identity=0.7)).double()
    scores = tiny.scores(gan)
    expected, rows = 0.0, gan.discriminator.heads["mixture"].weight.tolist()
    for features, z in zip(scores.of_fake.features, scores.batch.latents, strict=True):
        logits = [sum(w * f for w, f in zip(row, features.tolist(), strict=True)) for row in rows]
        share = [math.exp(s) / sum(math.exp(other) for other in logits) for s in logits]
        k = int(3 * 0.5 * (1 + math.erf(z[0].item() / math.sqrt(2))))
        expected -= 0.7 * math.log(share[k]) / tiny.m
    d = gan.discriminator_loss(scores)
    d -= gan.objective.discriminator(scores.of_real.logits, scores.of_fake.logits)
    g = gan.generator_loss(gan.discriminator, scores.batch, scores.fakes, info=scores.info)
    g -= gan.objective.generator(scores.of_fake.logits)
    assert d.item() == pytest.approx(expected, abs=1e-12)
    assert g.item() == pytest.approx(expected, abs=1e-12)


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
