"""`ganstoch remedies`: remedies against mode collapse, on images or where the modes are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from ganstoch.errors import UserError
from ganstoch.runs.campaign import (
    Request,
    asked_sweep,
    carry_out,
    chosen_preset,
    report,
)

__all__ = ["WORLDS", "World", "remedies"]

World = Literal["images", "ring", "ring_unrolled", "grid", "1200d", "bimodal", "stacked"]
"""Where remedies are tried.

* ``images``: the game of Table 1, remedy by stochasticity; any preset.
* ``ring``, ``grid``, ``1200d``: points, by PacGAN's protocol.
* ``ring_unrolled``: the same ring by the protocol of unrolled GANs.
* ``bimodal``: points on a line, two modes.
* ``stacked``: stacked images, a thousand modes.
"""

WORLDS: tuple[World, ...] = get_args(World)

SWEEPS: dict[World, str] = {"images": "remedies", "1200d": "gaussians1200"}
"""The sweeps that are not named as their world is."""


def remedies(request: Request, *, world: World, names: Sequence[str] | None) -> int:
    """Runs what is not finished, writes the report and prints the table.

    Args:
        request: as for Table 1; its sweep is the world's.
        world: where the remedies are tried.
        names: packaged remedies, each possibly several joined by +; None for the sweep's.

    Returns:
        0, or 1 if a run failed.

    Raises:
        UserError: for an unknown remedy, remedies that cannot go together, or whatever else cannot
            be carried out.
    """
    request = replace(request, sweep=SWEEPS.get(world, world))
    write = _write_images if world == "images" else _write_world
    if request.report_only:
        return report(request.out or _default_out(request, world), write=write)
    preset = None
    if world == "images":
        preset, why = chosen_preset(request)
        print(f"preset {preset}: {why}", flush=True)
    elif request.preset != "auto":
        raise UserError(f"--preset is for --world images; {world} has settings of its own")
    sweep = asked_sweep(request, preset=preset)
    if names is not None:
        if len(set(names)) < len(names):
            raise UserError(f"--remedies names a remedy twice: {','.join(names)}")
        sweep = sweep.with_values("remedy", list(names))
    return carry_out(sweep, request, out=request.out or _default_out(request, world), write=write)


def _default_out(request: Request, world: World) -> Path:
    place = f"remedies-{chosen_preset(request)[0]}" if world == "images" else world
    return Path("results") / place


def _write_images(out: Path, runs: Sequence[Path], missing: Sequence[str]) -> str:
    from ganstoch.report import write_remedies_report

    return write_remedies_report(out, runs, missing=missing)


def _write_world(out: Path, runs: Sequence[Path], missing: Sequence[str]) -> str:
    from ganstoch.report import write_world_report

    return write_world_report(out, runs, missing=missing)
