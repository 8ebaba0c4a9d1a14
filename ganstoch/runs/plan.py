"""The runs of a sweep: every row is parsed and checked before the first one starts."""

from collections.abc import Sequence
from pathlib import Path

from ganstoch.data.source import ImageSet, Source
from ganstoch.data.subset import resolve_batch_size
from ganstoch.errors import UserError
from ganstoch.metrics.modes import make_mode_scorer
from ganstoch.records import is_finished
from ganstoch.runs.pool import Row
from ganstoch.runs.settings import Resolved, compose, resolve_all, source_class
from ganstoch.runs.sweep import Sweep
from ganstoch.types import KnownModes


def plan(
    sweep: Sweep, *, out: Path, root: Path | None = None, settings: Sequence[str] = ()
) -> list[Row]:
    """The runs of a sweep, with those marked that are finished or whose data are missing."""
    if any("=" not in setting for setting in settings):
        raise UserError("--set needs KEY=VALUE, for instance --set trainer.max_steps=20")
    extra = [f"--wandb.group={sweep.name}-{sweep.preset}", *(f"--{each}" for each in settings)]
    if root is not None:
        extra.append(f"--data.root={root}")
    lines = [[*sweep.arguments(point), *extra] for point in sweep.points()]
    runs = resolve_all(lines)
    _refuse_doubles(lines, runs)
    for run in runs:
        try:
            compose(run.config)
        except UserError as error:
            raise UserError(f"{_label(run)}: {error}") from error
    _name_twins(lines, runs, out=out)
    missing: dict[str, str | None] = {}
    rows = []
    for arguments, run in zip(lines, runs, strict=True):
        twin, data = run.config["iterations_of"], run.config["data"]
        m = resolve_batch_size(data["m"], n=data["n"])
        row = Row(
            _label(run),
            arguments,
            out / "runs" / run.name,
            work=float(run.config["trainer"]["max_steps"] * (m + 8)),  # about its cost
            config_hash=run.config_hash,
            after=Path(twin) if twin else None,
        )
        row.finished = is_finished(row.folder, row.config_hash)
        source = str(data["source"]["class_path"])
        if not row.finished:
            if source not in missing:
                missing[source] = _missing_data(run)
            row.failure = missing[source]
        rows.append(row)
    return rows


def _refuse_doubles(lines: Sequence[Sequence[str]], runs: Sequence[Resolved]) -> None:
    """A table has one run for each data set, m, noise, bank and seed."""
    seen: dict[str, Sequence[str]] = {}
    for line, run in zip(lines, runs, strict=True):
        first = seen.setdefault(_label(run), line)
        if first is not line:
            pairs = zip(first, line, strict=True)
            differ = [f"{one} and {other}" for one, other in pairs if one != other]
            raise UserError(
                f"two rows come to the same, {_label(run)}: {', '.join(differ) or 'a repeated row'}"
                "; raise data.n, or leave one out"
            )


def open_data(source: Source, root: Path) -> tuple[ImageSet | None, KnownModes | None]:
    """Training images and known modes; a UserError if they, or what counts modes, are missing."""
    images, modes = source.open(root, "train"), source.known_modes(root)
    if modes is not None:
        make_mode_scorer(modes)
    return images, modes


def _missing_data(run: Resolved) -> str | None:
    """Why a run's data cannot be used, or None."""
    data, kind = run.config["data"], source_class(run.config)
    try:
        images, _ = open_data(kind(**data["source"].get("init_args", {})), Path(data["root"]))
    except UserError as error:
        return str(error)
    if images is not None and len(images) < data["n"]:
        return f"{kind.name} has {len(images):,} images, n is {data['n']:,}; lower data.n"
    return None


def _name_twins(lines: list[list[str]], runs: list[Resolved], *, out: Path) -> None:
    """Lets a noisy row take over its noise-free twin's iterations, as in the paper; in place."""
    by_label = {_label(run): run for run in runs}
    noisy = []
    for position, run in enumerate(runs):
        noise = run.config["model"]["latents"]["noise"]
        twin = by_label.get(_label(run).replace(f"-noise{noise:g}", ""))
        if noise and twin and run.config["stop_rule"]["stop"]:
            lines[position] = [*lines[position], f"--iterations_of={out / 'runs' / twin.name}"]
            noisy.append(position)
    for position, run in zip(noisy, resolve_all([lines[p] for p in noisy]), strict=True):
        runs[position] = run


def _label(run: Resolved) -> str:
    return run.name.rpartition("-")[0]
