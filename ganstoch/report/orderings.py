"""Which of the paper's orderings hold in a table.

Absolute values depend on size, data and time; what the paper claims is an order: less chance in
training brings the generator nearer to its data, and its data nearer to the generator.

[1] Yazici et al. 2020, Sec. 5.1 (mini-batch size) and 5.2 (noisy latents).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ganstoch.report.paper import SHARES, TABLE1, PaperRow, Scores
from ganstoch.report.rows import Baseline, Block
from ganstoch.report.words import bank_words

__all__ = ["Ordering", "check_orderings", "check_published"]

_DIRECTIONS: tuple[tuple[str, Callable[[Scores], float]], ...] = (
    ("overfitting", lambda scores: scores.overfitting_mean),
    ("mode drop", lambda scores: scores.mode_drop_mean),
)


@dataclass(frozen=True, slots=True)
class Ordering:
    """One claim and whether it holds.

    Attributes:
        dataset: the dataset it was checked on.
        statement: the claim, e.g. ``overfitting falls from m = 16 to m = 64``.
        holds: whether it holds on the means over the seeds.
        detail: the two numbers, and in how many seeds it holds.
    """

    dataset: str
    statement: str
    holds: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A row of our table or of the paper's, as far as orderings go."""

    m: int
    noise: float
    mean: Scores
    by_seed: dict[int, Scores]
    paper: PaperRow | None
    suffix: str = ""


def check_orderings(block: Block) -> tuple[Ordering, ...]:
    """Checks a dataset's rows; rows are only compared with rows of the same bank of latents."""
    banks: dict[int | None, list[_Line]] = {}
    for row in block.rows:
        line = _Line(
            m=row.m,
            noise=row.noise,
            mean=row.mean,
            by_seed=row.by_seed,
            paper=row.paper,
            suffix=f" ({bank_words(row)})" if bank_words(row) else "",
        )
        banks.setdefault(row.bank, []).append(line)
    return tuple(
        ordering
        for lines in banks.values()
        for ordering in _check(block.dataset, lines, baseline=block.baseline)
    )


def check_published(dataset: str) -> tuple[Ordering, ...]:
    """The same checks on the paper's own numbers; empty for a dataset it does not have."""
    lines = [
        _Line(m=row.m, noise=row.noise, mean=row.scores, by_seed={}, paper=row)
        for row in TABLE1
        if row.dataset == dataset
    ]
    return tuple(_check(dataset, lines, baseline=None))


def _check(
    dataset: str, lines: Sequence[_Line], *, baseline: Baseline | None
) -> Iterator[Ordering]:
    plain = sorted((line for line in lines if not line.noise), key=lambda line: line.m)
    noisy = [line for line in lines if line.noise]
    for word, value in _DIRECTIONS:
        for small, large in pairwise(plain):
            claim = f"{word} falls from m = {small.m:,} to m = {large.m:,}"
            yield _compared(dataset, claim, small, large, value, rises=False)
        for line in noisy:
            for twin in (other for other in plain if other.m == line.m):
                claim = f"noise {line.noise:g} worsens {word} at m = {line.m:,}"
                yield _compared(dataset, claim, twin, line, value, rises=True)
            # Claimed for CIFAR-10 and FFHQ only [1, Sec. 5.2]: checked where Table 1 shows it.
            least = plain[0] if plain else None
            if least is not None and _outweighs(line.paper, least.paper, value):
                claim = f"noise {line.noise:g} at m = {line.m:,} worsens {word} more than "
                claim += f"m = {least.m:,} does"
                yield _compared(dataset, claim, least, line, value, rises=True)
    if baseline is not None and plain:
        yield _nearer_than_held_out(dataset, plain[-1], baseline)


def _outweighs(
    noisy: PaperRow | None, small: PaperRow | None, value: Callable[[Scores], float]
) -> bool:
    """Whether the paper's noisy row is worse than its row of the smallest mini-batch."""
    if noisy is None or small is None or small.n_over_m != max(SHARES):
        return False
    return value(noisy.scores) > value(small.scores)


def _compared(
    dataset: str,
    claim: str,
    first: _Line,
    second: _Line,
    value: Callable[[Scores], float],
    *,
    rises: bool,
) -> Ordering:
    """The claim that a value rises, or falls, from one row to another."""

    def holds(before: Scores, after: Scores) -> bool:
        return value(before) < value(after) if rises else value(before) > value(after)

    detail = f"{value(first.mean):.2f} to {value(second.mean):.2f}"
    if first.by_seed or second.by_seed:
        held = [
            holds(scores, second.by_seed[seed])
            for seed, scores in first.by_seed.items()
            if seed in second.by_seed
        ]
        detail += f"; {_seeds(held)}"
    return Ordering(dataset, claim + first.suffix, holds(first.mean, second.mean), detail)


def _seeds(held: Sequence[bool]) -> str:
    """In how many of the seeds that both sides share a claim holds."""
    if not held:
        return "no seed in common"
    return "one seed" if len(held) == 1 else f"in {sum(held)} of {len(held)} seeds"


def _nearer_than_held_out(dataset: str, line: _Line, baseline: Baseline) -> Ordering:
    """Memorising: nearer to the data, and the data nearer to it, than unseen real images are.

    One direction alone says little: a blur is near to everything, and reaches nothing. Whoever is
    below held-out real images both ways owes that to the very images that it was trained on.
    """

    def holds(ours: Scores, real: Scores) -> bool:
        return all(value(ours) < value(real) for _, value in _DIRECTIONS)

    held = [
        holds(scores, baseline.by_seed[seed])
        for seed, scores in line.by_seed.items()
        if seed in baseline.by_seed
    ]
    claim = f"memorising: at m = {line.m:,} generated images are nearer to the data, both ways, "
    claim += f"than held-out real images are{line.suffix}"
    detail = ", ".join(
        f"{word} {value(line.mean):.2f} against {value(baseline.mean):.2f}"
        for word, value in _DIRECTIONS
    )
    holding = holds(line.mean, baseline.mean)
    return Ordering(dataset, claim, holding, f"{detail}; {_seeds(held)}")
