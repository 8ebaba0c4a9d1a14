"""Points from mixtures of Gaussians: data small enough that every mode can be counted.

[1] Srivastava et al. 2017, "VEEGAN", arXiv:1705.07761, Sec. 5.1.
[2] Lin et al. 2018, "PacGAN", arXiv:1712.04086, Sec. 4.1, and its published code.
[3] Metz et al. 2017, "Unrolled generative adversarial networks", arXiv:1611.02163, Sec. 3.1.
"""

import math
from abc import abstractmethod
from pathlib import Path

import torch
from torch import Tensor

from ganstoch.data.source import Drawn, ImageSet, Source
from ganstoch.rng import normal, rng_for, with_replacement
from ganstoch.types import GaussianModes, Split

SIZE = 100_000  # points of a training split, as in [2]
SAMPLES = 2500  # generated points that a score is measured on, as in [1] and [2]
_BLOCK = 1024  # points drawn together, so that some can be had without drawing all


class Points(ImageSet):
    """Points of a mixture, each a function of seed, source, split and position; drawn when read."""

    def __init__(
        self, modes: GaussianModes, *, size: int, seed: int, name: str, split: Split
    ) -> None:
        self._modes, self._seed, self._part = modes, seed, f"{name}/{split}"
        self.split = split
        count, dimensions = modes.centres.shape
        self.shape = (dimensions,)
        rng = rng_for(seed, "subset", part=f"{self._part}/modes")
        self.labels: Tensor = with_replacement(count, size, rng)
        self.classes = tuple(f"mode {i}" for i in range(count))

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, ids: Tensor) -> Tensor:
        """The points at the given positions, float32, shape (N, D); see `ImageSet.read`."""
        noise = torch.empty(len(ids), self._modes.spread)
        blocks, places = ids // _BLOCK, ids % _BLOCK
        for block in sorted(set(blocks.tolist())):
            is_here = blocks == block
            rng = rng_for(self._seed, "subset", block, part=self._part)
            noise[is_here] = normal((_BLOCK, self._modes.spread), rng)[places[is_here]]
        return self._modes.points(self.labels[ids], noise)


class _Mixture(Drawn):
    """What the sources below share.

    Args:
        size: points of the training split; the held-out split has as many, at most 10,000.
        seed: decides the points; apart from the run's seed, so that runs can share them.
    """

    usual_size = SIZE
    in_package = True

    def __init__(self, size: int = SIZE, seed: int = 0) -> None:
        super().__init__(size, seed)

    def open(self, root: Path, split: Split) -> Points:
        """The points of a split; see `Source.open`."""
        modes, size = self.known_modes(root), self.split_size(split)
        return Points(modes, size=size, seed=self.seed, name=self.name, split=split)

    @abstractmethod
    def known_modes(self, root: Path) -> GaussianModes:
        """The mixture; ``root`` is ignored."""


class Ring(_Mixture, Source):
    """8 Gaussians of sigma 0.01, evenly on the circle of radius 1 [2], after [3].

    The published code of [3] spaces eight angles from 0 to 2 pi with both ends: seven modes.
    """

    name = "ring"
    summary = "8 Gaussians on a circle, 100,000 points in 2 dimensions: no download"

    def known_modes(self, root: Path) -> GaussianModes:
        """Centres at the angles 0, 1/8, .., 7/8 of a turn."""
        angles = torch.arange(8) * (2 * math.pi / 8)
        centres = torch.stack([angles.cos(), angles.sin()], dim=1)
        return GaussianModes(centres, sigma=0.01, samples=SAMPLES)


class Grid(_Mixture, Source):
    """25 Gaussians of sigma 0.05 at {-4, -2, 0, 2, 4}^2 [2]."""

    name = "grid"
    summary = "25 Gaussians on a 5x5 grid, 100,000 points in 2 dimensions: no download"

    def known_modes(self, root: Path) -> GaussianModes:
        """Centres row by row."""
        steps = torch.arange(-4.0, 5.0, 2.0)
        return GaussianModes(torch.cartesian_prod(steps, steps), sigma=0.05, samples=SAMPLES)


class HighDimensional(_Mixture, Source):
    """10 Gaussians of 700 dimensions embedded in 1,200 [1], with the numbers of the code of [2].

    All coordinates of a centre are equal; the first 700 coordinates of a point have standard
    deviation 1 around them, the other 500 none. The nearest two centres are 8.7 apart.

    Ours: good are the points nearer than the radius that 98.9 % of the data stay within. [1] asks
    for 10 standard deviations, but the data are sqrt(700) = 26.5 from their own centre.
    """

    name = "gaussians1200"
    summary = "10 Gaussians of 700 dimensions, 100,000 points in 1,200 (480 MB): no download"

    def known_modes(self, root: Path) -> GaussianModes:
        """Centres on the diagonal, in the order of the code of [2]."""
        from scipy.stats import chi2

        levels = torch.tensor([-1, -0.5, 0, 0.5, -2, -2.5, 10, 0.25, -13, -5.5])
        centres = levels[:, None].expand(-1, 1200).contiguous()
        within = 1 - math.exp(-4.5)  # the share within 3 sigma of a Gaussian in the plane
        radius = math.sqrt(chi2.ppf(within, 700))
        return GaussianModes(centres, sigma=1.0, samples=SAMPLES, rank=700, radius=radius)


class Bimodal(_Mixture, Source):
    """Temperatures of a summer day at Alice Springs, or at the South Pole: 2 modes on a line.

    The example of Rao, Surana and Devraj, "Analyzing the Mode Collapse Problem in GANs", Fig. 4.
    Ours: 30 and -30 degrees Celsius with a standard deviation of 3, in units of 30 degrees.
    """

    name = "bimodal"
    summary = "summer temperatures in Alice Springs or at the South Pole, 100,000 numbers"

    def known_modes(self, root: Path) -> GaussianModes:
        """Hot, then cold."""
        return GaussianModes(torch.tensor([[1.0], [-1.0]]), sigma=0.1, samples=SAMPLES)
