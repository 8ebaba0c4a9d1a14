"""`ganstoch table1`: every row of a sweep file, then Table 1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ganstoch.runs.campaign import (
    Request,
    asked_sweep,
    carry_out,
    chosen_preset,
    report,
)

__all__ = ["table1"]


def table1(request: Request) -> int:
    """Runs what is not finished, writes the report and prints the table.

    Returns:
        0, or 1 if a run failed.

    Raises:
        UserError: for a request that cannot be carried out.
    """
    if request.report_only:
        return report(request.out or _default_out(request), write=_write)
    preset, why = chosen_preset(request)
    print(f"preset {preset}: {why}", flush=True)
    out = request.out or _default_out(request)
    return carry_out(asked_sweep(request, preset=preset), request, out=out, write=_write)


def _default_out(request: Request) -> Path:
    preset, _ = chosen_preset(request)
    return Path("results") / f"{Path(request.sweep).stem}-{preset}"


def _write(out: Path, runs: Sequence[Path], missing: Sequence[str]) -> str:
    from ganstoch.report import write_report

    return write_report(out, runs, missing=missing)
