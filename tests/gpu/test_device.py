"""What only a CUDA device can show; `make test-gpu` runs it."""

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ganstoch.bench.equality import draw, make_gan, parts_of
from ganstoch.bench.memory import peak_bytes
from ganstoch.metrics.neighbours import nearest_neighbours
from ganstoch.models.convolution import Form, Geometry, convolve
from ganstoch.training.gan import GAN
from ganstoch.types import Norm

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")]

CUDA = torch.device("cuda")


def train(gan: GAN, *, m: int = 16, iterations: int = 3, mixed: bool = False) -> dict[str, Tensor]:
    """The state some iterations leave, and the losses on the way."""
    optimizers = gan.configure_optimizers()
    left: dict[str, Tensor] = {}
    for iteration in range(iterations):
        batch, z = draw(m, gan.generator.latent_dim, iteration=iteration)
        batch = replace(batch, pixels=batch.pixels.to(CUDA))
        with torch.autocast("cuda", torch.bfloat16, enabled=mixed):
            parts = parts_of(batch, z.to(CUDA), gan=gan)
            gan.train_iteration([parts], *optimizers, iteration=iteration)
        left |= {f"{name}/{iteration}": loss.clone() for name, loss in gan.losses.items()}
    return left | {name: value.clone() for name, value in gan.state_dict().items()}


@pytest.fixture
def deterministic(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    yield None
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("deterministic")
def test_deterministic_kernels_give_the_same_bits() -> None:
    gan = make_gan(latent_dim=64, width=128).to(CUDA)
    twin = copy.deepcopy(gan)
    one, other = train(gan), train(twin)
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_the_gpu_computes_what_the_cpu_does() -> None:
    here = make_gan(latent_dim=16, width=32).double()
    there = copy.deepcopy(here).to(CUDA)
    optimizers = here.configure_optimizers()
    for iteration in range(3):
        batch, z = draw(16, 16, iteration=iteration)
        here.train_iteration([parts_of(batch, z, gan=here)], *optimizers, iteration=iteration)
    theirs = train(there)
    for name, value in here.state_dict().items():
        assert (value - theirs[name].cpu()).abs().max() < 1e-9, name


@pytest.mark.parametrize("form", ["taps", "convolved"])
def test_forms_agree(form: Form) -> None:
    x = torch.linspace(-1, 1, 8 * 64 * 16, device=CUDA).view(8, 64, 4, 4).double().requires_grad_()
    w = torch.linspace(-1, 1, 32 * 64 * 25, device=CUDA).view(32, 64, 5, 5).double()
    w.requires_grad_()
    geometry = Geometry(1, 2)
    one, other = (convolve(x, w, None, geometry, each) for each in (form, "direct"))
    assert torch.allclose(one, other, rtol=1e-10)
    slopes = [torch.autograd.grad(out.square().sum(), (x, w)) for out in (one, other)]
    for a, b in zip(*slopes, strict=True):
        assert torch.allclose(a, b, rtol=1e-10)


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_compiled_networks_and_cuda_graphs_against_eager(mode: str) -> None:
    gan = make_gan(latent_dim=64, width=64).to(CUDA)
    twin = copy.deepcopy(gan)
    twin.compile_mode = mode  # type: ignore[assignment]
    twin.on_fit_start()
    eager, compiled = train(gan, iterations=5), train(twin, iterations=5)
    for name, value in eager.items():
        assert torch.allclose(value, compiled[name], rtol=1e-3, atol=1e-4), name


def test_drift_of_bf16_is_small_and_named() -> None:
    gan = make_gan(latent_dim=64, width=128).to(CUDA)
    twin = copy.deepcopy(gan)
    single, mixed = train(gan, m=64, iterations=5), train(twin, m=64, iterations=5, mixed=True)
    for name, value in mixed.items():
        assert value.dtype == torch.float32, name
        if "loss" in name:
            assert (value - single[name]).abs() < 0.02 * single[name].abs(), name


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_faiss_on_the_gpu_is_that_of_the_cpu(norm: Norm, monkeypatch: pytest.MonkeyPatch) -> None:
    faiss = pytest.importorskip("faiss")
    if not hasattr(faiss, "StandardGpuResources"):
        pytest.skip("the CPU build of FAISS")
    rng = torch.Generator().manual_seed(0)
    query = torch.rand(200, 3072, generator=rng) * 255
    bank = (torch.rand(3000, 3072, generator=rng) * 255).to(torch.uint8)
    query[:50] = bank[:50].float()
    there = nearest_neighbours(query.to(CUDA), bank.to(CUDA), norm=norm)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    here = nearest_neighbours(query, bank, norm=norm)
    assert torch.equal(here.ids, there.ids)
    assert torch.equal(here.distances, there.distances)


def test_memory_is_what_was_counted(make_gan: Callable[..., GAN]) -> None:
    gan = make_gan(width=256).to(CUDA)
    counted = peak_bytes(gan, m=64, micro_batch=None)
    torch.cuda.reset_peak_memory_stats()
    train(gan, m=64)
    held = torch.cuda.max_memory_allocated()
    assert 0.5 * counted < held < 2 * counted  # kernels' own workspace comes on top
    few = peak_bytes(gan, m=512, micro_batch=64)
    assert few < 1.1 * counted


def test_an_iteration_never_waits_for_the_device() -> None:
    gan = make_gan(latent_dim=64, width=64).to(CUDA)
    optimizers = gan.configure_optimizers()
    batch, z = draw(16, 64, iteration=0)
    batch = replace(batch, pixels=batch.pixels.to(CUDA))
    z = z.to(CUDA)
    gan.train_iteration([parts_of(batch, z, gan=gan)], *optimizers, iteration=0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        gan.train_iteration([parts_of(batch, z, gan=gan)], *optimizers, iteration=1)
    finally:
        torch.cuda.set_sync_debug_mode("default")
