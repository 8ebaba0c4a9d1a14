"""`ganstoch diagnose`: the page of a run's diagnosis, from the files that the run has left."""

import logging
from pathlib import Path
from types import NoneType
from typing import Annotated, Any

from jsonargparse import Namespace
from pydantic import AfterValidator, Field

from ganstoch.diagnosis.history import verdict_of
from ganstoch.diagnosis.page import write_page
from ganstoch.diagnosis.pictures import Pictures
from ganstoch.diagnosis.signals import from_columns
from ganstoch.diagnosis.verdicts import diagnose
from ganstoch.errors import UserError, visible
from ganstoch.records import FileModel, decode, read_json

SIGNALS, PICTURES, PAGE = "diagnosis.json", "diagnosis.npz", "diagnosis.html"  # in a run's folder

_log = logging.getLogger("ganstoch")


def _typed(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    kinds: dict[str, tuple[type, ...]] = {"iteration": (int,), "broken": (str,)}
    for name, column in columns.items():
        if not all(isinstance(v, kinds.get(name, (int, float, NoneType))) for v in column):
            raise ValueError(f"{name} holds values of another type")
    return columns


class _Diagnosis(FileModel):
    verdict: str
    acts: list[dict[str, Any]]
    signals: Annotated[dict[str, list[int | float | str | None]], AfterValidator(_typed)]
    not_judged: dict[str, str] = Field(default={})
    notes: tuple[str, ...] = ()


def diagnose_run(options: Namespace) -> int:
    """Writes the page and prints the verdict; see `ganstoch diagnose --help`."""
    print(visible(write_run_page(options.run, options.out)))
    _log.info("%s", options.out or options.run / PAGE)
    return 0


def write_run_page(run: Path, out: Path | None = None) -> str:
    """Writes the page of a run, into its folder by default; returns the verdict, in one line."""
    path, fix = run / SIGNALS, "train it with --diagnosis.every 100"
    if not path.is_file():
        raise UserError(f"{run} holds no {SIGNALS}: {fix}")
    stored: _Diagnosis = decode(_Diagnosis, read_json(path, fix=fix), str(path), fix=fix)
    try:
        history = from_columns(stored.signals)
    except ValueError as error:
        raise UserError(f"{path}: {error}; {fix}") from error
    diagnosed = diagnose(history) if history else None
    notes = [*stored.notes, *(str(act.get("words", act)) for act in stored.acts)]
    if diagnosed is not None and diagnosed.verdict != stored.verdict:
        notes.append(f"When the run ended its verdict was {stored.verdict}.")
    pictures = Pictures.load(run / PICTURES) if (run / PICTURES).exists() else None
    write_page(
        out or run / PAGE,
        history,
        pictures=pictures,
        not_judged=stored.not_judged,
        notes=notes,
        title=str(run),
    )
    told = verdict_of(history, diagnosed)
    return told if diagnosed is None or told == "cannot_tell" else diagnosed.words
