"""Generators that others wrote, healthy and broken on purpose, watched by `ganstoch.Monitor`.

`make test-foreign` installs their packages; each is small, on a CPU, in a loop as its own.
"""

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from ganstoch import Monitor

pytestmark = [pytest.mark.foreign, pytest.mark.filterwarnings("ignore")]


def pictures(count: int, seed: int, *, side: int, channels: int) -> Tensor:
    """A row and a column of any shade on a dark ground, in [0, 1], no two alike."""
    rng = torch.Generator().manual_seed(seed)
    images = torch.full((count, channels, side, side), 0.05)
    for image in images:
        row, column = torch.randint(side, (2,), generator=rng).tolist()
        image[:, row] = torch.rand(channels, 1, generator=rng) / 2 + 0.5
        image[:, :, column] = torch.rand(channels, 1, generator=rng) / 2 + 0.5
    return (images + 0.03 * torch.randn(images.shape, generator=rng)).clamp(0, 1)


def diffusion(*, lr: float = 2e-3, steps: int = 200) -> Monitor:
    """Denoising diffusion of 8 x 8 pictures."""
    library = pytest.importorskip("denoising_diffusion_pytorch")
    real = pictures(256, 0, side=8, channels=1)
    network = library.Unet(dim=8, dim_mults=(1, 2), channels=1, attn_dim_head=8, attn_heads=1)
    model = library.GaussianDiffusion(network, image_size=8, timesteps=50, sampling_timesteps=5)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    monitor = Monitor(
        real,
        held_out=pictures(256, 1, side=8, channels=1),
        sample=lambda n: model.sample(batch_size=n),
        every=steps // 20,
        images=32,
    )
    for step in range(1, steps + 1):
        loss = model(real[torch.randint(len(real), (32,))])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        monitor.step(step, loss_g=loss)
    return monitor


def lightweight_gan(*, lr: float = 2e-3, steps: int = 60) -> Monitor:
    """Its networks, losses and optimizers in its Trainer's loop, which itself demands CUDA."""
    with mock.patch("torch.cuda.is_available", return_value=True):
        library = pytest.importorskip("lightweight_gan.lightweight_gan")
    library.norm_class, library.Blur = nn.BatchNorm2d, nn.Identity  # as its Trainer sets them
    sizes = {"latent_dim": 32, "image_size": 32, "fmap_max": 16, "fmap_inverse_coef": 9}
    small = partial(library.LinearAttention, dim_head=8, heads=1)
    without_cuda = mock.patch.object(nn.Module, "cuda", lambda self, *_: self)
    with without_cuda, mock.patch.object(library, "LinearAttention", small):
        gan = library.LightweightGAN(**sizes, disc_output_size=1, lr=lr)
    real = pictures(256, 0, side=32, channels=3)
    monitor = Monitor(
        real,
        held_out=pictures(256, 1, side=32, channels=3),
        sample=lambda n: gan.G(torch.randn(n, 32)).clamp(0, 1),
        discriminator=lambda images: gan.D(images)[0],
        generator=gan.G,
        every=steps // 20,
        images=32,
    )
    for step in range(1, steps + 1):
        images = real[torch.randint(len(real), (8,))].requires_grad_()
        with torch.no_grad():
            made = gan.G(torch.randn(8, 32))
        fake, small_fake, _ = gan.D_aug(made, detach=True)
        true, small_true, reconstruction = gan.D_aug(images, calc_aux_loss=True)
        loss_d = library.hinge_loss(true, fake)
        whole = loss_d + library.hinge_loss(small_true, small_fake) + reconstruction
        if step % 4 == 1:
            outputs = true.sum() + small_true.sum()
            (slope,) = torch.autograd.grad(outputs, images, create_graph=True)
            whole = whole + 10 * slope.flatten(1).norm(dim=1).square().mean()
        gan.D_opt.zero_grad()
        whole.backward()
        gan.D_opt.step()
        fake, small_fake, _ = gan.D_aug(gan.G(torch.randn(8, 32)))
        loss_g = library.gen_hinge_loss(fake, None)
        gan.G_opt.zero_grad()
        (loss_g + library.gen_hinge_loss(small_fake, None)).backward()
        gan.G_opt.step()
        monitor.step(step, loss_d=loss_d, loss_g=loss_g)
    return monitor


def table(rows: int, seed: int) -> pd.DataFrame:
    """Three kinds with a number that goes with each, another number, and a yes or no."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(3, rows, p=[0.5, 0.3, 0.2])
    x = np.array([0.0, 4.0, 9.0])[kind] + rng.normal(0, 0.7, rows)
    answer = np.where(rng.random(rows) < 0.3, "yes", "no")
    frame = {"kind": np.array(["a", "b", "c"])[kind], "x": x, "y": rng.normal(size=rows)}
    return pd.DataFrame(frame | {"answer": answer})


def ctgan(*, lr: float = 1e-3, epochs: int = 100) -> Monitor:
    """CTGAN of a table, whose `fit` knows no callbacks: each step of G's optimizer is a step."""
    library = pytest.importorskip("ctgan")
    real, steps = table(1000, 0), count(1)
    options = {"generator_dim": (64, 64), "discriminator_dim": (64, 64), "discriminator_lr": 1e-3}
    model = library.CTGAN(
        epochs=epochs, batch_size=100, enable_gpu=False, generator_lr=lr, **options
    )
    monitor = Monitor(real, held_out=table(1000, 1), sample=model.sample, every=50)

    def stepped(optimizer: Any, *_: Any) -> None:
        first = next(model._generator.parameters())
        if optimizer.param_groups[0]["params"][0] is first:
            monitor.step(next(steps))

    handle = register_optimizer_step_post_hook(stepped)
    try:
        model.fit(real, ["kind", "answer"])
    finally:
        handle.remove()
    return monitor


def ring(rows: int) -> Tensor:
    """Eight blobs on a circle."""
    angle = torch.randint(8, (rows, 1)) * torch.pi / 4
    return torch.cat([angle.cos(), angle.sin()], 1) + 0.05 * torch.randn(rows, 2)


def particle_gan(*, one_latent: bool = False, steps: int = 200) -> Monitor:
    """ParticleGAN's trainer and its learned latents, which may all be the same one."""
    library = pytest.importorskip("particlegan")
    recipe = library.get_recipe(total_steps=steps, num_particles=512, batch_size=128)
    networks = [
        nn.Sequential(nn.Linear(inner, 64), nn.LeakyReLU(0.2), nn.Linear(64, outer))
        for inner, outer in ((recipe.z_dim, 2), (2, 1))
    ]
    for seed, network in enumerate(networks):
        library.init.deterministic_orthogonal_(network, seed=seed)
    prior = library.init.deterministic_orthogonal_(recipe.make_prior())
    if one_latent:
        for latents in prior.parameters():
            latents.data[:] = latents.data[:1].clone()
    trainer = library.GANTrainer(recipe, *networks, prior=prior, seed=0)
    monitor = Monitor(
        ring(2000),
        held_out=ring(2000),
        sample=lambda n: trainer.sample(n, generator=torch.Generator().manual_seed(0)),
        discriminator=networks[1],
        generator=networks[0],
        every=steps // 20,
    )
    for step in range(1, steps + 1):
        losses = trainer.step(ring(recipe.batch_size))
        monitor.step(step, loss_d=losses["loss_d"], loss_g=losses["loss_gan"])
    return monitor


# What may be said of each: any of these findings is right.
CASES = [
    (diffusion, {}, set()),
    (diffusion, {"lr": 1.0}, {"diverged", "non_finite"}),
    (lightweight_gan, {}, set()),
    (lightweight_gan, {"lr": 0.5}, {"diverged", "non_finite", "complete_collapse"}),
    (ctgan, {}, set()),
    (ctgan, {"lr": 0.5}, {"oscillating", "partial_collapse", "complete_collapse", "diverged"}),
    (particle_gan, {}, set()),
    (particle_gan, {"one_latent": True}, {"complete_collapse"}),
]


@pytest.mark.parametrize(("train", "options", "right"), CASES)
def test_the_verdict_is_right(
    train: Callable[..., Monitor],
    options: dict[str, Any],
    right: set[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    monitor = train(**options)
    assert monitor.diagnosed is not None
    with capsys.disabled():
        print(f"\n{train.__name__} {options}: {monitor.verdict}. {monitor.diagnosed.words}")
    assert len(monitor.history) == 20
    assert monitor.notes == []
    if not right:
        assert monitor.verdict == "healthy"
    else:
        found = {finding.verdict for finding in monitor.diagnosed.findings if finding.sure > 0.98}
        assert found & right
