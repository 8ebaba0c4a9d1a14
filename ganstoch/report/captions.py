"""A table's caption, and the claims of [1] Yazici et al. 2020, Sec. 5, with their verdicts."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pandas as pd

from ganstoch.report.formatting import duration, enumerate_words, span
from ganstoch.report.frame import setting
from ganstoch.report.published import PAPER, SCORES, SHARES, lookup, published_table1

DISTANCE = (
    "Mean pixel l1 distance to the nearest neighbor, in grey levels; lower is closer to the "
    "training data. Overfitting: generated to data. Mode drop: data to generated."
)


def caption(
    runs: pd.DataFrame, absent: Sequence[str], *, what: str = DISTANCE, paper: bool = False
) -> str:
    """``what`` the numbers are, how runs were trained (against the ``paper``), which are absent."""
    seeds = ", ".join(str(seed) for seed in sorted(runs.seed.unique()))
    hardware = "; ".join(dict.fromkeys(runs.hardware))
    repeated = runs.seed.nunique() > 1
    sentences = [
        what,
        f"Preset {enumerate_words(sorted(runs.preset.unique()))}; seeds {seeds}"
        + ("; ± is the deviation over seeds." if repeated else "."),
        f"Trained on {hardware}: {len(runs)} runs, {duration(runs.seconds.sum())} in all, "
        f"{span(list(runs.iterations))} iterations, {span(list(runs.images_seen))} images seen.",
    ]
    if paper:
        differing = list(_differences(runs))
        sentences += [f"Not as in the paper: {', '.join(differing)}."] if differing else []
        if runs.dataset.isin(published_table1().dataset).any():
            sentences.append("Lines 'paper': its Table 1 at the same n/m and noise.")
    if absent:
        sentences.append(f"Not run: {', '.join(absent)}.")
    return " ".join(sentences)


def _differences(runs: pd.DataFrame) -> Iterator[str]:
    for name, (path, theirs) in PAPER.items():
        ours = set(runs.n) if name == "n" else {setting(run, *path) for run in runs.record}
        values = sorted(v for v in ours if isinstance(v, int | float) and not isinstance(v, bool))
        if values and values != [theirs]:
            words = enumerate_words(f"{value:,}" for value in values)
            yield f"{name} {words} (paper {theirs:,})"


_DISTANCES = {
    "overfitting distance": SCORES["overfitting_mean"],
    "mode drop distance": SCORES["mode_drop_mean"],
}


def claims(runs: pd.DataFrame) -> Iterator[str]:
    """``overfitting distance falls from m = 1 to m = 4: holds (30.07 to 24.53; 3 of 3 seeds)``.

    The paper's claims [1]: both distances fall as the mini-batch grows, noise on the latents
    worsens both, and with the largest mini-batch both are below those of held-out real images.
    """
    for _, bank in runs[runs.remedy == "plain"].groupby("bank", sort=False, dropna=False):
        yield from _claims_of_bank(bank)


def _claims_of_bank(runs: pd.DataFrame) -> Iterator[str]:
    quiet: dict[int, pd.DataFrame] = dict(iter(runs[runs.noise == 0].groupby("m")))  # type: ignore[arg-type]
    noisy: list[Any] = list(runs[runs.noise > 0].groupby(["noise", "m"]))
    for words, key in _DISTANCES.items():
        for (small, before), (large, after) in pairwise(quiet.items()):
            claim = f"{words} falls from m = {small:,} to m = {large:,}"
            yield _compared(claim, after, before, key)
        for (noise, m), rows in noisy:
            if m in quiet:
                yield _compared(f"noise {noise:g} raises {words} at m = {m:,}", quiet[m], rows, key)
            # Claimed for CIFAR-10 and FFHQ only [1, Sec. 5.2]: checked where Table 1 shows it.
            if quiet and _noise_outweighs(runs, noise, m, key):
                least = next(iter(quiet))
                claim = f"noise {noise:g} at m = {m:,} raises {words} above that of m = {least:,}"
                yield _compared(claim, quiet[least], rows, key)
    held_out = [f"baseline/{key}" for key in _DISTANCES.values()]
    if quiet and set(held_out) <= set(runs) and runs[held_out].notna().any(axis=None):
        yield _memorizes(max(quiet), runs)


def _compared(claim: str, lower: pd.DataFrame, higher: pd.DataFrame, key: str) -> str:
    low, high = (rows.set_index("seed")[key] for rows in (lower, higher))
    first, last = (low, high) if claim.startswith("noise") else (high, low)
    detail = f"{first.mean():.2f} to {last.mean():.2f}"
    return _verdict(claim, bool(low.mean() < high.mean()), detail, low, high)


def _verdict(claim: str, holds: bool, detail: str, low: Any, high: Any) -> str:
    common = low.index.intersection(high.index)
    each = pd.DataFrame(low.loc[common] < high.loc[common]).all(axis=1)
    word = "holds" if holds else "does not hold"
    return f"{claim}: {word} ({detail}; {each.sum()} of {len(each)} seeds)"


def _noise_outweighs(runs: pd.DataFrame, noise: float, m: int, key: str) -> bool:
    """Whether the paper's noisy row is worse than its row of the smallest mini-batch."""
    row, least = runs.iloc[0], runs[runs.noise == 0].m.min()
    noisy = lookup(row.dataset, n_over_m=row.n / m, noise=noise)
    small = lookup(row.dataset, n_over_m=row.n / least, noise=0.0)
    if noisy is None or small is None or small.n_over_m != max(SHARES):
        return False
    name = next(name for name, metric in SCORES.items() if metric == key)
    return bool(noisy[name] > small[name])


def _memorizes(m: int, runs: pd.DataFrame) -> str:
    """One direction alone says little: a blur is near to everything, and reaches nothing."""
    keys = list(_DISTANCES.values())
    ours = runs[(runs.noise == 0) & (runs.m == m)].set_index("seed")[keys]
    real = runs.groupby("seed")[[f"baseline/{key}" for key in keys]].mean().set_axis(keys, axis=1)
    means = zip(_DISTANCES, ours.mean(), real.mean(), strict=True)
    detail = ", ".join(f"{words} {mean:.2f} against {other:.2f}" for words, mean, other in means)
    claim = f"memorization: at m = {m:,} both distances are below those of held-out real images"
    return _verdict(claim, bool((ours.mean() < real.mean()).all()), detail, ours, real.dropna())
