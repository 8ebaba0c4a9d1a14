"""The paper's loop [Yazici et al. 2020, Tables 2 and 3, Sec. 4] as one would first write it.

Like `GAN`, which it is compared with, it takes one power iteration an update, not one a call.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, softplus
from torch.nn.utils import parametrize


class _SpectralNorm(nn.Module):
    """Divides a weight by u^T W v [Miyato et al. 2018, Alg. 1]."""

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("u", normalize(torch.randn(len(weight)), dim=0))
        self.register_buffer("v", normalize(torch.randn(weight[0].numel()), dim=0))

    @torch.no_grad()
    def iterate(self, weight: Tensor) -> None:
        self.v = normalize(weight.flatten(1).T @ self.u, dim=0)
        self.u = normalize(weight.flatten(1) @ self.v, dim=0)

    def forward(self, weight: Tensor) -> Tensor:
        return weight / (self.u @ weight.flatten(1) @ self.v)


def _generator(latent_dim: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Unflatten(1, (latent_dim, 1, 1)),
        nn.Conv2d(latent_dim, width, 4, stride=1, padding=3), nn.LeakyReLU(0.2),
        nn.Upsample(scale_factor=2), nn.Conv2d(width, width // 2, 3, padding=1), nn.LeakyReLU(0.2),
        nn.Upsample(scale_factor=2), nn.Conv2d(width // 2, width // 4, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Upsample(scale_factor=2), nn.Conv2d(width // 4, 3, 3, padding=1), nn.Tanh(),
    )  # fmt: skip


def _discriminator(width: int) -> nn.Sequential:
    layers = [
        nn.Conv2d(3, width // 8, 5, stride=2, padding=2), nn.LeakyReLU(0.2),
        nn.Conv2d(width // 8, width // 4, 5, stride=2, padding=2), nn.LeakyReLU(0.2),
        nn.Conv2d(width // 4, width // 2, 5, stride=2, padding=2), nn.LeakyReLU(0.2),
        nn.Conv2d(width // 2, width, 5, stride=1, padding=2), nn.LeakyReLU(0.2),
        nn.Conv2d(width, 1, 4), nn.Flatten(0),
    ]  # fmt: skip
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            parametrize.register_parametrization(layer, "weight", _SpectralNorm(layer.weight))
    return nn.Sequential(*layers)


class Reference:
    """Both players, of ``width`` channels in G's first map and D's last, and their iteration."""

    def __init__(self, *, latent_dim: int, width: int, lr: float, decay: float) -> None:
        self.g, self.d = _generator(latent_dim, width), _discriminator(width)
        self.average = _generator(latent_dim, width)
        self.average.load_state_dict(self.g.state_dict())
        self.decay = decay
        self.step_d = torch.optim.Adam(self.d.parameters(), lr=lr, betas=(0.0, 0.9))
        self.step_g = torch.optim.Adam(self.g.parameters(), lr=lr, betas=(0.0, 0.9))

    def power_iterate(self) -> None:
        """One step of the spectral norms' iteration, once an update."""
        for layer in self.d.modules():
            if isinstance(layer, parametrize.ParametrizationList):
                for norm in layer:
                    norm.iterate(layer.original)  # type: ignore[operator]

    def train_iteration(self, real: Tensor, z: Tensor, *, iteration: int) -> tuple[Tensor, Tensor]:
        """One update of D, one of G, one of the average; both losses. Images lie in [-1, 1]."""
        self.power_iterate()
        loss_d = softplus(-self.d(real)).mean() + softplus(self.d(self.g(z).detach())).mean()
        self.step_d.zero_grad()
        loss_d.backward()  # type: ignore[no-untyped-call]
        self.step_d.step()

        self.power_iterate()
        loss_g = softplus(-self.d(self.g(z))).mean()
        self.step_g.zero_grad()
        loss_g.backward()  # type: ignore[no-untyped-call]
        self.step_g.step()

        past = min(self.decay, iteration / (iteration + 10))
        with torch.no_grad():
            for mean, live in zip(self.average.parameters(), self.g.parameters(), strict=True):
                mean.mul_(past).add_(live, alpha=1 - past)
        return loss_d.detach(), loss_g.detach()
