"""`ganstoch cases --remedies`: whether ill runs get well by the first remedy that a verdict names.

Tried on the runs that settings made ill, not a fault in the code. Advice to look for a mistake, or
to end training, cannot be tried and is passed over.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from ganstoch.diagnosis import Verdict, diagnose
from ganstoch.diagnosis.rules import quality
from ganstoch.runs.cases import Case, read_trace, run_and_write, trace_path
from ganstoch.runs.configs import read_yaml, remedy_names

_ITERATIONS = 450  # at least; as many as healthy runs have


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """An ill run and what became of it."""

    name: str
    seed: int
    verdict: Verdict  # of the ill run at its end
    remedy: str  # the first that can be applied; empty where there is none
    after: Verdict  # of the treated run at its end
    quality: float  # of the ill run: the geometric mean of closeness and reach, 1 is the data's
    quality_after: float

    @property
    def is_well(self) -> bool:
        """Whether the treated run is healthy at its end, and its quality nearer to 1 by 5 %."""
        before, after = (abs(math.log(value)) for value in (self.quality, self.quality_after))
        return self.after == "healthy" and after < before + math.log(0.95)


def _with(case: Case, added: Sequence[Any]) -> list[Any]:
    """A case's remedies and others, which replace its own of the same classes."""
    names = {spec if isinstance(spec, str) else next(iter(spec)) for spec in added}
    own = [s for s in case.remedies if (s if isinstance(s, str) else next(iter(s))) not in names]
    return [*own, *added]


# What is done where a verdict names a setting.
_SETTINGS: Mapping[str, Callable[[Case], Case]] = {
    "lower model.optimizer.lr": lambda case: dataclasses.replace(case, lr=case.lr / 10),
    "lower model.optimizer.beta1": lambda case: dataclasses.replace(case, beta1=0.0),
    "the non-saturating objective": lambda c: dataclasses.replace(c, objective="NonSaturating"),
    "equal learning rates": lambda case: dataclasses.replace(
        case, remedies=_with(case, [{"Timescales": {}}])
    ),
    "more data": lambda case: dataclasses.replace(case, n=max(256, 4 * case.n)),
    "a larger data.m": lambda case: dataclasses.replace(case, m=4 * case.m),
}


def apply(remedy: str, case: Case) -> Case:
    """The case with a setting changed, or with a packaged remedy; it has a name of its own."""
    if remedy in _SETTINGS:
        treated = _SETTINGS[remedy](case)
    else:
        path = Path(str(files("ganstoch"))) / "configs" / "remedies" / f"{remedy}.yaml"
        model = read_yaml(path, kind="config")["model"]
        added = [
            spec if isinstance(spec, str) else {spec["class_path"]: spec.get("init_args", {})}
            for spec in model.get("remedies+", [])
        ]
        objective = model.get("objective", case.objective)
        treated = dataclasses.replace(case, objective=objective, remedies=_with(case, added))
    iterations = max(case.iterations, _ITERATIONS)
    return dataclasses.replace(treated, name=f"{case.name} + {remedy}", iterations=iterations)


def treat(run: tuple[Case, int, Path]) -> Trial:
    """Trains an ill case that has a trace again, as its verdict advises; a trace there is kept."""
    case, seed, path = run
    history = read_trace(path)
    ill, known = diagnose(history), {*_SETTINGS, *remedy_names()}
    advice = ill.findings[0].remedies if ill.findings else ()
    remedy = next((name for name in advice if name in known), "")
    treated = history
    if remedy:
        new = apply(remedy, case)
        path = trace_path(path.parent / "treated", new, seed=seed)
        if not path.exists():
            run_and_write((new, seed, path))
        treated = read_trace(path)
    return Trial(
        name=case.name,
        seed=seed,
        verdict=ill.verdict,
        remedy=remedy,
        after=diagnose(treated).verdict,
        quality=quality(history[-1]),
        quality_after=quality(treated[-1]),
    )


def cures_terminal(trials: Sequence[Trial]) -> str:
    """A line a run, and how many of those that were called ill got well."""
    ill = [trial for trial in trials if trial.verdict != "healthy"]
    well = sum(trial.is_well for trial in ill)
    shown = pd.DataFrame(
        {
            "run": f"{trial.name}, seed {trial.seed}",
            "verdict": trial.verdict,
            "first remedy": trial.remedy or "-",
            "afterwards": trial.after,
            "quality": f"{trial.quality:.2f} to {trial.quality_after:.2f}",
        }
        for trial in trials
    )
    return (
        "Ill runs, trained again as their verdicts advise (quality: 1 is the data's own)\n\n"
        f"{shown.to_markdown(index=False, tablefmt='plain', disable_numparse=True)}\n\n"
        f"got well, healthy and of a quality nearer to 1 by 5 %: {well} of {len(ill)}\n"
    )
