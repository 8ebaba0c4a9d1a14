"""Overfitting and mode drop of any generator as it trains, beside the same of held-out images."""

import logging
from collections.abc import Callable
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from ganstoch.callbacks.evaluation import compare
from ganstoch.callbacks.progress import Periodic, log_metrics
from ganstoch.diagnosis.adapters import GeneratorAdapter, adapter_for, real_images
from ganstoch.diagnosis.spaces import range_warning
from ganstoch.diagnosis.undisturbed import undisturbed
from ganstoch.errors import UserError
from ganstoch.metrics.features import AnyFeatures, make_extractor

_log = logging.getLogger("ganstoch")


class NeighbourMonitor(Periodic):
    """Logs 1-NN distances both ways (arXiv:2006.14265) of any LightningModule that makes images.

    Keys are those of `OverfittingModeDrop`, after ``held_out/`` of as many held-out real images in
    the generator's place. Training goes the same way with it or without, bit for bit.

    Args:
        every: iterations, that is batches, between measurements; the last one is always measured.
        images: how many the generator makes for a measurement.
        queries: whose nearest neighbour is looked up, each way; 200 in the paper.
        features: what `make_extractor` takes.
        sample: makes n images, shape (n, C, H, W), floats in [-1, 1] or uint8; None for the
            module's own ``sample(n)``, or its ``generator``.
        latent_dim: length of z, where neither the module nor its ``generator`` has that attribute.
        real: training images (N, C, H, W), uint8 or floats in [-1, 1], also floats of another range
            if their ends tell which (`checked_set`); None for our own data's.
        held_out: real images that are not trained on, or None.
    """

    def __init__(
        self,
        *,
        every: int = 1000,
        images: int = 1000,
        queries: int = 200,
        features: AnyFeatures = "pixel",
        sample: Callable[[int], Tensor] | None = None,
        latent_dim: int | None = None,
        real: Tensor | None = None,
        held_out: Tensor | None = None,
    ) -> None:
        super().__init__(every, name="NeighbourMonitor")
        if images < 1 or queries < 1:
            raise UserError(
                f"NeighbourMonitor: images ({images}) and queries ({queries}) must be 1 or more"
            )
        self.images = images
        self.queries = queries
        self.extractor = make_extractor(features)
        self.sample = sample
        self.latent_dim = latent_dim
        self.real = real
        self.held_out = held_out
        self.history: list[tuple[int, dict[str, float]]] = []  # iterations and metrics
        self.baseline: dict[str, float] = {}  # of held-out images; empty without them
        self._features: Tensor | None = None
        self._real: Tensor | None = None
        self._adapter: GeneratorAdapter | None = None
        self._told: set[str] = set()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finds the real images and measures held-out ones in the generator's place."""
        real, held_out = real_images(trainer, self.real, self.held_out)
        self._adapter = adapter_for(pl_module, self.sample, self.latent_dim)
        self._features, self._real = self.extractor(real), real
        if held_out is not None and not self.baseline:
            metrics = self._measure(held_out[: self.images])
            self.baseline = {f"held_out/{name}": value for name, value in metrics.items()}

    def is_measured(self, iteration: int) -> bool:
        """Whether the last measurement is of this iteration."""
        return bool(self.history) and self.history[-1][0] == iteration

    def state_dict(self) -> dict[str, Any]:
        """The measurements so far."""
        return {"history": [[i, dict(m)] for i, m in self.history], "baseline": self.baseline}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up the history of the run that is resumed."""
        self.history = [(int(i), dict(m)) for i, m in state_dict["history"]]
        self.baseline = dict(state_dict["baseline"])

    def measure(self, trainer: Trainer, module: LightningModule, iteration: int) -> None:
        """Measures images of the generator, unless that fails or they are not finite."""
        assert self._adapter is not None
        assert self._real is not None
        try:
            with undisturbed(module):
                generated = self._adapter.draw(self.images)
            if generated.is_floating_point() and not bool(generated.isfinite().all()):
                return  # nothing has a neighbour; `Diagnosis` says where it came from
            words = "" if self.history else range_warning(generated, self._real)
            metrics = self._measure(generated)
        except Exception as error:  # training goes on
            words = f"not measured at iteration {iteration}: {type(error).__name__}: {error}"
            metrics = {}
        if words and words.partition(":")[2] not in self._told:
            self._told.add(words.partition(":")[2])
            _log.warning("NeighbourMonitor: %s", words)
        if not metrics:
            return
        self.history.append((iteration, metrics))
        log_metrics(trainer, metrics | self.baseline, step=iteration)

    def _measure(self, images: Tensor) -> dict[str, float]:
        assert self._features is not None
        clipped = images.clamp(-1, 1) if images.is_floating_point() else images
        features = self.extractor(clipped).to(self._features.device)
        scores = compare(self._features, features, self.extractor, queries=self.queries)
        return scores.named(self.extractor.name)
