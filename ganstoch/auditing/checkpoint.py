"""Images of a generator of `ganstoch fit`, and its run's data, from a checkpoint alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jsonargparse import ArgumentError
from pytorch_lightning.cli import LightningArgumentParser

from ganstoch.auditing.inputs import Images, open_images
from ganstoch.auditing.measures import LatentGenerator
from ganstoch.callbacks.checkpoints import read_checkpoint
from ganstoch.data.datamodule import ImageData
from ganstoch.data.source import ArrayImages
from ganstoch.errors import UserError
from ganstoch.records import converted_config
from ganstoch.rng import normal, rng_for
from ganstoch.training.gan import GAN
from ganstoch.types import to_bytes

__all__ = ["CheckpointImages", "Latents", "load_checkpoint"]

Latents = Literal["bank", "fresh"]
"""Latents whose images are audited: the fixed ones of training, or others."""

_STATE = "run.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointImages:
    """What a checkpoint gives an audit.

    Attributes:
        generator: the averaged generator.
        generated: its images.
        real: the run's training images; None where they were not asked for.
        held_out: real images that the run never saw; None where there are none.
        notes: for the report, each a sentence.
    """

    generator: LatentGenerator
    generated: Images
    real: Images | None
    held_out: Images | None
    notes: tuple[str, ...]


def load_checkpoint(
    checkpoint: Path, *, latents: Latents | None = None, data: bool = True
) -> CheckpointImages:
    """Lets the averaged generator of a run make as many images as it was trained on.

    Args:
        checkpoint: a checkpoint of `ganstoch fit`, of 0.5.0 too, below the run's folder.
        latents: "bank" for the run's fixed latents, "fresh" for others; None for the bank if any.
        data: whether to load the run's own images too.

    Raises:
        UserError: if the file is no such checkpoint, the run's settings are not beside it, its data
            cannot be read, or it makes points rather than images.
    """
    state = read_checkpoint(checkpoint)
    config = _config_beside(checkpoint)
    game, images = _rebuild(config, checkpoint=checkpoint)
    if len(game.shape) != 3:
        raise UserError(f"{checkpoint} is of a generator of points; an audit is of images")
    game.on_load_checkpoint(state)
    game.load_state_dict(state["state_dict"])
    game.eval()
    _deal(game, images, data=data)
    assert game.latents is not None
    bank = game.latents.fixed is not None
    if latents == "bank" and not bank:
        raise UserError(f"the run of {checkpoint} has no bank of latents; use --latents fresh")
    fixed = latents == "bank" or (latents is None and bank)
    dim = game.generator.latent_dim
    rng = rng_for(game.seed, "evaluation", part="audit/latents")
    z = game.latents.evaluation() if fixed else normal((images.n, dim), rng)
    made = game.sample(z)
    if not made.isfinite().all():
        raise UserError(f"the generator of {checkpoint} makes images that are not finite")
    generated = open_images(to_bytes(made).numpy(), role="generated")
    generated.where = str(checkpoint)
    what = "the run's bank of fixed latents" if fixed else "latents that training never used"
    note = f"Generated images are those of the averaged generator from {len(z):,} of {what}."
    return CheckpointImages(
        generator=LatentGenerator(generate=game.average, latent_dim=dim),
        generated=generated,
        real=_real(images) if data else None,
        held_out=_held_out(images) if data else None,
        notes=(note,),
    )


def _config_beside(checkpoint: Path) -> dict[str, Any]:
    """The run's settings, from run.json beside the folder of checkpoints."""
    path = checkpoint.resolve().parent.parent / _STATE
    try:
        config = converted_config(json.loads(path.read_bytes())["config"])
        return {"model": config["model"], "data": config["data"]}
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}); leave the checkpoint in its run's folder"
        ) from error
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged; train the run again") from error


def _rebuild(config: dict[str, Any], *, checkpoint: Path) -> tuple[GAN, ImageData]:
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_lightning_class_args(GAN, "model")
    parser.add_lightning_class_args(ImageData, "data")
    try:
        made = parser.instantiate_classes(parser.parse_object(config))
    except (ArgumentError, ValueError, TypeError) as error:
        raise UserError(
            f"this version cannot read the settings of the run of {checkpoint} ({error}); audit it "
            "with the version that trained it, such as ganstoch 0.5.0"
        ) from error
    game, images = made.model, made.data
    assert isinstance(game, GAN)
    assert isinstance(images, ImageData)
    return game, images


def _deal(game: GAN, images: ImageData, *, data: bool) -> None:
    """Draws the bank, which needs the data themselves only if a remedy looks at them."""
    if data:
        images.setup("fit")
        game.setup_data(images)
    else:
        game.setup_latents(n=images.n)


def _real(images: ImageData) -> Images:
    subset = images.subset
    pixels = ArrayImages(
        subset.pixels,
        labels=subset.labels,
        classes=subset.classes,
        names=subset.names(torch.arange(len(subset))),
        where=f"{images.source.name}, {len(subset):,} images",
    )
    return Images(pixels, role="real")


def _held_out(images: ImageData) -> Images | None:
    if images.held_out is None:
        return None
    pixels = ArrayImages(images.held_out, where=f"{images.source.name}, held out")
    return Images(pixels, role="held_out")
