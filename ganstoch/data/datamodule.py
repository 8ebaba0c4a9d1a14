"""The real images of a run: a fixed subset on the device, and each iteration's draw from it."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from ganstoch.data.digits import Digits
from ganstoch.data.manifest import Manifest, check_in, describe
from ganstoch.data.sampling import (
    BatchSize,
    Sampling,
    draw_ids,
    is_rounded,
    resolve_batch_size,
    resolve_sampling,
)
from ganstoch.data.source import ArrayImages, ImageSet, Source
from ganstoch.data.subset import Subset, choose, leftover, leftover_ids
from ganstoch.errors import UserError
from ganstoch.rng import share
from ganstoch.types import Batch, KnownModes, Shape

__all__ = ["ImageData", "StepCounter"]

_CPU = torch.device("cpu")


class StepCounter:
    """Counts 0, 1, 2, ... for ever: Lightning's loop wants something to iterate over.

    No `DataLoader`, so there are no workers, no sampler to be replaced on several ranks, and no
    process that could bring an order of its own. Nothing is read from the numbers, so a resumed run
    needs no place in them: the state is empty, which tells Lightning that resuming is safe.
    """

    def __iter__(self) -> Iterator[int]:
        return itertools.count()

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing."""


class ImageData(LightningDataModule):
    """Batches drawn from a fixed subset of a source, a function of seed and iteration alone.

    After `setup`:

    Attributes:
        subset: the n images.
        held_out: images that training never sees, shape (at most n, ...), as the subset has them:
            from the source's held-out split, otherwise those that the subset left over; None if
            none are.
        batch_size: m in images, over all ranks.
        sampling: the rule that batches are drawn by.
        manifest: what identifies the subset.
        known_modes: what is known of the modes; None where nothing is.

    Set by whoever plays, before training:

    Attributes:
        images_factor: how many times m images a batch holds, for a discriminator that looks at
            several images at once.
        pack: how many it looks at; no two ranks share them.
    """

    subset: Subset
    held_out: Tensor | None
    batch_size: int
    sampling: Sampling
    manifest: Manifest
    known_modes: KnownModes | None
    images_factor: int = 1
    pack: int = 1

    def __init__(
        self,
        source: Source = Digits(),  # noqa: B008 - the command line reads the class from here
        *,
        root: Path = Path("data"),
        n: int = 12_800,
        m: BatchSize = "n/4",
        sampling: Sampling | None = None,
        subset_seed: int = 0,
        seed: int = 0,
    ) -> None:
        """Reads nothing yet.

        Args:
            source: where the images come from.
            root: the folder that the source's data lie in.
            n: size of the subset.
            m: logical batch size: a number, or a share of the subset such as n or n/4.
            sampling: how a batch is drawn; by default with replacement, and every image exactly
                once where m = n.
            subset_seed: chooses the subset and the held-out images.
            seed: draws the batches.
        """
        super().__init__()
        self.source = source
        self.root = Path(root).expanduser()
        self.n = n
        self.m = m
        self.subset_seed = subset_seed
        self.seed = seed
        self._asked_sampling = sampling
        self._ready = False
        self._pixels: dict[torch.device, Tensor] = {}
        self._labels: dict[torch.device, Tensor] = {}

    def prepare_data(self) -> None:
        """Loads everything on the first rank alone first, so that one process writes the caches."""
        self._load()

    def setup(self, stage: str) -> None:
        """Loads everything, once.

        Args:
            stage: ignored: training and evaluation use the same images.

        Raises:
            UserError: if the data are missing or damaged, or not what the manifest describes, or if
                n or m do not fit them.
        """
        self._load()

    def _load(self) -> None:
        if self._ready:
            return
        self.batch_size = resolve_batch_size(self.m, n=self.n)
        self.sampling = resolve_sampling(self._asked_sampling, m=self.batch_size, n=self.n)
        images = self.source.open(self.root, "train")
        assert images is not None, "every source has a training split"
        self.subset = choose(images, n=self.n, seed=self.subset_seed)
        self.manifest = describe(self.subset, source=self.source.label)
        if not self.source.in_package:
            check_in(self.root, self.manifest)
        self.held_out = self._read_held_out()
        self.known_modes = self.source.known_modes(self.root)
        if is_rounded(self.m, n=self.n):
            _say(f"data.m = {self.m} of n = {self.n} is rounded to {self.batch_size}")
        self._ready = True

    def _read_held_out(self) -> Tensor | None:
        images, used = self._unseen()
        return leftover(images, used=used, limit=self.n, seed=self.subset_seed)

    def _unseen(self) -> tuple[ImageSet, Tensor]:
        """A split that holds images out of training, and which of its images training sees."""
        images = self.source.open(self.root, "held_out")
        if images is None:
            return self.subset.source, self.subset.ids
        return images, self.subset.ids[:0]

    def held_out_with_labels(self, limit: int) -> ArrayImages | None:
        """Images that training never sees, with their classes; after `setup`.

        They come from where `held_out` does, and may be more than n.

        Args:
            limit: how many at most.

        Returns:
            None if there are none, or none with classes.

        Raises:
            UserError: if one of them cannot be read.
        """
        images, used = self._unseen()
        if images.labels is None:
            return None
        ids = leftover_ids(images, used=used, limit=limit, seed=self.subset_seed)
        if not len(ids):
            return None
        return ArrayImages(images.read(ids), split="held_out", labels=images.labels[ids])

    @property
    def shape(self) -> Shape:
        """Of one image or point; after `setup`."""
        return tuple(self.subset.pixels.shape[1:])

    def train_dataloader(self) -> StepCounter:
        """A clock; the images are drawn in `on_after_batch_transfer`."""
        return StepCounter()

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """The real half of the trainer's current iteration, on its device.

        Args:
            batch: a number from the clock; ignored.
            dataloader_idx: ignored.

        Returns:
            A `Batch`; outside training, where there is no clock, the batch as it came.
        """
        trainer = self.trainer
        assert trainer is not None
        if not trainer.training:
            return batch
        return self.batch(
            trainer.global_step,  # one optimizer counts, so this is the iteration, resumed or not
            device=trainer.strategy.root_device,
            rank=trainer.global_rank,
            world=trainer.world_size,
        )

    def batch(
        self,
        iteration: int,
        *,
        device: torch.device = _CPU,
        rank: int = 0,
        world: int = 1,
        repeat: int = 0,
    ) -> Batch:
        """The real half of any iteration.

        Args:
            iteration: the iteration, from 0.
            device: where to put it. The whole subset moves there at the first call, and stays.
            rank: which of the ranks asks: it gets its share of the common draw, in whole packs
                (`share`).
            world: how many ranks share the draw.
            repeat: which of the iteration's draws, from 0: an iteration with several updates takes
                an independent one for each.

        Raises:
            UserError: if there are more ranks than packs in a batch.
        """
        size = self.batch_size * self.images_factor
        if -(-size // self.pack) < world:
            raise UserError(
                f"data.m is {self.batch_size} on {world} ranks; raise it, or take fewer"
            )
        if device not in self._pixels:
            self._pixels[device] = self.subset.pixels.to(device)
            if self.subset.labels is not None:
                self._labels[device] = self.subset.labels.to(device)
        ids = draw_ids(
            self.sampling,
            count=self.n,
            m=size,
            seed=self.seed,
            iteration=iteration,
            repeat=repeat,
        )
        ids = ids[share(size, rank=rank, world=world, group=self.pack)].to(device)
        labels = self._labels.get(device)
        return Batch(
            pixels=self._pixels[device][ids],
            ids=ids,
            size=size,
            labels=None if labels is None else labels[ids],
        )


@rank_zero_only
def _say(line: str) -> None:
    print(line, file=sys.stderr)
