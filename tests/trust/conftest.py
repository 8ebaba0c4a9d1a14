"""Counts what was tried against each promise, and prints the counts last, as a table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ORDER = "promise"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tally", type=Path, default=None, help="write the counts as JSON")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.trust)


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Adds to what was tried against a promise; counts only if the test passes."""

    def tally(promise: str, tried: int = 1) -> None:
        request.node.user_properties.append((ORDER, (promise, tried)))

    return tally


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    counts: dict[str, list[int]] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, value in getattr(report, "user_properties", []):
                if name == ORDER and report.when == "call":
                    promise, tried = value
                    count = counts.setdefault(promise, [0, 0])
                    count[0] += tried
                    count[1] += tried if outcome == "passed" else 0
    if not counts:
        return
    width = max(map(len, counts))
    terminalreporter.section("promises")
    terminalreporter.write_line(f"{'promise':<{width}}  tried   kept")
    for promise, (tried, kept) in sorted(counts.items()):
        terminalreporter.write_line(f"{promise:<{width}}  {tried:>5,}  {kept:>5,}")
    if file := config.getoption("--tally"):
        content = {promise: {"tried": t, "kept": k} for promise, (t, k) in sorted(counts.items())}
        file.write_text(json.dumps(content, indent=1) + "\n")
