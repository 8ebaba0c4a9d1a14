"""Records of worlds with known modes to rows: one per remedy and setting, over its seeds."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ganstoch.errors import UserError, visible
from ganstoch.records import Record
from ganstoch.report.published import Protocol, PublishedRow, protocol_of
from ganstoch.report.quantities import MODES, Estimate, Quantity

__all__ = [
    "World",
    "WorldKey",
    "WorldRow",
    "natural",
    "remedy_of",
    "setting",
    "world_key",
    "worlds",
]


class WorldKey(NamedTuple):
    """What tells one run of a world's table from another."""

    dataset: str
    protocol: str
    remedy: str
    m: int
    noise: float
    bank: int | None
    seed: int


def setting(run: Record, *path: str) -> Any:
    """The value under a path of keys of a run's configuration, or None."""
    value: Any = run.config
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def remedy_of(run: Record) -> str:
    """The label of a run's remedy; a run without one is plain."""
    label = setting(run, "remedy")
    return visible(label) if isinstance(label, str) and label else "plain"


def natural(label: str) -> tuple[bool, list[tuple[int, str]]]:
    """Order of labels: plain first, then by alphabet, with ``unrolled5`` before ``unrolled10``."""
    parts = re.findall(r"\d+|\D+", label)
    return label != "plain", [(int(part), "") if part.isdigit() else (0, part) for part in parts]


def world_key(run: Record) -> WorldKey:
    """The key of a record's run."""
    return WorldKey(
        run.dataset, _protocol(run).name, remedy_of(run), run.m, run.noise, run.bank, run.seed
    )


def _protocol(run: Record) -> Protocol:
    if run.preset == "ring_unrolled":
        return protocol_of(run.preset)
    variant = setting(run, "data", "source", "init_args", "protocol")
    widths, theirs = [], True
    for player in ("discriminator", "generator"):
        widths.append(setting(run, "model", player, "init_args", "width"))
        kind = str(setting(run, "model", player, "class_path"))
        theirs = theirs and kind.rpartition(".")[2].startswith("Unrolled")
    known = theirs and all(isinstance(width, int) and width > 0 for width in widths)
    # That discriminator has twice the generator's channels at the same width: see `models.dcgan`.
    ratio = 2 * widths[0] / widths[1] if known else None
    return protocol_of(run.dataset, variant=variant or "veegan", ratio=ratio)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldRow:
    """One remedy in one setting under one or more seeds.

    Attributes:
        runs: its records, by rising seed; they differ in nothing but the seed.
        label: the remedy, and the setting where the world's table has several.
        protocol: of the world.
    """

    runs: tuple[Record, ...]
    label: str
    protocol: Protocol

    @property
    def remedy(self) -> str:
        """Label of the remedy alone."""
        return remedy_of(self.runs[0])

    @property
    def published(self) -> PublishedRow | None:
        """The published counterpart; nobody published runs with noise on the latents."""
        return None if self.runs[0].noise else self.protocol.counterpart(self.remedy)

    @property
    def budget(self) -> float | None:
        """Iterations done as a share of the published ones; None if these are unknown."""
        if self.protocol.iterations is None:
            return None
        done = sum(run.iterations for run in self.runs) / len(self.runs)
        return done / self.protocol.iterations

    @property
    def note(self) -> str:
        """The row's protocol, in a few words."""
        run, batch = self.runs[0], self.protocol.batch
        objective = setting(run, "model", "objective")
        if isinstance(objective, dict):
            objective = objective.get("class_path")
        named = str(objective).rpartition(".")[2] if objective else ""
        size = f"m = {run.m:,}" + (f" (published {batch:,})" if batch not in (None, run.m) else "")
        return "; ".join(part for part in (self.protocol.name, named, size) if part)

    def estimate(self, quantity: Quantity) -> Estimate | None:
        """Mean and standard error over the seeds that have the quantity; None if none has."""
        return _estimate([run.metrics for run in self.runs], quantity)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One world's table.

    Attributes:
        dataset: name of the source.
        protocol: how it is set up and measured.
        preset: the preset all its runs were made from.
        n: examples in the training set.
        of: modes there are.
        rows: plain first, then by alphabet.
    """

    dataset: str
    protocol: Protocol
    preset: str
    n: int
    of: int
    rows: tuple[WorldRow, ...]

    @property
    def runs(self) -> tuple[Record, ...]:
        """All its records."""
        return tuple(run for row in self.rows for run in row.runs)

    @property
    def heading(self) -> str:
        """Its name, protocol and size."""
        named = f" ({self.protocol.name})" if self.protocol.name != self.protocol.title else ""
        return f"{self.protocol.title}{named}, {self.of:,} modes, n = {self.n:,}"

    def perfect(self, quantity: Quantity) -> Estimate | None:
        """What samples of the data's own distribution, as many as a run's, score."""
        found = _estimate([run.baseline for run in self.runs], quantity)
        return None if found is None else Estimate(found.mean)

    def decimals(self, quantity: Quantity) -> int:
        """Digits behind the point: a thousand modes need fewer than eight."""
        return 1 if quantity is MODES and self.of >= 100 else quantity.decimals


def worlds(records: Sequence[Record]) -> tuple[World, ...]:
    """Groups records into tables, worlds in the order of their first record.

    Raises:
        UserError: if there are none, if presets or sizes are mixed in a world, if two records are
            of the same run, or if one has no modes.
    """
    if not records:
        raise UserError("no finished runs to report; run the sweep first, or check the folder")
    found: dict[tuple[str, str], list[Record]] = {}
    for run in records:
        for key in (MODES.metric, "modes/of"):
            if key not in run.metrics:
                raise UserError(
                    f"{_name(run)} has no {key}; report runs of worlds with known modes here, and "
                    "images in the table of remedies"
                )
        found.setdefault(world_key(run)[:2], []).append(run)
    return tuple(_world(runs) for runs in found.values())


def _world(runs: Sequence[Record]) -> World:
    for what, values in (
        ("presets", sorted({run.preset for run in runs})),
        ("sizes n", [f"{n:,}" for n in sorted({run.n for run in runs})]),
        ("numbers of modes", sorted({f"{run.metrics['modes/of']:g}" for run in runs})),
    ):
        if len(values) > 1:
            raise UserError(
                f"{runs[0].dataset} has runs of several {what}: {', '.join(values)}; they share "
                "no table, report each from a folder of its own"
            )
    groups: dict[WorldKey, dict[int, Record]] = {}
    for run in runs:
        key = world_key(run)
        seeds = groups.setdefault(key._replace(seed=0), {})
        if run.seed in seeds:
            raise UserError(f"{_name(run)} was given twice; leave one of its folders out")
        seeds[run.seed] = run
    order = sorted(groups, key=lambda k: (natural(k.remedy), k.noise, -k.m, k.bank or math.inf))
    protocol = _protocol(runs[0])
    rows = tuple(
        WorldRow(
            runs=tuple(run for _, run in sorted(groups[key].items())),
            label=_label(key, order),
            protocol=protocol,
        )
        for key in order
    )
    return World(
        dataset=runs[0].dataset,
        protocol=protocol,
        preset=runs[0].preset,
        n=runs[0].n,
        of=round(runs[0].metrics["modes/of"]),
        rows=rows,
    )


def _label(key: WorldKey, others: Sequence[WorldKey]) -> str:
    parts = [key.remedy]
    if len({other.m for other in others}) > 1:
        parts.append(f"m = {key.m:,}")
    if key.noise:
        parts.append(f"noise {key.noise:g}")
    if len({other.bank for other in others}) > 1:
        parts.append("fresh z" if key.bank is None else f"k = {key.bank:,}")
    return ", ".join(parts)


def _estimate(sources: Sequence[Mapping[str, float]], quantity: Quantity) -> Estimate | None:
    key = quantity.metric
    values = [metrics[key] * quantity.factor for metrics in sources if key in metrics]
    return Estimate.of(values) if values else None


def _name(run: Record) -> str:
    noise = f", noise {run.noise:g}" if run.noise else ""
    return f"the run {run.dataset}, {remedy_of(run)}, m = {run.m}{noise}, seed {run.seed}"
