"""Values that others published, and the protocols behind them; the numbers lie in ``values/``.

[1] Yazici et al. 2020, arXiv:2006.14265, Sec. 4 and Table 1.
[2] Lin et al. 2018, "PacGAN: The power of two samples in generative adversarial networks",
    Tables 1 to 3; standard errors over 10 trials, in Table 3 over 50.
[3] Srivastava et al. 2017, "VEEGAN: Reducing mode collapse in GANs using implicit variational
    learning", Table 1; without errors.
[4] Metz et al. 2017, "Unrolled generative adversarial networks", as quoted in [2, Table 3].
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

_VALUES = Path(__file__).parent / "values"
# The six columns of Table 1 with their keys in a record, in grey levels per pixel and channel.
SCORES = {
    f"{direction}_{part}": f"{direction}/pixel_l1/{part}"
    for direction in ("overfitting", "mode_drop")
    for part in ("mean", "worst10", "worst5")
}
SHARES = (4, 16, 64, 256)  # n / m of the paper's mini-batches [1, Sec. 4]
_GENERATOR, _ADAM = ("model", "generator", "init_args"), ("model", "optimizer")
# The paper's setting [1, Sec. 4, Tables 2 and 3], by name: path in a configuration, value.
PAPER = {
    "n": (("data", "n"), 12_800),
    "width": ((*_GENERATOR, "width"), 1024),
    "latent size": ((*_GENERATOR, "latent_dim"), 512),
    "learning rate": ((*_ADAM, "lr"), 1e-4),
    "beta1": ((*_ADAM, "beta1"), 0.0),
    "beta2": ((*_ADAM, "beta2"), 0.9),
}
_TITLES = {"svhn": "SVHN", "cifar10": "CIFAR-10", "ffhq": "FFHQ"}


@cache
def published_table1() -> pd.DataFrame:
    """The paper's Table 1: dataset, n_over_m, noise and the six `SCORES`, fifteen rows."""
    return pd.read_csv(_VALUES / "table1.csv")


@cache
def published_synthetic() -> pd.DataFrame:
    """Published modes, good samples (%) and reverse KL (nats); ``remedy`` is our counterpart."""
    return pd.read_csv(_VALUES / "synthetic.csv")


def lookup(dataset: str, *, n_over_m: float, noise: float) -> pd.Series | None:
    """The paper's row with the same n / m (within 5 %: m is a whole number) and noise, or None."""
    table = published_table1()
    near = (n_over_m / table.n_over_m - 1.0).abs() <= 0.05
    rows = table[(table.dataset == dataset) & near & (table.noise == noise)]
    return None if rows.empty else rows.iloc[0]


def title(dataset: str) -> str:
    """A dataset's name as written in a heading; unknown names stay as they are."""
    return _TITLES.get(dataset, dataset)


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a synthetic data set is set up: a title, whose protocol, length of published training."""

    title: str
    name: str
    iterations: int | None = None


_SYNTHETIC = {
    # 400 epochs of 100,000 points in batches of 100 [2, appendix].
    "ring": Protocol("2-D ring", "PacGAN 2-D", 400_000),
    # The notebook published with unrolled GANs shows pictures and no numbers.
    "ring_unrolled": Protocol("2-D ring", "unrolled GAN's notebook", 25_000),
    "grid": Protocol("2-D grid", "PacGAN 2-D", 400_000),
    "gaussians1200": Protocol("1200-D Gaussians", "VEEGAN 1200-D"),
    "bimodal": Protocol("bimodal", "two modes in 1-D"),
}
_STACKED = {"stacked_mnist": "stacked MNIST", "stacked_fashion": "stacked Fashion-MNIST"}


def protocol_of(dataset: str, *, variant: str = "veegan", ratio: float | None = None) -> Protocol:
    """The protocol of a synthetic data set; ``ratio`` is D's size over G's [2, Table 3]."""
    if dataset not in _STACKED:
        return _SYNTHETIC.get(dataset, Protocol(dataset, dataset))
    if variant == "veegan":
        # 50 epochs of 128,000 images in batches of 64 [2, appendix].
        return Protocol(_STACKED[dataset], "VEEGAN", 100_000)
    size = {0.25: ", D = G/4", 0.5: ", D = G/2", None: ""}.get(ratio, f", D = {ratio or 0:g} G")
    return Protocol(_STACKED[dataset], f"unrolled{size}", 500_000)
