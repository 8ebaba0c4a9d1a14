"""The page of a diagnosis: what is wrong, since when, how it shows, and what to try."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ganstoch.diagnosis.history import verdict_of
from ganstoch.diagnosis.pictures import Pictures, best_look
from ganstoch.diagnosis.rules import RULES
from ganstoch.diagnosis.signals import Signals, to_columns
from ganstoch.diagnosis.verdicts import diagnose
from ganstoch.records import write_atomically
from ganstoch.report.formatting import enumerate_words, render_page
from ganstoch.report.sample_figure import draw_samples, kind_of, quantiles
from ganstoch.report.signal_figure import PANELS, draw_panel

_ALWAYS = {"closeness", "reach"}  # how good the samples are
_HEALTHY = ("diversity", "separation")
_REMEDIES = Path(__file__).parents[1] / "configs" / "remedies"


def write_page(
    path: Path,
    history: Sequence[Signals],
    *,
    pictures: Pictures | None = None,
    not_judged: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
    title: str = "",
) -> None:
    """Writes one HTML file that needs nothing else; `UserError` if it cannot be written.

    Args:
        path: the file.
        history: the looks so far, in the order in which they were taken; may be empty.
        pictures: samples kept along the way.
        not_judged: verdicts that could not be reached, each with the one thing to give for it.
        notes: what else there is to say, a sentence each.
        title: what was watched.
    """
    diagnosed = diagnose(history) if history else None
    findings = () if diagnosed is None else diagnosed.findings
    rule = next((rule for rule in RULES if findings and rule.verdict == findings[0].verdict), None)
    best, onset = best_look(history), findings[0].since if findings else None
    last = history[-1].iteration if history else None
    marks = {"best": None if best is None else best.iteration, "onset": onset}
    page = render_page(
        Path(__file__).parent,
        title=title,
        verdict=verdict_of(history, diagnosed),
        findings=findings,
        # The first line of a packaged remedy's file says what it is.
        remedies={f.stem: f.read_text().partition("\n")[0][2:] for f in _REMEDIES.glob("*.yaml")},
        history=history,
        best=best,
        curves=_curves(history, {*(rule.signals if rule else _HEALTHY)} | _ALWAYS, marks),
        panels=PANELS,
        not_judged=not_judged or {},
        notes=notes,
        **_samples(pictures or Pictures(), marks | {"last": last}),
    )
    write_atomically(path, page.encode(errors="replace"))


def _curves(
    history: Sequence[Signals], bearing: set[str], marks: Mapping[str, int | None]
) -> dict[bool, dict[str, Markup]]:
    """By title, as SVG; those that bear on the verdict under True, all others under False."""
    columns = to_columns(history)
    curves: dict[bool, dict[str, Markup]] = {True: {}, False: {}}
    for panel in PANELS:
        if any(value is not None for name in panel.lines for value in columns.get(name, [])):
            drawn = Markup(draw_panel(panel, columns, **marks))  # numbers and our own words
            curves[not bearing.isdisjoint(panel.lines)][panel.title] = drawn
    return curves


def _samples(pictures: Pictures, marks: Mapping[str, int | None]) -> dict[str, Any]:
    """Pictures of the looks that matter, or quantiles of their columns; what was not kept."""
    names: dict[int, list[str]] = {}
    for name, at in marks.items():
        if at is not None:
            names.setdefault(at, []).append(name)
    captions = {
        at: f"{enumerate_words(each).capitalize()}: iteration {at:,}" for at, each in names.items()
    }
    looks = {captions[at]: pictures.looks[at] for at in names if at in pictures.looks}
    kinds = {kind_of(tuple(samples.shape)) for samples in looks.values()}
    if looks and pictures.real is not None and "points" not in kinds:
        looks["Real samples"] = pictures.real
    drawn = draw_samples(looks, real=pictures.real)
    return {
        "samples": {name: Markup(each) for name, each in drawn.items()},
        "quantiles": quantiles(looks) if kinds == {"columns"} else {},
        "names": pictures.names,
        "not_kept": [captions[at] for at in names if at not in pictures.looks],
    }
