"""`report.json` and `report.html`: read back as written, nothing else read, no name a danger."""

import base64
import json
from html.parser import HTMLParser
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from ganstoch.auditing.audit import audit
from ganstoch.auditing.gate import Gate
from ganstoch.auditing.inputs import open_images
from ganstoch.auditing.output import render, terminal
from ganstoch.auditing.report import (
    AuditReport,
    CopiedGroup,
    fixed,
    measure_cells,
    p_words,
    percent,
    percent_range,
)
from ganstoch.errors import visible

HOSTILE = (
    "</title></style><script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7 * 7 }}$x_{"
    "\n\u202egpj.exe\u200b\udcff javascript:alert(3)//" + "long_name_without_a_break_" * 8
)
"""A name such as nobody should give a file, but anybody can."""


@pytest.fixture(scope="module")
def report(split: Any) -> AuditReport:
    """A report with all its parts."""
    digits = split(train=200, fresh=100, held_out=200)
    real = open_images(digits.train, role="real")
    real.labels = tuple(f"digit {name}" for name in digits.names)
    made = torch.cat([digits.train[:30], digits.fresh[30:]])
    gate = Gate(("memorization", "mode_drop"), max_copied=0.01)
    report = audit(real, made, held_out=digits.held_out, gate=gate, command="ganstoch audit <x>")
    groups = [CopiedGroup(name=f"ward {i}", images=9, copied=2, copies=3) for i in range(2)]
    return report.model_copy(update={"copied_groups": tuple(groups)})


@pytest.fixture(scope="module")
def content(report: AuditReport) -> dict[str, Any]:
    """The report as JSON has it."""
    plain: dict[str, Any] = json.loads(report.to_json())
    return plain


@pytest.fixture(scope="module")
def empty(content: dict[str, Any]) -> AuditReport:
    """The least that a report may hold."""
    least: dict[str, Any] = {
        key: type(value)()
        for key, value in content.items()
        if isinstance(value, dict | list) and key != "sets"
    }
    least |= {"copied_share": None, "missed_share": None, "command": None}
    return AuditReport.model_validate(content | least)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("verdict", "leaks"),
        ("schema", 2),
        ("colour", "red"),
        ("missed_by_class", {"cat": -0.1}),
        ("seconds", float("nan")),
    ],
)
def test_a_wrong_field_is_refused(key: str, value: object, content: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=key):
        AuditReport.model_validate(content | {key: value})
    endless = AuditReport.model_validate(content | {"settings": {"x": float("inf")}})
    with pytest.raises(ValueError, match="JSON"):
        endless.to_json()


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


def tiles(report: AuditReport) -> list[str]:
    """Names of the pictures in the lists at the page's end, in their order."""
    copied = [(f"generated/{p.name}", f"real/{p.neighbour}") for p in report.most_copied]
    missed = [(f"real/{p.name}", f"generated/{p.neighbour}") for p in report.most_missed]
    return [name for pair in copied + missed for name in pair]


def test_the_page_shows_all_parts(report: AuditReport) -> None:
    pictures = {name: name.encode() for name in tiles(report)}
    page = read_page(render(report, pictures))
    shown = " ".join(page.text.split())
    parts = ["Memorization", report.sentence, *report.findings, *report.notes, report.hardware]
    for measure in report.metrics.values():
        parts += [measure.meaning, *measure_cells(measure)]
    for cell in report.proportions:
        parts += [cell.name, percent(cell.real), percent(cell.generated), cell.example]
    parts += [facts.sha256 for facts in report.sets.values()]
    parts += [text for check in report.checks for text in (check.name, check.sentence)]
    parts += [text for item in report.not_checked for text in (item.reason, item.fix)]
    assert report.copied_groups
    for group in report.copied_groups[:12]:
        parts += [group.name, str(group.images), str(group.copies)]
    parts += [report.command or "", report.protocol, report.settings_sha256]
    assert [part for part in parts if " ".join(part.split()) not in shown] == []
    *sources, first, second = images_of(page)[:8]
    assert first.startswith("data:image/svg+xml;base64,")
    assert second.startswith("data:image/svg+xml;base64,")
    sources += images_of(page)[8:]
    files = [base64.b64decode(each.removeprefix("data:image/png;base64,")) for each in sources]
    assert files == [name.encode() for name in [*tiles(report)[:6], *tiles(report)]]
    classes = shown[shown.index("Missed by class") :]
    places = [
        (-share, classes.index(f"{name}{percent(share)}".replace("\xa0", " ")))
        for name, share in report.missed_by_class.items()
    ]
    assert len(places) == 10
    assert [place for _, place in sorted(places)] == sorted(place for _, place in places)


def test_a_picture_that_is_not_there_leaves_a_frame(report: AuditReport) -> None:
    page = read_page(render(report, {}))
    assert len(images_of(page)) == len(report.histograms)
    assert sum("gone" in a.get("class", "") for _, a in page.elements) == len(tiles(report))


def test_an_empty_report_is_a_page_without_empty_parts(empty: AuditReport) -> None:
    page = read_page(render(empty, {}))
    assert [tag for tag, _ in page.elements].count("h2") == 1
    assert page.text.count("cannot be told") == 2
    assert terminal(empty)


FIXED = {"verdict", "verdicts", "outcome", "target", "group"}
CHOSEN = {"metrics", "missed_by_class", "counts", "settings", "versions"}  # by whoever named them


def hostile(value: Any, name: str = "") -> Any:
    """The same with every text and every key that somebody else chose a hostile one."""
    if isinstance(value, dict):
        return {HOSTILE if name in CHOSEN else key: hostile(v, key) for key, v in value.items()}
    if isinstance(value, list):
        return [hostile(item, name) for item in value]
    return HOSTILE if isinstance(value, str) and name not in FIXED else value


def test_no_name_is_a_danger(content: dict[str, Any]) -> None:
    report = AuditReport.model_validate(hostile(content))
    html = render(report, {f"real/{HOSTILE}": b"a picture"})
    assert html.encode()  # halves of surrogate pairs could not be
    page = read_page(html)
    assert page.text.count(visible(HOSTILE)) > 100
    unseen = {character for character in page.text if not character.isprintable()}
    assert unseen <= {"\n", "\xa0"}
    assert len(images_of(page)) == len(report.histograms) + (6 + len(tiles(report))) // 2
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
def test_numbers_of_a_line_align(values: tuple[float | None, ...], shown: list[str]) -> None:
    assert fixed(*values) == shown


def test_a_share_is_not_rounded_to_nothing_or_all() -> None:
    shares = [percent(share) for share in (0, 1, 0.102, 0.0052, 0.00031, 1e-7, 0.9999)]
    digits = ["0", "100", "10.2", "0.52", "0.031", "<0.001", ">99.9"]
    assert shares == [f"{each}\xa0%" for each in digits]
    assert percent_range(0.097, 0.107) == "9.7\N{EN DASH}10.7\xa0%"
    p_values = [p_words(p_value) for p_value in (None, 1e-9, 0.0012, 0.0312, 0.5)]
    assert p_values == ["", "<\xa00.0001", "0.0012", "0.031", "0.50"]
