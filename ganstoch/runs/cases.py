"""The labelled runs of cases.yaml, on whose signals verdicts are scored."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml

from ganstoch import objectives, remedies
from ganstoch.callbacks.diagnosis import Diagnosis
from ganstoch.data import Digits, Ring, Source
from ganstoch.data.datamodule import ImageData
from ganstoch.diagnosis import Signals, Verdict, diagnose
from ganstoch.diagnosis.signals import from_columns, to_columns
from ganstoch.errors import UserError
from ganstoch.latents import LatentSettings
from ganstoch.models import PaperDiscriminator, PaperGenerator
from ganstoch.models.dcgan import DCGANDiscriminator, DCGANGenerator
from ganstoch.models.layers import DiscriminatorFactory, GeneratorFactory
from ganstoch.models.mlp import MaxoutDiscriminator, ReLUGenerator
from ganstoch.records import read_json, write_atomically
from ganstoch.report.confusion import Judged
from ganstoch.runs import faults
from ganstoch.training.gan import GAN, AdamSettings
from ganstoch.training.silent_fit import silent_fit

EVERY = 25  # iterations between measurements

# Networks that suit each other, and the data and rates at which they train well.
FAMILIES: dict[str, dict[str, Any]] = {
    "conv": {
        "generator": partial(PaperGenerator, width=32, latent_dim=32),
        "discriminator": partial(PaperDiscriminator, width=32),
        "beta1": 0.0,
    },
    "dense": {
        "generator": partial(ReLUGenerator, width=256, depth=3, latent_dim=32),
        "discriminator": partial(MaxoutDiscriminator, width=64),
        "base_lr": 3e-4,
    },
    "dcgan": {
        "generator": partial(DCGANGenerator, width=8, latent_dim=32),
        "discriminator": partial(DCGANDiscriminator, width=8),
    },
    "ring": {
        "generator": partial(ReLUGenerator, width=128, depth=3),
        "discriminator": partial(MaxoutDiscriminator, width=64),
        "source": Ring,
        "n": 2000,
        "m": 64,
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One run whose cause of trouble is known; a class is a name, or that with its arguments."""

    name: str
    label: Verdict  # that the cause must lead to
    cause: str
    generator: GeneratorFactory
    discriminator: DiscriminatorFactory
    source: type[Source] = Digits
    n: int = 256
    m: int = 16
    base_lr: float = 1e-3
    lr: float = 1.0  # times the base
    beta1: float = 0.5
    noise: float = 0.0
    objective: str = "NonSaturating"
    faults: Sequence[Any] = ()
    remedies: Sequence[Any] = ()
    iterations: int = 250
    onset: int = 1  # iteration at which the fault acts
    treat: bool = False  # whether the remedies that its verdict names are tried


CASES: tuple[Case, ...] = tuple(
    Case(name=name, label=label, **FAMILIES[settings.pop("family", "conv")] | settings)
    for label, named in yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text()).items()
    for name, settings in named.items()
)


def _make(spec: str | Mapping[str, Mapping[str, Any]]) -> Any:
    """An object of the class that a case names."""
    ((name, arguments),) = [(spec, {})] if isinstance(spec, str) else spec.items()
    room = next(room for room in (objectives, remedies, faults) if hasattr(room, name))
    return getattr(room, name)(**arguments)


def run_case(case: Case, *, seed: int, iterations: int | None = None) -> list[Signals]:
    """Trains a case, for its own number of iterations or another, and returns its signals."""
    images = ImageData(case.source(), n=case.n, m=case.m, seed=seed)
    images.prepare_data()
    images.setup("fit")
    gan = GAN(
        case.generator,
        case.discriminator,
        _make(case.objective),
        remedies=[_make(spec) for spec in case.remedies],
        latents=LatentSettings(noise=case.noise),
        optimizer=AdamSettings(lr=case.base_lr * case.lr, beta1=case.beta1),
        ema_decay=0.98,
        seed=seed,
        shape=images.shape,
    )
    diagnosis = Diagnosis(every=EVERY)
    silent_fit(
        gan,
        images,
        iterations=case.iterations if iterations is None else iterations,
        callbacks=[*(_make(spec) for spec in case.faults), diagnosis],
        accelerator="cpu",
    )
    return diagnosis.history


def score_case(case: Case, history: Sequence[Signals], *, seed: int) -> Judged:
    """What the diagnosis says along a run of at least one measurement."""
    steps = [diagnose(history[: end + 1]) for end in range(len(history))]
    verdicts = [{finding.verdict for finding in step.findings} for step in steps]
    first = sum(step.iteration < case.onset for step in steps)
    seen = [number for number, named in enumerate(verdicts[first:], 1) if case.label in named]
    final = steps[-1]
    return Judged(
        name=case.name,
        seed=seed,
        label=case.label,
        verdict=final.verdict,
        others=tuple(finding.verdict for finding in final.findings[1:]),
        found_after=seen[0] if seen and case.label != "healthy" else None,
        passing=tuple(sorted(set().union(*verdicts) - verdicts[-1])),
        ended=any(step.due() for step in steps),
        cause=case.cause,
    )


def trace_path(folder: Path, case: Case, *, seed: int) -> Path:
    """The file of a run's signals."""
    plain = "".join(c if c.isalnum() else "_" for c in case.name)
    return folder / f"{plain}-{seed}.json"


def read_trace(path: Path) -> list[Signals]:
    """Reads the signals of a run; `UserError` if the file is damaged."""
    try:
        return from_columns(read_json(path, fix=""))
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged; remove it to run the case again") from error


def run_and_write(run: tuple[Case, int, Path]) -> None:
    """Trains a case with a seed and writes its signals to a file."""
    torch.set_num_threads(1)
    logging.getLogger("ganstoch").setLevel(logging.ERROR)
    case, seed, path = run
    columns = to_columns(run_case(case, seed=seed))
    write_atomically(path, json.dumps(columns, allow_nan=False).encode() + b"\n")
