"""The command line of `ganstoch fit`: what it takes, and what a given one means."""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ArgumentError, Namespace
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback
from pytorch_lightning.cli import ArgsType, LightningArgumentParser, LightningCLI

from ganstoch.callbacks.evaluation import Evaluation
from ganstoch.callbacks.stop_rule import StopRule
from ganstoch.data.datamodule import ImageData
from ganstoch.data.sampling import resolve_batch_size
from ganstoch.data.source import Source
from ganstoch.errors import UserError
from ganstoch.runs.configs import FALLBACK, config_path, packaged_names, with_paths
from ganstoch.runs.ddp import refuse_sharing, shared_by_ranks
from ganstoch.runs.explaining import explain, refuse_endless
from ganstoch.runs.measuring import add_measuring_arguments, asked_measures
from ganstoch.runs.not_offered import refuse_not_offered
from ganstoch.runs.tracking import Tracking
from ganstoch.training.gan import GAN

__all__ = ["Command", "Resolved", "resolve", "resolve_all", "source_class", "understand"]

DESCRIPTION = f"""
Trains one row: data, game, metrics, record. Configs overlay one another from left to right; short
names are {", ".join(packaged_names())}. Every key can also be set on the line, for
instance --data.m 16, --model.latents.noise 0.5, --trainer.max_steps 500, --seed_everything 1.
--print_config prints what all of it comes to. The same command again resumes an interrupted run.
"""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A command line of `ganstoch fit`, understood but not yet run.

    Attributes:
        config: every setting, nested, as plain values.
        config_hash: digest of those that decide the run's numbers.
        name: readable name of the run's folder.
    """

    config: dict[str, Any]
    config_hash: str
    name: str


class Command(LightningCLI):
    """LightningCLI with our own keys beside the trainer's, the model's and the data's.

    Constructing it only parses; `build` makes the objects, once it is known that they are needed.

    Attributes:
        asked: every setting as given; given again, it asks for the same run.
        config: the same, with what follows from other settings filled in.
    """

    asked: Namespace

    def __init__(self, arguments: Sequence[str]) -> None:
        super().__init__(
            GAN,
            ImageData,
            run=False,
            args=[f"--config={config_path(FALLBACK)}", *with_paths(arguments)],
            seed_everything_default=0,
            save_config_callback=None,
            auto_configure_optimizers=False,
            trainer_defaults={
                "max_epochs": -1,
                "logger": False,
                "num_sanity_val_steps": 0,
                "enable_model_summary": False,
                "use_distributed_sampler": False,
            },
            parser_kwargs={
                "prog": "ganstoch fit",
                "usage": "ganstoch fit [--config NAME_OR_FILE ...] [--KEY VALUE ...]",
                "description": DESCRIPTION,
                "exit_on_error": False,
            },
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Declares our own keys."""
        parser.add_argument("--preset", type=str, default="paper", help="name for tables")
        parser.add_argument(
            "--remedy",
            type=str,
            default="plain",
            help="names of packaged remedies, joined by +; each is a config too",
        )
        parser.add_argument(
            "--equal",
            type=Literal["iterations", "images"],
            default="iterations",
            help="images: max_steps is the m = n/4 row's, and this row sees as many images",
        )
        parser.add_argument(
            "--deterministic",
            type=bool,
            default=True,
            help="the same bits at every start on the same hardware: kernels and order of sums are "
            "pinned",
        )
        parser.add_argument("--checkpoint_every", type=int, default=1000, help="iterations")
        parser.add_argument(
            "--out", type=Path | None, default=None, help="folder of the run; runs/<name> if unset"
        )
        parser.add_argument(
            "--ckpt_path", type=Path | None, default=None, help="checkpoint to start from"
        )
        parser.add_argument(
            "--iterations_of",
            type=Path | None,
            default=None,
            help="folder of a finished run: train for as many iterations, as noisy rows do",
        )
        parser.add_argument("--quiet", type=bool, default=False, help="no progress bar")
        parser.add_argument("--wandb", type=Tracking, default=Tracking())
        add_measuring_arguments(parser)
        parser.add_lightning_class_args(Evaluation, "evaluation")
        parser.add_lightning_class_args(StopRule, "stop_rule")
        parser.link_arguments("deterministic", "trainer.deterministic")
        parser.link_arguments("seed_everything", "model.seed")
        parser.link_arguments("seed_everything", "data.seed")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parses, and fills in what follows from other settings."""
        super().parse_arguments(parser, args)
        self.asked = self.config.clone()
        _settle(self.config)

    def instantiate_classes(self) -> None:
        """Nothing yet."""

    def build(self, callbacks: list[Callback]) -> None:
        """Makes the data, the game and the trainer, which gets these callbacks after its own.

        Raises:
            UserError: for a setting that one of them does not take, or not on several devices.
        """
        self.trainer_defaults["callbacks"] = callbacks
        self.config.trainer.enable_progress_bar = False  # Lightning's own, beside ours
        try:
            with shared_by_ranks():
                super().instantiate_classes()
        except UserError:
            raise
        except (ValueError, TypeError, OverflowError, MisconfigurationException) as error:
            raise UserError(f"{error}; see ganstoch fit --help") from error
        refuse_sharing(self.config, self.trainer, self.model, self.datamodule)


def _settle(config: Namespace) -> None:
    """Fills in what follows from other settings, and refuses those that cannot be right."""
    if not 0 <= config.seed_everything < 2**32:
        raise UserError(f"seed_everything must be 0 .. 2**32 - 1, got {config.seed_everything}")
    refuse_not_offered(config.trainer)
    config.quiet = config.quiet or not config.trainer.enable_progress_bar
    steps = config.trainer.max_steps
    if steps < 1:
        raise UserError(f"trainer.max_steps must be 1 or more, got {steps}")
    if config.trainer.precision in ("16-mixed", "16", 16, "16-true"):
        raise UserError(
            "trainer.precision 16-mixed shares one gradient scaler between two players and is not "
            "offered; use 32-true or bf16-mixed"
        )
    n = config.data.n
    m = resolve_batch_size(config.data.m, n=n)
    if config.equal == "images":
        config.trainer.max_steps = max(1, steps * resolve_batch_size("n/4", n=n) // m)
    if config.checkpoint_every < 1:
        raise UserError(f"checkpoint_every must be 1 or more, got {config.checkpoint_every}")


def resolve(config: Namespace) -> Resolved:
    """The settings as plain values, their digest and a name."""
    plain = json.loads(json.dumps(config.as_dict(), default=str))
    refuse_endless(plain)
    plain.pop("config", None)
    deciding = {
        key: value
        for key, value in plain.items()
        if key in ("seed_everything", "equal", "data", "model", "evaluation", "stop_rule")
    }
    # Where files lie, and in how many parts and by which kernels sums are taken, changes no result.
    deciding["data"] = {k: v for k, v in plain["data"].items() if k != "root"}
    how = ("micro_batch", "compile")
    deciding["model"] = {k: v for k, v in plain["model"].items() if k not in how}
    if not deciding["model"]["remedies"]:
        del deciding["model"]["remedies"]
    deciding["evaluation"] = {
        k: v
        for k, v in plain["evaluation"].items()
        if k != "weights" and (k, v) not in (("birthday", None), ("held_out", False))
    }
    deciding |= asked_measures(plain)
    deciding["iterations_of"] = config.iterations_of and config.iterations_of.name
    deciding["trainer"] = {k: plain["trainer"][k] for k in ("max_steps", "precision")}
    config_hash = hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()
    m, latents = resolve_batch_size(config.data.m, n=config.data.n), config.model.latents
    name = f"{source_class(plain).name}-n{config.data.n}-m{m}"
    name += f"-noise{latents.noise:g}" if latents.noise else ""
    name += f"-bank-{latents.bank}" if latents.bank != "n" else ""
    name += f"-{plain['remedy']}" if plain["remedy"] != "plain" else ""
    name += f"-seed{config.seed_everything}-{config_hash[:8]}"
    return Resolved(config=plain, config_hash=config_hash, name=name)


def source_class(config: dict[str, Any]) -> type[Source]:
    """The class of a resolved configuration's source of images."""
    module, _, name = config["data"]["source"]["class_path"].rpartition(".")
    kind: type[Source] = getattr(importlib.import_module(module), name)
    return kind


def understand(arguments: Sequence[str]) -> Command:
    """Parses a command line of `ganstoch fit`.

    Raises:
        UserError: for an unknown key, a wrong type or a value out of its range.
    """
    _quieten()
    try:
        return Command(arguments)
    except (ArgumentError, UnicodeDecodeError) as error:
        raise UserError(f"{explain(error)}; see ganstoch fit --help") from error


def resolve_all(lines: Sequence[Sequence[str]]) -> list[Resolved]:
    """Understands command lines of `ganstoch fit` without running them.

    Raises:
        UserError: for an unknown key, a wrong type or a value out of its range.
    """
    if not lines:
        return []  # making the parser takes a second
    parser = understand([]).parser
    resolved = []
    for line in lines:
        try:
            config = parser.parse_args([f"--config={config_path(FALLBACK)}", *with_paths(line)])
        except (ArgumentError, UnicodeDecodeError) as error:
            raise UserError(f"{explain(error)}; in: {' '.join(line)}") from error
        _settle(config)
        resolved.append(resolve(config))
    return resolved


def _quieten() -> None:
    """Drops the messages of Lightning that do not concern a user of this package."""
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric.utilities.seed").setLevel(logging.WARNING)
    for message in (
        "Using ModelCheckpoint with manual optimization",
        "Found .* in eval mode at the start of training",  # the average, which is never trained
        "`tensorboardX` has been removed",
        ".*Starting from v1.9.0, `tensorboardX`",
        "Checkpoint directory .* exists and is not empty",
        "The dirpath has changed from",
        "LightningCLI's args parameter is intended",
        "`isinstance\\(treespec, LeafSpec\\)` is deprecated",
    ):
        warnings.filterwarnings("ignore", message=message)
