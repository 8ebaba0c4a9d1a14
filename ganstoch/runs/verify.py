"""`ganstoch verify`: reruns a recorded run from its record alone, and says whether it is the same.

A record holds every setting, the digests of the weights at every measurement, and what the machine
chose; so the run repeats bit by bit on the hardware and versions that made it, and to rounding,
which training then magnifies, elsewhere.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ganstoch.data.subset import resolve_batch_size
from ganstoch.errors import UserError, visible
from ganstoch.records import Record, read_record
from ganstoch.runs.diff import Comparison, circumstances, compare

__all__ = ["describe", "settings_of", "verify"]


def verify(path: Path, *, out: Path | None, root: Path | None, tolerance: float) -> int:
    """Runs it again, prints how it compares, and leaves the new run in a folder of its own.

    Args:
        path: a `record.json`, or the folder of one.
        out: folder of the new run; None for ``verified/`` and the name of the record's folder.
        root: folder of the data set's files, if not where it was.
        tolerance: largest relative gap between metrics that passes for rounding.

    Returns:
        0 if it is the same, bit by bit or within the tolerance; 1 if not; else what `ganstoch fit`
        returned.
    """
    if not (0.0 <= tolerance < math.inf):
        raise UserError(f"--tolerance must be 0 or more, got {tolerance}")
    path = path / "record.json" if path.is_dir() else path
    earlier = read_record(path)
    out = out or Path("verified") / (path.resolve().parent.name or "run")
    if out.resolve() == path.resolve().parent:
        raise UserError(f"{out} holds the record itself; choose another --out")
    if (out / "record.json").exists():
        raise UserError(f"{out} holds a finished run; remove it, or choose another --out")
    settings = json.dumps(settings_of(earlier), indent=1)  # JSON is YAML
    with tempfile.TemporaryDirectory(prefix="ganstoch-") as scratch:
        config = Path(scratch) / "verified.yaml"
        config.write_text(settings)
        words = [f"--config={config}", f"--out={out}"]
        words += [] if root is None else [f"--data.root={root}"]
        older = re.search(r"(\d+) thread\(s\)", earlier.hardware)  # which older records say so
        if status := _fit(words, threads=earlier.threads or (int(older[1]) if older else None)):
            return status  # it has said why
    later = read_record(out / "record.json")
    comparison = compare(earlier, later, tolerance=tolerance)
    print(describe(comparison, earlier, later, tolerance))
    return int(comparison.sameness == "different")


def settings_of(record: Record) -> dict[str, Any]:
    """The settings, as a config of `ganstoch fit`, that make a recorded run once more."""
    config = json.loads(json.dumps(record.config))
    if start := config.get("ckpt_path"):
        raise UserError(f"the run went on from {start}, which its record lacks; verify that one")
    try:
        for section, linked in (("model", "seed"), ("data", "seed"), ("trainer", "deterministic")):
            fixed = config[section].pop(linked, None)
            if linked == "deterministic":
                config.setdefault("deterministic", bool(fixed))
        if config.pop("iterations_of"):  # a noisy row's, from its twin, which may not be here
            config["trainer"]["max_steps"] = record.iterations
            config["stop_rule"]["stop"] = False
            config["equal"] = "iterations"
        elif config["equal"] == "images":  # the record has what that came to
            of_row = config["trainer"]["max_steps"] * record.m
            config["trainer"]["max_steps"] = -(-of_row // resolve_batch_size("n/4", n=record.n))
        for key in ("out", "ckpt_path", "seeds", "wandb"):
            config.pop(key, None)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"the record's settings lack {error}; it cannot be run again") from error
    return {**config, "wandb": {"mode": "disabled"}}


def _fit(words: list[str], *, threads: int | None) -> int:
    """`ganstoch fit` in a process of its own, with as many threads as sums were split among."""
    environment = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    command = [sys.executable, "-m", "ganstoch.cli", "fit", *words]
    return subprocess.run(command, env=environment, check=False).returncode


def describe(comparison: Comparison, earlier: Record, later: Record, tolerance: float) -> str:
    """The comparison in words, one fact a line."""
    c = comparison
    digests = any(m.digests for m in earlier.history)
    lines = [
        {
            "bit-identical": f"bit-identical: {c.compared:,} numbers and digests of weights, over "
            f"{len(earlier.history)} measurements",
            "equal": f"equal within {tolerance:g}: the largest relative gap is {c.gap:.2g}, "
            f"in {c.compared:,} numbers",
            "different": "different",
        }[c.sameness]
    ]
    if c.first is not None:
        named = ", ".join(c.parts[:4]) + (" and more" if len(c.parts) > 4 else "")
        lines.append(f"first differs at iteration {c.first:,}: {named}")
    if c.beyond is not None:
        iteration, name, then, now = c.beyond
        lines.append(
            f"first beyond {tolerance:g} at iteration {iteration:,}: {name} was {then:.6g}, "
            f"is {now:.6g}"
        )
    if not digests:
        lines.append(
            "the record has no digests of the weights: that they are the same bits cannot be said"
        )
    lines += [f"not the same: {line}" for line in circumstances(earlier, later)]
    return "\n".join(visible(line) for line in lines)  # a record may be anybody's
