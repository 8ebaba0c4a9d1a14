"""The settings of `ganstoch fit`: what a command line means, checked before anything is built."""

import hashlib
import json
import logging
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from pydoc import locate
from typing import Any, Literal

from jsonargparse import ArgumentError, Namespace
from jsonargparse.typing import PositiveInt
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
from ganstoch.objectives import NonSaturating
from ganstoch.remedies import Remedies
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

# What measures a run beside its evaluation: off unless given.
_MEASURES = ("diagnosis", "probe", "gradient_noise")
# Lightning's settings that must stay as they are.
_NOT_OFFERED: dict[str, Any] = {
    # Other ways to end a run, whose record would pass for that of a whole one.
    "max_epochs": -1,
    **dict.fromkeys(("max_time", "limit_train_batches")),
    "fast_dev_run": False,
    "overfit_batches": 0.0,
    # Of what is not done here, such as validation.
    **dict.fromkeys(("limit_val_batches", "limit_test_batches", "limit_predict_batches")),
    "val_check_interval": None,
    "check_val_every_n_epoch": 1,
    "num_sanity_val_steps": 0,
    "reload_dataloaders_every_n_epochs": 0,
    "use_distributed_sampler": False,
    "inference_mode": True,
    "enable_autolog_hparams": True,
    **dict.fromkeys(("model_registry", "default_root_dir")),
}

# Warnings of Lightning that do not concern a user of this package.
_NEEDLESS = (
    "Using ModelCheckpoint with manual optimization",
    "Found .* in eval mode at the start of training",  # the average, which is never trained
    "`tensorboardX` has been removed",
    ".*Starting from v1.9.0, `tensorboardX`",
    "Checkpoint directory .* exists and is not empty",
    "The dirpath has changed from",
    "LightningCLI's args parameter is intended",
    "`isinstance\\(treespec, LeafSpec\\)` is deprecated",
)


@dataclass(frozen=True)
class Tracking:
    """Where the run's curves go.

    Attributes:
        mode: "online", "offline", "disabled", or "auto": WANDB_MODE's, else by whether logged in.
        project: name of the W&B project.
        group: name that holds runs together, such as a sweep's.
        entity: W&B user or team; None for the default one.
    """

    mode: Literal["auto", "online", "offline", "disabled"] = "auto"
    project: str = "ganstoch"
    group: str | None = None
    entity: str | None = None


def _own_keys(
    preset: str = "paper",
    remedy: str = "plain",
    equal: Literal["iterations", "images"] = "iterations",
    deterministic: bool = True,
    checkpoint_every: PositiveInt = 1000,
    out: Path | None = None,
    ckpt_path: Path | None = None,
    iterations_of: Path | None = None,
    quiet: bool = False,
    wandb: Tracking = Tracking(),
    diagnosis: DiagnosisSettings | None = None,
    probe: ProbeSettings | None = None,
    gradient_noise: GradientNoiseSettings | None = None,
) -> None:
    """Our own keys beside the trainer's, the model's and the data's, for the parser to read.

    Args:
        preset: name for tables
        remedy: names of packaged remedies, joined by +; each is a config too
        equal: "images": max_steps is the m = n/4 row's, and this row sees as many images
        deterministic: the same bits at every start on the same hardware
        checkpoint_every: iterations
        out: folder of the run; runs/<name> if unset
        ckpt_path: checkpoint to start from
        iterations_of: folder of a finished run: train for as many iterations, as noisy rows do
        quiet: no progress bar
        wandb: where the curves go
        diagnosis: when to look for what goes wrong, and what then to do; null for never
        probe: when to classify by the discriminator's features; null for never
        gradient_noise: when to measure signal and noise of both gradients; null for never
    """


@dataclass(frozen=True, slots=True)
class Resolved:
    """A command line of `ganstoch fit`, understood but not yet run."""

    config: dict[str, Any]  # every setting, nested, as plain values
    config_hash: str  # digest of those that decide the run's numbers
    name: str  # of the run's folder


class Command(LightningCLI):
    """LightningCLI with our own keys. Constructing it only parses; `build` makes the objects."""

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
        parser.add_function_arguments(_own_keys, as_group=False)
        parser.add_lightning_class_args(Evaluation, "evaluation")
        parser.add_lightning_class_args(StopRule, "stop_rule")
        parser.link_arguments("deterministic", "trainer.deterministic")
        parser.link_arguments("seed_everything", "model.seed")
        parser.link_arguments("seed_everything", "data.seed")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parses, and fills in what follows from other settings."""
        super().parse_arguments(parser, args)
        diagnosis, words = self.config.diagnosis, args if isinstance(args, list) else []
        stated = any(str(word).startswith("--diagnosis.command") for word in words)
        if diagnosis is not None and diagnosis.command and not stated:
            raise UserError(
                "diagnosis.command is taken from the command line alone: a file of settings may be "
                "anybody's, and must not run programs"
            )
        _settle(self.config)

    def instantiate_classes(self) -> None:
        """Nothing yet."""

    def build(self, callbacks: list[Callback]) -> None:
        """Makes the data, the GAN and the trainer, which gets these callbacks after its own."""
        self.trainer_defaults["callbacks"] = callbacks
        self.config.trainer.enable_progress_bar = False  # Lightning's own, beside ours
        # A trainer's "ddp", which is its "auto" on several devices, means `Ranks` here.
        theirs = StrategyRegistry["ddp"]
        StrategyRegistry.register("ddp", Ranks, description=Ranks.__doc__ or "", override=True)
        try:
            super().instantiate_classes()
        except UserError:
            raise
        except (ValueError, TypeError, OverflowError, MisconfigurationException) as error:
            raise UserError(f"{_brief(str(error))}; see ganstoch fit --help") from error
        finally:
            StrategyRegistry["ddp"] = theirs
        devices = self.trainer.world_size
        if devices == 1:
            return
        if not isinstance(self.trainer.strategy, Ranks):
            raise UserError(
                f"trainer.strategy {self.config.trainer.strategy} is not offered on {devices} "
                "devices; leave it out"
            )
        self.model.check_ranks(self.datamodule, world=devices)


def _settle(config: Namespace) -> None:
    """Fills in what follows from other settings, and refuses those that cannot be right."""
    if not 0 <= config.seed_everything < 2**32:
        raise UserError(f"seed_everything must be 0 .. 2**32 - 1, got {config.seed_everything}")
    for key, value in _NOT_OFFERED.items():
        if config.trainer[key] != value:
            raise UserError(
                f"trainer.{key} is not offered: trainer.max_steps alone ends a run, and nothing is "
                "validated; leave it out"
            )
    config.quiet = config.quiet or config.trainer.enable_progress_bar is False
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


def resolve(config: Namespace) -> Resolved:
    """The settings as plain values, their digest and a name."""
    plain = json.loads(json.dumps(config.as_dict(), default=str), parse_int=_int64)
    plain.pop("config", None)
    keys = ("seed_everything", "equal", "data", "model", "evaluation", "stop_rule")
    deciding = {key: plain[key] for key in keys}
    # Where files lie, and in how many parts and by which kernels sums are taken, changes no result.
    for section, names in {"data": {"root"}, "model": {"micro_batch", "compile"}}.items():
        deciding[section] = {k: v for k, v in plain[section].items() if k not in names}
    if not deciding["model"]["remedies"]:
        del deciding["model"]["remedies"]
    deciding["evaluation"] = {
        k: v
        for k, v in plain["evaluation"].items()
        if k != "weights" and (k, v) not in (("birthday", None), ("held_out", False))
    }
    # They change no number unless a diagnosis acts, but what was not measured needs another run.
    deciding |= {
        key: {k: v for k, v in plain[key].items() if k != "command"}
        for key in _MEASURES
        if plain[key] is not None
    }
    deciding["iterations_of"] = config.iterations_of and config.iterations_of.name
    deciding["trainer"] = {k: plain["trainer"][k] for k in ("max_steps", "precision")}
    # The class had this name in 0.5.0, whose digests still hold.
    text = json.dumps(deciding, sort_keys=True)
    text = text.replace("remedies.ExperienceReplay", "remedies.Replay")
    config_hash = hashlib.sha256(text.encode()).hexdigest()
    m, latents = resolve_batch_size(config.data.m, n=config.data.n), config.model.latents
    name = f"{source_class(plain).name}-n{config.data.n}-m{m}"
    name += f"-noise{latents.noise:g}" if latents.noise else ""
    name += f"-bank-{latents.bank}" if latents.bank != "n" else ""
    name += f"-{plain['remedy']}" if plain["remedy"] != "plain" else ""
    name += f"-seed{config.seed_everything}-{config_hash[:8]}"
    return Resolved(config=plain, config_hash=config_hash, name=name)


def _int64(text: str) -> int:
    if abs(number := int(text)) >= 2**63:
        raise UserError(f"{text} is beyond 64 bits; give a smaller number")
    return number


def source_class(config: dict[str, Any]) -> type[Source]:
    """The class of a resolved configuration's source of images."""
    kind: Any = locate(config["data"]["source"]["class_path"])
    return kind  # type: ignore[no-any-return]


def understand(arguments: Sequence[str]) -> Command:
    """Parses a command line of `ganstoch fit`; a `UserError` names a wrong key or value."""
    for name in ("pytorch_lightning.utilities.rank_zero", "lightning_fabric.utilities.seed"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in _NEEDLESS:
        warnings.filterwarnings("ignore", message=message)
    try:
        return Command(arguments)
    except (ArgumentError, UnicodeDecodeError) as error:
        raise UserError(f"{_explain(error)}; see ganstoch fit --help") from error


def resolve_all(lines: Sequence[Sequence[str]]) -> list[Resolved]:
    """Understands command lines of `ganstoch fit`, as `understand` does, without running them."""
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


def compose(config: dict[str, Any]) -> Remedies:
    """The remedies that plain settings name; a `UserError` if they cannot go together."""
    model = config["model"]
    objective = _instance(model["objective"]) if model["objective"] else NonSaturating()
    return Remedies([_instance(item) for item in model["remedies"] or []], objective=objective)


def _instance(item: dict[str, Any]) -> Any:
    kind: Any = locate(item["class_path"])
    return kind(**item.get("init_args", {}))


def _explain(error: ArgumentError | UnicodeDecodeError) -> str:
    """The parser's message; what took a word's place if it is of an earlier version."""
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
    required = r"class_path '([\w.]+)': the following arguments are required: (\w+)"
    if lacks := re.search(rf'Parser key "([\w.]+)".*{required}', message):
        return f"{lacks[1]}.{lacks[3]} is missing, which {lacks[2].rpartition('.')[2]} needs"
    if unknown := re.search(r'Parser key "([\w.]+)":.* dot import path string: (\S+)', message):
        return f"{unknown[1]}: there is no class {unknown[2]!r}"
    return _brief(message)


def _brief(message: str) -> str:
    """Without what a value is not either, where it is of the first of several types, but wrong."""
    union = (
        r"Does not validate against any of the Union subtypes.*?Errors: - (.*?) - (?:Exp|Prob).*"
    )
    return re.sub(rf"{union}Given value: .*", r"\1", " ".join(message.split()))
