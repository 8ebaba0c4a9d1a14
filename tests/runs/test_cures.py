"""Remedies tried on ill runs: what is applied, what is passed over, and how it is counted."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from ganstoch.diagnosis.rules import RULES, Rule
from ganstoch.diagnosis.signals import Signals, to_columns
from ganstoch.runs import cures
from ganstoch.runs.cases import CASES, Case, _make, trace_path
from ganstoch.runs.configs import remedy_names
from ganstoch.runs.cures import apply, cures_terminal, treat

BY_NAME = {case.name: case for case in CASES}
ILL = BY_NAME["momentum, conv"]


def trace(verdict: str) -> str:
    """The signals of a run that ends so."""
    drift, closeness = {"healthy": (0.3, 1.2), "oscillating": (1.5, 1.5)}[verdict]
    images: dict[str, Any] = {"closeness": closeness, "reach": 1.3, "turn": -0.7, "drift": drift}
    moments = [Signals(iteration=25 * (i + 1), **images) for i in range(12)]
    return json.dumps(to_columns(moments))


def test_a_setting_or_a_packaged_remedy_is_applied_and_nothing_else() -> None:
    slower = apply("lower model.optimizer.lr", ILL)
    assert (slower.lr, slower.remedies, slower.beta1) == (ILL.lr / 10, ILL.remedies, ILL.beta1)
    packed = apply("packing2", ILL)
    assert packed.remedies == [{"Packing": {"size": 2}}]
    penalized = apply("wgan_gp", ILL)
    assert (penalized.objective, penalized.lr) == ("Wasserstein", ILL.lr)
    equal = apply("equal learning rates", BY_NAME["G crawls, dense"])
    assert equal.remedies == [{"Timescales": {}}]
    assert len({ILL.name, slower.name, packed.name, penalized.name}) == 4


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.verdict)
def test_what_a_verdict_names_can_be_made(rule: Rule) -> None:
    known = {*cures._SETTINGS, *remedy_names()}
    tried = [name for name in rule.remedies if name in known]
    assert tried
    for name in tried:
        treated = apply(name, ILL)
        assert all(_make(spec) is not None for spec in [*treated.remedies, treated.objective])


@pytest.mark.parametrize(("after", "well"), [("healthy", 1), ("oscillating", 0)])
def test_a_run_is_well_where_its_new_verdict_says_so(
    after: str, well: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []

    def write(run: tuple[Case, int, Path]) -> None:
        trained.append(run[0])
        run[2].parent.mkdir(exist_ok=True)
        run[2].write_text(trace(after))

    monkeypatch.setattr(cures, "run_and_write", write)
    path = trace_path(tmp_path, ILL, seed=3)
    path.write_text(trace("oscillating"))
    trial = treat((ILL, 3, path))
    assert (trial.verdict, trial.after) == ("oscillating", after)
    assert [case.lr for case in trained] == [ILL.lr / 10]
    assert treat((ILL, 3, path)) == trial  # nothing is trained twice
    assert len(trained) == 1
    assert trial.is_well == well
    assert f"{well} of 1" in cures_terminal([trial])
    assert not dataclasses.replace(trial, quality_after=trial.quality).is_well
