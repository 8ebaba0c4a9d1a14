"""Records of finished runs as one pandas frame; every table and figure is a selection of it."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ganstoch.errors import UserError, visible
from ganstoch.records import RECORD, Record, read_record
from ganstoch.report.published import Protocol, protocol_of
from ganstoch.report.run_files import PLAYERS

# The columns that tell one row of a table from another; its runs differ in the seed alone.
SETTING = ["dataset", "protocol", "remedy", "m", "noise", "bank"]


def load(runs: Sequence[Path], *, missing: Sequence[str] = ()) -> tuple[pd.DataFrame, list[str]]:
    """The frame of run folders, and the names of those without a record, ``missing`` ones first."""
    finished = [run for run in runs if (run / RECORD).exists()]
    absent = dict.fromkeys([*missing, *(run.name for run in runs if run not in finished)])
    return frame((read_record(run / RECORD), run) for run in finished), list(absent)


def frame(records: Iterable[Record | tuple[Record, Path]]) -> pd.DataFrame:
    """One row a run: `SETTING`, other fields of the record, metrics by key, ``baseline/<key>``.

    ``bank`` is NaN for fresh latents. Runs stand in order of their first data set, noise, m from
    large to small, bank, remedy (plain first) and seed.
    """
    pairs = [each if isinstance(each, tuple) else (each, None) for each in records]
    if not pairs:
        raise UserError("no finished runs to report; run the sweep first, or check the folder")
    table = pd.DataFrame([_row(record, folder) for record, folder in pairs])
    orders: dict[Any, list[str]] = {"dataset": list(table.dataset.unique())}
    orders["remedy"] = sorted(set(table.remedy), key=natural)

    def rank(column: pd.Series) -> pd.Series:
        return column.map(orders[column.name].index) if column.name in orders else column

    keys = ["dataset", "protocol", "noise", "m", "bank", "remedy", "seed"]
    rising = [key != "m" for key in keys]
    table = table.sort_values(keys, ascending=rising, key=rank, kind="stable")
    _check(table)
    return table.reset_index(drop=True)


def _row(record: Record, folder: Path | None) -> dict[str, Any]:
    names = ("seed", "preset", "n", "iterations", "images_seen", "converged", "seconds", "hardware")
    label = setting(record, "remedy")
    return {
        "dataset": record.dataset,
        "protocol": protocol(record).name,
        "remedy": visible(label) if isinstance(label, str) and label else "plain",
        "m": record.m,
        "noise": record.noise,
        "bank": float("nan") if record.bank is None else float(record.bank),
        **{name: getattr(record, name) for name in names},
        **record.metrics,
        **{f"baseline/{key}": value for key, value in record.baseline.items()},
        "record": record,
        "folder": folder,
    }


def lines(table: pd.DataFrame) -> Iterator[Any]:
    """The rows of a frame as named tuples."""
    return table.itertuples()


def natural(label: str) -> tuple[bool, list[tuple[int, str]]]:
    """Order of labels: plain first, then by alphabet, with ``unrolled5`` before ``unrolled10``."""
    parts = re.findall(r"\d+|\D+", label)
    return label != "plain", [(int(part), "") if part.isdigit() else (0, part) for part in parts]


def _check(table: pd.DataFrame) -> None:
    for row in lines(table[table.duplicated([*SETTING, "seed"])]):
        run = f"{row.dataset}, {row.remedy}, m = {row.m}, noise {row.noise:g}, seed {row.seed}"
        raise UserError(f"the run {run} was given twice; leave one of its folders out")
    for (dataset, _), part in table.groupby(["dataset", "protocol"], sort=False):
        for name in ("preset", "n"):
            if len(values := part[name].unique()) > 1:
                several = f"several {name}: {', '.join(map(str, sorted(values)))}"
                fix = "they share no table, report each from a folder of its own"
                raise UserError(f"{dataset} has runs of {several}; {fix}")


def setting(record: Record, *path: str) -> Any:
    """The value under a path of keys of a run's configuration, or None."""
    value: Any = record.config
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def protocol(record: Record) -> Protocol:
    """The protocol of a run's data set; of images, the data set's own name."""
    if record.preset == "ring_unrolled":
        return protocol_of(record.preset)
    variant = setting(record, "data", "source", "init_args", "protocol")
    widths = [setting(record, "model", p, "init_args", "width") for p in PLAYERS]
    kinds = [str(setting(record, "model", p, "class_path")) for p in PLAYERS]
    theirs = all(kind.rpartition(".")[2].startswith("Unrolled") for kind in kinds)
    known = theirs and all(isinstance(width, int) and width > 0 for width in widths)
    # That discriminator has twice the generator's channels at the same width: see `models.dcgan`.
    ratio = 2 * widths[0] / widths[1] if known else None
    return protocol_of(record.dataset, variant=variant or "veegan", ratio=ratio)


def require(table: pd.DataFrame, keys: Iterable[str], *, fix: str) -> None:
    """Refuses runs without some metrics, with a `UserError` that names the first, and the fix."""
    for key in keys:
        lacking = table[table[key].isna()] if key in table else table
        for row in lines(lacking):
            run = f"the run {row.dataset}, m = {row.m}, seed {row.seed}"
            raise UserError(f"{run} has no {key}; {fix}")


def history(runs: pd.DataFrame) -> pd.DataFrame:
    """All measurements of some runs: seed, iteration, images_seen and a column a metric."""
    return pd.DataFrame(
        {"seed": run.seed, "iteration": p.iteration, "images_seen": p.images_seen, **p.metrics}
        for run in runs.record
        for p in run.history
    )


def curve(points: pd.DataFrame, metric: str, *, x: str = "iteration") -> pd.DataFrame:
    """Mean, low and high over seeds by ``x``; a seed that stopped earlier keeps its last value."""
    if metric not in points:
        return pd.DataFrame({"mean": [], "low": [], "high": []})
    seeds = points.dropna(subset=[metric]).pivot_table(index=x, columns="seed", values=metric)
    seeds = seeds.interpolate("index").dropna()
    columns = {"mean": seeds.mean(axis=1), "low": seeds.min(axis=1), "high": seeds.max(axis=1)}
    return pd.DataFrame(columns)
