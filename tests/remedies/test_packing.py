from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from ganstoch.errors import UserError
from ganstoch.models import Discriminator, PaperGenerator, TanhDiscriminator
from ganstoch.models.layers import initialize
from ganstoch.remedies import Packing
from ganstoch.remedies.base import DataFacts, StepInfo, pack_examples
from ganstoch.rng import normal, rng_for
from ganstoch.types import DiscriminatorOutput, Shape


@pytest.mark.parametrize("shape", [(3, 8, 8), (2,)], ids=str)
@pytest.mark.parametrize("size", [1, 3, 4])
def test_a_pack_holds_its_examples_and_nothing_else(shape: Shape, size: int) -> None:
    x = normal((12, *shape), rng_for(0, "data"))
    packs = pack_examples(x, size)
    assert packs.shape == (12 // size, size * shape[0], *shape[1:])
    for k, pack in enumerate(packs):
        for i in range(size):
            within = pack[i * shape[0] : (i + 1) * shape[0]]
            assert torch.equal(within, x[size * k + i])


def test_sees_in_packs_what_no_single_example_shows() -> None:
    real = torch.tensor([-1.0, 1.0, 1.0, -1.0, -1.0, -1.0, 1.0, 1.0])[:, None]
    fake = torch.tensor([-1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0, 1.0])[:, None]

    def least_loss(size: int) -> float:
        make = partial(TanhDiscriminator, width=8)
        critic = Packing(size=size).wrap_networks(PaperGenerator, make)[1]((1,))
        initialize(critic, std=0.02, rng=rng_for(0, "init"))
        adam = torch.optim.Adam(critic.parameters(), lr=0.02)
        for _ in range(100):
            of_real, of_fake = (critic(pack_examples(x, size)).logits for x in (real, fake))
            loss = F.softplus(-of_real).mean() + F.softplus(of_fake).mean()
            adam.zero_grad()
            torch.autograd.backward(loss)
            adam.step()
        return loss.item()

    assert least_loss(1) >= 2 * 0.6931
    assert least_loss(2) < 2 * 0.6931 - 0.2


def test_the_loss_is_that_of_the_packs(tiny: SimpleNamespace) -> None:
    gan = tiny.make(Packing(size=2)).double()
    ((part,),) = tiny.draw(gan, 0)
    fakes = gan.generator(part.latents)
    scores = gan.discriminate(gan.discriminator, part, fakes, info=StepInfo(0, 0))
    loss = gan.discriminator_loss(scores)
    by_hand = torch.zeros((), dtype=torch.float64)
    for i in range(0, 8, 2):
        for x, sign in ((part.real, -1), (fakes, 1)):
            pack = torch.cat([x[i], x[i + 1]])[None]
            by_hand += F.softplus(sign * gan.discriminator(pack).logits[0]) / 4
    assert loss.item() == pytest.approx(by_hand.item(), abs=1e-12)


@pytest.mark.parametrize(("matched", "packs"), [("images", 4), ("packs", 8)])
def test_as_many_images_or_packs_as_plain(tiny: SimpleNamespace, matched: Any, packs: int) -> None:
    gan = tiny.make(Packing(size=2, matched=matched))
    sizes: list[int] = []

    def count(module: Discriminator, given: Any, output: DiscriminatorOutput) -> None:
        sizes.append(len(output.logits))

    gan.discriminator.register_forward_hook(count)
    ((part,),) = tiny.draw(gan, 0)
    assert len(part.ids) == len(part.latents) == 2 * packs
    tiny.train(gan, iterations=1)
    assert sizes == [2 * packs, packs]  # real and generated ones in one pass, then G's update


@pytest.mark.parametrize(("m", "warnings"), [(1, 1), (2, 0)])
def test_a_batch_that_fills_no_pack_is_told(
    m: int, warnings: int, tiny: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    latents: Any = None
    Packing(size=2).setup(DataFacts(n=24, m=m, latents=latents, pixels=None, labels=None))
    assert len(caplog.records) == warnings


@pytest.mark.parametrize("size", [2, 3])
def test_bank_must_hold_as_many_packs(tiny: SimpleNamespace, size: int) -> None:
    packing = Packing(size=size, matched="packs")
    gan = tiny.make(packing)  # m = 8, n = k = 24
    gan.setup_latents(n=24, m=24 // size)
    with pytest.raises(UserError, match=rf"{size * 20} latents .* bank of 24; .*latents.bank"):
        gan.setup_latents(n=24, m=20)
    for bank in ("fresh", f"{size}n"):
        tiny.make(packing, bank=bank).setup_latents(n=24, m=24)
