"""The sources of chance of a run, each named, with its state and its switch."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from ganstoch.data.datamodule import ImageData
from ganstoch.training.gan import GAN

__all__ = ["RandomnessReport", "SourceOfChance", "sources_of_chance"]

_log = logging.getLogger("ganstoch")


@dataclass(frozen=True, slots=True)
class SourceOfChance:
    """One way in which chance may enter a run.

    Attributes:
        name: what is left to chance.
        state: "off", "pinned" (drawn once, the same for the same seed) or "on" (drawn anew at
            every iteration, from the seed).
        what: what it is in this run.
        switch: the setting that changes it.
    """

    name: str
    state: Literal["off", "pinned", "on"]
    what: str
    switch: str


def sources_of_chance(trainer: Trainer, game: GAN, data: ImageData) -> list[SourceOfChance]:
    """All of them, for a run whose data and latents are set up."""
    assert game.latents is not None
    often, pack = game.remedies.images_factor, game.remedies.pack
    n, m, k = len(data.subset.ids), data.batch_size * often, game.latents.count
    exact = data.sampling == "exactly_once"
    rule = data.sampling.replace("_", " ")
    bank = "fresh every iteration" if k is None else f"k = {k} fixed"
    drawn = "every latent once" if k == m else f"{m} of {k}, without replacement"
    noise = game.latents.noise
    drawing = [type(remedy).__name__ for remedy in game.remedies.each() if remedy.draws]
    steady = exact and k == m and not noise
    company = f"{game.coupled_by} looks at a whole batch" if game.coupled_by else ""
    company = company or (f"packs of {pack}" if pack > 1 else "")
    kernels = torch.are_deterministic_algorithms_enabled()
    tf32 = torch.backends.cuda.matmul.allow_tf32
    seed = f"seed {game.seed}"
    return [
        SourceOfChance("initial weights", "pinned", seed, "seed_everything"),
        SourceOfChance("spectral norm's start", "pinned", seed, "seed_everything"),
        SourceOfChance(
            "choice of subset", "pinned", f"{n} images, seed {data.subset_seed}", "data.subset_seed"
        ),
        SourceOfChance(
            "sampling of images",
            "off" if exact else "on",
            f"every image {'once' if often == 1 else f'{often} times'}"
            if exact
            else f"{m} of {n}, {rule}",
            "data.m, data.sampling",
        ),
        SourceOfChance("latents", "on" if k is None else "pinned", bank, "model.latents.bank"),
        SourceOfChance(
            "sampling of latents",
            "off" if k == m else "on",
            "see latents" if k is None else drawn,
            "data.m",
        ),
        SourceOfChance(
            "noise on latents",
            "on" if noise else "off",
            f"variance {noise:g}" if noise else "none",
            "model.latents.noise",
        ),
        SourceOfChance(
            "company in the batch",
            "on" if company and not steady else "off",
            company or "every image is judged by itself",
            "model.remedies, model.objective, networks",
        ),
        SourceOfChance(
            "remedies' draws",
            "on" if drawing else "off",
            ", ".join(drawing) or "none",
            "model.remedies",
        ),
        SourceOfChance("augmentation, dequantisation", "off", "there is none", "none"),
        SourceOfChance("data-loader workers", "off", "the subset lies on the device", "none"),
        SourceOfChance(
            "floating point",
            "pinned" if kernels else "on",
            f"{trainer.precision}, {'deterministic' if kernels else 'any'} kernels, "
            f"tf32 {'on' if tf32 else 'off'}, {trainer.world_size} device(s), "
            f"{torch.get_num_threads()} thread(s)",
            "trainer.precision, trainer.deterministic",
        ),
        SourceOfChance(
            "reduced precision",
            "off" if trainer.precision in ("32-true", "64-true") else "pinned" if kernels else "on",
            trainer.precision,
            "trainer.precision",
        ),
        SourceOfChance(
            "order of sums",
            "on" if game.micro_batch == "auto" and not kernels else "pinned",
            f"micro-batch {game.micro_batch or 'none'}",
            "model.micro_batch",
        ),
        SourceOfChance("evaluation", "off", "a stream of its own, no part in training", "none"),
    ]


class RandomnessReport(Callback):
    """Prints the sources of chance at start-up and hands them to the loggers."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Names every source once, on the first rank."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(pl_module, GAN)
        assert isinstance(data, ImageData)
        if not trainer.is_global_zero:
            return
        sources = sources_of_chance(trainer, pl_module, data)
        lines = [f"  {s.name:<29}{s.state:<8}{s.what}  [{s.switch}]" for s in sources]
        _log.info("sources of chance\n%s", "\n".join(lines))
        for logger in trainer.loggers:
            logger.log_hyperparams({"chance": {s.name: f"{s.state}: {s.what}" for s in sources}})

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hands the loggers how the arithmetic is done, which is settled by now."""
        assert isinstance(pl_module, GAN)
        chosen = {"micro_batch": pl_module.micro_batch}
        for logger in trainer.loggers:
            logger.log_hyperparams({"arithmetic": chosen})
