"""A world's table in words: its cells, its caption, and its gaps to published numbers."""

from __future__ import annotations

from collections.abc import Sequence

from ganstoch.report.published import PublishedRow
from ganstoch.report.quantities import MODES, QUANTITIES, Estimate, Quantity, gap
from ganstoch.report.words import DASH, PERCENT, duration, enumerate_words, span
from ganstoch.report.world_rows import World, WorldRow

__all__ = ["also_published", "amount", "budget", "caption", "compared", "partial"]


def amount(estimate: Estimate | None, decimals: int) -> str:
    """An estimate: ``7.90 ± 0.10``, without ± where its error is unknown."""
    if estimate is None:
        return DASH
    error = "" if estimate.error is None else f" ± {estimate.error:.{decimals}f}"
    return f"{estimate.mean:.{decimals}f}{error}"


def budget(row: WorldRow) -> str:
    """The share of the published iterations: ``2.5 %``."""
    if row.budget is None:
        return DASH
    return f"{100 * row.budget:.3g}{PERCENT}" if row.budget >= 1e-4 else f"<0.01{PERCENT}"


def compared(world: World, row: WorldRow) -> str:
    """By how much a row misses or beats its published counterpart; empty without one.

    Published numbers are missed where ours have fewer modes, fewer good samples or more nats.
    """
    published = row.published
    if published is None:
        return ""
    phrases = []
    for quantity in QUANTITIES:
        ours, theirs = row.estimate(quantity), _theirs(published, quantity)
        if ours is not None and theirs is not None:
            phrases.append(_phrase(ours, theirs, quantity, decimals=world.decimals(quantity)))
    return f"{published.method} ({published.source}): {', '.join(phrases)}" if phrases else ""


def _theirs(published: PublishedRow, quantity: Quantity) -> Estimate | None:
    found: Estimate | None = getattr(published, quantity.column)
    return found


def _phrase(ours: Estimate, theirs: Estimate, quantity: Quantity, *, decimals: int) -> str:
    name = quantity.name.removesuffix(" %")
    found = gap(ours, theirs)
    size = f"{abs(found.by):.{decimals}f}"
    if float(size) == 0.0:
        return f"{name} equal"
    verb = "beaten" if (found.by > 0) == quantity.more_is_better else "missed"
    # A mode count beside modes reads twice.
    unit = "" if quantity.unit == name else f" {quantity.unit}"
    if found.errors is None:
        return f"{name} {verb} by {size}{unit} (no s.e.)"
    whose = "published " if ours.error is None else "our " if theirs.error is None else ""
    return f"{name} {verb} by {size}{unit} ({found.errors:.1f} {whose}s.e.)"


def partial(row: WorldRow, quantities: Sequence[Quantity]) -> str:
    """Which means leave seeds out, as a collapsed run may have no divergence; else empty."""
    found = [
        f"{quantity.name}: {estimate.trials} of {len(row.runs)} seeds"
        for quantity in quantities
        if (estimate := row.estimate(quantity)) and (estimate.trials or 0) < len(row.runs)
    ]
    return "; ".join(found)


def also_published(world: World) -> str:
    """What was published for a world and stands beside no row; empty if nothing."""
    used = [row.published for row in world.rows]
    phrases = []
    for row in world.protocol.rows:
        if row not in used:
            cells = [f"{amount(row.modes, world.decimals(MODES))} modes"]
            if row.good_percent is not None:
                cells.append(f"good {row.good_percent.mean:g}{PERCENT}")
            if row.reverse_kl is not None:
                cells.append(f"KL {row.reverse_kl.mean:.2f}")
            phrases.append(f"{row.method} ({row.source}) {', '.join(cells)}")
    return f"Also published: {'; '.join(phrases)}." if phrases else ""


def caption(tables: Sequence[World]) -> str:
    """What the tables show, how often, on what, and how far from the published effort.

    Args:
        tables: at least one.
    """
    runs = [run for world in tables for run in world.runs]
    counts = [len(row.runs) for world in tables for row in world.rows]
    seeds = ", ".join(str(seed) for seed in sorted({run.seed for run in runs}))
    each = f"{min(counts)} to {max(counts)}" if min(counts) != max(counts) else f"{counts[0]}"
    presets = enumerate_words(sorted({run.preset for run in runs}))
    hardware = "; ".join(dict.fromkeys(run.hardware for run in runs))
    total = duration(sum(run.seconds for run in runs))
    sentences = [
        f"Preset {presets}; {each} seed{'' if each == '1' else 's'} a row ({seeds}).",
        "Modes: those with a sample; good: share of the samples near a mode, or, of images, that a "
        "classifier is sure of; reverse KL: samples over modes against uniform, in nats.",
        "Means over the seeds ± standard error (sd / √seeds)."
        if max(counts) > 1
        else "One seed a row, so that no error is known.",
        "Perfect sampler: as many samples of the data's own distribution, so the ceiling of the "
        "modes and of the good samples and the floor of the divergence.",
        *_effort(tables),
        f"Trained on {hardware}; {len(runs)} run{'' if len(runs) == 1 else 's'}, {total} in all.",
    ]
    return " ".join(sentences)


def _effort(tables: Sequence[World]) -> list[str]:
    """The published length of training with our share of it, world by world."""
    sentences = []
    for world in tables:
        shares = sorted(row.budget for row in world.rows if row.budget is not None)
        if shares and world.protocol.iterations is not None:
            low, high = f"{100 * shares[0]:.3g}", f"{100 * shares[-1]:.3g}"
            part = low if low == high else f"{low} to {high}"
            ours = span([run.iterations for run in world.runs])
            sentences.append(
                f"{world.protocol.title}: {ours} iterations, {part}{PERCENT} of the published "
                f"{world.protocol.iterations:,}."
            )
    compares = any(row.published for world in tables for row in world.rows)
    if compares:
        sentences.append(
            "Gaps to published values are in units of the column and in standard errors of the "
            "difference, of those errors that are known."
        )
    return sentences
