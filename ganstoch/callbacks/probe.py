"""What the discriminator's features tell of the classes, along training.

[1] Yazici et al. 2020, Sec. 3: where chance dominates, the discriminator is left with superficial
explanations, and its features get worse for a classification late in training.
[2] Chen et al. 2018, arXiv:1811.11212, Fig. 1, whom [1] cites for that.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from ganstoch.callbacks.loss_logger import write
from ganstoch.data.datamodule import ImageData
from ganstoch.errors import UserError
from ganstoch.metrics.linear_probe import ProbeScore, linear_probe
from ganstoch.models.base import Discriminator, couples
from ganstoch.records import write_atomically
from ganstoch.rng import rng_for, without_replacement
from ganstoch.training.gan import GAN
from ganstoch.types import to_signed

__all__ = ["Probe", "ProbeSettings", "features_of"]

_log = logging.getLogger("ganstoch")

SCHEMA = 1
"""Version of the file's layout."""

_PUT_ASIDE = 5
"""One image in so many tests the probe, where there are no others."""


@dataclass(frozen=True)
class ProbeSettings:
    """When to probe the discriminator, and on how much.

    Attributes:
        every: iterations between probes; the first and the last iteration are always probed.
        images: most images to fit a probe on, and most to test it on.
    """

    every: int
    images: int = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class _ProbePoint:
    iteration: int
    accuracy: float
    train_accuracy: float


class Probe(Callback):
    """Fits a linear classifier to D's features now and then, and tests it on other images.

    The features are those that D's last layer weighs, of D as it stands, in evaluation mode and
    without power iteration: training goes the same way with the probe or without it. The probe is
    fitted to images that D trains on, and tested on held-out images where the source has some with
    classes; otherwise on a fifth of the images that D trains on, and a line says so.

    Args:
        settings: when, and on how much.
        path: the file that it leaves, `probe.json` in the run's folder.

    Raises:
        UserError: for a setting out of its range.
    """

    def __init__(self, settings: ProbeSettings, path: Path) -> None:
        if settings.every < 1:
            raise UserError(f"probe.every must be 1 or more, got {settings.every}")
        if settings.images < 2:
            raise UserError(f"probe.images must be 2 or more, got {settings.images}")
        self.settings = settings
        self.path = path
        self.moments: list[_ProbePoint] = []
        self.pixels: ProbeScore | None = None
        self._sides: _Sides | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuses data without classes, and networks that do not judge an image by itself."""
        data = _data(trainer)
        assert isinstance(pl_module, GAN)
        if data.subset.labels is None or len(torch.unique(data.subset.labels)) < 2:
            raise UserError(
                f"probe.every is {self.settings.every}, but the images of {data.source.name} have "
                "no classes to name; set probe to null"
            )
        if pl_module.remedies.pack > 1 or couples(pl_module.discriminator.body):
            raise UserError(
                "the probe needs features of an image by itself, and this discriminator looks at "
                "several at once; set probe to null"
            )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Chooses the images, and probes their pixels."""
        sides = self._sides = _choose(_data(trainer), limit=self.settings.images)
        if sides.test == "train":
            _log.info(
                "no held-out images with classes: the probe is tested on %d of the images that the "
                "discriminator trains on, put aside from the probe",
                len(sides.test_labels),
            )
        if self.pixels is None:
            self.pixels = sides.score(sides.train_pixels, sides.test_pixels)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Probes the discriminator before its first update."""
        if trainer.global_step == 0:
            self._probe(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Probes where it is due."""
        if trainer.global_step % self.settings.every == 0:
            self._probe(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Probes the end, unless that has just been done."""
        if not self._is_done(trainer):
            self._probe(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leaves the file, also of a run that was resumed after its very last iteration."""
        if not self._is_done(trainer):
            pl_module.to(trainer.strategy.root_device)  # Lightning has moved it away by now
            self._probe(trainer, pl_module)
        sides, pixels = self._sides, self.pixels
        assert sides is not None
        assert pixels is not None
        if not trainer.is_global_zero:
            return
        content = {
            "schema": SCHEMA,
            "moments": [dataclasses.asdict(moment) for moment in self.moments],
            "pixels": pixels.accuracy,
            "pixels_train": pixels.train_accuracy,
            "chance": pixels.chance,
            "fitted_on": len(sides.train_labels),
            "tested_on": len(sides.test_labels),
            "test": sides.test,
        }
        text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False)
        write_atomically(self.path, text.encode() + b"\n")

    def state_dict(self) -> dict[str, Any]:
        """What has been found so far."""
        return {
            "moments": [dataclasses.asdict(moment) for moment in self.moments],
            "pixels": None if self.pixels is None else dataclasses.asdict(self.pixels),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with what the resumed run had found."""
        self.moments = [_ProbePoint(**moment) for moment in state_dict["moments"]]
        self.pixels = None if state_dict["pixels"] is None else ProbeScore(**state_dict["pixels"])

    def _is_done(self, trainer: Trainer) -> bool:
        return bool(self.moments) and self.moments[-1].iteration == trainer.global_step

    def _probe(self, trainer: Trainer, game: LightningModule) -> None:
        assert isinstance(game, GAN)
        sides, iteration = self._sides, trainer.global_step
        assert sides is not None
        fitted, tested = (
            features_of(game.discriminator, pixels)
            for pixels in (sides.train_pixels, sides.test_pixels)
        )
        try:
            score = sides.score(fitted, tested)
        except ValueError as error:
            raise UserError(
                f"the discriminator's {error} at iteration {iteration}: training has diverged; "
                "lower model.optimizer.lr"
            ) from error
        moment = _ProbePoint(
            iteration=iteration, accuracy=score.accuracy, train_accuracy=score.train_accuracy
        )
        self.moments.append(moment)
        found = {"accuracy": moment.accuracy, "train_accuracy": moment.train_accuracy}
        write(trainer, {f"probe/{name}": value for name, value in found.items()})


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Sides:
    """The images that a probe is fitted to, and those that it is tested on."""

    train_pixels: Tensor
    train_labels: Tensor
    test_pixels: Tensor
    test_labels: Tensor
    test: Literal["held_out", "train"]

    def score(self, fitted: Tensor, tested: Tensor) -> ProbeScore:
        return linear_probe(fitted, self.train_labels, tested, self.test_labels)


def _choose(data: ImageData, *, limit: int) -> _Sides:
    """The same for the same subset, whatever the run's seed."""
    labels = data.subset.labels
    assert labels is not None
    unseen = data.held_out_with_labels(limit)
    rng = rng_for(data.subset_seed, "evaluation", part="probe")
    order = without_replacement(len(labels), len(labels), rng)
    aside = 0 if unseen is not None else min(limit, max(1, len(labels) // _PUT_ASIDE))
    train, rest = order[aside:][:limit].sort().values, order[:aside].sort().values
    if len(torch.unique(labels[train])) < 2:
        raise UserError("the probe's images are all of one class; raise data.n or probe.images")
    if unseen is None:
        test_pixels, test_labels = data.subset.pixels[rest], labels[rest]
    else:
        assert unseen.labels is not None
        test_pixels, test_labels = unseen.pixels, unseen.labels
    return _Sides(
        train_pixels=data.subset.pixels[train],
        train_labels=labels[train],
        test_pixels=test_pixels,
        test_labels=test_labels,
        test="train" if unseen is None else "held_out",
    )


@torch.no_grad()
def features_of(discriminator: Discriminator, examples: Tensor, *, batch_size: int = 256) -> Tensor:
    """What D's last layer weighs, shape (N, F), on the CPU, in the precision of its weights.

    Args:
        discriminator: left as it was, its mode included.
        examples: uint8 images, shape (N, C, H, W), or float points, shape (N, D); any device.
        batch_size: most examples at once.
    """
    like = next(discriminator.parameters())
    found = []
    with _evaluating(discriminator):
        for part in torch.split(examples, batch_size):
            here = part.to(like.device)
            signed = here.dtype == torch.uint8
            inputs = to_signed(here, dtype=like.dtype) if signed else here.to(like.dtype)
            found.append(discriminator.body(inputs).flatten(1).cpu())
    return torch.cat(found)


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode; afterwards every layer is in the mode it was in."""
    modes = {layer: layer.training for layer in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for layer, training in modes.items():
            layer.training = training


def _data(trainer: Trainer) -> ImageData:
    data = trainer.datamodule  # type: ignore[attr-defined]
    assert isinstance(data, ImageData)
    return data
