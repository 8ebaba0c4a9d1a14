"""`report.html`: what it says, that it needs nothing, and that no name can change it."""

from __future__ import annotations

import base64
import re
import tomllib
from pathlib import Path

import pytest

import ganstoch.report
from ganstoch.errors import visible
from ganstoch.report.audit_json import read_report, write_report
from ganstoch.report.audit_page import WORDS, render
from ganstoch.report.audit_report import (
    CellShares,
    Histogram,
    Pairing,
    Reading,
    SetFacts,
    Share,
    Twin,
)
from ganstoch.report.inline_plots import curves, histogram, marker
from ganstoch.report.page_words import (
    decimals,
    fixed,
    memory,
    metric_words,
    p_words,
    percent,
    percent_range,
)
from ganstoch.report.pages import flattened, png_size, tile

STYLE = (Path(ganstoch.report.__file__).parent / "templates" / "style.css").read_text()


@pytest.fixture
def page(make_report, pictures, read_page):
    return read_page(render(make_report(), pictures))


def test_templates_are_installed_too():
    settings = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    package = Path(ganstoch.report.__file__).parents[1]
    patterns = settings["tool"]["setuptools"]["package-data"]["ganstoch"]
    packed = {path for pattern in patterns for path in package.glob(pattern)}
    templates = set((package / "report" / "templates").iterdir())
    assert len(templates) == 7
    assert templates <= packed


def test_the_verdict_comes_first_in_words_and_not_by_colour_alone(make_report, pictures, read_page):
    drawings = set()
    for verdict, word in WORDS.items():
        report = make_report(verdict=verdict, sentence=f"the sentence of {verdict}")
        html = render(report, pictures)
        page = read_page(html)
        assert page.all("h1")[0][1] == f"Verdict: {word}"
        assert page.all("p", of_class="sentence")[0][1] == f"the sentence of {verdict}"
        assert page.all("title")[0][1] == f"{word}: audit of samples"
        (block,) = page.all("div", of_class="verdict")
        assert verdict in block[0]["class"].split()
        icon = html.split('<svg class="icon"')[1].split("</svg>")[0]
        drawings.add(icon)
        assert html.index(report.sentence) < html.index("Findings") < html.index("Measures")
    assert len(drawings) == len(WORDS) == 6


def test_a_page_read_back_from_json_is_the_same(make_report, pictures, tmp_path):
    report = make_report()
    write_report(tmp_path / "report.json", report)
    assert render(read_report(tmp_path / "report.json"), pictures) == render(report, pictures)


def test_a_page_is_alone(make_report, pictures):
    html = render(make_report(), pictures)
    policy = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy == [
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
        "form-action 'none'"
    ]
    bare = re.sub(r"data:image/png;base64,[\w+/=]+", "", html)
    assert len(bare) < 0.6 * len(html)
    assert not re.search(r"https?:|//[a-z]|url\(|@import|<script", bare, re.I)


def test_the_measures_stand_beside_their_baselines(page):
    rows = [
        ([text for _, text in row] if isinstance(row, list) else row)
        for row in [page.all("td", of_class="strong"), page.all("th", role="rowheader")]
    ]
    assert rows[0] == ["31.21", "0.102", "48,200"]
    assert rows[1] == [
        "overfitting, pixel l1, mean How near they come.",
        "copied, pixel l1, share Share of copies.",
        "birthday, support The support.",
    ]
    cells = [
        (a["data-label"], text) for a, text in page.all("td", role="cell") if "data-label" in a
    ]
    assert cells[:5] == [
        ("Generated", "31.21"),
        ("Held out", "36.94"),
        ("95 % interval", "\N{EN DASH}"),
        ("p", "\N{EN DASH}"),
        ("Wanted", "as held out"),
    ]
    assert cells[5:10] == [
        ("Generated", "0.102"),
        ("Held out", "0.000"),
        ("95 % interval", "0.086\N{EN DASH}0.119"),
        ("p", "< 0.0001"),
        ("Wanted", "low"),
    ]
    assert len(page.all("td", of_class="drawn")) == 3


def test_columns_without_a_number_are_left_out(make_report, pictures, read_page):
    metrics = {"a/b": Reading(value=1.5, wanted="high", meaning="m")}
    page = read_page(render(make_report(metrics=metrics), pictures))
    heads = [text for _, text in page.all("th", role="columnheader")]
    assert heads == ["Measure", "Generated", "Wanted", "Drawn"]


def test_shares_have_their_intervals_or_say_that_they_cannot_be_told(
    page, make_report, pictures, read_page
):
    assert [text for _, text in page.all("p", of_class="large")] == ["10.2 %", "8.3 %"]
    assert [text for _, text in page.all("p", of_class="soft") if "interval" in text][:2] == [
        "95 % interval 8.6\N{EN DASH}11.9 %",
        "95 % interval 7.0\N{EN DASH}10.0 %",
    ]
    unknown = read_page(render(make_report(copied_share=None, missed_share=None), pictures))
    assert [text for _, text in unknown.all("p", of_class="large")] == ["cannot be told"] * 2
    assert "upright line" not in render(make_report(missed_share=None), pictures)


def test_pairs_are_beside_each_other_and_are_the_very_files(page, pictures):
    shown = [a for a, _ in page.all("img")]
    files = [base64.b64decode(a["src"].removeprefix("data:image/png;base64,")) for a in shown]
    assert files == [
        pictures[f"{role}/{role[0]}{number}.png"]
        for number, roles in ((0, "gr"), (1, "gr"), (2, "rg"))
        for role in ({"g": "generated", "r": "real"}[letter] for letter in roles)
    ]
    assert {(a["width"], a["height"]) for a in shown} == {("32", "32")}
    assert {a["style"] for a in shown} == {"--wide:96px;--narrow:64px"}
    assert {a["class"] for a in shown} == {"tile sharp"}
    captions = [text for _, text in page.all("figcaption")][1:]
    assert captions == [
        "0.00, identical; held out 36.90 generated g0.png real r0.png",
        "2.50; held out 36.90 generated g1.png real r1.png",
        "88.20; held out 37.80 real r2.png generated g2.png",
    ]


def test_a_picture_that_is_not_there_leaves_a_frame(make_report, read_page):
    page = read_page(render(make_report(), {}))
    frames = page.all("span", of_class="tile")
    assert page.all("img") == []
    assert len(frames) == 6
    assert all(a["role"] == "img" and a["aria-label"].endswith("not shown") for a, _ in frames)


def test_what_is_no_png_file_is_refused(make_report, pictures):
    pictures["real/r0.png"] = b"<svg onload=alert(1)>"
    with pytest.raises(ValueError, match="must be a PNG file"):
        render(make_report(), pictures)


def test_only_so_many_pairs_are_shown(make_report, pictures, read_page):
    many = tuple(Pairing(name="g0.png", neighbour="r0.png", distance=1.0) for _ in range(100))
    page = read_page(render(make_report(most_copied=many), pictures))
    assert len(page.all("img")) == 2 * 24 + 2


def test_classes_are_sorted_and_the_rest_unfolds(page, make_report, pictures, read_page):
    rows = page.all("table", of_class="bars")
    assert re.findall(r"(cat|truck|dog)([\d.]+ %)", rows[0][1].replace("\xa0", " ")) == [
        ("truck", "27.0 %"),
        ("dog", "10.0 %"),
        ("cat", "2.0 %"),
    ]
    widths = [a["style"] for a, _ in page.all("span", of_class="fill")]
    assert widths == ["width:27.0%", "width:10.0%", "width:2.0%"]
    assert {a["style"] for a, _ in page.all("span", of_class="rule")} == {"left:8.3%"}
    classes = {f"class {number}": number / 100 for number in range(50)}
    long = read_page(render(make_report(missed_by_class=classes), pictures))
    assert len(long.all("table", of_class="bars")) == 2
    assert ("30 more classes, missed less") in [text for _, text in long.all("summary")]
    assert long.all("table", of_class="bars")[0][1].count("class") == 20 + 1  # and the caption


def test_all_that_decided_the_numbers_is_at_the_end(page):
    text = page.all("table", of_class="settings")[0][1]
    for words in (
        "features" + "pixel",
        "resize" + "none",
        "deep.seed" + "0",
        "torch" + "2.14.1",
        "real, sha256 of the pixels" + "3f",
        "hardware" + "2 CPU cores",
        "time" + "3 min 3 s",
        "memory at most" + "1.5 GiB",
        "version 2",
    ):
        assert words in text
    order = [text for _, text in page.all("h2")]
    assert order == [
        *("Copied", "Missed", "Compared", "Findings", "Measures", "Distances"),
        *(
            "Identical",
            "Proportions",
            "Most copied",
            "Most missed",
            "Missed by class",
            "Notes",
            "Settings and versions",
        ),
    ]


def test_an_empty_report_is_a_page_without_empty_parts(make_report, read_page):
    report = make_report(
        findings=(),
        notes=(),
        metrics={},
        identical=(),
        proportions=(),
        most_copied=(),
        most_missed=(),
        missed_by_class={},
        histograms=(),
    )
    headings = [text for _, text in read_page(render(report, {})).all("h2")]
    assert headings == ["Copied", "Missed", "Compared", "Settings and versions"]


def test_no_name_can_change_the_page(make_report, pictures, read_page, hostile):
    """Every text that somebody else chose, everywhere at once."""
    facts = SetFacts(
        where=hostile, images=1, different=1, one_colour=1, shape=(1, 2, 3), sha256=hostile
    )
    report = make_report(
        sentence=hostile,
        findings=(hostile,),
        notes=(hostile,),
        sets={"real": facts, "generated": facts},
        metrics={hostile: Reading(value=1.0, wanted="low", meaning=hostile)},
        identical=(Twin(generated=hostile, real=hostile),),
        proportions=(
            CellShares(
                space=hostile, name=hostile, generated=0.0, real=1.0, short=True, example=hostile
            ),
        ),
        most_copied=(Pairing(name=hostile, neighbour=hostile, distance=1.0),),
        most_missed=(Pairing(name=hostile, neighbour=hostile, distance=1.0),),
        missed_by_class={hostile: 0.5},
        histograms=(
            Histogram(title=hostile, unit=hostile, edges=(0.0, 1.0), counts={hostile: (1,)}),
        ),
        settings={hostile: hostile, "list": [hostile], "deep": {hostile: {hostile: 1}}},
        versions={hostile: hostile},
        hardware=hostile,
    )
    html = render(report, {f"real/{hostile}": pictures["real/r0.png"]})
    assert html.encode()  # halves of surrogate pairs could not be
    page = read_page(html)
    assert {tag for tag, _, _ in page.elements} <= {
        *("html", "head", "meta", "link", "title", "style", "body", "a", "main", "header", "p"),
        *("div", "svg", "path", "rect", "circle", "h1", "h2", "span", "section", "dl", "dt", "dd"),
        *("br", "bdi", "ol", "ul", "li", "table", "caption", "colgroup", "col", "thead", "tbody"),
        *("tr", "th", "td", "figure", "figcaption", "details", "summary", "img", "code"),
    }
    assert "alert(1)" in page.all("p", of_class="sentence")[0][1]
    assert page.all("p", of_class="sentence")[0][1] == " ".join(visible(hostile).split())
    assert page.all("title")[0][1].endswith(" ".join(visible(hostile).split()))
    assert "{{ 7 * 7 }}" in html
    body = html.split("</style>")[-1]
    unseen = [character for character in body.replace("\n", "") if not character.isprintable()]
    assert set(unseen) <= {"\xa0"}
    assert "⟨U+202E⟩gpj.exe⟨U+200B⟩⟨U+DCFF⟩" in body
    sources = [a["src"] for a, _ in page.all("img")]
    assert len(sources) == 2
    assert all(source.startswith("data:image/png;base64,") for source in sources)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain name.png", "plain name.png"),
        ("größe \N{EM DASH} 猫", "größe \N{EM DASH} 猫"),
        ("a\nb\tc", "a⟨U+000A⟩b⟨U+0009⟩c"),
        ("\u202egpj", "⟨U+202E⟩gpj"),
        ("\u2066x\u2069", "⟨U+2066⟩x⟨U+2069⟩"),
        ("\udc80\x00\u2028\ufeff", "⟨U+DC80⟩⟨U+0000⟩⟨U+2028⟩⟨U+FEFF⟩"),
        ("10\xa0%", "10\xa0%"),
    ],
)
def test_what_cannot_be_seen_is_written_out(text, shown):
    assert visible(text) == shown


def luminance(colour):
    levels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in levels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """Of two colours, as WCAG 2 defines it."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_measure_of_contrast():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.478, abs=1e-3)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_can_be_read(scheme):
    """4.5 for text and 3 for drawings, on both grounds: level AA of WCAG 2."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.S)
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", blocks[scheme]))
    assert len(colours) == 13
    for ground in ("paper", "wash"):
        for ink in ("ink", "soft", "red", "amber", "violet", "green", "mine"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
        for drawn in ("other", "third", "focus"):
            assert contrast(colours[drawn], colours[ground]) >= 3.0, (drawn, ground)


COUNTED = Histogram(
    title="t", unit="u", edges=(0.0, 1.0, 2.0, 4.0), counts={"a": (1, 3, 4), "b": (0, 0, 0)}
)


def heights(path):
    """Heights of the bars of an outline, in percent of the drawing's."""
    return [100 - float(y) for _, y in re.findall(r"L([\d.]+) ([\d.]+)(?!Z)", path)[:-1:2]]


def test_a_histogram_draws_shares_and_areas():
    even = Histogram(
        title="t", unit="u", edges=(0.0, 1.0, 2.0), counts={"a": (10, 30), "b": (3, 1)}
    )
    plot = histogram(even)
    first, second = (heights(line.path) for line in plot.lines)
    assert first[1] / first[0] == pytest.approx(3, rel=1e-3)
    # Four images and forty: the same shares are as high.
    assert second == pytest.approx(first[::-1], abs=0.02)
    assert plot.y[-1].word.endswith("%")
    # In a bin twice as wide as many images are half as high, and no share belongs to a height.
    uneven = histogram(COUNTED)
    bars = heights(uneven.lines[0].path)
    assert bars[1] / bars[0] == pytest.approx(3, rel=1e-3)
    assert bars[2] / bars[0] == pytest.approx(2, rel=1e-3)
    assert uneven.y == ()
    assert uneven.lines[1].path == ""
    assert uneven.lines[1].note == "0"


def test_a_histogram_is_told_in_words():
    assert histogram(COUNTED).words == "t (u): a 8, median about 2; b 0"


def test_ticks_are_round_and_in_place():
    edges = tuple(2.0 * step for step in range(41))
    plot = histogram(Histogram(title="", unit="", edges=edges, counts={"a": (1,) * 40}))
    assert [(tick.at, tick.word) for tick in plot.x] == [
        *((0.0, "0"), (25.0, "20"), (50.0, "40"), (75.0, "60"), (100.0, "80"))
    ]
    narrow = histogram(
        Histogram(title="", unit="", edges=(0.001, 0.0015, 0.002), counts={"a": (1, 1)})
    )
    words = [tick.word for tick in narrow.x]
    assert words == ["0.0010", "0.0012", "0.0014", "0.0016", "0.0018", "0.0020"]


def test_a_marker_puts_everything_in_order():
    mark = marker(10.0, baseline=20.0, low=8.0, high=12.0)
    assert mark.zero == 0.0
    assert mark.zero < mark.low < mark.value < mark.high < mark.baseline < 100
    assert mark.baseline == pytest.approx(2 * mark.value, abs=0.02)
    below = marker(-4.0, baseline=1.0)
    assert 0 < below.value < below.zero < below.baseline < 100
    only = marker(0.0, baseline=None)
    assert (only.value, only.zero, only.baseline, only.low) == (0.0, 0.0, None, None)
    assert marker(-1.0, baseline=None).zero == 100.0


def test_a_curve_starts_at_zero_and_ends_at_its_value():
    plot = curves([("a", [(0.0, 10.0), (100.0, 5.0)])], x_name="i", y_name="d", level=20.0)
    assert plot.lines[0].path == "M0.00 52.38L100.00 76.19"
    assert plot.level == pytest.approx(100 - 100 / 1.05)
    assert plot.lines[0].note == "ends at 5"
    assert plot.y[0] == plot.x[0]
    flat = curves([("a", [(3.0, 0.0)])], x_name="i", y_name="d")
    assert flat.lines[0].path == "M0.00 100.00"


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ((31.2099, 36.94), ["31.21", "36.94"]),
        ((0.1016, 0.0), ["0.102", "0.000"]),
        ((48200.0,), ["48,200"]),
        ((12800.4, 3.0), ["12,800", "3"]),
        ((-4.21, 0.13), ["\N{MINUS SIGN}4.210", "0.130"]),
        ((1.2e-5, 3.4e-7), ["1.2e-05", "3.4e-07"]),
        ((-0.0001, 5.0), ["0.000", "5.000"]),
        ((0.0,), ["0"]),
        ((1e20,), ["100,000,000,000,000,000,000"]),
    ],
)
def test_numbers_of_a_line_have_equally_many_decimals(values, shown):
    assert [fixed(value, decimals(values)) for value in values] == shown


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.0, "0\xa0%"),
        (1.0, "100\xa0%"),
        (0.102, "10.2\xa0%"),
        (0.0031, "0.31\xa0%"),
        (0.00031, "0.031\xa0%"),
        (1e-7, "<0.001\xa0%"),
        (0.9999, ">99.9\xa0%"),
        (0.5, "50.0\xa0%"),
    ],
)
def test_a_share_is_not_rounded_to_nothing_or_all(share, words):
    assert percent(share) == words


def test_other_words():
    assert percent_range(0.097, 0.107) == "9.7\N{EN DASH}10.7\xa0%"
    assert p_words(0.0312) == "0.031"
    assert p_words(0.00312) == "0.0031"
    assert p_words(0.312) == "0.31"
    assert memory(512 * 2**20) == "512 MiB"
    assert memory(3 * 2**29) == "1.5 GiB"
    assert metric_words("mode_drop/pixel_l1/worst10") == "mode drop, pixel l1, worst10"
    assert flattened({"a": {"b": [1, True, None]}, "c": {}, "d": "x"}) == [
        ("a.b", "1, yes, none"),
        ("c", "none"),
        ("d", "x"),
    ]


def test_small_pictures_are_enlarged_by_whole_factors(pictures):
    png = pictures["real/r0.png"]

    def sized(width, height):
        return png[:16] + width.to_bytes(4, "big") + height.to_bytes(4, "big") + png[24:]

    sizes = {
        (32, 32): (96, 64, True),
        (28, 28): (84, 56, True),
        (64, 64): (64, 64, True),
        (80, 80): (80, 64, True),
        (256, 128): (96, 64, False),
        (8, 16): (48, 32, True),
    }
    for (width, height), expected in sizes.items():
        found = tile(sized(width, height))
        assert (found.wide, found.narrow, found.sharp) == expected
    with pytest.raises(ValueError, match="must have pixels"):
        png_size(sized(0, 5))


def test_shares_at_their_ends_stay_on_the_line(make_report, read_page):
    report = make_report(
        copied_share=Share(estimate=0.0, low=-1e-17, high=0.003),
        missed_share=Share(estimate=1.0, low=0.99, high=1.0),
    )
    page = read_page(render(report, {}))
    assert [text for _, text in page.all("p", of_class="large")] == ["0 %", "100 %"]
    assert "95 % interval 0\N{EN DASH}0.30 %" in [
        text for _, text in page.all("p", of_class="soft")
    ]
