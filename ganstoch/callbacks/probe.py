"""Linear probes of the discriminator's features along training.

[1] Yazici et al. 2020, Sec. 3: late in training features get worse for classification, as in
[2] Chen et al. 2018, arXiv:1811.11212, Fig. 1.
"""

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from ganstoch.callbacks.progress import Periodic, data_of, log_metrics
from ganstoch.data.datamodule import ImageData
from ganstoch.diagnosis.undisturbed import undisturbed
from ganstoch.errors import UserError
from ganstoch.metrics.linear_probe import ProbeScore, linear_probe
from ganstoch.models.layers import Discriminator, needs_full_batch
from ganstoch.rng import rng_for, without_replacement
from ganstoch.training.gan import GAN
from ganstoch.types import to_signed

_log = logging.getLogger("ganstoch")

SCHEMA = 1  # version of the file's layout
_PUT_ASIDE = 5  # one image in so many tests the probe, where there are no others


@dataclass(frozen=True)
class ProbeSettings:
    """When to probe the discriminator, and on how much.

    Attributes:
        every: iterations between probes; the first and the last iteration are always probed.
        images: most images to fit a probe on, and most to test it on.
    """

    every: int
    images: int = 2000


class Probe(Periodic):
    """Fits a linear classifier to D's features now and then, and tests it on other images.

    It is tested on held-out images with classes, else on a fifth of those that D trains on.
    """

    at_start = True

    def __init__(self, settings: ProbeSettings, path: Path) -> None:
        super().__init__(settings.every, name="probe", path=path)
        if settings.images < 2:
            raise UserError(f"probe.images must be 2 or more, got {settings.images}")
        self.settings = settings
        self.points: list[dict[str, Any]] = []
        self.pixels: ProbeScore | None = None
        self._split: _Split | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuses data without classes, and networks that do not judge an image by itself."""
        data = data_of(trainer)
        assert isinstance(pl_module, GAN)
        if data.subset.labels is None or len(torch.unique(data.subset.labels)) < 2:
            raise UserError(
                f"probe.every is {self.settings.every}, but the images of {data.source.name} have "
                "no classes to name; set probe to null"
            )
        if pl_module.remedies.spec.pack > 1 or needs_full_batch(pl_module.discriminator.body):
            raise UserError(
                "the probe needs features of an image by itself, and this discriminator looks at "
                "several at once; set probe to null"
            )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Chooses the images, and probes their pixels."""
        split = self._split = _choose(data_of(trainer), limit=self.settings.images)
        if split.test == "train":
            _log.info(
                "no held-out images with classes: the probe is tested on %d of the images that the "
                "discriminator trains on, put aside from the probe",
                len(split.test_labels),
            )
        if self.pixels is None:
            self.pixels = split.score(split.train_pixels, split.test_pixels)

    def is_measured(self, iteration: int) -> bool:
        """Whether the last probe is of this iteration."""
        return bool(self.points) and self.points[-1]["iteration"] == iteration

    def content(self, trainer: Trainer, module: LightningModule) -> dict[str, Any]:
        """What `probe.json` holds."""
        split, pixels = self._split, self.pixels
        assert split is not None
        assert pixels is not None
        return {
            "schema": SCHEMA,
            "moments": self.points,
            "pixels": pixels.accuracy,
            "pixels_train": pixels.train_accuracy,
            "chance": pixels.chance,
            "fitted_on": len(split.train_labels),
            "tested_on": len(split.test_labels),
            "test": split.test,
        }

    def state_dict(self) -> dict[str, Any]:
        """What has been measured so far."""
        pixels = None if self.pixels is None else dataclasses.asdict(self.pixels)
        return {"moments": self.points, "pixels": pixels}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with what the resumed run had measured."""
        self.points = list(state_dict["moments"])
        self.pixels = None if state_dict["pixels"] is None else ProbeScore(**state_dict["pixels"])

    def measure(self, trainer: Trainer, module: LightningModule, iteration: int) -> None:
        """Fits and tests one probe."""
        assert isinstance(module, GAN)
        split = self._split
        assert split is not None
        train = _features_of(module.discriminator, split.train_pixels)
        test = _features_of(module.discriminator, split.test_pixels)
        try:
            score = split.score(train, test)
        except ValueError as error:
            raise UserError(
                f"the discriminator's {error} at iteration {iteration}: training has diverged; "
                "lower model.optimizer.lr"
            ) from error
        values = {"accuracy": score.accuracy, "train_accuracy": score.train_accuracy}
        self.points.append({"iteration": iteration, **values})
        log_metrics(trainer, {f"probe/{name}": value for name, value in values.items()})


@dataclass(frozen=True, slots=True, eq=False)
class _Split:
    """The images that a probe is fitted to, and those that it is tested on."""

    train_pixels: Tensor
    train_labels: Tensor
    test_pixels: Tensor
    test_labels: Tensor
    test: Literal["held_out", "train"]

    def score(self, train: Tensor, test: Tensor) -> ProbeScore:
        return linear_probe(train, self.train_labels, test, self.test_labels)


def _choose(data: ImageData, *, limit: int) -> _Split:
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
    fitted = (data.subset.pixels[train], labels[train])
    if unseen is None:
        return _Split(*fitted, data.subset.pixels[rest], labels[rest], "train")
    assert unseen.labels is not None
    return _Split(*fitted, unseen.pixels, unseen.labels, "held_out")


def _features_of(discriminator: Discriminator, examples: Tensor) -> Tensor:
    """What D's last layer weighs, shape (N, F), on the CPU, in the precision of its weights."""
    like = next(discriminator.parameters())
    features = []
    with undisturbed(discriminator):
        for part in torch.split(examples, 256):
            here = part.to(like.device)
            signed = here.dtype == torch.uint8
            inputs = to_signed(here, dtype=like.dtype) if signed else here.to(like.dtype)
            features.append(discriminator.body(inputs).flatten(1).cpu())
    return torch.cat(features)
