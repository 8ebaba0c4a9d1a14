"""Table 1, remedies and synthetic data sets: numbers for `csv`, and strings for readers."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ganstoch.report.captions import claims
from ganstoch.report.formatting import DASH, PERCENT, cell, setting_words, span
from ganstoch.report.frame import SETTING, lines, natural, protocol, require
from ganstoch.report.published import SCORES, lookup, published_synthetic, title

_IMAGES = "measure pixel_l1 in both directions, or leave this run out of the table"
_MODES = "report synthetic data sets here, and images in the table of remedies"
_BASELINE = "held-out real"
_TRUE = "true samples"


@dataclass(frozen=True, slots=True)
class Section:
    """One table for readers: a heading, strings by column, and remarks below it."""

    heading: str
    shown: pd.DataFrame
    remarks: tuple[str, ...] = ()


def summary(runs: pd.DataFrame, metrics: Mapping[str, str]) -> pd.DataFrame:
    """One row a setting, in the frame's order: each metric's mean, ``_sd`` and ``_count``, cost."""
    columns = {name: runs.get(key, np.nan) for name, key in metrics.items()}
    grouped = runs.assign(**columns).groupby([*SETTING, "n", "preset"], sort=False, dropna=False)
    aggregated = {"seeds": ("seed", "size"), "converged": ("converged", "sum")}
    for name in metrics:
        aggregated |= {name: (name, "mean"), f"{name}_sd": (name, "std")}
        aggregated[f"{name}_count"] = (name, "count")
    effort = {name: (name, "mean") for name in ("iterations", "images_seen", "seconds")}
    return grouped.agg(**aggregated, **effort).reset_index()


def baseline(runs: pd.DataFrame, metrics: Mapping[str, str]) -> pd.DataFrame:
    """Real images (or true samples) in the generator's place: means and ``_sd`` over the seeds."""
    columns = {name: runs.get(f"baseline/{key}", np.nan) for name, key in metrics.items()}
    known = runs.assign(**columns).dropna(subset=list(metrics), how="all")
    where = ["dataset", "protocol", "n", "preset"]
    by_seed = known.groupby([*where, "seed"], sort=False)[list(metrics)].mean()
    grouped = by_seed.groupby(where, sort=False)
    means = grouped.mean().join(grouped.std().add_suffix("_sd"))
    return means.join(grouped.size().rename("seeds")).reset_index()


def csv(table: pd.DataFrame) -> str:
    """A table as CSV: six digits a number, an empty cell where there is no value."""
    written = table.copy()
    for name in written.select_dtypes(exclude="number"):
        written[name] = written[name].map(cell, na_action="ignore")
    for name in _WHOLE & set(written):
        written[name] = written[name].round().astype("Int64")
    written["seconds"] = written.seconds.round(1)
    return str(written.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


_WHOLE = {"m", "seeds", "iterations", "images_seen", "n", "modes_of"}


def _bank(banks: pd.Series) -> pd.Series:
    return banks.map(lambda bank: "fresh" if np.isnan(bank) else f"{bank:.0f}")


def _amount(mean: float, error: float, places: int) -> str:
    """``10.21 ± 0.97``, without ± where the error is unknown."""
    spread = "" if pd.isna(error) else f" ± {error:.{places}f}"
    return DASH if pd.isna(mean) else f"{mean:.{places}f}{spread}"


def table1_csv(runs: pd.DataFrame) -> pd.DataFrame:
    """Table 1: `SCORES` with ``_paper`` (at that n/m and noise) and ``_sd``, and what it cost."""
    require(runs, SCORES.values(), fix=_IMAGES)
    rows = summary(runs, SCORES)
    papers = [
        lookup(row.dataset, n_over_m=row.n / row.m, noise=row.noise) if row.bank == row.n else None
        for row in lines(rows)
    ]
    for name in SCORES:
        rows[f"{name}_paper"] = [np.nan if paper is None else paper[name] for paper in papers]
    held_out = baseline(runs, SCORES).assign(remedy=_BASELINE)
    table = _with_baseline(held_out, rows.assign(bank=_bank(rows.bank)))
    scores = [f"{name}{part}" for part in ("", "_paper", "_sd") for name in SCORES]
    cost = ["iterations", "images_seen", "converged", "seconds", "n", "preset"]
    return table[["dataset", "remedy", "m", "noise", "bank", "seeds", *scores, *cost]]


def _with_baseline(held_out: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for (dataset, name), part in rows.groupby(["dataset", "protocol"], sort=False):
        own = held_out[(held_out.dataset == dataset) & (held_out.protocol == name)]
        parts += [own.dropna(axis=1, how="all"), part] if len(own) else [part]
    return pd.concat(parts, ignore_index=True).reindex(columns=rows.columns)


def table1(runs: pd.DataFrame, *, full: bool = True) -> list[Section]:
    """Table 1, a section a data set; the paper's values below ours. If not ``full``, narrower."""
    table = table1_csv(runs)
    sections = []
    for dataset, own in runs.groupby("dataset", sort=False):
        rows = table[table.dataset == dataset]
        written = [
            {"m": f"{_BASELINE} images", "noise": ""} | _scores(row, full=full)
            for row in lines(rows[rows.remedy == _BASELINE])
        ]
        groups = own.groupby(SETTING, sort=False, dropna=False)
        for row, (_, group) in zip(lines(rows[rows.remedy != _BASELINE]), groups, strict=True):
            written.append(_name(group) | _scores(row, full=full) | _cost(group, full=full))
            if not pd.isna(row.overfitting_mean_paper):
                written.append({"m": "  paper"} | _scores(row, "_paper", full=False))
        heading = f"{title(str(dataset))} (n = {own.n.iloc[0]:,}, preset {own.preset.iloc[0]})"
        sections.append(Section(heading, pd.DataFrame(written).fillna(""), tuple(claims(own))))
    return sections


_WORDS = (
    *("overfitting", f"over. worst 10{PERCENT}", f"over. worst 5{PERCENT}"),
    *("mode drop", f"mode. worst 10{PERCENT}", f"mode. worst 5{PERCENT}"),
)
_COLUMNS = dict(zip(SCORES, _WORDS, strict=True))


def _name(group: pd.DataFrame) -> dict[str, str]:
    row = group.iloc[0]
    size, *more = setting_words(row).removeprefix("m = ").split(", ")
    more = [words for words in more if not words.startswith("noise")]
    label = [] if row.remedy == "plain" else [row.remedy]
    return {"m": ", ".join([size, *more, *label]), "noise": f"{row.noise:g}" if row.noise else "no"}


def _scores(row: Any, part: str = "", *, full: bool) -> dict[str, str]:
    cells = {}
    for name, heading in _COLUMNS.items():
        known = full or (not part and name.endswith("mean"))
        error = getattr(row, f"{name}_sd") if known else np.nan
        cells[heading] = _amount(getattr(row, name + part), error, 2)
    return cells


def _cost(group: pd.DataFrame, *, full: bool) -> dict[str, str]:
    more = {"images seen": span([*group.images_seen]), "seconds": span([*group.seconds])}
    converged = f"{group.converged.sum()} of {len(group)}"
    cells = {"iterations": span([*group.iterations]), "converged": converged}
    return cells | more if full else cells


DIRECTIONS = {"overfitting": SCORES["overfitting_mean"], "mode_drop": SCORES["mode_drop_mean"]}


def remedies_csv(runs: pd.DataFrame) -> pd.DataFrame:
    """Both distances of every remedy and setting, and the change from plain in that setting."""
    require(runs, DIRECTIONS.values(), fix=_IMAGES)
    rows = summary(runs, DIRECTIONS)
    rows = rows.assign(bank=_bank(rows.bank))
    where = ["dataset", "m", "noise", "bank"]
    plain = rows[rows.remedy == "plain"][[*where, *DIRECTIONS]]
    before = rows[where].merge(plain, how="left", on=where)
    others = rows.remedy != "plain"
    for name in DIRECTIONS:
        change = rows[name] / before[name].where(before[name] > 0) - 1.0
        rows[f"{name}_change"] = change.where(others)
    table = _with_baseline(baseline(runs, DIRECTIONS).assign(remedy=_BASELINE), rows)
    columns = [f"{name}{part}" for name in DIRECTIONS for part in ("", "_sd", "_change")]
    cost = ["iterations", "images_seen", "seconds", "n", "preset"]
    table = table[["dataset", "remedy", "m", "noise", "bank", "seeds", *columns, *cost]]
    return table.rename(columns={name: f"{name}_mean" for name in DIRECTIONS})


def remedies(runs: pd.DataFrame) -> list[Section]:
    """A section a data set and direction: a row a remedy, a column a setting."""
    table = remedies_csv(runs)
    sections = []
    for dataset, own in runs.groupby("dataset", sort=False):
        settings = own.drop_duplicates(["m", "noise", "bank"])
        heads = [setting_words(row, size=False) for row in lines(settings)]
        keys = list(zip(settings.m, settings.noise, _bank(settings.bank), strict=True))
        rows = table[table.dataset == dataset]
        cells = {(r.remedy, r.m, r.noise, r.bank): r for r in lines(rows)}
        held_out = [row for row in lines(rows) if row.remedy == _BASELINE]
        labels = dict.fromkeys(sorted(own.remedy, key=natural))
        for name in DIRECTIONS:
            written = [[_BASELINE, *[_distance(row, name)] * len(keys)] for row in held_out]
            for label in labels:
                written.append([label, *(_distance(cells.get((label, *k)), name) for k in keys)])
            words = name.replace("_", " ")
            heading = f"{title(str(dataset))} (n = {own.n.iloc[0]:,}): {words}"
            shown = pd.DataFrame(written, columns=[words, *heads])
            remarks = tuple(_below_full_batch(own)) if name == "mode_drop" else ()
            sections.append(Section(heading, shown, remarks))
    return sections


def _distance(row: Any, name: str) -> str:
    if row is None:
        return DASH
    change = getattr(row, f"{name}_change")
    words = _amount(getattr(row, f"{name}_mean"), getattr(row, f"{name}_sd"), 2)
    return words if pd.isna(change) else f"{words} ({100 * change:+.0f}{PERCENT})"


def _below_full_batch(own: pd.DataFrame) -> Iterator[str]:
    """Which remedies have lower mode drop than plain at m = n by more than either deviation."""
    rows = summary(own, DIRECTIONS)
    full = rows[(rows.remedy == "plain") & (rows.m == rows.n) & (rows.noise == 0)]
    for removed in lines(full):
        spread = np.fmax(rows.mode_drop_sd, removed.mode_drop_sd).fillna(0.0)
        lower = rows[(rows.mode_drop < removed.mode_drop - spread) & (rows.remedy != "plain")]
        words = [f"{row.remedy} at {setting_words(row, size=False)}" for row in lines(lower)]
        better = "; ".join(words) or "no remedy"
        yield f"lower mode drop than plain at m = n ({removed.mode_drop:.2f}): {better}"


# Columns of a synthetic data set: key, heading, digits; others publish the first three.
HEADS = {
    "modes": ("modes/count", "modes", 2),
    "good_percent": ("modes/good_percent", "good samples (%)", 1),
    "reverse_kl": ("modes/reverse_kl", "reverse KL (nats)", 3),
    "confident_modes": ("modes/confident_count", "confident modes", 1),
    "confidence": ("modes/confidence", "confidence", 3),
}
QUANTITIES = {name: key for name, (key, _, _) in HEADS.items()}
_PUBLISHED = tuple(HEADS)[:3]


def in_percent(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with ``modes/good_percent``, which records hold as a share."""
    for key in ("modes/good_share", "baseline/modes/good_share"):
        if key in runs:
            runs = runs.assign(**{key.replace("share", "percent"): 100 * runs[key]})
    return runs


def synthetic_csv(runs: pd.DataFrame) -> pd.DataFrame:
    """A row per setting, and one per data set for true samples; ``_se`` is over seeds."""
    require(runs, ["modes/count", "modes/of"], fix=_MODES)
    runs = in_percent(runs)
    quantities = QUANTITIES | {"modes_of": "modes/of"}
    rows = summary(runs, quantities)
    for name in QUANTITIES:
        rows[f"{name}_se"] = rows[f"{name}_sd"] / np.sqrt(rows[f"{name}_count"])
    known = published_synthetic().rename(
        columns={f"{n}{part}": f"{n}_published{part}" for n in _PUBLISHED for part in ("", "_se")}
    )
    rows = rows.merge(known[known.remedy.notna()], how="left", on=["dataset", "protocol", "remedy"])
    theirs = [column for column in known.columns if column not in ("dataset", "protocol", "remedy")]
    rows.loc[rows.noise != 0, theirs] = np.nan
    rows["published_as"] = rows.method + ", " + rows.source
    for name in _PUBLISHED:
        gap = rows[name] - rows[f"{name}_published"]
        errors = rows[[f"{name}_se", f"{name}_published_se"]].fillna(0.0)
        error = np.hypot(*errors.to_numpy().T)
        rows[f"{name}_gap"] = gap
        rows[f"{name}_gap_in_se"] = gap.abs() / pd.Series(error, rows.index).replace(0.0, np.nan)
    groups = runs.groupby(["dataset", "protocol"], sort=False)
    lengths = {key: protocol(own.record.iloc[0]).iterations or np.nan for key, own in groups}
    length = [lengths[key] for key in zip(rows.dataset, rows.protocol, strict=True)]
    rows = rows.assign(published_share=rows.iterations / length, bank=_bank(rows.bank))
    true = baseline(runs, quantities).assign(remedy=_TRUE).drop(columns="seeds")
    table = _with_baseline(true, rows)
    where = ["dataset", "protocol", "remedy", "m", "noise", "bank", "seeds", "modes_of"]
    ours = [f"{name}{part}" for name in QUANTITIES for part in ("", "_se")]
    compared = ("published", "published_se", "gap", "gap_in_se")
    gaps = [f"{name}_{part}" for name in _PUBLISHED for part in compared]
    cost = ["iterations", "published_share", "images_seen", "seconds", "n", "preset"]
    return table[[*where, *ours, "published_as", *gaps, *cost]]


def synthetic(runs: pd.DataFrame) -> list[Section]:
    """A section a synthetic data set and protocol; published values on the last lines."""
    table = synthetic_csv(runs)
    sections = []
    for (dataset, name), rows in table.groupby(["dataset", "protocol"], sort=False):
        own = runs[(runs.dataset == dataset) & (runs.protocol == name)]
        shown = [each for each in QUANTITIES if rows[rows.remedy != _TRUE][each].notna().any()]
        many = int(rows.modes_of.iloc[-1]) >= 100
        several = len(own.drop_duplicates(["m", "noise", "bank"])) > 1
        written = []
        for row in lines(rows):
            line = {"remedy": row.remedy}
            if several and row.remedy != _TRUE:
                line["remedy"] += f", m = {row.m:.0f}, noise {row.noise:g}, {row.bank} z"
            line |= _quantities(row, shown, many=many)
            if row.remedy != _TRUE:
                share, unknown = row.published_share, np.isnan(row.published_share)
                line |= {
                    "seeds": f"{row.seeds:.0f}",
                    "iterations": f"{row.iterations:,.0f}",
                    "of published": DASH if unknown else f"{100 * share:.3g}{PERCENT}",
                }
            written.append(line)
        published = published_synthetic()
        theirs = published[(published.dataset == dataset) & (published.protocol == name)]
        quantities = [each for each in shown if each in _PUBLISHED]
        for row in lines(theirs):
            label = {"remedy": f"  {row.method} ({row.source})"}
            written.append(label | _quantities(row, quantities, many=many))
        setup = f"{protocol(own.record.iloc[0]).title} ({name})"
        heading = f"{setup}, {rows.modes_of.iloc[-1]:,.0f} modes, n = {own.n.iloc[0]:,}"
        sections.append(Section(heading, pd.DataFrame(written).fillna("")))
    return sections


def _quantities(row: Any, names: Iterable[str], *, many: bool) -> dict[str, str]:
    """Cells ``7.90 ± 0.10``; a thousand modes need fewer digits than eight."""
    cells = {}
    for name in names:
        _, heading, places = HEADS[name]
        places = 1 if many and name == "modes" else places
        if getattr(row, "remedy", "") == _TRUE and name == "reverse_kl":
            places += 1
        cells[heading] = _amount(getattr(row, name), getattr(row, f"{name}_se", np.nan), places)
    return cells
