"""The labelled runs: how they are run, kept and scored, and what the committed ones say."""

import dataclasses
import re
import statistics
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from ganstoch.cli import main
from ganstoch.diagnosis import VERDICTS
from ganstoch.errors import UserError
from ganstoch.report.confusion import false_alarms
from ganstoch.runs import cases
from ganstoch.runs.cases import CASES, Case, read_trace, run_case, score_case, trace_path
from ganstoch.runs.cures import cures_terminal, treat

COMMITTED = Path(__file__).parents[2] / "results" / "cases"
CHEAPEST = {
    str([spec if isinstance(spec, str) else next(iter(spec)) for spec in each]): case
    for case in sorted(CASES, key=lambda case: "conv" not in case.name)
    for each in [[*case.faults, *case.remedies, case.objective]]
}
"""Each fault in the smallest networks that it is tried in."""


def test_there_are_enough_of_every_kind() -> None:
    assert len({trace_path(Path("x"), case, seed=0) for case in CASES}) == len(CASES) >= 150
    assert {case.label for case in CASES} == set(VERDICTS)
    assert sum(case.label == "healthy" for case in CASES) >= 45
    assert min(Counter(case.label for case in CASES).values()) >= 6
    assert all(case.onset <= case.iterations for case in CASES)
    assert sum(case.treat for case in CASES) == 10
    named = [spec for case in CASES for spec in case.faults if isinstance(spec, dict)]
    values = [value for spec in named for settings in spec.values() for value in settings.values()]
    assert not any(str(value)[0].isdigit() for value in values if isinstance(value, str))


@pytest.mark.parametrize("case", CHEAPEST.values(), ids=lambda case: case.name)
def test_every_fault_can_be_run(case: Case) -> None:
    history = run_case(case, seed=0, iterations=cases.EVERY)
    assert history[0].iteration == cases.EVERY
    assert history[0].closeness is not None


def test_a_cause_is_found_from_a_fresh_run(tmp_path: Path) -> None:
    (case,) = [case for case in CASES if case.name == "NaN in D, ring"]
    path = trace_path(tmp_path, case, seed=7)
    cases.run_and_write((dataclasses.replace(case, iterations=225), 7, path))
    history = read_trace(path)
    judged = score_case(case, history, seed=7)
    assert (judged.verdict, judged.found_after) == ("non_finite", 1)
    assert history[-1].broken == "discriminator.head, iteration 210"


@pytest.mark.parametrize("text", ["{", "[]", '{"gap": [1]}', '{"iteration": [25], "wrong": [1]}'])
def test_a_damaged_trace_is_told(text: str, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"trace\.json"):
        read_trace(path)


def test_the_committed_matrix_follows_from_the_committed_signals_and_keeps_the_promises(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (COMMITTED / "confusion.txt").read_text()
    seeds = re.search(r"seeds ([\d, ]+)\.", text)
    assert seeds is not None
    numbers = seeds[1].replace(" ", "")
    with zipfile.ZipFile(COMMITTED / "signals.zip") as archive:
        archive.extractall(tmp_path)
    assert len([*tmp_path.glob("*.json")]) == len(CASES) * len(numbers.split(","))
    assert main(["cases", "--report", "--seeds", numbers, "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out == text
    judged = [
        score_case(case, read_trace(trace_path(tmp_path, case, seed=seed)), seed=seed)
        for case in CASES
        for seed in map(int, numbers.split(","))
    ]
    wrong, healthy = false_alarms(judged)
    assert wrong / healthy <= 0.05
    treated = re.findall(r", seed (\d+) ", (COMMITTED / "remedies.txt").read_text())
    trials = [
        treat((case, seed, trace_path(tmp_path, case, seed=seed)))
        for seed in sorted({int(seed) for seed in treated})
        for case in CASES
        if case.treat
    ]
    assert cures_terminal(trials) == (COMMITTED / "remedies.txt").read_text()
    for label in ("complete_collapse", "non_finite"):
        delays = [run.found_after for run in judged if run.label == label]
        seen = [delay for delay in delays if delay is not None]
        assert len(seen) > 0.85 * len(delays)
        assert statistics.median(seen) <= 3
    assert sum(run.verdict == run.label for run in judged) / len(judged) > 0.9
