"""What measures a run beside its evaluation: keys, their share of the hash, callbacks.

Each is off unless asked for, and then leaves a file beside the record.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from pytorch_lightning import Callback
from pytorch_lightning.cli import LightningArgumentParser

from ganstoch.callbacks.diagnosis import Diagnosis, DiagnosisSettings
from ganstoch.callbacks.gradient_noise import FILE, GradientNoise, GradientNoiseSettings
from ganstoch.callbacks.probe import Probe, ProbeSettings
from ganstoch.errors import UserError

__all__ = [
    "add_measuring_arguments",
    "asked_measures",
    "measuring_callbacks",
    "refuse_shared",
]

_MEASURES = {
    "diagnosis": (DiagnosisSettings, "when to look for what goes wrong, and what then to do"),
    "probe": (ProbeSettings, "when to ask D's features for the classes"),
    "gradient_noise": (GradientNoiseSettings, "when to measure signal and noise of both gradients"),
}


def add_measuring_arguments(parser: LightningArgumentParser) -> None:
    """Declares one key a measure, null unless given."""
    for key, (settings, what) in _MEASURES.items():
        parser.add_argument(
            f"--{key}", type=settings | None, default=None, help=f"{what}; null for never"
        )


def asked_measures(config: dict[str, Any]) -> dict[str, Any]:
    """Those of a resolved configuration that are asked for.

    They change no number unless a diagnosis is to act, but a finished run that was not measured
    cannot be measured any more: it is another run.
    """
    return {key: config[key] for key in _MEASURES if config[key] is not None}


def refuse_shared(config: Namespace, *, devices: int) -> None:
    """Refuses what sees one device's share of a batch only, where several share it.

    Raises:
        UserError: if one of them is asked for.
    """
    for key in _MEASURES:
        if devices > 1 and config[key] is not None:
            raise UserError(
                f"{key} measures on one device, and there are {devices}; leave it out, or set "
                "trainer.devices=1 and trainer.num_nodes=1"
            )


def measuring_callbacks(config: Namespace, folder: Path) -> list[Callback]:
    """What measures, each with its file in the run's folder."""

    def asked(key: str) -> dict[str, Any] | None:
        return None if config[key] is None else config[key].as_dict()

    callbacks: list[Callback] = []
    if (settings := asked("diagnosis")) is not None:
        callbacks.append(Diagnosis(**settings, path=folder / "diagnosis.json"))
    if (settings := asked("probe")) is not None:
        callbacks.append(Probe(ProbeSettings(**settings), folder / "probe.json"))
    if (settings := asked("gradient_noise")) is not None:
        noise = GradientNoiseSettings(**settings)
        callbacks.append(GradientNoise(noise, folder / FILE, quiet=config.quiet))
    return callbacks
