"""Images of a generator of `ganstoch fit`, and its run's data, from a checkpoint alone."""

import json
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


def load_checkpoint(
    checkpoint: Path, *, latents: Literal["bank", "fresh"] | None = None, data: bool = True
) -> dict[str, Any]:
    """Arguments of `audit`: generator, generated, notes; with ``data`` real and held_out too.

    As many images of the averaged generator as it was trained on, from the bank if there is one.
    """
    state = read_checkpoint(checkpoint)
    gan, images = _rebuild(checkpoint)
    if len(gan.shape) != 3:
        raise UserError(f"{checkpoint} is of a generator of points; an audit is of images")
    if data:
        images.setup("fit")
        gan.setup_data(images)
    else:  # which only remedies look at
        gan.setup_latents(n=images.n)
    gan.on_load_checkpoint(state)
    gan.load_state_dict(state["state_dict"])
    gan.eval()
    assert gan.latents is not None
    bank = gan.latents.fixed is not None
    if latents == "bank" and not bank:
        raise UserError(f"the run of {checkpoint} has no bank of latents; use --latents fresh")
    dim, what = gan.generator.latent_dim, "latents that training never used"
    z = normal((images.n, dim), rng_for(gan.seed, "evaluation", part="audit/latents"))
    if bank and latents != "fresh":
        z, what = gan.latents.evaluation(), "the run's bank of fixed latents"
    made = gan.sample(z)
    if not made.isfinite().all():
        raise UserError(f"the generator of {checkpoint} makes images that are not finite")
    generated = open_images(to_bytes(made).numpy(), role="generated")
    generated.where = str(checkpoint)
    note = f"Generated images are those of the averaged generator from {len(z):,} of {what}."
    generator = LatentGenerator(generate=gan.average, latent_dim=dim)
    arguments = {"generator": generator, "generated": generated, "notes": (note,)}
    return arguments | (_real_images(images) if data else {})


def _rebuild(checkpoint: Path) -> tuple[GAN, ImageData]:
    path = checkpoint.resolve().parent.parent / "run.json"
    try:
        config = converted_config(json.loads(path.read_bytes())["config"])
        config = {"model": config["model"], "data": config["data"]}
    except OSError as error:
        fix = "leave the checkpoint in its run's folder"
        raise UserError(f"{path} cannot be read ({error.strerror}); {fix}") from error
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged; train the run again") from error
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_lightning_class_args(GAN, "model")
    parser.add_lightning_class_args(ImageData, "data")
    try:
        made = parser.instantiate_classes(parser.parse_object(config))
    except (ArgumentError, ValueError, TypeError) as error:
        settings = f"the settings of the run of {checkpoint} ({error})"
        fix = "audit it with the version that trained it, such as ganstoch 0.5.0"
        raise UserError(f"this version cannot read {settings}; {fix}") from error
    return made.model, made.data


def _real_images(images: ImageData) -> dict[str, Images | None]:
    subset, name = images.subset, images.source.name
    real = ArrayImages(
        subset.pixels,
        labels=subset.labels,
        classes=subset.classes,
        names=subset.names(torch.arange(len(subset))),
        where=f"{name}, {len(subset):,} images",
    )
    if images.held_out is None:
        return {"real": Images(real, role="real"), "held_out": None}
    unseen = ArrayImages(images.held_out, where=f"{name}, held out")
    return {"real": Images(real, role="real"), "held_out": Images(unseen, role="held_out")}
