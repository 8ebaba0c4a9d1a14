"""Says so where half precision is computed by hardware that lacks it, which then costs time."""

from __future__ import annotations

from pathlib import Path

import torch

__all__ = ["emulated"]

_CPUINFO = Path("/proc/cpuinfo")
_NATIVE = {"amx_bf16", "avx512_bf16", "bf16", "svebf16"}
"""What Linux calls a processor's instructions for bfloat16, Intel's and AMD's, then ARM's."""


def emulated(precision: str, device: torch.device) -> str | None:
    """One line on a precision that a device does not have; None where it does, or nobody knows.

    Args:
        precision: as Lightning names it, such as ``bf16-mixed``.
        device: on which a run is to be computed.
    """
    if not precision.startswith("bf16"):
        return None
    if device.type == "cpu":
        flags = _flags()
        lacks = "amx_bf16 or avx512_bf16" if flags and not flags & _NATIVE else ""
    elif device.type == "cuda":
        lacks = "" if torch.cuda.is_bf16_supported(including_emulation=False) else "bfloat16 units"
    else:
        lacks = ""
    if not lacks:
        return None
    return (
        f"trainer.precision {precision} is emulated here, as this {device.type.upper()} has no "
        f"{lacks}: an iteration takes two to five times as long as in 32-true"
    )


def _flags() -> set[str]:
    """Of the first processor; empty where Linux does not say."""
    try:
        lines = _CPUINFO.read_text(errors="replace").splitlines()
    except OSError:
        return set()
    found = (line for line in lines if line.startswith(("flags", "Features")))
    return set(next(found, "").partition(":")[2].split())
