import copy
from types import SimpleNamespace

import pytest
import torch
from torch.optim import Adam

from ganstoch.errors import UserError
from ganstoch.remedies import Pretraining


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_is_regression_on_pairs(tiny: SimpleNamespace, noise: float) -> None:
    gan = tiny.make(Pretraining(iterations=3), points=False, noise=noise).double()
    twin, start = (tiny.make(points=False).double() for _ in range(2))
    losses = tiny.train(gan, iterations=3)
    step = Adam(twin.generator.parameters(), lr=1e-3, betas=(0.0, 0.9))
    data, _ = tiny.world(twin)
    for iteration in range(3):
        ((part,),) = tiny.draw(twin, iteration)
        images = twin.generator(twin.latents.fixed[part.ids].double())
        error = (images - (data[part.ids].double() / 127.5 - 1)).abs().mean()
        step.zero_grad()
        error.backward()
        step.step()
        expected = {"loss/discriminator": 0.0, "loss/generator": error.item()}
        assert losses[iteration] == pytest.approx(expected)
    for one, other in zip(gan.generator.parameters(), twin.generator.parameters(), strict=True):
        assert (one - other).abs().max() < 1e-12
    for name, value in start.discriminator.state_dict().items():
        assert torch.equal(gan.discriminator.state_dict()[name], value), name


def test_then_the_gan_is_trained(tiny: SimpleNamespace) -> None:
    gan, twin = tiny.make(Pretraining(iterations=2)), tiny.make()
    steps = gan.configure_optimizers()
    tiny.train(gan, iterations=2, optimizers=steps)
    twin.load_state_dict(gan.state_dict())
    twins = twin.configure_optimizers()
    twins[1].load_state_dict(copy.deepcopy(steps[1].state_dict()))
    tiny.train(gan, iterations=2, start=2, optimizers=steps)
    tiny.train(twin, iterations=2, start=2, optimizers=twins)
    for name, value in gan.state_dict().items():
        assert torch.equal(value, twin.state_dict()[name]), name


@pytest.mark.parametrize("bank", ["fresh", 23])
def test_refuses_latents_without_partners(tiny: SimpleNamespace, bank: int | str) -> None:
    with pytest.raises(UserError, match=rf"24 images .*{bank}.*model\.latents\.bank"):
        tiny.make(Pretraining(), bank=bank)
    assert tiny.make(Pretraining(), bank="2n").latents.count == 48
