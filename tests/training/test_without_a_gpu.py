"""What can be known of the GPU path without one.

Fake tensors have a device and no content: they find tensors left behind on the CPU, and types that
no kernel takes. Tensors on "meta" find whatever looks at a value in the middle of an iteration.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from ganstoch.models.convolution import Form
from ganstoch.training.gan import GAN
from ganstoch.training.micro_batch import split
from ganstoch.types import Batch


def to_fake_cuda(module: nn.Module) -> None:
    """`Module.to("cuda")`, which neither moves nor copies fake tensors."""

    def fake(tensor: Tensor) -> Tensor:
        return torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda")

    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = nn.Parameter(fake(parameter), parameter.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = fake(buffer)
    module._device = torch.device("cuda", 0)  # type: ignore[assignment]


@pytest.fixture
def fake_gan(make_gan: Callable[..., GAN]) -> Iterator[GAN]:
    """A gan on a CUDA device that is not there."""
    gan = make_gan(width=64, noise=0.5)
    with FakeTensorMode():
        to_fake_cuda(gan)
        gan.setup_latents(n=64)
        yield gan


@contextmanager
def autocast_on_cuda(enabled: bool) -> Iterator[None]:
    """`torch.autocast("cuda")`, which turns itself off where there is no device."""
    before = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    torch.set_autocast_enabled("cuda", enabled)
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    try:
        yield
    finally:
        torch.set_autocast_enabled("cuda", before[0])
        torch.set_autocast_dtype("cuda", before[1])


def on_cuda(*tensors: Tensor) -> bool:
    return all(isinstance(t, FakeTensor) and t.device.type == "cuda" for t in tensors)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("form", get_args(Form))
def test_forward_halves_of_the_step(fake_gan: GAN, mixed: bool, form: Form, use_form: Any) -> None:
    gan = fake_gan
    use_form(form)
    pixels = torch.zeros(16, 3, 32, 32, dtype=torch.uint8, device="cuda")
    batch = Batch(pixels=pixels, ids=torch.arange(16, device="cuda"), size=16)
    assert gan.latents is not None
    z = gan.latents.draw(3, 16, device=torch.device("cuda"))
    assert on_cuda(z)
    with autocast_on_cuda(mixed):
        gan.discriminator.power_iterate()
        for part in split(batch, z, micro_batch=5, dtype=torch.float32):
            fake = gan.generator(part.latents)
            assert fake.dtype == (torch.bfloat16 if mixed else torch.float32)
            output = gan.discriminator(torch.cat([part.real, fake]))
            loss_d = gan.objective.discriminator(*output.logits.chunk(2))
            loss_g = gan.objective.generator(gan.discriminator(fake).logits)
            assert on_cuda(fake, output.logits, output.features, loss_d, loss_g)
    for buffer in gan.discriminator.buffers():
        assert buffer.dtype == torch.float32  # the norms are never rounded


@pytest.mark.parametrize("micro_batch", [None, 5])
@pytest.mark.parametrize("form", get_args(Form))
def test_an_iteration_looks_at_no_value(
    make_gan: Callable[..., GAN], micro_batch: int | None, form: Form, use_form: Any
) -> None:
    use_form(form)
    meta = make_gan().to("meta")
    pixels = torch.zeros(16, 3, 32, 32, dtype=torch.uint8, device="meta")
    batch = Batch(pixels=pixels, ids=torch.arange(16, device="meta"), size=16)
    z = torch.zeros(16, meta.generator.latent_dim, device="meta")
    parts = split(batch, z, micro_batch=micro_batch, dtype=torch.float32)
    meta.train_iteration([parts], *meta.configure_optimizers(), iteration=3)
    assert all(loss.device.type == "meta" for loss in meta.losses.values())
