"""`index.html` of a report and a page a run: tables, figures and runs, one click from each other.

All addresses are relative, so that the folder can be moved, sent or put on a web server.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ganstoch.records import Record
from ganstoch.report.chapters import Chapter
from ganstoch.report.page_words import decimals, fixed
from ganstoch.report.pages import png_size, render_page
from ganstoch.report.run_page import HEADLINES, run_label, run_page
from ganstoch.report.words import duration

__all__ = ["INDEX", "Figure", "pages"]

INDEX = "index.html"

_LEFT_BEHIND = (
    *("record.json", "panels.npz", "samples.npz", "trail.npz"),
    *("diagnosis.json", "probe.json", "gradient_noise.json"),
)
"""Files of a run that its page leads to, where they are there."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture of the report.

    Attributes:
        file: its name in the folder.
        heading: its name for people.
        words: what it shows, for readers who cannot see it.
        film: name of a film of the same, or empty.
    """

    file: str
    heading: str
    words: str
    film: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    figure: Figure
    address: str
    film: str
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    label: str
    page: str
    record: str
    numbers: tuple[str, ...]
    iterations: str
    end: str
    time: str


def pages(
    out: Path,
    *,
    heading: str,
    caption: str,
    chapters: Sequence[Chapter],
    figures: Sequence[Figure],
    files: Mapping[str, bytes],
    runs: Sequence[tuple[Record, Path]],
    missing: Sequence[str],
) -> dict[str, bytes]:
    """The pages of a report, by their path below its folder.

    Args:
        out: folder of the report.
        heading: name of the report.
        caption: what its tables show, in sentences.
        chapters: its tables.
        figures: its pictures.
        files: content of everything else in the folder, by name; pictures among it.
        runs: records with the folders of their runs.
        missing: what was not run.

    Raises:
        UserError: if the images that a run left cannot be read.
    """
    places = _places(out, [folder for _, folder in runs])
    shown = [(key, name) for key, name, _ in HEADLINES if any(key in r.metrics for r, _ in runs)]
    # A column's numbers have equally many decimals.
    places_of = {
        key: decimals(run.metrics[key] for run, _ in runs if key in run.metrics) for key, _ in shown
    }
    pictured = {name for figure in figures for name in (figure.file, figure.film)}
    context = {
        "heading": heading,
        "caption": caption,
        "chapters": chapters,
        "pictures": [_picture(figure, files) for figure in figures if figure.file in files],
        "files": [(name, quote(name)) for name in files if name not in pictured],
        "headlines": [name for _, name in shown],
        "runs": [
            _line(run, folder, place, out=out, places=places_of)
            for (run, folder), place in zip(runs, places, strict=True)
        ],
        "missing": missing,
    }
    written = {INDEX: render_page("index.html.j2", context).encode()}
    for (run, folder), place in zip(runs, places, strict=True):
        here = out / place
        left = [name for name in _LEFT_BEHIND if (folder / name).exists()]
        page = run_page(
            run,
            panels=folder / "panels.npz",
            home=_address(out / INDEX, seen_from=here),
            files=[(name, _address(folder / name, seen_from=here)) for name in left],
        )
        written[f"{place}/{INDEX}"] = page.encode()
    return written


def _places(out: Path, folders: Sequence[Path]) -> list[str]:
    """A folder below ``out`` for each run's page: its own, or one of its name under ``runs``."""
    places: list[str] = []
    for folder in folders:
        # Not resolved: a run that was moved to another disk behind a link stays where it was.
        relative = os.path.relpath(folder, out).split(os.sep)
        inside = os.pardir not in relative and relative != [os.curdir]
        place = "/".join(relative) if inside else f"runs/{Path(os.path.abspath(folder)).name}"
        number = 2
        while place in places:
            place = f"{place.removesuffix(f'-{number - 1}')}-{number}"
            number += 1
        places.append(place)
    return places


def _address(target: Path, *, seen_from: Path) -> str:
    """A relative address; ``./`` keeps a name such as ``javascript:`` from being a scheme."""
    return "./" + quote(Path(os.path.relpath(target, seen_from)).as_posix())


def _picture(figure: Figure, files: Mapping[str, bytes]) -> _Picture:
    width, height = png_size(files[figure.file])
    film = quote(figure.film) if figure.film in files else ""
    return _Picture(
        figure=figure, address=quote(figure.file), film=film, width=width, height=height
    )


def _line(
    run: Record, folder: Path, place: str, *, out: Path, places: Mapping[str, int | None]
) -> _Run:
    return _Run(
        label=run_label(run),
        page=_address(out / place / INDEX, seen_from=out),
        record=_address(folder / "record.json", seen_from=out),
        numbers=tuple(
            fixed(run.metrics[key], digits) if key in run.metrics else ""
            for key, digits in places.items()
        ),
        iterations=f"{run.iterations:,}",
        end="converged" if run.converged else "cap",
        time=duration(run.seconds),
    )
