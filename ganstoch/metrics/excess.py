"""A share of images beyond what unseen real images show, with exact small-count statistics.

A rule flags k of M generated images and j of R real ones that were not trained on. If a share c of
the generated images deserve it and the others behave as the real ones do,

    k / M = c + (1 - c) j / R,    so    c = (k/M - j/R) / (1 - j/R).

The upper end of c's interval is that of k / M [1]; its lower end takes the natural share off with
the uncertainty of both counts [2]. The test is Fisher's. A count of near-duplicates, flagged
together or not at all, varies more, by their design effect [3].

[1] Clopper, Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of the
    binomial", Biometrika 26.
[2] Zou, Donner 2008, "Construction of confidence limits about effect measures", Statistics in
    Medicine 27: limits of a difference from those of its parts.
[3] Kish 1965, "Survey Sampling", Sec. 8.2; of groups of m alike by r it is 1 + (m - 1) r, Sec. 5.4.
[4] Donner 1986, "A review of inference procedures for the intraclass correlation coefficient in the
    one-way random effects model", International Statistical Review 54: from the two mean squares.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import betaincinv, gammaln
from torch import Tensor


def clopper_pearson(count: float, total: float, *, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share of ``total`` trials [1]; neither number need be whole."""
    tail = (1 - level) / 2
    low = 0.0 if count <= 0 else float(betaincinv(count, total - count + 1, tail))
    high = 1.0 if count >= total else float(betaincinv(count + 1, total - count, 1 - tail))
    return low, high


def design_effect(groups: Tensor) -> float:
    """Sum of n_g^2 / sum of n_g of the sizes of groups [3], given each image's (N,); of none, 1."""
    sizes = torch.bincount(groups).double()
    return (sizes.square().sum() / len(groups)).item() if len(groups) else 1.0


def intraclass(values: Tensor, groups: Tensor) -> float:
    """How alike rows (N, F...) of a group (N,) are, from 0, as any, to 1, the same [4]."""
    _, members, sizes = torch.unique(groups, return_inverse=True, return_counts=True)
    count, kinds = len(groups), len(sizes)
    if kinds in (1, count):
        return 1.0  # nothing tells
    rows = values.flatten(1).double()
    rows = rows - rows.mean(0)
    sums = torch.zeros(kinds, rows.shape[1], dtype=torch.float64).index_add_(0, members, rows)
    between = (sums.square().sum(1) / sizes).sum().item()
    apart = between / (kinds - 1)
    within = (rows.square().sum().item() - between) / (count - kinds)
    size = (count - sizes.double().square().sum().item() / count) / (kinds - 1)
    total = apart + (size - 1) * within
    return min(1.0, max(0.0, (apart - within) / total)) if total > 0 else 1.0


@dataclass(frozen=True, slots=True)
class Excess:
    """Flagged images among generated ones, beside those among unseen real ones."""

    count: int  # generated images that are flagged, k
    total: int  # generated images, M, at least 1
    usual: int  # unseen real images that are flagged, j
    usual_total: int  # unseen real images, R, at least 1

    @property
    def rate(self) -> float:
        """Share of generated images that are flagged."""
        return self.count / self.total

    @property
    def natural(self) -> float:
        """Share of unseen real images that are flagged."""
        return self.usual / self.usual_total

    @property
    def estimate(self) -> float:
        """The share c; 0 where all real images are flagged, of which nothing can be said."""
        if self.natural >= 1:
            return 0.0
        return max(0.0, (self.rate - self.natural) / (1 - self.natural))

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval of c."""
        if self.natural >= 1:
            return 0.0
        below = self.rate - clopper_pearson(self.count, self.total)[0]
        above = clopper_pearson(self.usual, self.usual_total)[1] - self.natural
        low = self.rate - self.natural - math.hypot(below, above)
        return min(self.estimate, max(0.0, low / (1 - self.natural)))

    @property
    def high(self) -> float:
        """Its upper end."""
        return clopper_pearson(self.count, self.total)[1]

    @property
    def high_beyond(self) -> float:
        """The upper end where the other images are flagged as often as real ones, as in a null."""
        if self.natural >= 1:
            return 1.0
        above = self.high - self.rate
        below = self.natural - clopper_pearson(self.usual, self.usual_total)[0]
        high = self.rate - self.natural + math.hypot(above, below)
        return min(self.high, max(self.estimate, high / (1 - self.natural)))

    @property
    def p_value(self) -> float:
        """That both sets are flagged alike: chance of as many or more of the generated ones."""
        return self._tail(self.count)

    def by_groups(self, effect: float) -> "Excess":
        """The same where so many unseen real images say no more than one."""
        total = max(1, round(self.usual_total / effect))
        return replace(self, usual=min(total, round(self.usual / effect)), usual_total=total)

    def times(self, factor: float) -> "Excess":
        """The same rates among so many times as many images of either kind."""
        counts = self.count, self.total, self.usual, self.usual_total
        return Excess(*(round(count * factor) for count in counts))

    def detectable(self, level: float, *, power: float = 0.95) -> float | None:
        """The smallest share c whose test falls to the level as often as the power says, if any."""
        if self._tail(self.total) > level:
            return None
        few, enough = -1, self.total
        while enough - few > 1:
            middle = (few + enough) // 2
            few, enough = (few, middle) if self._tail(middle) <= level else (middle, enough)
        rate = float(betaincinv(enough, self.total - enough + 1, power))
        return min(1.0, max(0.0, (rate - self.natural) / (1 - self.natural)))

    def _tail(self, count: int) -> float:
        """P(at least ``count`` of the flagged are generated), hypergeometric."""
        flagged = count + self.usual
        made, whole = self.total, self.total + self.usual_total
        many = np.arange(count, min(flagged, made) + 1)
        logs = _choose(made, many) + _choose(self.usual_total, flagged - many)
        return float(min(1.0, np.exp(logs - _choose(whole, flagged)).sum()))


def _choose(n: int, k: object) -> np.ndarray:
    chosen = np.asarray(k, np.float64)
    logs: np.ndarray = gammaln(n + 1) - gammaln(chosen + 1) - gammaln(n - chosen + 1)
    return logs
