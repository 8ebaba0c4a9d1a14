"""The page of a diagnosis: what it says, and that it needs and runs nothing else."""

import base64
import io
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganstoch.diagnosis import VERDICTS, History, Signals, diagnose
from ganstoch.diagnosis.page import write_page
from ganstoch.diagnosis.pictures import Pictures
from ganstoch.report.sample_figure import draw_samples, kind_of, quantiles

WELL: dict[str, Any] = {
    "diversity": 1.0,
    "isolation": 1.0,
    "collisions": 0.05,
    "drift": 0.4,
    "gap": 1.0,
}
ONE: dict[str, Any] = {
    "diversity": 0.01,
    "isolation": 0.01,
    "collisions": 1.0,
    "closeness": 3.0,
    "reach": 3.0,
}


class Page(HTMLParser):
    """The texts of a page by their tag, and its elements; holds it to running nothing."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []  # the whole path of tags, and the text
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.feed(path.read_text())
        assert self.open == []
        assert not {tag for tag, _ in self.elements} & {"script", "iframe", "object", "form"}
        for tag, attributes in self.elements:
            assert not [name for name in attributes if name.startswith("on")]
            links = [attributes.get(name, "#") for name in ("src", "href", "xlink:href")]
            assert all(link.startswith(("data:", "#")) for link in links)
            assert tag != "img" or attributes["alt"]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((" ".join(self.open), data))

    def text(self, tag: str = "main") -> str:
        """All text within elements of a tag."""
        return " ".join(text for where, text in self.texts if tag in where.split())


def collapse(*, looks: int = 12) -> tuple[list[Signals], Pictures]:
    """Of a run that is best at iteration 500 and makes one image from 600 on."""
    history, pictures = History(), Pictures(torch.zeros(9, 3, 4, 4, dtype=torch.uint8))
    for i in range(1, looks + 1):
        quality = {"closeness": 2 - 0.1 * i, "reach": 1.0}
        history.add(Signals(iteration=100 * i, **(WELL | (quality if i < 6 else ONE))))
        pictures.look(100 * i, torch.full((9, 3, 4, 4), i, dtype=torch.uint8), history)
    return history.signals, pictures


def test_a_collapse_is_told_with_its_onset_remedies_and_samples(tmp_path: Path) -> None:
    history, pictures = collapse()
    write_page(tmp_path / "page.html", history, pictures=pictures)
    page, (finding, *others) = Page(tmp_path / "page.html"), diagnose(history).findings
    assert finding.verdict == "complete_collapse"
    assert page.text("h1") == "Complete collapse"
    main = page.text()
    assert main.index("600") < main.index(finding.evidence[1]) < main.index(finding.remedies[0])
    assert {*finding.remedies} <= {*page.text("code").split()}
    for other in others:
        assert other.verdict.replace("_", " ").capitalize() in page.text("strong")
    shown = [a["src"].partition(",")[2] for tag, a in page.elements if tag == "img"]
    colors = [np.array(Image.open(io.BytesIO(base64.b64decode(src))))[1, 1] for src in shown]
    assert [color.tolist() for color in colors] == [[i] * 3 + [255] for i in (5, 6, 12, 0)]
    captions = page.text("figcaption")
    places = [captions.index(words) for words in ("500", "600", "1,200")]
    assert places == sorted(places)
    again = tmp_path / "again.html"
    write_page(again, history, pictures=pictures)
    assert again.read_bytes() == (tmp_path / "page.html").read_bytes()


def test_what_bears_on_the_verdict_is_unfolded_and_marked(tmp_path: Path) -> None:
    history, _ = collapse()
    write_page(tmp_path / "page.html", history)
    page = Page(tmp_path / "page.html")
    drawn = [(where, text) for where, text in page.texts if where.endswith("figcaption")]
    assert len(drawn) == 5
    folded = ["details" in where.split() for where, _ in drawn]
    assert folded == sorted(folded)
    assert 2 <= folded.count(False) < 5
    labels = [text for where, text in page.texts if where.endswith(" text")]
    assert labels.count("onset") == labels.count("best") == 5
    assert all(text in page.text("p") for text in ("500", "600", "1,200"))  # none was kept


@pytest.mark.parametrize("judged", [True, False])
def test_nothing_wrong_is_healthy_or_cannot_be_told(judged: bool, tmp_path: Path) -> None:
    history = [Signals(iteration=i, **(WELL if judged else {})) for i in range(1, 5)]
    ill: list[str] = [verdict for verdict in VERDICTS if verdict != "healthy"]
    missing = dict.fromkeys(ill[:1] if judged else ill, "sample=<a function>")
    write_page(tmp_path / "page.html", history, not_judged=missing)
    page = Page(tmp_path / "page.html")
    assert page.text("h1") == ("Healthy" if judged else "Cannot tell")
    assert page.text("code").count("sample=<a function>") == len(missing)
    write_page(tmp_path / "empty.html", [])
    assert Page(tmp_path / "empty.html").text("h1") == "Cannot tell"


def test_what_others_have_written_is_text(tmp_path: Path) -> None:
    bad = "<script>alert(1)</script>\u202e"
    history = [Signals(iteration=i, broken=bad, gap=float("inf")) for i in range(1, 3)]
    write_page(tmp_path / "p.html", history, title=bad, notes=[bad], not_judged={bad: bad})
    page = Page(tmp_path / "p.html")
    assert page.text("h1") == "Non finite"
    assert page.text().count("<script>alert(1)</script>") == 5
    assert "\u202e" not in page.text()


SHAPES = {
    (9, 3, 4, 4): "images",
    (9, 1, 64, 400): "images",
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
    assert kind_of(shape) == SHAPES[shape]
    samples = torch.full(shape, 3 if kind_of(shape) == "images" else value)
    samples = samples.byte() if kind_of(shape) == "images" else samples
    drawn = draw_samples({"best": samples, "last": samples}, real=samples)
    starts = {"images": "<img", "spectrograms": "<img", "columns": ""}
    expected = starts.get(SHAPES[shape], "<svg")
    assert {*drawn} == ({"best", "last"} if expected else set())
    assert all(element.startswith(expected) for element in drawn.values())


def test_quantiles_are_of_columns() -> None:
    column = torch.linspace(0, 1, 21)
    found = quantiles({"a": torch.stack([column, -column, torch.full((21,), 7.0)], 1)})
    assert found == {"a": ["0.05 / 0.5 / 0.95", "-0.95 / -0.5 / -0.05", "7 / 7 / 7"]}
