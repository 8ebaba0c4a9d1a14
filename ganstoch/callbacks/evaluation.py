"""Measures overfitting, mode drop and known modes of the averaged generator; when to stop.

[1] Yazici et al. 2020, arXiv:2006.14265. It has its own RNG stream and touches no weight.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor

from ganstoch.callbacks.progress import Periodic, callback_of, data_of, log_metrics
from ganstoch.data.datamodule import ImageData
from ganstoch.errors import UserError
from ganstoch.metrics.birthday import collision_metrics
from ganstoch.metrics.features import FILES_OF, SPACES, Extractor, make_extractor, missing_weights
from ganstoch.metrics.modes import ModeScores, make_mode_scorer, perfect_sampler
from ganstoch.metrics.overfitting import OverfittingScores, nearest_of_sample, overfitting_mode_drop
from ganstoch.records import Measurement
from ganstoch.rng import normal, rng_for
from ganstoch.training.distributed import gather
from ganstoch.training.gan import GAN, digest
from ganstoch.types import Split

_log = logging.getLogger("ganstoch")

WATCHED = ("overfitting/pixel_l1/mean", "mode_drop/pixel_l1/mean")  # by the stop rule
_BIRTHDAY_BATCHES = 4  # images made for the birthday test, in units of its batch


@dataclass(frozen=True, slots=True)
class Outcome:
    """A measurement, with what a picture of it needs."""

    iteration: int  # D+G iterations done when it was taken
    generated: Tensor  # of all evaluation latents, float32, shape (S, *shape), CPU
    pairs: dict[str, OverfittingScores]  # queries and neighbours, by the feature space's name


class Evaluation(Periodic):
    """1-NN distances both ways, pixel by pixel and in a feature space [1, Sec. 4]; known modes.

    ``held_out_drop`` is the mode drop of images that training never saw: the baseline's overfitting
    for a generator that copies, about its own mode drop for one that does not.

    Args:
        every: iterations between measurements by pixel; the last iteration is always measured.
        queries: images whose nearest neighbour is looked up, or "all"; null for none (known modes).
        semantic: feature space beside the pixels, a string that `make_extractor` takes; or None.
        semantic_every: iterations between those, a multiple of ``every``; None for the end only.
        birthday: images in a batch of the birthday test, at most n/5; null for no test.
        held_out: whether held-out images look for their neighbours too.
        weights: file of the feature network's weights; None looks where they are usually kept.
    """

    def __init__(
        self,
        *,
        every: int = 1000,
        queries: int | Literal["all"] | None = 200,
        semantic: str | None = "inception",
        semantic_every: int | None = None,
        birthday: int | None = None,
        held_out: bool = False,
        weights: Path | None = None,
    ) -> None:
        super().__init__(every, name="evaluation")
        if semantic_every is not None and (semantic_every < 1 or semantic_every % every):
            raise UserError(
                f"evaluation.semantic_every must be a multiple of evaluation.every ({every}), "
                f"got {semantic_every}"
            )
        if isinstance(queries, int) and queries < 1:
            raise UserError(f"evaluation.queries must be 1 or more, or 'all', got {queries}")
        if birthday is not None and (birthday < 2 or queries is None):
            raise UserError(f"evaluation.birthday must be 2 or more, with queries, got {birthday}")
        # No module:callable: a configuration or a record of anybody's may be run again.
        kinds = (*SPACES, *FILES_OF)
        if semantic is not None and semantic.partition(":")[0] not in kinds:
            raise UserError(f"evaluation.semantic must begin with {', '.join(kinds)}: {semantic}")
        if held_out and queries is None:
            raise UserError("evaluation.held_out needs neighbours; give evaluation.queries")
        self.birthday = birthday
        self.held_out = held_out
        self.neighbours = queries is not None
        self.queries = queries if isinstance(queries, int) else None
        self.semantic = semantic
        self.semantic_every = semantic_every
        self.weights = weights
        self.history: list[Measurement] = []  # all measurements so far
        self.baseline: dict[str, float] = {}  # of held-out images and of a perfect sampler
        self.latest: Outcome | None = None
        self._extractors: dict[str, Extractor] = {}
        self._cache: dict[tuple[str, str], Tensor] = {}
        self._score_modes: Callable[[Tensor], ModeScores] | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Loads the feature network and measures the baseline."""
        data = data_of(trainer)
        self._check(data)
        self._cache = {}
        self._extractors = {"pixel": make_extractor("pixel")} if self.neighbours else {}
        if self.neighbours and self.semantic is not None:
            if missing := missing_weights(self.semantic, self.weights):
                _log.warning("%s; measuring pixels only", missing)
            else:
                self._extractors[self.semantic] = make_extractor(
                    self.semantic, weights=self.weights, device=pl_module.device
                )
        if data.known_modes is not None:
            self._score_modes = make_mode_scorer(data.known_modes, device=pl_module.device)
        if self.baseline:
            return
        if (held_out := data.held_out) is not None and self.neighbours:
            _, features = self._share_features(
                trainer, lambda own: held_out[own].clone(), len(held_out), list(self._extractors)
            )
            self.baseline = _named(self._distances(data, features))
        if data.known_modes is not None:
            self.baseline |= perfect_sampler(data.known_modes, seed=0).named()

    def is_measured(self, iteration: int) -> bool:
        """Whether every feature space has been measured at this iteration."""
        if self.latest is None or self.latest.iteration != iteration:
            return False
        birthday = any(name.startswith("birthday") for name in self.history[-1].metrics)
        is_whole = len(self.latest.pairs) == len(self._extractors)
        return is_whole and (birthday or self.birthday is None)

    def state_dict(self) -> dict[str, Any]:
        """The measurements so far, so that a resumed run has its whole history."""
        history = [measurement.model_dump() for measurement in self.history]
        return {"history": history, "baseline": dict(self.baseline)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up the history of the run that is resumed."""
        self.history = [Measurement(**entry) for entry in state_dict["history"]]
        self.baseline = dict(state_dict["baseline"])

    def _check(self, data: ImageData) -> None:
        """Refuses settings that the data do not allow."""
        name = data.source.name
        problem = ""
        if not self.neighbours and data.known_modes is None:
            problem = f"queries is null, but the modes of {name} are not known; give a number"
        elif self.neighbours and len(data.shape) != 3:
            problem = f"queries is for images, and {name} has points; set it to null"
        elif self.held_out and data.held_out is None:
            problem = f"held_out is true, but all of {name} is trained on; lower data.n"
        elif self.birthday is not None and self.birthday > data.n // 5:
            problem = f"birthday is {self.birthday}; give at most a fifth of data.n = {data.n}"
        if problem:
            raise UserError(f"evaluation.{problem}")

    def measure(self, trainer: Trainer, module: LightningModule, iteration: int) -> None:
        """Takes one measurement: distances, held-out drop, mode scores, collisions, digests."""
        assert isinstance(module, GAN)
        assert module.latents is not None
        semantic = self.is_end or bool(self.semantic_every and iteration % self.semantic_every == 0)
        data = data_of(trainer)
        known_modes = data.known_modes
        spaces = [name for name in self._extractors if semantic or name == "pixel"]
        count = None if self.neighbours or known_modes is None else known_modes.samples
        latents = module.latents.evaluation(count)
        generated, features = self._share_features(
            trainer, lambda own: module.sample(latents[own]), len(latents), spaces
        )
        if not generated.isfinite().all():
            raise UserError(
                f"the generator's images are not finite at iteration {iteration}: training has "
                "diverged; lower model.optimizer.lr"
            )
        pairs = self._distances(data, features)
        metrics = _named(pairs)
        if self.held_out:
            metrics |= self._held_out_drop(data, features)
        if self._score_modes is not None and known_modes is not None:
            metrics |= self._score_modes(generated[: known_modes.samples]).named()
        if self.birthday is not None and semantic:
            metrics |= self._collisions(module, data, spaces[-1], size=self.birthday)
        measurement = Measurement(
            iteration=iteration,
            images_seen=iteration * module.images_per_iteration,
            metrics=metrics,
            digests=module.digests() | {"images": digest([generated])},
        )
        if self.history and self.history[-1].iteration == iteration:
            self.history.pop()  # measured by pixel a moment ago
        self.history.append(measurement)
        self.latest = Outcome(iteration=iteration, generated=generated, pairs=pairs)
        log_metrics(trainer, measurement.metrics)
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, AfterEvaluation):
                callback.on_evaluation(trainer, self)

    def _share_features(
        self, trainer: Trainer, make: Callable[[slice], Tensor], count: int, spaces: list[str]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """So many images and their features by space, of which every rank makes its share."""
        world, rank = trainer.world_size, trainer.global_rank
        images = make(slice(rank * count // world, (rank + 1) * count // world))
        features = {}
        if len(images) and images.isfinite().all():
            features = {name: self._extractors[name](images) for name in spaces}
        if world == 1:
            return images, features
        shares = [share for share in gather((images, features), world=world) if len(share[0])]
        images = _cat(images for images, _ in shares)
        if not images.isfinite().all():
            return images, {}
        if any(features.keys() != shares[0][1].keys() for _, features in shares):
            raise UserError(
                "evaluation.semantic: not every device finds the feature network's weights; put "
                "them on all of them, or set it to null"
            )
        return images, {name: _cat(features[name] for _, features in shares) for name in spaces}

    def _features_of(self, split: Split, space: str, data: ImageData) -> Tensor:
        """Features of the data or of held-out images, made once."""
        if (split, space) not in self._cache:
            images = data.subset.pixels if split == "train" else data.held_out
            assert images is not None
            self._cache[split, space] = self._extractors[space](images)
        return self._cache[split, space]

    def _distances(
        self, data: ImageData, features: dict[str, Tensor]
    ) -> dict[str, OverfittingScores]:
        """Overfitting and mode drop by the extractors' names."""
        scores = {}
        for space, generated in features.items():
            extractor, real = self._extractors[space], self._features_of("train", space, data)
            scores[extractor.name] = compare(real, generated, extractor, queries=self.queries)
        return scores

    def _held_out_drop(self, data: ImageData, features: dict[str, Tensor]) -> dict[str, float]:
        """The mode drop of held-out images, which share the seed's first sample with baselines."""
        metrics: dict[str, float] = {}
        for space, generated in features.items():
            extractor, real = self._extractors[space], self._features_of("held_out", space, data)
            norm, scale = extractor.norm, extractor.scale(generated.shape[1])
            pairs = nearest_of_sample(real, generated, norm=norm, queries=self.queries, scale=scale)
            metrics |= pairs.tail.named(f"held_out_drop/{extractor.name}")
        return metrics

    def _collisions(self, gan: GAN, data: ImageData, space: str, *, size: int) -> dict[str, float]:
        """The birthday test, of fresh latents: of what the generator can make, not of the bank."""
        extractor = self._extractors[space]
        rng = rng_for(0, "evaluation", part="birthday")
        latents = normal((_BIRTHDAY_BATCHES * size, gan.generator.latent_dim), rng)
        generated, real = extractor(gan.sample(latents)), self._features_of("train", space, data)
        metrics = collision_metrics(generated, real, size=size)
        return {f"birthday/{extractor.name}/{name}": value for name, value in metrics.items()}


class AfterEvaluation(Callback):
    """A callback that acts on measurements just made."""

    def on_evaluation(self, trainer: Trainer, evaluation: Evaluation) -> None:
        """Acts on a measurement, the last of `evaluation.history`; see `evaluation.latest`."""


def end_epoch(trainer: Trainer, module: LightningModule) -> None:
    """Has Lightning's callbacks act on a measurement just made, if there is one.

    They do so where an epoch ends or a validation does, and a run of `ImageData` has neither.
    """
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    latest = [c.latest.iteration for c in callbacks if isinstance(c, Evaluation) and c.latest]
    if trainer.global_step in latest:
        for callback in callbacks:
            if isinstance(callback, EarlyStopping | ModelCheckpoint):
                callback.on_train_epoch_end(trainer, module)
                callback.on_validation_end(trainer, module)


def compare(
    real: Tensor, generated: Tensor, extractor: Extractor, *, queries: int | None
) -> OverfittingScores:
    """Overfitting and mode drop of an extractor's features; the same queries in every run."""
    scale = extractor.scale(real.shape[1])
    return overfitting_mode_drop(real, generated, norm=extractor.norm, queries=queries, scale=scale)


def _named(pairs: dict[str, OverfittingScores]) -> dict[str, float]:
    return {name: v for space, scores in pairs.items() for name, v in scores.named(space).items()}


def _cat(parts: Iterable[Tensor]) -> Tensor:
    several = list(parts)
    return several[0] if len(several) == 1 else torch.cat(several)


def has_converged(
    history: Sequence[Measurement], *, window: int, threshold: float, after: int
) -> bool:
    """Whether both watched means have stopped falling.

    At iteration T, with best(t) the lowest value up to iteration t, a mean has stopped where
    best(T) > (1 - threshold) best(T - window). Distances fall in steps and rise again, hence the
    best values; they may lie still before the fall begins, hence ``after``.
    """
    if not history or not set(WATCHED) <= set(history[-1].metrics):
        return False  # where modes are counted, runs end by their number of iterations
    now = history[-1].iteration
    earlier = [m for m in history if m.iteration <= now - window]
    if now < after or not earlier:
        return False
    for name in WATCHED:
        before = min(m.metrics[name] for m in earlier)
        if min(m.metrics[name] for m in history) <= (1.0 - threshold) * before:
            return False
    return True


class StopRule(AfterEvaluation):
    """Notes convergence and, where asked, ends the run there; `trainer.max_steps` is the cap.

    [1, Sec. 5] trains "till convergence of our metrics" and does not say when: see `has_converged`.

    Args:
        window: iterations to look back.
        threshold: relative fall over the window that still counts as progress, in (0, 1).
        after: iterations before which nothing is called converged.
        stop: whether to end the run at convergence, rather than only to note it.
    """

    def __init__(
        self, *, window: int = 10_000, threshold: float = 0.02, after: int = 0, stop: bool = True
    ) -> None:
        if window < 1:
            raise UserError(f"stop_rule.window must be 1 iteration or more, got {window}")
        if not 0.0 < threshold < 1.0:
            raise UserError(f"stop_rule.threshold must be between 0 and 1, got {threshold}")
        self.window = window
        self.threshold = threshold
        self.after = after
        self.stop = stop
        self.converged = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lets a run that had converged, and was killed before its record, end where it did."""
        self.on_evaluation(trainer, callback_of(trainer, Evaluation))

    def on_evaluation(self, trainer: Trainer, evaluation: Evaluation) -> None:
        """Applies this rule alone, also to what was measured before the run was resumed."""
        self.converged = has_converged(
            evaluation.history, window=self.window, threshold=self.threshold, after=self.after
        )
        if self.converged and self.stop:
            trainer.should_stop = True
