"""What a table must say beside its numbers: at which size, on what, how far from the paper's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ganstoch.records import Record
from ganstoch.report import paper
from ganstoch.report.words import PERCENT, duration, enumerate_words, span

__all__ = ["caption"]


def caption(records: Sequence[Record]) -> str:
    """The caption of a table made from ``records``, in plain sentences.

    Args:
        records: the runs in the table; at least one.
    """
    presets = enumerate_words(sorted({run.preset for run in records}))
    sizes = {run.dataset: run.n for run in records}
    hardware = "; ".join(dict.fromkeys(run.hardware for run in records))
    total = duration(sum(run.seconds for run in records))
    runs = "1 run" if len(records) == 1 else f"{len(records)} runs"
    counterpart = any(name in paper.TITLES for name in sizes)
    sentences = [
        f"Preset {presets}: {_datasets(sizes)}; {_seeds(records)}.",
        "Pixel l1 to the nearest neighbour, in grey levels per pixel and channel: mean over the "
        f"queries, mean of the worst 10{PERCENT} and of the worst 5{PERCENT}.",
        *(["± is the sample standard deviation over seeds."] if _repeated(records) else []),
        *(
            ["Beside our values: the paper's (Table 1) for the same n/m and noise."]
            if counterpart
            else []
        ),
        f"Trained on {hardware}; {runs}, {total} in all; {_budget(records)}.",
        *_differences(records),
    ]
    return " ".join(sentences)


def _datasets(sizes: Mapping[str, int]) -> str:
    if len(sizes) > 1 and len(set(sizes.values())) == 1:
        (n,) = set(sizes.values())
        return f"{enumerate_words(map(paper.title, sizes))} (n = {n:,} each)"
    return enumerate_words(f"{paper.title(name)} (n = {n:,})" for name, n in sizes.items())


def _repeated(records: Sequence[Record]) -> bool:
    return len({run.seed for run in records}) > 1


def _seeds(records: Sequence[Record]) -> str:
    counts: dict[tuple[object, ...], int] = {}
    for run in records:
        key = (run.dataset, run.m, run.noise, run.bank)
        counts[key] = counts.get(key, 0) + 1
    seeds = ", ".join(str(seed) for seed in sorted({run.seed for run in records}))
    low, high = min(counts.values()), max(counts.values())
    if low != high:
        return f"{low} to {high} seeds a row ({seeds})"
    return f"seed {seeds}" if high == 1 and not _repeated(records) else f"{high} seeds ({seeds})"


def _budget(records: Sequence[Record]) -> str:
    """Whether rows are compared at equal iterations or equal images, and what was done."""
    done = {
        "iterations": [run.iterations for run in records],
        "images": [run.images_seen for run in records],
    }
    named = {run.config["equal"] for run in records if run.config.get("equal") in done}
    if not named:  # an older configuration does not say: the numbers may
        named = {word for word, values in done.items() if len(set(values)) == 1}
    if len(named) != 1:
        return f"{span(done['iterations'])} iterations, {span(done['images'])} images seen"
    (word,) = named
    seen = "images seen" if word == "images" else word
    if len(set(done[word])) == 1:
        return f"equal {seen}: {span(done[word])} for every row"
    return f"equal {seen}, or fewer where a run converged: {span(done[word])}"


def _differences(records: Sequence[Record]) -> list[str]:
    """Sentences naming what differs from the paper's setting, with both values."""
    generator = _values(records, "model", "generator", "init_args", "width")
    discriminator = _values(records, "model", "discriminator", "init_args", "width")
    widths = (
        [("width", generator, paper.WIDTH)]
        if generator == discriminator
        else [
            ("generator width", generator, paper.WIDTH),
            ("discriminator width", discriminator, paper.WIDTH),
        ]
    )
    checked: list[tuple[str, list[Any], float]] = [
        ("n", sorted({run.n for run in records}), paper.N),
        *widths,
        (
            "latent size",
            _values(records, "model", "generator", "init_args", "latent_dim"),
            paper.LATENT_DIM,
        ),
        ("learning rate", _values(records, "model", "optimizer", "lr"), paper.LEARNING_RATE),
        ("beta1", _values(records, "model", "optimizer", "beta1"), paper.BETAS[0]),
        ("beta2", _values(records, "model", "optimizer", "beta2"), paper.BETAS[1]),
    ]
    known = [(name, values, theirs) for name, values, theirs in checked if values]
    differ = [
        f"{name} {enumerate_words(_number(v) for v in values)} (paper {_number(theirs)})"
        for name, values, theirs in known
        if values != [theirs]
    ]
    alike = [name for name, values, theirs in known if values == [theirs]]
    sentences = [f"Not as in the paper: {', '.join(differ)}."] if differ else []
    if alike:
        sentences.append(f"As in the paper: {', '.join(alike)}.")
    decays = _values(records, "model", "ema_decay") or _values(records, "model", "ema", "decay")
    unstated = "The paper states neither its iterations nor its hardware"
    if decays:
        unstated += f", nor the EMA's decay (here {enumerate_words(map(_number, decays))})"
    reduced = sorted({str(run.config["trainer"]["precision"]) for run in records if _reduced(run)})
    if reduced:
        sentences.append(f"Computed in {enumerate_words(reduced)}.")
    return [*sentences, unstated + "."]


def _reduced(run: Record) -> bool:
    """Whether a run rounded to fewer bits than float32 has."""
    trainer = run.config.get("trainer")
    return isinstance(trainer, dict) and "bf16" in str(trainer.get("precision"))


def _values(records: Iterable[Record], *path: str) -> list[Any]:
    """The distinct numbers under a key of the records' configurations, rising."""
    found: set[Any] = set()
    for run in records:
        value: Any = run.config
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            found.add(value)
    return sorted(found)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
