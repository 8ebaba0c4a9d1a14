"""`report.json` and `report.html`: read back as written, nothing else read, no name a danger."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from ganstoch.auditing.output import render, terminal
from ganstoch.auditing.report import AuditReport, fixed, p_words, percent, percent_range
from ganstoch.errors import visible

HOSTILE = (
    "</title></style><script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7 * 7 }}$x_{"
    "\n\u202egpj.exe\u200b\udcff javascript:alert(3)//" + "long_name_without_a_break_" * 8
)
"""A name such as nobody should give a file, but anybody can."""

Report = dict[str, Any]


def content(**changes: Any) -> Report:
    """A report with all its parts, as JSON has it."""
    facts = {"images": 1280, "different": 1280, "one_colour": 10, "shape": [3, 32, 32]}
    plain = {
        "schema": 3,
        "verdict": "memorization",
        "sentence": "130 of 1,280 generated images are copies of real ones.",
        "findings": ["10.2 % are copies.", "8.3 % of the real images are missed."],
        "notes": ["Pixel distances favour blurred images."],
        "sets": {
            role: {"where": f"data/{role}", "sha256": "3f", **facts}
            for role in ("real", "generated", "held_out")
        },
        "copied_share": {"estimate": 0.1016, "low": 0.086, "high": 0.119},
        "missed_share": {"estimate": 0.083, "low": 0.07, "high": 0.1},
        "metrics": {
            "overfitting/pixel_l1/mean": {
                **{"value": 31.21, "baseline": 36.94},
                **{"target": "baseline", "meaning": "How near they come."},
            },
            "copied/pixel_l1": {
                **{"value": 0.1016, "low": 0.086, "high": 0.119, "p_value": 1e-9},
                **{"target": "low", "meaning": "Share of copies."},
            },
        },
        "identical": [{"generated": "g0.png", "real": "r0.png"}],
        "proportions": [
            {
                **{"space": "pixel_l1", "name": name, "example": "truck/7.png"},
                **{"generated": 0.1, "real": 0.31, "short": name == "truck"},
            }
            for name in ("cat", "truck", "cluster 1")
        ],
        "most_copied": [
            {"name": "g0.png", "neighbour": "r0.png", "distance": 0.0, "typical": 36.9},
            {"name": "g1.png", "neighbour": "r1.png", "distance": 2.5, "typical": 36.9},
        ],
        "most_missed": [{"name": "r2.png", "neighbour": "g2.png", "distance": 88.2}],
        "missed": ["r2.png", "r1.png"],
        "missed_by_class": {"cat": 0.02, "truck": 0.27, "dog": 0.1},
        "histograms": [
            {
                **{"title": "To the nearest real image", "unit": "grey levels"},
                **{"edges": [0.0, 1.0, 2.0], "counts": {"generated": [1, 2], "held out": [2, 0]}},
            }
        ],
        "settings": {"features": ["pixel"], "k": 5, "resize": None},
        "versions": {"torch": "2.14.1"},
        "hardware": "2 CPU cores",
        "seconds": 183.2,
        "peak_memory": 3 * 2**29,
    }
    return plain | changes


def make_report(**changes: Any) -> AuditReport:
    return AuditReport.model_validate(content(**changes))


_NONE: Report = {key: None for key in ("copied_share", "missed_share")}
EMPTY: Report = _NONE | {
    key: type(value)()
    for key, value in content().items()
    if isinstance(value, list | dict) and key not in ("sets", *_NONE)
}


@pytest.fixture
def pictures() -> dict[str, bytes]:
    """A PNG file for every image that the report names."""
    rng = np.random.default_rng(0)
    files = {}
    for name in (f"{role}/{role[0]}{i}.png" for role in ("real", "generated") for i in range(3)):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(buffer, "PNG")
        files[name] = buffer.getvalue()
    return files


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": "leaks"},
        {"schema": 2},
        {"colour": "red"},
        {"missed_by_class": {"cat": -0.1}},
        {"seconds": float("nan")},
    ],
    ids=str,
)
def test_a_wrong_field_is_refused(changes: Report) -> None:
    with pytest.raises(ValidationError, match=next(iter(changes))):
        make_report(**changes)
    with pytest.raises(ValueError, match="JSON"):
        make_report(settings={"x": float("inf")}).to_json()


class Page(HTMLParser):
    """Elements of a page with their attributes, and all text outside the style."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def read_page(html: str) -> Page:
    """Parses a page, and checks of it what holds for every page."""
    page = Page(html)
    assert page.open == []
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "iframe", "object", "embed", "form", "base", "svg"}
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith("data:")
        if tag == "img":
            assert attributes["alt"]
    (policy,) = [a["content"] for t, a in page.elements if t == "meta" and "http-equiv" in a]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    return page


def images_of(page: Page) -> list[str]:
    return [a["src"] for tag, a in page.elements if tag == "img"]


def test_the_page_shows_all_parts(pictures: dict[str, bytes]) -> None:
    report = make_report()
    page = read_page(render(report, pictures))
    shown = " ".join(page.text.split())
    for part in (
        *("Memorization", report.sentence, *report.findings, *report.notes),
        *("31.21", "36.94", "0.086\N{EN DASH}0.119", "How near they come."),
        *("g0.png", "r2.png", "data/held_out", "cluster 1", "too few", "27.0 %", "2 CPU cores"),
    ):
        assert part.replace("\xa0", " ") in shown, part
    drawn, *tiles = images_of(page)
    assert drawn.startswith("data:image/svg+xml;base64,")
    files = [base64.b64decode(source.removeprefix("data:image/png;base64,")) for source in tiles]
    order = ("generated/g0", "real/r0", "generated/g1", "real/r1", "real/r2", "generated/g2")
    assert files == [pictures[f"{name}.png"] for name in order]
    classes = re.findall(r"(cat|dog|truck)(\d+\.\d\s%)", page.text.replace("\n", ""))
    assert [name for name, _ in classes[-3:]] == ["truck", "dog", "cat"]


def test_a_picture_that_is_not_there_leaves_a_frame() -> None:
    page = read_page(render(make_report(histograms=[]), {}))
    assert images_of(page) == []
    assert sum("gone" in a.get("class", "") for _, a in page.elements) == 6


def test_an_empty_report_is_a_page_without_empty_parts() -> None:
    page = read_page(render(make_report(**EMPTY), {}))
    assert [tag for tag, _ in page.elements].count("h2") == 1
    assert page.text.count("cannot be told") == 2
    assert terminal(make_report(**EMPTY))


FIXED = {"verdict", "target"}
CHOSEN = {"metrics", "missed_by_class", "counts", "settings", "versions"}  # by whoever named them


def hostile(value: Any, name: str = "") -> Any:
    """The same with every text and every key that somebody else chose a hostile one."""
    if isinstance(value, dict):
        return {
            HOSTILE if name in CHOSEN else key: hostile(item, key) for key, item in value.items()
        }
    if isinstance(value, list):
        return [hostile(item) for item in value]
    return HOSTILE if isinstance(value, str) and name not in FIXED else value


def test_no_name_is_a_danger(pictures: dict[str, bytes]) -> None:
    report = make_report(**hostile(content()))
    assert report.to_json().count("alert(1)") > 30
    html = render(report, {f"real/{HOSTILE}": pictures["real/r0.png"]})
    assert html.encode()  # halves of surrogate pairs could not be
    page = read_page(html)
    assert visible(HOSTILE) in page.text
    unseen = {character for character in page.text if not character.isprintable()}
    assert unseen <= {"\n", "\xa0"}
    assert len(images_of(page)) == 4
    assert all(c.isprintable() for c in terminal(report).replace("\n", ""))
    assert AuditReport.model_validate(json.loads(report.to_json())) == report


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ((31.2099, 36.94), ["31.21", "36.94"]),
        ((0.1016, 0.0), ["0.102", "0.000"]),
        ((12800.4, 3.0), ["12,800", "3"]),
        ((-4.21, None), ["\N{MINUS SIGN}4.210", ""]),
        ((1.2e-5, 3.4e-7), ["1.2e-05", "3.4e-07"]),
        ((-0.0001, 5.0), ["0.000", "5.000"]),
        ((0.0,), ["0"]),
        ((1e20,), ["100,000,000,000,000,000,000"]),
    ],
)
def test_numbers_of_a_line_have_equally_many_decimals(
    values: tuple[float | None, ...], shown: list[str]
) -> None:
    assert fixed(*values) == shown


def test_a_share_is_not_rounded_to_nothing_or_all() -> None:
    shares = [percent(share) for share in (0, 1, 0.102, 0.0052, 0.00031, 1e-7, 0.9999)]
    digits = ["0", "100", "10.2", "0.52", "0.031", "<0.001", ">99.9"]
    assert shares == [f"{each}\xa0%" for each in digits]
    assert percent_range(0.097, 0.107) == "9.7\N{EN DASH}10.7\xa0%"
    p_values = [p_words(p_value) for p_value in (None, 1e-9, 0.0012, 0.0312, 0.5)]
    assert p_values == ["", "<\xa00.0001", "0.0012", "0.031", "0.50"]
