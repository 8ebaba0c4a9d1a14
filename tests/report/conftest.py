"""Records, panels and reports written by hand, for tests that never train."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganstoch.records import Measurement, Record, write_record
from ganstoch.report.audit_report import (
    AuditReport,
    CellShares,
    Histogram,
    Pairing,
    Reading,
    SetFacts,
    Share,
    Twin,
)

KEYS = [
    f"{direction}/pixel_l1/{statistic}"
    for direction in ("overfitting", "mode_drop")
    for statistic in ("mean", "worst10", "worst5")
]

CONFIG: dict[str, Any] = {
    "equal": "iterations",
    "model": {
        "generator": {"class_path": "G", "init_args": {"width": 64, "latent_dim": 512}},
        "discriminator": {"class_path": "D", "init_args": {"width": 64}},
        "optimizer": {"lr": 0.0002, "beta1": 0.0, "beta2": 0.9},
        "ema": {"decay": 0.999},
    },
}

MakeRecord = Callable[..., Record]


@pytest.fixture
def make_record() -> MakeRecord:
    """A record of n = 256 images, with what a test cares about put in."""

    def make(
        values: Sequence[float] = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0),
        *,
        dataset: str = "svhn",
        m: int = 64,
        noise: float = 0.0,
        seed: int = 0,
        n: int = 256,
        bank: int | None = -1,
        preset: str = "tiny",
        iterations: int = 1000,
        converged: bool = True,
        seconds: float = 60.0,
        baseline: Sequence[float] = (),
        history: Sequence[tuple[int, float]] = (),
        config: dict[str, Any] | None = None,
        hardware: str = "2 CPU cores",
    ) -> Record:
        return Record(
            config_hash=f"{dataset}-{m}-{noise:g}-{seed}",
            seed=seed,
            preset=preset,
            dataset=dataset,
            n=n,
            m=m,
            bank=n if bank == -1 else bank,
            noise=noise,
            iterations=iterations,
            images_seen=iterations * m,
            converged=converged,
            seconds=seconds,
            subset_sha256="0" * 64,
            metrics=dict(zip(KEYS, values, strict=True)),
            baseline=dict(zip(KEYS, baseline, strict=True)) if baseline else {},
            history=tuple(
                Measurement(
                    iteration=iteration,
                    images_seen=iteration * m,
                    metrics=dict(zip(KEYS, [value] * 6, strict=True)),
                )
                for iteration, value in history
            ),
            config=CONFIG if config is None else config,
            versions={"torch": "2"},
            hardware=hardware,
        )

    return make


@pytest.fixture
def golden_records(make_record: MakeRecord) -> list[Record]:
    """SVHN with two seeds, a yardstick and a noisy row; a second dataset with neither."""
    held_out = [(10.0, 12.0, 14.0, 11.0, 13.0, 15.0), (12.0, 14.0, 16.0, 13.0, 15.0, 17.0)]
    small = make_record(
        (9.0, 10.0, 11.0, 9.0, 10.0, 11.0), m=1, baseline=held_out[0], converged=False
    )
    return [
        # Out of order on purpose: the table sorts rows, and takes datasets as they come.
        make_record((8.0, 9.0, 9.5, 8.0, 9.0, 9.5), noise=0.5, converged=False, seconds=61.0),
        make_record((3.0, 5.0, 6.0, 3.5, 5.5, 6.5), seed=1, baseline=held_out[1], iterations=1200),
        make_record((2.0, 3.0, 4.0, 2.5, 3.5, 4.5), baseline=held_out[0], seconds=60.4),
        small,
        make_record((1.0, 1.0, 1.0, 1.0, 1.0, 1.0), dataset="my_digits", m=256, seconds=3600.0),
    ]


WriteRun = Callable[..., Path]


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """Writes a run directory: the record and, if asked, its panels."""

    def write(
        record: Record, *, features: Sequence[str] = ("inception_l2",), panels: bool = True
    ) -> Path:
        folder = tmp_path / "runs" / record.config_hash
        write_record(folder / "record.json", record)
        if panels:
            rng = np.random.default_rng(record.seed)
            arrays = {
                f"{direction}_{kind}": rng.integers(0, 256, (10, 3, 32, 32), dtype=np.uint8)
                for direction in ("overfitting", "mode_drop")
                for kind in ("queries", "pixel_l1", *features)
            }
            np.savez(folder / "panels.npz", **arrays)  # type: ignore[arg-type]
        return folder

    return write


MakeReport = Callable[..., AuditReport]


@pytest.fixture
def make_report() -> MakeReport:
    """An audit's report with all its parts, and what a test cares about put in."""

    def facts(where: str, images: int, different: int, *, sha256: str) -> SetFacts:
        return SetFacts(
            where=where,
            images=images,
            different=different,
            one_colour=images - different,
            shape=(3, 32, 32),
            sha256=sha256,
        )

    def make(**changes: Any) -> AuditReport:
        edges = tuple(2.0 * step for step in range(21))
        made = AuditReport(
            verdict="copies",
            sentence="130 of 1,280 generated images are copies of real ones.",
            findings=("10.2 % are copies.", "8.3 % of the real images are missed."),
            notes=("Pixel distances favour blurred images.",),
            sets={
                "real": facts("data/train", 1280, 1280, sha256="3f"),
                "generated": facts("samples", 1280, 1270, sha256="a1"),
                "held_out": facts("data/test", 640, 640, sha256="07"),
            },
            copied_share=Share(estimate=0.1016, low=0.086, high=0.119),
            missed_share=Share(estimate=0.083, low=0.07, high=0.1),
            metrics={
                "overfitting/pixel_l1/mean": Reading(
                    value=31.21, baseline=36.94, wanted="baseline", meaning="How near they come."
                ),
                "copied/pixel_l1/share": Reading(
                    value=0.1016,
                    baseline=0.0,
                    low=0.086,
                    high=0.119,
                    p_value=1e-9,
                    wanted="low",
                    meaning="Share of copies.",
                ),
                "birthday/support": Reading(value=48200.0, wanted="high", meaning="The support."),
            },
            identical=(Twin(generated="g0.png", real="r0.png"),),
            proportions=tuple(
                CellShares(
                    space="pixel_l1",
                    name=name,
                    generated=generated,
                    real=real,
                    short=short,
                    example=f"{name}/7.png",
                )
                for name, generated, real, short in (
                    ("cat", 0.52, 0.35, False),
                    ("truck", 0.1, 0.31, True),
                    ("cluster 1", 0.38, 0.34, False),
                )
            ),
            most_copied=(
                Pairing(name="g0.png", neighbour="r0.png", distance=0.0, typical=36.9),
                Pairing(name="g1.png", neighbour="r1.png", distance=2.5, typical=36.9),
            ),
            most_missed=(Pairing(name="r2.png", neighbour="g2.png", distance=88.2, typical=37.8),),
            missed=("r2.png", "r1.png"),
            missed_by_class={"cat": 0.02, "truck": 0.27, "dog": 0.1},
            histograms=(
                Histogram(
                    title="To the nearest real image",
                    unit="grey levels",
                    edges=edges,
                    counts={
                        "generated": tuple(range(20)),
                        "held out": tuple(20 - step for step in range(20)),
                    },
                ),
            ),
            settings={"features": ["pixel"], "k": 5, "resize": None, "deep": {"seed": 0}},
            versions={"torch": "2.14.1", "ganstoch": "0.4.0"},
            hardware="2 CPU cores",
            seconds=183.2,
            peak_memory=3 * 2**29,
        )
        return replace(made, **changes)

    return make


@pytest.fixture
def pictures() -> dict[str, bytes]:
    """A PNG file for every image that the report names."""
    rng = np.random.default_rng(0)
    names = [f"{role}/{role[0]}{number}.png" for role in ("real", "generated") for number in "012"]
    files = {}
    for name in names:
        buffer = io.BytesIO()
        pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(buffer, format="PNG")
        files[name] = buffer.getvalue()
    return files


HOSTILE = (
    "</title></style><script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7 * 7 }}"
    "\n\u202egpj.exe\u200b\udcff javascript:alert(3)//" + "long_name_without_a_break_" * 8
)


@pytest.fixture
def hostile() -> str:
    """A name such as nobody should give a file, but anybody can."""
    return HOSTILE


class Page(HTMLParser):
    """The elements of a page in order, each with its attributes and the text inside it."""

    VOID = frozenset({"meta", "link", "img", "br", "col"})

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self._open: list[int] = []
        self.unclosed: list[str] = []
        self.feed(html)
        self.close()
        self.unclosed += [self.elements[number][0] for number in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}, []))
        if tag not in self.VOID:
            self._open.append(len(self.elements) - 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}, []))

    def handle_endtag(self, tag: str) -> None:
        if self._open and self.elements[self._open[-1]][0] == tag:
            self._open.pop()
        else:
            self.unclosed.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        for number in self._open:
            self.elements[number][2].append(data)

    def all(self, tag: str, **wanted: str) -> list[tuple[dict[str, str], str]]:
        """Attributes and text of every element of a kind; ``of_class`` is one of its classes."""
        found = []
        for name, attributes, texts in self.elements:
            classes = attributes.get("class", "").split()
            fits = all(
                value in classes if key == "of_class" else attributes.get(key) == value
                for key, value in wanted.items()
            )
            if name == tag and fits:
                found.append((attributes, " ".join("".join(texts).split())))
        return found


@pytest.fixture
def read_page() -> Callable[[str], Page]:
    """Parses a page, and checks of it what holds for every page."""

    def read(html: str) -> Page:
        page = Page(html)
        tags = {tag for tag, _, _ in page.elements}
        assert page.unclosed == []
        assert html.startswith("<!DOCTYPE html>\n")
        assert not tags & {"script", "iframe", "object", "embed", "form", "base", "foreignobject"}
        assert [a["lang"] for a, _ in page.all("html")] == ["en"]
        assert all(text for _, text in page.all("title") + page.all("h1"))
        assert len(page.all("title")) == len(page.all("h1")) == len(page.all("main")) == 1
        (policy,) = [
            a["content"] for a, _ in page.all("meta") if a.get("http-equiv", "").startswith("Con")
        ]
        assert policy.startswith("default-src 'none'; img-src ")
        assert "script-src" not in policy
        identities = [a["id"] for _, a, _ in page.elements if "id" in a]
        assert len(identities) == len(set(identities))
        for tag, attributes, _ in page.elements:
            assert not [name for name in attributes if name.startswith("on")]
            assert attributes.get("aria-labelledby", identities[0]) in identities
            for name in ("src", "href"):
                address = attributes.get(name, "")
                assert not address.startswith(("//", "/")), address
                scheme = re.match(r"[a-z][a-z0-9+.-]*:", address, re.I)
                assert scheme is None or scheme[0] == "data:", address
                if address.startswith("#"):
                    assert address[1:] in identities
            if tag == "img":
                assert attributes["alt"]
            if tag == "th":
                assert attributes["scope"] in ("col", "row")
        return page

    return read
