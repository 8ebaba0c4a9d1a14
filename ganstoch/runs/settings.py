"""The settings of `ganstoch fit`: what a command line means, checked before anything is built."""

from __future__ import annotations

import copy
import hashlib
import importlib
import inspect
import json
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pydoc import locate
from typing import Any, Literal

from jsonargparse import ArgumentError, ArgumentParser, Namespace
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback
from pytorch_lightning.cli import ArgsType, LightningArgumentParser, LightningCLI
from pytorch_lightning.strategies import StrategyRegistry

from ganstoch.callbacks.diagnosis import DiagnosisSettings
from ganstoch.callbacks.evaluation import Evaluation, StopRule
from ganstoch.callbacks.gradient_noise import GradientNoiseSettings
from ganstoch.callbacks.probe import ProbeSettings
from ganstoch.data.datamodule import ImageData
from ganstoch.data.source import Source
from ganstoch.data.subset import resolve_batch_size
from ganstoch.errors import UserError
from ganstoch.models.layers import Discriminator, Generator
from ganstoch.objectives import NonSaturating, Objective
from ganstoch.remedies import Remedies, Remedy
from ganstoch.runs.configs import (
    FALLBACK,
    config_path,
    packaged_names,
    refuse_renamed,
    remedy_names,
    with_paths,
)
from ganstoch.training.distributed import Ranks
from ganstoch.training.gan import GAN

__all__ = ["Command", "Resolved", "Tracking", "compose", "resolve", "resolve_all"]
__all__ += ["source_class", "understand"]

DESCRIPTION = f"""
Trains one GAN and measures overfitting and mode drop: one row of a table. The settings are one
YAML tree: configs overlay one another from left to right, options on the line win. Packaged
configs: {", ".join(packaged_names())}. Packaged remedies (--remedy): {", ".join(remedy_names())}.

The keys that matter most:
  --config mini --config n16   preset, then the row: batches of m = n/16
  --data.source, --data.n      data set and size of its subset
  --data.m 16                  batch size, a number or a share such as n/4
  --model.latents.noise 0.5    noise on the fixed latents
  --remedy packing2+r1         remedies, joined by +
  --trainer.max_steps 500      iterations
  --seed_everything 1          the one seed of everything
  --evaluation.every 100       iterations between measurements
--print_config prints what all of it comes to. The same command again resumes a run.
"""

_KINDS: dict[str, type[Any]] = {
    "data.source": Source,
    "model.generator": Generator,
    "model.discriminator": Discriminator,
    "model.objective": Objective,
    "model.remedies": Remedy,
}
"""The keys that take the name of a class, and what classes."""

_MEASURES = {
    "diagnosis": (DiagnosisSettings, "when to look for what goes wrong, and what then to do"),
    "probe": (ProbeSettings, "when to classify by the discriminator's features"),
    "gradient_noise": (GradientNoiseSettings, "when to measure signal and noise of both gradients"),
}
"""What measures a run beside its evaluation: off unless given."""

_OTHER_ENDS: dict[str, Any] = {
    "max_epochs": -1,
    "max_time": None,
    "limit_train_batches": None,
    "fast_dev_run": False,
    "overfit_batches": 0.0,
}
"""Lightning's other ways to end a run, whose record would pass for that of a whole one."""

_WITHOUT_EFFECT: dict[str, Any] = {
    "limit_val_batches": None,
    "limit_test_batches": None,
    "limit_predict_batches": None,
    "val_check_interval": None,
    "check_val_every_n_epoch": 1,
    "num_sanity_val_steps": 0,
    "reload_dataloaders_every_n_epochs": 0,
    "use_distributed_sampler": False,
    "inference_mode": True,
    "enable_autolog_hparams": True,
    "model_registry": None,
    "default_root_dir": None,
}
"""Lightning's settings of what is not done here, such as validation."""


@dataclass(frozen=True)
class Tracking:
    """Where the run's curves go.

    Attributes:
        mode: "online", "offline", "disabled", or "auto": what WANDB_MODE says, else online where
            there is a login, else offline.
        project: name of the W&B project.
        group: name that holds runs together, such as a sweep's.
        entity: W&B user or team; None for the default one.
    """

    mode: Literal["auto", "online", "offline", "disabled"] = "auto"
    project: str = "ganstoch"
    group: str | None = None
    entity: str | None = None


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
        config: every setting, with what follows from others filled in.
    """

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
        for key, (settings, what) in _MEASURES.items():
            parser.add_argument(
                f"--{key}", type=settings | None, default=None, help=f"{what}; null for never"
            )
        parser.add_lightning_class_args(Evaluation, "evaluation")
        parser.add_lightning_class_args(StopRule, "stop_rule")
        parser.link_arguments("deterministic", "trainer.deterministic")
        parser.link_arguments("seed_everything", "model.seed")
        parser.link_arguments("seed_everything", "data.seed")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parses, and fills in what follows from other settings."""
        super().parse_arguments(parser, args)
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
            with _shared_by_ranks():
                super().instantiate_classes()
        except UserError:
            raise
        except (ValueError, TypeError, OverflowError, MisconfigurationException) as error:
            raise UserError(f"{error}; see ganstoch fit --help") from error
        devices = self.trainer.world_size
        if devices == 1:
            return
        if not isinstance(self.trainer.strategy, Ranks):
            raise UserError(
                f"trainer.strategy {self.config.trainer.strategy} is not offered on {devices} "
                "devices; leave it out"
            )
        self.model.check_ranks(self.datamodule, world=devices)
        for key in _MEASURES:
            if self.config[key] is not None:
                raise UserError(
                    f"{key} measures on one device, and there are {devices}; leave it out, or set "
                    "trainer.devices=1 and trainer.num_nodes=1"
                )


@contextmanager
def _shared_by_ranks() -> Iterator[None]:
    """Within it, a trainer's "ddp", which is its "auto" on several devices, means `Ranks`."""
    theirs = StrategyRegistry["ddp"]
    StrategyRegistry.register("ddp", Ranks, description=Ranks.__doc__ or "", override=True)
    try:
        yield
    finally:
        StrategyRegistry["ddp"] = theirs


def _settle(config: Namespace) -> None:
    """Fills in what follows from other settings, and refuses those that cannot be right."""
    if not 0 <= config.seed_everything < 2**32:
        raise UserError(f"seed_everything must be 0 .. 2**32 - 1, got {config.seed_everything}")
    for key, value in (_OTHER_ENDS | _WITHOUT_EFFECT).items():
        if config.trainer[key] != value:
            why = "trainer.max_steps alone ends a run" if key in _OTHER_ENDS else "leave it out"
            raise UserError(f"trainer.{key} is not offered; {why}")
    config.quiet = config.quiet or not config.trainer.enable_progress_bar
    steps = config.trainer.max_steps
    if steps < 1:
        raise UserError(f"trainer.max_steps must be 1 or more, got {steps}")
    if config.trainer.precision in ("16-mixed", "16", 16, "16-true"):
        raise UserError(
            "trainer.precision 16-mixed shares one gradient scaler between two players and is not "
            "offered; use 32-true or bf16-mixed"
        )
    for key, base in (("generator", Generator), ("discriminator", Discriminator)):
        network = config.model[key]
        path = network.get("class_path") if isinstance(network, Namespace) else network
        kind = locate(str(path))
        # Else any function that a file names would be called with the arguments that it gives.
        if not isinstance(kind, type) or not issubclass(kind, base):
            raise UserError(f"model.{key} must be a class of {base.__name__}, got {path}")
    n = config.data.n
    m = resolve_batch_size(config.data.m, n=n)
    if config.equal == "images":
        config.trainer.max_steps = max(1, steps * resolve_batch_size("n/4", n=n) // m)
    if config.checkpoint_every < 1:
        raise UserError(f"checkpoint_every must be 1 or more, got {config.checkpoint_every}")


def resolve(config: Namespace) -> Resolved:
    """The settings as plain values, their digest and a name."""
    plain = json.loads(json.dumps(config.as_dict(), default=str))
    _refuse_long_integers(plain)
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
    # They change no number unless a diagnosis acts, but what was not measured needs another run.
    deciding |= {key: plain[key] for key in _MEASURES if plain[key] is not None}
    deciding["iterations_of"] = config.iterations_of and config.iterations_of.name
    deciding["trainer"] = {k: plain["trainer"][k] for k in ("max_steps", "precision")}
    # The class had this name in 0.5.0, whose digests still hold.
    text = json.dumps(deciding, sort_keys=True).replace(
        "remedies.ExperienceReplay", "remedies.Replay"
    )
    config_hash = hashlib.sha256(text.encode()).hexdigest()
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
        raise UserError(f"{_explain(error)}; see ganstoch fit --help") from error


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
            raise UserError(f"{_explain(error)}; in: {' '.join(line)}") from error
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


def compose(config: dict[str, Any]) -> Remedies:
    """The remedies that a run would play with, as plain settings name them.

    Args:
        config: every setting, nested, as plain values; see `Resolved`.

    Raises:
        UserError: for a remedy's setting out of its range, or remedies and an objective that
            cannot go together.
    """
    parser = ArgumentParser(exit_on_error=False)  # knows that a list is meant for a pair
    parser.add_argument("--objective", type=Objective)
    parser.add_argument("--remedies", type=list[Remedy])
    model = copy.deepcopy(config["model"])  # parsing puts the parser's own objects into it
    given = parser.parse_object(
        {
            "objective": model["objective"] or NonSaturating.__name__,
            "remedies": model["remedies"] or [],
        }
    )
    return Remedies(
        [_instance(item) for item in given.remedies], objective=_instance(given.objective)
    )


def _instance(item: Namespace) -> Any:
    module, _, name = item.class_path.rpartition(".")
    settings = item.init_args.as_dict() if "init_args" in item else {}
    return getattr(importlib.import_module(module), name)(**settings)


def _explain(error: ArgumentError | UnicodeDecodeError) -> str:
    """The parser's message, which for an unknown class speaks of import paths."""
    if isinstance(error, UnicodeDecodeError):
        return f"a file of settings is no text: {error}"
    message = " ".join(str(error.message).split())
    refused = re.search(
        r"--([\w.]+)|Group '(\w+)' does not accept option '(\w+)'|Option '(\w+)' is not", message
    )
    if refused:
        refuse_renamed("key", refused[1] or refused[4] or f"{refused[2]}.{refused[3]}")
    if missing := re.search(r"(?:path string: |has no attribute ')([\w.]+)", message):
        refuse_renamed("class", missing[1].rpartition(".")[2])
    unknown = re.search(r'Parser key "([\w.]+)":.* dot import path string: (\S+)', message)
    if unknown is None or unknown[1] not in _KINDS:
        return message
    known = sorted(_concrete(_KINDS[unknown[1]]))
    return f"{unknown[1]}: no class {unknown[2]!r}; there are {', '.join(known)}"


def _concrete(kind: type[Any]) -> set[str]:
    """Names of the classes of a kind that are there to be chosen, at any depth below it."""
    found: set[str] = set()
    for child in kind.__subclasses__():
        chosen = not (inspect.isabstract(child) or child.__name__.startswith("_"))
        found |= _concrete(child) | ({child.__name__} if chosen else set())
    return found


def _refuse_long_integers(settings: Any, *, key: str = "") -> None:
    """Refuses integers beyond 64 bits among nested plain values; a UserError naming the first."""
    if isinstance(settings, int) and abs(settings) >= 2**63:
        raise UserError(f"{key} must lie within 64 bits, got {str(settings)[:20]}...")
    if isinstance(settings, dict | list):
        pairs = settings.items() if isinstance(settings, dict) else ((None, v) for v in settings)
        for name, value in pairs:
            _refuse_long_integers(value, key=f"{key}.{name}".lstrip(".") if name else key)
