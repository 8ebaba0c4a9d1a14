"""`ganstoch verify`: reruns a run from its record alone; the same bits on the same hardware."""

import json
import math
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jsonargparse import Namespace

from ganstoch.data.subset import resolve_batch_size
from ganstoch.errors import UserError, visible
from ganstoch.records import RECORD, Record, read_record


def verify(options: Namespace) -> int:
    """Runs it again and prints how it compares: 0 if it is the same, 1 if not, or fit's status."""
    path = options.record / RECORD if options.record.is_dir() else options.record
    earlier = read_record(path)
    out = options.out or Path("verified") / (path.resolve().parent.name or "run")
    if out.resolve() == path.resolve().parent:
        raise UserError(f"{out} holds the record itself; choose another --out")
    if (out / RECORD).exists():
        raise UserError(f"{out} holds a finished run; remove it, or choose another --out")
    with tempfile.TemporaryDirectory(prefix="ganstoch-") as scratch:
        config = Path(scratch) / "verified.yaml"
        config.write_text(json.dumps(settings_of(earlier), indent=1))  # JSON is YAML
        words = [f"--config={config}", f"--out={out}"]
        words += [] if options.root is None else [f"--data.root={options.root}"]
        older = re.search(r"(\d+) thread\(s\)", earlier.hardware)  # which older records say so
        if status := _fit(words, threads=earlier.threads or (int(older[1]) if older else None)):
            return status  # it has said why
    comparison = compare(earlier, read_record(out / RECORD), tolerance=options.tolerance)
    print("\n".join(visible(line) for line in comparison.lines()))  # a record may be anybody's
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
        config["trainer"].pop("logger", None)  # no writing to where the first run wrote
        if config.get("diagnosis"):
            config["diagnosis"].pop("command", None)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"the record's settings lack {error}; it cannot be run again") from error
    return {**config, "wandb": {"mode": "disabled"}}


def _fit(words: list[str], *, threads: int | None) -> int:
    """`ganstoch fit` in a process of its own, with as many threads as sums were split among."""
    environment = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    command = [sys.executable, "-m", "ganstoch.cli", "fit", *words]
    return subprocess.run(command, env=environment, check=False).returncode


class Difference(NamedTuple):
    """A number or digest that two runs differ in; NaN where one of them lacks it."""

    iteration: int  # 0 for the baseline
    name: str
    then: float | str
    now: float | str

    @property
    def gap(self) -> float:
        """Relative to the larger of two numbers; 0 between digests."""
        if isinstance(self.then, str) or isinstance(self.now, str):
            return 0.0
        if math.isnan(self.then) or math.isnan(self.now):
            return math.inf
        return abs(self.now - self.then) / max(abs(self.then), abs(self.now))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that two records say of what should be one run's numbers."""

    earlier: Record
    later: Record
    tolerance: float  # largest relative gap of a metric that passes for rounding
    compared: int  # numbers and digests
    differences: list[Difference]  # in the order in which the runs made them

    @property
    def beyond(self) -> Difference | None:
        """The first metric beyond the tolerance."""
        return next((each for each in self.differences if each.gap > self.tolerance), None)

    @property
    def sameness(self) -> Literal["bit-identical", "equal", "different"]:
        """Whether everything is bit-identical, all metrics are within the tolerance, or neither."""
        if self.beyond:
            return "different"
        # Counts, such as of modes, agree long before weights do: numbers alone do not say it.
        whole = all(m.digests for record in (self.earlier, self.later) for m in record.history)
        return "bit-identical" if whole and not self.differences else "equal"

    def lines(self) -> list[str]:
        """The comparison in words, one fact a line."""
        lines: list[str] = [self.sameness]
        if self.sameness == "bit-identical":
            lines[0] += f": {self.compared:,} numbers and digests of weights, over "
            lines[0] += f"{len(self.earlier.history)} measurements"
        if self.sameness == "equal":
            gap = max((each.gap for each in self.differences), default=0.0)
            lines[0] += f" within {self.tolerance:g}: the largest relative gap is {gap:.2g}, in "
            lines[0] += f"{self.compared:,} numbers"
        if self.differences:
            first = self.differences[0].iteration
            names = [each.name for each in self.differences if each.iteration == first]
            more = " and more" if len(names) > 4 else ""
            lines.append(f"first differs at iteration {first:,}: {', '.join(names[:4])}{more}")
        if each := self.beyond:
            lines.append(
                f"first beyond {self.tolerance:g} at iteration {each.iteration:,}: {each.name} was "
                f"{each.then:.6g}, is {each.now:.6g}"
            )
        if not any(m.digests for m in self.earlier.history):
            lines.append("the record has no digests of the weights: whether bits agree is unknown")
        return lines + [f"not the same: {line}" for line in circumstances(self.earlier, self.later)]


def compare(earlier: Record, later: Record, *, tolerance: float) -> Comparison:
    """Compares two records; see `Comparison`."""
    thens, nows = _numbers(earlier), _numbers(later)
    pairs = [
        Difference(*key, thens.get(key, math.nan), nows.get(key, math.nan))
        for key in sorted(thens | nows)
    ]
    # Without a digest that only one has: 0.5.0 took none.
    pairs = [pair for pair in pairs if isinstance(pair.then, str) == isinstance(pair.now, str)]
    differences = [pair for pair in pairs if pair.then != pair.now]
    return Comparison(earlier, later, tolerance, len(pairs), differences)


def _numbers(record: Record) -> dict[tuple[int, str], float | str]:
    """Every number and digest by its iteration and name."""
    numbers: dict[tuple[int, str], float | str] = {(0, k): v for k, v in record.baseline.items()}
    for measurement in record.history:
        for named in (measurement.digests, measurement.metrics):
            numbers |= {(measurement.iteration, name): value for name, value in named.items()}
    return numbers


def circumstances(earlier: Record, later: Record) -> list[str]:
    """What two runs did not have in common, which may explain why their numbers differ."""
    then, now = dict(earlier.versions), dict(later.versions)
    for name in ("hardware", "threads", "git_sha", "subset_sha256"):
        then[name], now[name] = (str(getattr(record, name)) for record in (earlier, later))
    return [
        f"{name} {then.get(name, 'none')}, now {now.get(name, 'none')}"
        for name in sorted(then | now)
        if then.get(name) != now.get(name)
    ]
