"""The page of a diagnosis: what it says, and that it needs and runs nothing else."""

import base64
import io
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganstoch.diagnosis import History, Signals, diagnose
from ganstoch.diagnosis.page import write_page
from ganstoch.diagnosis.pictures import Pictures
from ganstoch.report.sample_figure import draw_samples, kind_of, quantiles
from ganstoch.report.signal_figure import PANELS, draw_panel

WELL: dict[str, Any] = {"diversity": 1.0, "isolation": 1.0, "collisions": 0.05, "gap": 1.0}
ONE: dict[str, Any] = {"diversity": 0.01, "isolation": 0.01, "closeness": 3.0, "reach": 3.0}


def page(path: Path, history: list[Signals], **others: Any) -> str:
    """Writes a page twice, the same, which fetches and runs nothing."""
    for file in (path / "page.html", path / "again.html"):
        write_page(file, history, **others)
    html = (path / "page.html").read_text()
    assert html == (path / "again.html").read_text()
    assert re.findall(r"<(script|iframe|object|form)|\son\w+=", html) == []
    assert {link[:5] for link in re.findall(r'\b(?:src|href)="([^"#]*)', html)} <= {"data:", ""}
    return html


def within(tag: str, html: str) -> list[str]:
    return re.findall(rf"<{tag}\b[^>]*>([^<]*)</{tag}>", html)


@pytest.fixture(scope="module")
def collapse() -> tuple[list[Signals], Pictures]:
    """Of a run that is best at iteration 500 and makes one image from 600 to 1,200."""
    history, pictures = History(), Pictures(torch.zeros(9, 3, 4, 4, dtype=torch.uint8))
    for i in range(1, 13):
        well = {"closeness": 2 - 0.1 * i, "reach": 1.0}
        history.add(Signals(iteration=100 * i, drift=0.4, **(WELL | (well if i < 6 else ONE))))
        pictures.look(100 * i, torch.full((9, 3, 4, 4), i, dtype=torch.uint8), history)
    return history.signals, pictures


def test_a_collapse_is_told_with_its_onset_remedies_and_samples(
    collapse: tuple[list[Signals], Pictures], tmp_path: Path
) -> None:
    html = page(tmp_path, collapse[0], pictures=collapse[1])
    first, *others = diagnose(collapse[0]).findings
    assert first.verdict == "complete_collapse"
    assert within("h1", html) == ["Complete collapse"]
    body = html[html.index("<main>") :]
    assert body.index("600") < body.index(first.evidence[1]) < body.index(first.remedies[0])
    assert within("code", html)[: len(first.remedies)] == [*first.remedies]
    assert others
    assert within("strong", html) == [f.verdict.replace("_", " ").capitalize() for f in others]
    shown = re.findall('src="data:image/png;base64,([^"]*)"', html)
    colors = [np.array(Image.open(io.BytesIO(base64.b64decode(src))))[1, 1] for src in shown]
    assert [color.tolist() for color in colors] == [[i] * 3 + [255] for i in (5, 6, 12, 0)]
    captions = " ".join(within("figcaption", html))
    assert captions.index(" 500") < captions.index(" 600") < captions.index(" 1,200")


def test_what_bears_on_the_verdict_is_unfolded_and_marked(
    collapse: tuple[list[Signals], Pictures], tmp_path: Path
) -> None:
    html = page(tmp_path, collapse[0])
    open_to_all, *folded = html.split("<details>")
    assert len(within("figcaption", open_to_all)) == 3
    assert len(within("figcaption", "".join(folded))) == 2
    for mark in ("best", "onset"):
        assert within("text", html).count(mark) == 5
    (absent,) = [words for words in within("p", html) if "1,200" in words and "best" not in words]
    assert all(words in absent for words in (" 500", " 600"))


@pytest.mark.parametrize(("count", "closeness"), [(3, 1.2), (2, 1.2), (3, None), (0, None)])
def test_nothing_wrong_is_healthy_or_cannot_be_told(
    count: int, closeness: float | None, tmp_path: Path
) -> None:
    history = [Signals(iteration=i, closeness=closeness, **WELL) for i in range(count)]
    html = page(tmp_path, history, not_judged={"memorization": "held_out"})
    healthy = count == 3 and closeness is not None
    assert within("h1", html) == ["Healthy" if healthy else "Cannot tell"]
    assert within("code", html) == ["held_out"]


def test_what_others_have_written_is_text(tmp_path: Path) -> None:
    bad = "<script>alert(1)</script>\u202e"
    history = [Signals(iteration=i, broken=bad, gap=float("inf")) for i in range(1, 3)]
    html = page(tmp_path, history, title=bad, notes=[bad], not_judged={bad: bad})
    assert within("h1", html) == ["Non finite"]
    assert html.count("&lt;script&gt;") + html.count("&lt;Script&gt;") == 6
    assert "\u202e" not in html


SHAPES = {
    (9, 3, 4, 4): "images",
    (9, 80, 200): "spectrograms",
    (9, 2): "points",
    (9, 1, 16000): "curves",
    (9, 2, 16000): "curves",
    (9, 20): "columns",
    (9, 1): "columns",
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("value", [1.0, float("nan")])
def test_samples_of_any_shape_are_shown(shape: tuple[int, ...], value: float) -> None:
    kind = kind_of(shape)
    assert kind == SHAPES[shape]
    samples = torch.full(shape, value).nan_to_num(0 if kind == "images" else value)
    samples = samples.byte() if kind == "images" else samples
    drawn = draw_samples({"best": samples, "last": samples}, real=samples)
    assert {*drawn} == (set() if kind == "columns" else {"best", "last"})
    start = "<svg" if kind in ("points", "curves") else "<img"
    assert all(element.startswith(start) for element in drawn.values())


def test_a_panel_draws_signals_and_leaves_a_gap_where_one_is_missing() -> None:
    names = {name for panel in PANELS for name in panel.lines}
    assert names <= {field.name for field in fields(Signals)}
    (panel,) = (panel for panel in PANELS if "diversity" in panel.lines)
    values: list[list[float | None]] = [[None] * 5, [0.5, 0.5, 0.6, 0.7, 0.7]]
    values.append([0.5, 0.5, None, 0.7, 0.7])
    drawn = [draw_panel(panel, {"iteration": [*range(5)], "diversity": each}) for each in values]
    assert len({*drawn}) == 3


def test_quantiles_are_of_columns() -> None:
    column = torch.linspace(0, 1, 21)
    columns = [column, -column, torch.full((21,), 7e4), (column > 0.77).float()]
    found = quantiles({"a": torch.stack(columns, 1)})["a"]
    assert found[:3] == ["0.05 / 0.5 / 0.95", "-0.95 / -0.5 / -0.05", "70,000 / 70,000 / 70,000"]
    assert found[3].startswith("24")  # of 21 numbers 5 are 1
