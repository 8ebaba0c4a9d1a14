import copy
import math
from collections.abc import Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import softplus
from torch.optim import Adam

from ganstoch import remedies
from ganstoch.models import Discriminator
from ganstoch.remedies import Unrolling, unrolling
from ganstoch.remedies.unrolling import Start, unroll

SEVERAL: dict[str, dict[str, dict[str, Any]]] = {
    "alone": {},
    "acgan": {"ACGAN": {"classes": 3}},
    "batch_norm": {"DiscriminatorBatchNorm": {}},
    "feature_matching": {"FeatureMatching": {}},
    "flipping": {"LabelFlipping": {"probability": 0.5}, "Ratio": {"generator": 2}},
    "minibatch_discrimination": {"MinibatchDiscrimination": {"kernels": 3, "dims": 2}},
    "mixture": {"Mixture": {"generators": 2, "identity": 1.0}},
    "packing": {"Packing": {}},
    "pretraining": {"Pretraining": {"iterations": 1}},
    "r1": {"R1": {}, "Ratio": {"discriminator": 2}},
    "replay": {"ExperienceReplay": {"capacity": 8}},
    "snapshots": {"Snapshots": {"every": 1, "lasting": 1}},
    "wgan_gp": {"WGANGP": {}},
}


def theta_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in network.named_parameters()}


def farthest(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    assert one.keys() == other.keys()
    return max((one[name] - other[name]).abs().max().item() for name in one)


@pytest.mark.parametrize(
    ("others", "points"),
    [(name, True) for name in SEVERAL] + [("alone", False), ("packing", False)],
)
def test_first_unrolled_update_is_real(tiny: SimpleNamespace, others: str, points: bool) -> None:
    beside = [getattr(remedies, name)(**given) for name, given in SEVERAL[others].items()]
    gan = tiny.make(*beside, Unrolling(steps=1), points=points).double()
    off: list[float] = []
    moved: list[float] = []

    def compared(gradients: Any, start: Start, **settings: Any) -> dict[str, Tensor]:
        theta = unroll(gradients, start, **settings)
        off.append(farthest(theta, theta_of(gan.discriminator)))
        moved.append(farthest(theta, start.theta))
        return theta

    with mock.patch.object(unrolling, "unroll", compared):
        tiny.train(gan, iterations=4)
    assert len(off) >= 3
    updates = gan.remedies.spec.updates[1]  # a further one has a batch of its own
    assert max(off[::updates]) < 1e-12
    assert min(moved) > 1e-4


@pytest.mark.parametrize("points", [True, False])
@pytest.mark.parametrize(("kind", "steps"), [("adam", 1), ("adam", 3), ("sgd", 3)])
def test_equals_the_formula(tiny: SimpleNamespace, kind: Any, steps: int, points: bool) -> None:
    """theta^{k+1} = theta^k + update(d f / d theta^k); dG = d f(theta_G, theta^K) / d theta_G."""
    gan = tiny.make(Unrolling(steps=steps, optimizer=kind), points=points).double()
    d, g = gan.discriminator, gan.generator
    step_d = Adam(d.parameters(), lr=0.01, betas=(0.5, 0.9))
    held = torch.optim.SGD(g.parameters(), lr=0.0)
    tiny.train(gan, iterations=3, optimizers=(step_d, held))
    ((part,),) = tiny.draw(gan, 3)
    names = [name for name, _ in d.named_parameters()]
    theta = [p.detach().clone().requires_grad_() for p in d.parameters()]
    states = [step_d.state[p] for p in d.parameters()]
    moments = [(s["exp_avg"].clone(), s["exp_avg_sq"].clone()) for s in states]

    maker, start = copy.deepcopy(g), copy.deepcopy(d)
    fakes = maker(part.latents)
    start.power_iterate()  # the norms of the real update; the rest has those after it

    seen: list[Tensor] = []
    held.register_step_pre_hook(lambda *_: seen.extend(p.grad.clone() for p in g.parameters()))
    (losses,) = tiny.train(gan, iterations=1, start=3, optimizers=(step_d, held))

    def logits(theta: Sequence[Tensor], x: Tensor, network: Discriminator = d) -> Tensor:
        weights = dict(zip(names, theta, strict=True))
        result: Tensor = functional_call(network, weights, (x,)).logits
        return result

    for t in range(4, 4 + steps):
        network = start if t == 4 else d
        loss = softplus(-logits(theta, part.real, network)).mean()
        loss = loss + softplus(logits(theta, fakes, network)).mean()
        slopes = torch.autograd.grad(loss, theta, create_graph=True)
        if kind == "sgd":
            theta = [p - 0.01 * s for p, s in zip(theta, slopes, strict=True)]
            continue
        moments = [
            (0.5 * m + 0.5 * s, 0.9 * v + 0.1 * s * s)
            for (m, v), s in zip(moments, slopes, strict=True)
        ]
        theta = [
            p - 0.01 * (m / (1 - 0.5**t)) / ((v / (1 - 0.9**t)).sqrt() + 1e-8)
            for p, (m, v) in zip(theta, moments, strict=True)
        ]
    loss_g = softplus(-logits(theta, fakes)).mean()
    expected = torch.autograd.grad(loss_g, list(maker.parameters()))
    assert losses["loss/generator"] == pytest.approx(loss_g.item(), abs=1e-12)
    assert max((a - b).abs().max() for a, b in zip(seen, expected, strict=True)) < 1e-12
    assert max(e.abs().max() for e in expected) > 1e-4


def test_the_discriminators_own_update_is_untouched(tiny: SimpleNamespace) -> None:
    plain, gan = tiny.make(points=False), tiny.make(Unrolling(steps=5), points=False)
    one, other = (tiny.train(each, iterations=1)[0] for each in (plain, gan))
    assert one["loss/discriminator"] == other["loss/discriminator"]
    assert gan.state_dict().keys() == plain.state_dict().keys()  # it keeps nothing in a checkpoint
    for name, value in plain.discriminator.state_dict().items():
        assert torch.equal(value, gan.discriminator.state_dict()[name]), name
    for player in (gan.generator, gan.discriminator):
        assert all(p.grad is None and p.requires_grad for p in player.parameters())


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_rotation_is_damped_as_the_formula_says(dirac: Any, steps: int) -> None:
    """psi' = psi - h theta, theta' = theta + h (psi - 2 K h theta); radius^2 1 - (2 K - 1) h^2."""
    h = 0.1
    path = dirac(Unrolling(steps=steps, optimizer="sgd"), lr=h, iterations=100)
    for (psi, theta), (next_psi, next_theta) in pairwise(path):
        assert next_psi == pytest.approx(psi - h * theta, abs=1e-12)
        assert next_theta == pytest.approx(theta + h * (psi - 2 * steps * h * theta), abs=1e-12)
    radius = math.sqrt(1 - (2 * steps - 1) * h * h)
    assert math.hypot(*path[-1]) < 1.5 * radius**100 * math.hypot(*path[0])
    plain = dirac(lr=h, iterations=100)
    assert min(math.hypot(*point) for point in plain) > 0.9  # where nothing is unrolled, it circles


def test_a_gradient_of_zero_has_a_finite_derivative_and_the_right_one() -> None:
    """lr g / (|g| + eps) has slope lr / eps at 0; there a plain square root gives nan."""
    zero, count = ({"w": torch.zeros(shape, dtype=torch.float64)} for shape in (2, ()))
    g = torch.tensor([0.0, 0.5], dtype=torch.float64, requires_grad=True)
    start = Start(zero, zero, zero, count, lr=0.25, betas=(0.0, 0.9), eps=1e-3)
    theta = unroll(lambda theta, step: {"w": g}, start, steps=1, adam=True)["w"]
    assert theta[0] == 0.0
    assert theta[1].item() == pytest.approx(-0.25 * 0.5 / 0.501, abs=1e-15)
    (slope,) = torch.autograd.grad(theta.sum(), g)
    assert slope[0].item() == pytest.approx(-0.25 / 1e-3, rel=1e-12)
    assert slope[1].item() == pytest.approx(-0.25 * 1e-3 / 0.501**2, rel=1e-9)
