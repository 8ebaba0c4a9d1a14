"""The pages in Chromium: as narrow as a telephone, light and dark, asking for nothing."""

from __future__ import annotations

import functools
import http.server
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import pytest

from ganstoch.records import write_record
from ganstoch.report import write_report
from ganstoch.report.audit_page import render
from ganstoch.report.audit_report import Pairing

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)

pytestmark = pytest.mark.skipif(not BROWSER, reason="there is no Chromium on this machine")

MEASURE = """<!DOCTYPE html><title>measure</title><body style="margin:0"><pre id="found"></pre>
<script>
const found = [];
const views = __VIEWS__;
let left = views.length;
function measure(view, frame) {
  const page = frame.contentDocument, root = page.documentElement;
  const edges = [...page.querySelectorAll("body *")].filter((each) => {
    const box = each.getBoundingClientRect();
    const inside = each.closest(".scroll, .unseen, .skip, svg, thead");
    return box.width && box.right > root.clientWidth + 0.5 && (!inside || each.matches(".scroll"));
  });
  const open = [...page.querySelectorAll("details")];
  found.push({
    ...view,
    inner: root.clientWidth,
    scroll: root.scrollWidth,
    beyond: edges.map((each) => each.tagName + "." + (each.getAttribute("class") || "")),
    ground: getComputedStyle(page.body).backgroundColor,
    pictures: page.images.length,
    broken: [...page.images].filter((each) => !each.complete || !each.naturalWidth).length,
    details: open.length,
    tiles: [...page.querySelectorAll("img.tile")].map((each) => [
      each.getBoundingClientRect().width, getComputedStyle(each).imageRendering]),
    focusable: [...page.querySelectorAll("a[href], summary, [tabindex='0']")].every((each) => {
      each.focus();
      return page.activeElement === each;
    }),
  });
  if (!--left) document.getElementById("found").textContent = JSON.stringify(found);
}
for (const view of views) {
  const frame = document.createElement("iframe");
  frame.style = `border:0;height:800px;width:${view.width}px`;
  frame.onload = () => {
    for (const each of frame.contentDocument.querySelectorAll("details")) each.open = true;
    setTimeout(() => measure(view, frame), 50);
  };
  frame.src = view.address;
  document.body.append(frame);
}
</script>"""


@dataclass
class Seen:
    """What the browser found, what it complained of, and what it asked the server for."""

    views: list[dict]
    complaints: list[str]
    asked: list[str]


class Handler(http.server.SimpleHTTPRequestHandler):
    """Keeps a list of the paths it was asked for, and says nothing."""

    asked: list[str]

    def log_message(self, *_: object) -> None:
        """Nothing: the list is enough."""

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()


def browse(address: str, profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Opens an address, headless, and returns the page that came of it."""
    command = [
        *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *(
            "--disable-dev-shm-usage",
            "--disable-extensions",
            "--hide-scrollbars",
            "--enable-logging=stderr",
        ),
        *(f"--user-data-dir={profile}", "--virtual-time-budget=10000", *options),
        *("--dump-dom", address),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def complaints_of(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What the console said: violations of the policy, files that are missing, errors."""
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture
def look(tmp_path):
    """Serves a folder here, opens pages of it in frames of given widths, and measures them."""

    def looked(folder: Path, *views: tuple[str, int], dark: bool = False) -> Seen:
        wanted = [{"address": address, "width": width} for address, width in views]
        (folder / "measure.html").write_text(MEASURE.replace("__VIEWS__", json.dumps(wanted)))
        Handler.asked = []
        handler = functools.partial(Handler, directory=str(folder))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                done = browse(
                    f"http://127.0.0.1:{server.server_port}/measure.html",
                    tmp_path / "profile",
                    f"--blink-settings=preferredColorScheme={0 if dark else 1}",
                    # Nothing but this server has an address.
                    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                    "--window-size=1400,1000",
                )
            finally:
                server.shutdown()
                thread.join()
        (text,) = re.findall(r'<pre id="found">(.*?)</pre>', done.stdout, re.S)
        assert text, done.stderr
        found = sorted(
            json.loads(unescape(text)),
            key=lambda each: wanted.index({key: each[key] for key in ("address", "width")}),
        )
        asked = [path for path in Handler.asked if path not in ("/measure.html", "/favicon.ico")]
        return Seen(found, complaints_of(done), asked)

    return looked


@pytest.fixture
def site(make_report, pictures, hostile, tmp_path) -> Iterator[Path]:
    """An audit's page with everything in it, and names that should break it."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "report.html").write_text(render(make_report(), pictures))
    longest = max(hostile.split(), key=len)
    names = make_report(
        sentence=hostile,
        findings=(longest * 3,),
        settings={longest: longest * 3},
        most_copied=(Pairing(name=hostile, neighbour=longest * 3, distance=1.0),) * 3,
        missed_by_class={longest * 2: 0.5, hostile: 1.0, **{f"c{i}": i / 40 for i in range(40)}},
    )
    (folder / "hostile.html").write_text(render(names, pictures))
    return folder


def test_an_audit_fits_every_screen_and_asks_for_nothing(site, look):
    pages = ("report.html", "hostile.html")
    views = [(page, width) for page in pages for width in (320, 400, 768, 1200)]
    seen = look(site, *views)
    assert [(view["address"], view["width"]) for view in seen.views] == views
    for view in seen.views:
        assert view["scroll"] <= view["inner"] == view["width"], view
        assert view["beyond"] == [], view
        assert view["broken"] == 0
        assert view["focusable"]
        narrow = view["width"] <= 480
        assert all(tile == [64 if narrow else 96, "pixelated"] for tile in view["tiles"]), view
    assert [view["pictures"] for view in seen.views] == [6] * 4 + [2] * 4
    assert [view["details"] for view in seen.views] == [1] * 4 + [2] * 4
    assert seen.complaints == []
    assert sorted(set(seen.asked)) == ["/hostile.html", "/report.html"]
    assert {view["ground"] for view in seen.views} == {"rgb(253, 253, 251)"}


def test_dark_is_what_the_reader_prefers(site, look):
    seen = look(site, ("report.html", 400), dark=True)
    assert [view["ground"] for view in seen.views] == ["rgb(21, 23, 26)"]
    assert seen.complaints == []


def test_a_script_would_not_run(site, look):
    """Should a name ever get through as an element, the page's policy still stands in its way."""
    text = (site / "report.html").read_text()
    broken = text.replace(
        '<h2 id="findings">',
        "<img src=http://127.0.0.1/x onerror='document.body.remove()'>"
        '<script>document.body.remove()</script><h2 id="findings">',
    )
    assert broken != text
    (site / "broken.html").write_text(broken)
    seen = look(site, ("broken.html", 400))
    assert seen.views[0]["pictures"] == 7
    assert any("script-src" in line or "inline script" in line for line in seen.complaints)
    assert any("img-src" in line or "Loading the image" in line for line in seen.complaints)
    assert seen.asked == ["/broken.html"]


@pytest.fixture
def results(make_record, tmp_path, pictures, monkeypatch):
    """A report of Table 1 with its pages; how figures are drawn has tests of its own."""
    import numpy as np

    for name in ("draw_figure", "draw_curves"):
        monkeypatch.setattr(
            f"ganstoch.report.reports.{name}", lambda *_, **__: pictures["real/r0.png"]
        )
    out = tmp_path / "results"
    run = out / "runs" / "a b#c"
    record = make_record(baseline=(2.0,) * 6, history=[(1, 3.0), (9, 1.0)], dataset="d" * 90)
    write_record(run / "record.json", record)
    images = np.zeros((10, 3, 32, 32), dtype=np.uint8)
    np.savez(
        run / "panels.npz",
        **{
            f"{d}_{k}": images
            for d in ("overfitting", "mode_drop")
            for k in ("queries", "pixel_l1")
        },
    )
    write_report(out, [run], missing=["e" * 200])
    return out


def test_a_report_and_its_runs_fit_too(results, look):
    run = "runs/a%20b%23c/index.html"
    seen = look(results, *[(p, w) for p in ("index.html", run) for w in (320, 400, 1200)])
    for view in seen.views:
        assert view["scroll"] <= view["inner"] == view["width"], view
        assert view["beyond"] == [], view
        assert view["broken"] == 0
        assert view["focusable"]
    assert [view["pictures"] for view in seen.views] == [3] * 3 + [40] * 3
    assert seen.complaints == []
    figures = ["/curves.png", "/fig1.png", "/fig2.png"]
    assert sorted(set(seen.asked)) == sorted([*figures, "/index.html", f"/{run}"])


def test_figures_are_shown_from_a_folder_without_a_server(results, tmp_path):
    done = browse(f"file://{results}/index.html", tmp_path / "profile")
    assert "Table 1" in done.stdout
    assert complaints_of(done) == []
    # The console does complain where the policy forbids a figure.
    text = (results / "index.html").read_text()
    (results / "index.html").write_text(text.replace("img-src 'self' data:", "img-src data:"))
    strict = complaints_of(browse(f"file://{results}/index.html", tmp_path / "profile"))
    assert len(strict) == 3
    assert all("img-src" in line for line in strict)
