"""The GAN against the same algorithm written down plainly, and its settings."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest import mock

import pytest
import torch

from ganstoch.bench.equality import differences, draw, parts_of
from ganstoch.errors import UserError
from ganstoch.models import Discriminator, PaperDiscriminator, PaperGenerator
from ganstoch.rng import normal, rng_for
from ganstoch.training.gan import CPU_MICRO_BATCH, GAN, AdamSettings


@pytest.mark.parametrize("micro_batch", [None, 5])
def test_equals_the_plain_algorithm(make_gan: Callable[..., GAN], micro_batch: int | None) -> None:
    # The ramp passes 0.2 at t = 2.5.
    gan = make_gan(ema_decay=0.2, micro_batch=micro_batch).double()
    start = [p.detach().clone() for p in gan.parameters()]
    assert max(differences(gan, m=16, iterations=5).values()) < 1e-9
    moved = [(p - s).abs().max() for p, s in zip(gan.parameters(), start, strict=True)]
    assert min(moved) > 1e-6
    live, average = gan.generator.parameters(), gan.average.parameters()
    lag = max((a - b).abs().max() for a, b in zip(live, average, strict=True))
    assert lag > 1e-6  # the average does lag behind


@pytest.mark.parametrize("micro_batch", [None, 3])
def test_one_power_iteration_an_update_whatever_the_parts(
    make_gan: Callable[..., GAN], micro_batch: int | None
) -> None:
    gan = make_gan(micro_batch=micro_batch)
    with mock.patch.object(Discriminator, "power_iterate") as step:
        for t in range(3):
            parts = parts_of(*draw(16, 8, iteration=t), gan=gan)
            gan.train_iteration([parts], *gan.configure_optimizers(), iteration=t)
    assert step.call_count == 2 * 3


@pytest.mark.parametrize("micro_batch", [None, 3])
def test_leaves_no_gradient_and_every_parameter_trainable(
    make_gan: Callable[..., GAN], micro_batch: int | None
) -> None:
    gan, seen = make_gan(micro_batch=micro_batch), list[bool]()
    made = list[int]()
    gan.generator.register_forward_hook(lambda m, x, y: made.append(len(y)))
    gan.discriminator.register_forward_pre_hook(
        lambda module, _: seen.append(all(p.requires_grad for p in module.parameters()))
    )
    parts = parts_of(*draw(16, 8, iteration=0), gan=gan)
    gan.train_iteration([parts], *gan.configure_optimizers(), iteration=0)
    assert seen == [True] * len(parts) + [False] * len(parts)  # spared in the generator's update
    # One micro-batch: one forward pass of the generator serves both updates.
    assert made == ([16] if len(parts) == 1 else 2 * [len(part.ids) for part in parts])
    for player in (gan.generator, gan.discriminator):
        assert all(p.requires_grad for p in player.parameters())
        assert all(p.grad is None for p in player.parameters())
    assert not any(p.requires_grad for p in gan.average.parameters())


def test_optimizers_are_the_papers_by_default() -> None:
    gan = GAN(partial(PaperGenerator, width=8), partial(PaperDiscriminator, width=8))
    for optimizer, player in zip(
        gan.configure_optimizers(), (gan.discriminator, gan.generator), strict=True
    ):
        assert isinstance(optimizer, torch.optim.Adam)
        (group,) = optimizer.param_groups
        assert (group["lr"], group["betas"], group["weight_decay"]) == (1e-4, (0.0, 0.9), 0)
        assert {id(p) for p in group["params"]} == {id(p) for p in player.parameters()}
    assert gan.average.decay == 0.9999


def test_samples_are_the_averages_in_parts_of_any_size(make_gan: Callable[..., GAN]) -> None:
    gan = make_gan().double()
    z = normal((10, 8), rng_for(0, "evaluation"))
    with torch.no_grad():
        for parameter in gan.generator.parameters():
            parameter.add_(1.0)  # the live network is not asked
    expected = gan.average(z.double())
    for batch_size in (3, 10, 256):
        images = gan.sample(z, batch_size=batch_size)
        assert not images.requires_grad
        assert (images - expected).abs().max() < 1e-12
    assert images.abs().max() <= 1.0


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("micro_batch", 0), ("init_std", 0.0), ("init_std", math.nan), ("ema_decay", 1.0)),
        *(("optimizer.lr", lr) for lr in (0.0, math.inf, math.nan)),
        *(("optimizer.beta1", 1.0), ("optimizer.beta2", -0.5)),
    ],
)
def test_settings_out_of_range(setting: str, value: float) -> None:
    name, _, field = setting.partition(".")
    settings: dict[str, Any] = {name: AdamSettings(**{field: value}) if field else value}
    networks = partial(PaperGenerator, width=8), partial(PaperDiscriminator, width=8)
    with pytest.raises(UserError, match=rf"model\.{setting} .*{value}"):
        GAN(*networks, **settings).configure_optimizers()


def test_compiled_networks_compute_the_same(make_gan: Callable[..., GAN], use_form: Any) -> None:
    gan, plain = make_gan(), make_gan()
    z = torch.linspace(-1, 1, 4 * 8).view(4, 8)
    for network in (gan.generator, gan.discriminator):
        network.compile(backend="aot_eager")
    assert torch.allclose(gan.generator(z), plain.generator(z), atol=1e-6)
    images = torch.linspace(-1, 1, 4 * 3072).view(4, 3, 32, 32).requires_grad_()
    for form in ("direct", "convolved"):
        use_form(form)
        one, other = (
            torch.autograd.grad(one.discriminator(images).logits.sum(), images)[0]
            for one in (gan, plain)
        )
        assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(("setting", "resolved"), [("auto", CPU_MICRO_BATCH), (7, 7), (None, None)])
def test_a_micro_batch_is_resolved_and_taken_over_by_a_resumed_run(
    make_gan: Callable[..., GAN], setting: Any, resolved: int | None
) -> None:
    gan, resumed = make_gan(micro_batch=setting), make_gan(micro_batch=setting)
    gan.on_fit_start()
    assert gan.micro_batch == resolved
    checkpoint = {"state_dict": gan.state_dict(), "arithmetic": {"micro_batch": 3}}
    resumed.on_load_checkpoint(checkpoint)
    resumed.on_fit_start()
    assert resumed.micro_batch == (3 if setting == "auto" else setting)
