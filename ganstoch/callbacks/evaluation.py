"""Measures overfitting, mode drop and known modes of the averaged generator as it trains.

It draws from its own stream of chance and touches no weight: training goes the same way with
evaluation at any interval, or with none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from ganstoch.callbacks.birthday import collision_metrics
from ganstoch.callbacks.loss_logger import write
from ganstoch.callbacks.shards import Found, Search, stretch
from ganstoch.data.datamodule import ImageData
from ganstoch.errors import UserError
from ganstoch.metrics import TwoWays, make_extractor
from ganstoch.metrics.features import FeatureSpace
from ganstoch.metrics.modes import ModeScores, floor_and_ceiling, make_judge, named
from ganstoch.records import Measurement
from ganstoch.training.distributed import gather
from ganstoch.training.fingerprint import fingerprint
from ganstoch.training.gan import GAN

__all__ = ["Evaluation", "Outcome"]

_log = logging.getLogger("ganstoch")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The last measurement, with what a picture of it needs.

    Attributes:
        iteration: D+G iterations done when it was taken.
        generated: images or points of all evaluation latents, float32, shape (S, *shape), CPU.
        pairs: for each feature's name the queries and their neighbours, both ways.
    """

    iteration: int
    generated: Tensor
    pairs: dict[str, TwoWays]


class Evaluation(Callback):
    """1-NN distances both ways, pixel by pixel and in a feature space [1, Sec. 4]; known modes.

    Data whose modes are known are also measured by how many of them the generator reaches.
    ``held_out_drop`` is the mode drop of images that training never saw: held-out -> generated. A
    generator that copies all data scores the baseline's overfitting, held-out -> data, which is
    asked by the same images; one to which training images mean no more than others scores about
    its own mode drop. Neither is a limit: images that average many are near to everything.

    Args:
        every: iterations between measurements by pixel; the last iteration is always measured.
        queries: images whose nearest neighbour is looked up, 200 in the paper, or "all"; null for
            no neighbours, where modes are known.
        semantic: feature space beside the pixels, or None.
        semantic_every: iterations between measurements in that space, a multiple of ``every``;
            None measures it at the end only.
        birthday: images in a batch of the birthday test, at most a fifth of the subset; null for no
            test. It is made in the feature space, or by pixel, wherever that space is measured.
        held_out: whether held-out images look for their neighbours too.
        weights: file of the feature network's weights; None looks where they are usually kept.
            Where there are none, one line says so and the pixels go on.

    Raises:
        UserError: for an interval below 1 or no multiple, or fewer than 1 query.
    """

    def __init__(
        self,
        *,
        every: int = 1000,
        queries: int | Literal["all"] | None = 200,
        semantic: Literal["inception", "efficientnet_lite0"] | None = "inception",
        semantic_every: int | None = None,
        birthday: int | None = None,
        held_out: bool = False,
        weights: Path | None = None,
    ) -> None:
        if every < 1:
            raise UserError(f"evaluation.every must be 1 or more, got {every}")
        if semantic_every is not None and (semantic_every < 1 or semantic_every % every):
            raise UserError(
                f"evaluation.semantic_every must be a multiple of evaluation.every ({every}), "
                f"got {semantic_every}"
            )
        if isinstance(queries, int) and queries < 1:
            raise UserError(f"evaluation.queries must be 1 or more, or 'all', got {queries}")
        if birthday is not None and (birthday < 2 or queries is None):
            raise UserError(
                f"evaluation.birthday must be 2 or more, where neighbours are measured, got "
                f"{birthday}"
            )
        if held_out and queries is None:
            raise UserError("evaluation.held_out needs neighbours; give evaluation.queries")
        self.every = every
        self.birthday = birthday
        self.held_out = held_out
        self.neighbours = queries is not None
        self.queries = queries if isinstance(queries, int) else None
        self.semantic: FeatureSpace | None = semantic
        self.semantic_every = semantic_every
        self.weights = weights
        self.history: list[Measurement] = []
        self.baseline: dict[str, float] = {}
        self.latest: Outcome | None = None
        self._search = Search({}, queries=self.queries)
        self._judge: Callable[[Tensor], ModeScores] | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finds the feature networks and measures held-out real images in the generator's place."""
        data = _data(trainer)
        extractors = {"pixel": make_extractor("pixel")} if self.neighbours else {}
        if data.known_modes is not None:
            self._judge = make_judge(data.known_modes, device=pl_module.device)
        elif not self.neighbours:
            raise UserError(
                f"evaluation.queries is null, but the modes of {data.source.name} are not known; "
                "give a number"
            )
        if self.neighbours and len(data.shape) != 3:
            raise UserError(
                f"evaluation.queries is for images, and {data.source.name} has points; set it to "
                "null"
            )
        if self.neighbours and self.semantic is not None:
            try:
                extractors[self.semantic] = make_extractor(
                    self.semantic, weights=self.weights, device=pl_module.device
                )
            except UserError as error:
                _log.warning("%s; measuring pixels only", error)
        self._search = Search(extractors, queries=self.queries)
        if self.held_out and data.held_out is None:
            raise UserError(
                f"evaluation.held_out is true, but all images of {data.source.name} are trained "
                "on; lower data.n, or set it to false"
            )
        if self.birthday is not None and self.birthday > data.n // 5:
            raise UserError(
                f"evaluation.birthday is {self.birthday}; give at most a fifth of data.n = {data.n}"
            )
        if self.baseline:
            return
        if (held_out := data.held_out) is not None and self.neighbours:
            found = self._find(
                trainer, lambda own: held_out[own].clone(), len(held_out), names=list(extractors)
            )
            self.baseline = found.metrics
        if data.known_modes is not None:
            self.baseline |= named(floor_and_ceiling(data.known_modes, seed=0))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Measures where it is due."""
        iteration = trainer.global_step
        if iteration % self.every == 0:
            semantic = self.semantic_every is not None and iteration % self.semantic_every == 0
            self._evaluate(trainer, pl_module, semantic=semantic)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measures the end in every feature space, unless that has just been done."""
        if not (
            self.latest is not None
            and self.latest.iteration == trainer.global_step
            and len(self.latest.pairs) == len(self._search.extractors)
            and (
                self.birthday is None or any(k[:8] == "birthday" for k in self.history[-1].metrics)
            )
        ):
            self._evaluate(trainer, pl_module, semantic=True)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measures a run that was resumed after its very last iteration: there, nothing trains."""
        if self.latest is None:
            pl_module.to(trainer.strategy.root_device)  # Lightning has moved it away by now
            self._evaluate(trainer, pl_module, semantic=True)

    def state_dict(self) -> dict[str, Any]:
        """The measurements so far, so that a resumed run has its whole history."""
        history = [asdict(measurement) for measurement in self.history]
        return {"history": history, "baseline": dict(self.baseline)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up the history of the run that is resumed."""
        self.history = [Measurement(**entry) for entry in state_dict["history"]]
        self.baseline = dict(state_dict["baseline"])

    def _evaluate(self, trainer: Trainer, game: LightningModule, *, semantic: bool) -> None:
        assert isinstance(game, GAN)
        assert game.latents is not None
        data, iteration = _data(trainer), trainer.global_step
        names = [name for name in self._search.extractors if semantic or name == "pixel"]
        count = None if self.neighbours or data.known_modes is None else data.known_modes.samples
        latents = game.latents.evaluation(count)
        found = self._find(
            trainer,
            lambda own: game.sample(latents[own]),
            len(latents),
            names=names,
            unseen=self.held_out,
        )
        generated, metrics = found.images, found.metrics
        if not generated.isfinite().all():
            raise UserError(
                f"the generator's images are not finite at iteration {iteration}: training has "
                "diverged; lower model.optimizer.lr"
            )
        if self._judge is not None and data.known_modes is not None:
            metrics |= named(self._judge(generated[: data.known_modes.samples]))
        if self.birthday is not None and semantic:
            name, extractor = list(self._search.extractors.items())[-1]
            real = self._search.real(name, data)
            metrics |= collision_metrics(game, extractor, real, size=self.birthday)
        measurement = Measurement(
            iteration=iteration,
            images_seen=iteration * game.images_per_iteration,
            metrics=metrics,
            digests=_digests(trainer, game, generated),
        )
        if self.history and self.history[-1].iteration == iteration:
            self.history.pop()  # measured by pixel a moment ago
        self.history.append(measurement)
        self.latest = Outcome(iteration=iteration, generated=generated, pairs=found.pairs)
        write(trainer, measurement.metrics)

    def _find(
        self,
        trainer: Trainer,
        make: Callable[[slice], Tensor],
        count: int,
        *,
        names: list[str],
        unseen: bool = False,
    ) -> Found:
        """Neighbours of that many images, of which every rank makes, and measures, its share."""
        data, world = _data(trainer), trainer.world_size
        own = stretch(count, rank=trainer.global_rank, world=world)
        shard = self._search.look(data, make(own), names, start=own.start, of=count, unseen=unseen)
        return self._search.merge(data, gather(shard, world=world))


def _digests(trainer: Trainer, game: GAN, images: Tensor) -> dict[str, str]:
    """Of the whole state."""
    return fingerprint(
        networks={
            "generator": game.generator,
            "discriminator": game.discriminator,
            "average": game.average,
        },
        optimizers=trainer.optimizers,
        images=images,
    )


def _data(trainer: Trainer) -> ImageData:
    data = trainer.datamodule  # type: ignore[attr-defined]
    assert isinstance(data, ImageData)
    return data
