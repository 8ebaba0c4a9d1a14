"""Neighbours of a generator's images, each rank searching for, and in, its share of them.

A rank asks for the data nearest to its own images, and for its own images nearest to the data; the
nearest of all images is the nearest of the ranks' nearest. A rank that is alone has all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch import Tensor

from ganstoch.data.datamodule import ImageData
from ganstoch.errors import UserError
from ganstoch.metrics import TwoWays
from ganstoch.metrics.features import Extractor
from ganstoch.metrics.functional import OneWay, sample_ids, tail_means
from ganstoch.metrics.neighbours import nearest_neighbours
from ganstoch.types import Neighbours, Norm

__all__ = ["Found", "Search", "Shard", "stretch"]

_SEED = 0
"""Decides who asks, the same in every evaluation of every run."""


@dataclass(frozen=True, slots=True)
class Shard:
    """What one rank contributes; no neighbours where one of its images is not finite.

    Attributes:
        images: its own, shape (about N / world, *shape).
        asked: by space, the data nearest to those of its images that ask.
        answered: by space, its images nearest to the data that ask; ids count from its first.
        unseen: idem, of held-out images that ask.
    """

    images: Tensor
    asked: dict[str, Neighbours] = field(default_factory=dict)
    answered: dict[str, Neighbours] = field(default_factory=dict)
    unseen: dict[str, Neighbours] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """What all ranks have found together.

    Attributes:
        images: all of them, shape (N, *shape).
        pairs: for each feature's name the queries and their neighbours, both ways; none where an
            image is not finite.
        metrics: what follows from the pairs, by name.
    """

    images: Tensor
    pairs: dict[str, TwoWays]
    metrics: dict[str, float]


def stretch(count: int, *, rank: int, world: int) -> slice:
    """Which of so many images a rank makes: neighbours, so that the ranks' follow each other."""
    return slice(rank * count // world, (rank + 1) * count // world)


class Search:
    """Searches in several feature spaces, and keeps the features of what stays the same.

    Args:
        extractors: the spaces, by name.
        queries: how many images ask, each way; None for all.
    """

    def __init__(self, extractors: Mapping[str, Extractor], *, queries: int | None) -> None:
        self.extractors = dict(extractors)
        self.queries = queries
        self._real: dict[str, Tensor] = {}
        self._unseen: dict[str, Tensor] = {}

    def real(self, name: str, data: ImageData) -> Tensor:
        """Features of all data in a space, shape (n, F)."""
        if name not in self._real:
            self._real[name] = self.extractors[name](data.subset.pixels)
        return self._real[name]

    def look(
        self,
        data: ImageData,
        images: Tensor,
        names: Sequence[str],
        *,
        start: int,
        of: int,
        unseen: bool = False,
    ) -> Shard:
        """One rank's share of a measurement.

        Args:
            data: set up.
            images: its own.
            names: the spaces to look in.
            start: where among all images its own begin.
            of: how many there are.
            unseen: whether held-out images ask too.
        """
        shard = Shard(images)
        if not images.isfinite().all():
            return shard
        for name in names:
            extractor, real = self.extractors[name], self.real(name, data)
            features = extractor(images) if len(images) else real[:0]
            asking = self._asking(of, draw=0)
            own = asking[(asking >= start) & (asking < start + len(images))] - start
            shard.asked[name] = _nearest(features, own, real, norm=extractor.norm)
            asking = self._asking(len(real), draw=1)
            shard.answered[name] = _nearest(real, asking, features, norm=extractor.norm)
            if unseen:
                if name not in self._unseen:
                    assert data.held_out is not None
                    self._unseen[name] = extractor(data.held_out)
                asking = self._asking(len(self._unseen[name]), draw=0)
                shard.unseen[name] = _nearest(
                    self._unseen[name], asking, features, norm=extractor.norm
                )
        return shard

    def merge(self, data: ImageData, shards: Sequence[Shard]) -> Found:
        """The ranks' shares, in their order, as one measurement.

        Raises:
            UserError: if some ranks have looked in spaces where others could not.
        """
        images = shards[0].images
        if len(shards) > 1:
            images = torch.cat([shard.images for shard in shards])
        if not images.isfinite().all():
            return Found(images, {}, {})
        if any(shard.asked.keys() != shards[0].asked.keys() for shard in shards):
            raise UserError(
                "evaluation.semantic: not every device finds the feature network's weights; put "
                "them on all of them, or set it to null"
            )
        starts = [0, *accumulate(len(shard.images) for shard in shards)][:-1]
        pairs: dict[str, TwoWays] = {}
        of_unseen: dict[str, float] = {}
        for name in shards[0].asked:
            extractor, real = self.extractors[name], self.real(name, data)
            scale = extractor.scale(real.shape[1])
            pairs[extractor.name] = TwoWays(
                overfitting=_one_way(
                    self._asking(len(images), draw=0),
                    _one_after_the_other([shard.asked[name] for shard in shards]),
                    scale,
                ),
                mode_drop=_one_way(
                    self._asking(len(real), draw=1),
                    _nearest_of([shard.answered[name] for shard in shards], starts),
                    scale,
                ),
            )
            if name in shards[0].unseen:
                way = _one_way(
                    self._asking(len(self._unseen[name]), draw=0),
                    _nearest_of([shard.unseen[name] for shard in shards], starts),
                    scale,
                )
                of_unseen |= way.tail.named(f"held_out_drop/{extractor.name}")
        metrics: dict[str, float] = {}
        for space, ways in pairs.items():
            metrics |= ways.named(space)
        return Found(images, pairs, metrics | of_unseen)

    def _asking(self, count: int, *, draw: int) -> Tensor:
        return sample_ids(count, self.queries, seed=_SEED, draw=draw)


def _nearest(asking: Tensor, rows: Tensor, answering: Tensor, *, norm: Norm) -> Neighbours:
    """From some rows to the nearest of the other side; infinitely far where there are none."""
    if not len(rows) or not len(answering):
        far = torch.full((len(rows),), torch.inf, dtype=torch.float64)
        return Neighbours(far, torch.zeros(len(rows), dtype=torch.int64))
    return nearest_neighbours(asking[rows.to(asking.device)], answering, norm=norm)


def _one_after_the_other(parts: Sequence[Neighbours]) -> Neighbours:
    """Different queries' answers."""
    distances = torch.cat([part.distances for part in parts])
    return Neighbours(distances, torch.cat([part.ids for part in parts]))


def _nearest_of(parts: Sequence[Neighbours], starts: Sequence[int]) -> Neighbours:
    """The same queries' answers from several stretches; of equally near ones the lowest id."""
    distances = torch.stack([part.distances for part in parts])
    ids = torch.stack([part.ids + start for part, start in zip(parts, starts, strict=True)])
    nearest = distances.min(dim=0).values
    ids = ids.masked_fill(distances > nearest, torch.iinfo(torch.int64).max)
    return Neighbours(nearest, ids.min(dim=0).values)


def _one_way(queries: Tensor, found: Neighbours, scale: float) -> OneWay:
    distances = found.distances / scale
    return OneWay(
        queries=queries, neighbours=Neighbours(distances, found.ids), tail=tail_means(distances)
    )
