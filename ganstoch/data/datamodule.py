"""The real images of a run: a fixed subset on the device, and each iteration's draw from it."""

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from ganstoch.data.digits import Digits
from ganstoch.data.source import ArrayImages, ImageSet, Source
from ganstoch.data.subset import (
    BatchSize,
    Manifest,
    Sampling,
    Subset,
    choose,
    draw_ids,
    is_rounded,
    leftover_ids,
    resolve_batch_size,
    resolve_sampling,
)
from ganstoch.errors import UserError
from ganstoch.rng import share
from ganstoch.types import Batch, KnownModes, Shape

_log = logging.getLogger("ganstoch")

_CPU = torch.device("cpu")


class StepCounter:
    """Loader that counts 0, 1, 2, ... for ever; its empty state tells Lightning that it resumes."""

    def __iter__(self) -> Iterator[int]:
        return itertools.count()

    def state_dict(self) -> dict[str, Any]:
        """The empty state."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores the empty state."""


class ImageData(LightningDataModule):
    """Batches drawn from a fixed subset of a source, a function of seed and iteration alone.

    Args:
        source: where the images come from.
        root: the folder that the source's data lie in.
        n: size of the subset.
        m: logical batch size: a number, or a share of the subset such as n or n/4.
        sampling: how a batch is drawn; by default with replacement, exactly once where m = n.
        subset_seed: chooses the subset and the held-out images.
        seed: draws the batches.
    """

    subset: Subset  # the n images; this and the next four are set by `setup`
    held_out: Tensor | None  # at most n, of the held-out split or those that the subset left over
    batch_size: int  # m in images, over all ranks
    sampling: Sampling  # the rule that batches are drawn by
    known_modes: KnownModes | None  # of a synthetic data set; None where they are not known
    images_factor: int = 1  # how many times m images a batch holds; the model sets it and the next
    pack: int = 1  # images that the discriminator looks at together, which no two ranks share

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
        super().__init__()
        self.source = source
        self.root = Path(root).expanduser()
        self.n = n
        self.m = m
        self.subset_seed = subset_seed
        self.seed = seed
        self._requested_sampling = sampling
        self._ready = False
        self._resident: dict[torch.device, tuple[Tensor, Tensor | None]] = {}

    def prepare_data(self) -> None:
        """Loads everything on the first rank alone first, so that one process writes the caches."""
        self.setup("fit")

    def setup(self, stage: str) -> None:
        """Loads everything, once; training and evaluation use the same images."""
        if self._ready:
            return
        self.batch_size = resolve_batch_size(self.m, n=self.n)
        self.sampling = resolve_sampling(self._requested_sampling, m=self.batch_size, n=self.n)
        images = self.source.open(self.root, "train")
        assert images is not None, "every source has a training split"
        self.subset = choose(images, n=self.n, seed=self.subset_seed)
        if not self.source.in_package:
            Manifest.of(self.subset, source=self.source.label).verify_or_write(self.root)
        unseen, ids = self._unseen(limit=self.n)
        self.held_out = unseen.read(ids) if len(ids) else None
        self.known_modes = self.source.known_modes(self.root)
        for note in dict.fromkeys((*images.notes, *unseen.notes)):
            _log.info("%s", note)
        if is_rounded(self.m, n=self.n):
            _log.info("data.m = %s of n = %d is rounded to %d", self.m, self.n, self.batch_size)
        self._ready = True

    def _unseen(self, *, limit: int) -> tuple[ImageSet, Tensor]:
        """A split that holds images out of training, and positions of some of them there."""
        images, used = self.source.open(self.root, "held_out"), self.subset.ids[:0]
        if images is None:
            images, used = self.subset.source, self.subset.ids
        return images, leftover_ids(images, used=used, limit=limit, seed=self.subset_seed)

    def held_out_with_labels(self, limit: int) -> ArrayImages | None:
        """As `held_out`, but up to ``limit`` and with classes; None where they have none."""
        images, ids = self._unseen(limit=limit)
        if images.labels is None or not len(ids):
            return None
        return ArrayImages(images.read(ids), split="held_out", labels=images.labels[ids])

    @property
    def shape(self) -> Shape:
        """Of one image or point; after `setup`."""
        return tuple(self.subset.pixels.shape[1:])

    def train_dataloader(self) -> StepCounter:
        """Numbers, in whose place `on_after_batch_transfer` puts the images."""
        return StepCounter()

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """The `Batch` of the trainer's current iteration, in place of a loader's number."""
        trainer = self.trainer
        assert trainer is not None
        if not trainer.training:  # there is no such loader
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
        """The real half of any iteration: a rank's share, in whole packs (`share`), of one draw."""
        size = self.batch_size * self.images_factor
        if -(-size // self.pack) < world:
            raise UserError(
                f"data.m is {self.batch_size} on {world} ranks; raise it, or take fewer"
            )
        ids = draw_ids(
            self.sampling, count=self.n, m=size, seed=self.seed, iteration=iteration, repeat=repeat
        )
        ids = ids[share(size, rank=rank, world=world, group=self.pack)].to(device)
        if device not in self._resident:
            labels = self.subset.labels
            labels = None if labels is None else labels.to(device)
            self._resident[device] = self.subset.pixels.to(device), labels
        pixels, labels = self._resident[device]
        return Batch(pixels[ids], ids, size, None if labels is None else labels[ids])
