"""A log's verdict: what each kind of evidence says of it, the one that sees most first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ganstoch.watch.columns import OURS, columns_of, reconstructs
from ganstoch.watch.logits import judge_answers
from ganstoch.watch.losses import judge_losses
from ganstoch.watch.opinion import CANNOT_TELL, Opinion
from ganstoch.watch.scores import SCORES, Best, best_of, judge_score
from ganstoch.watch.series import Array, Log, Series

_LOG_MORE = {
    "fid or kid": "how far the images are from the data, and which point was the best",
    "recall or coverage": "collapse and mode drop",
    "real and fake logits, or accuracy": "which side of the discriminator errs",
    "diagnosis/...": "every verdict, by the signals that ganstoch.Diagnosis logs",
}


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a log tells of its run."""

    log: Log
    columns: Mapping[str, str]  # the column of each role
    opinions: tuple[Opinion, ...]  # the one that decides first
    best: Best | None  # of the score that there is
    score: str | None
    missing: tuple[str, ...]  # what to log so that more can be told
    notes: tuple[str, ...]

    @property
    def opinion(self) -> Opinion:
        """The one that decides."""
        return self.opinions[0]

    def content(self) -> dict[str, Any]:
        """For JSON."""
        first, best = self.opinion, self.best
        steps = [series.last for series in self.log.series.values() if series.count]
        return {
            "verdict": first.verdict,
            "since_step": first.since,
            "best_step": None if best is None else best.step,
            "basis": first.basis,
            "sure": round(first.sure, 3),
            "missing": list(self.missing),
            "because": first.because,
            "score": self.score,
            "best_score": None if best is None else best.value,
            "after_best": None if best is None else round(best.after, 4),
            "last_step": max(steps, default=None),
            "step_unit": self.log.unit,
            "columns": dict(self.columns),
            "others": [asdict(opinion) for opinion in self.opinions[1:]],
            "notes": list(self.notes),
            "kind": self.log.kind,
            "log": str(self.log.path),
        }


def judge(log: Log, stated: Mapping[str, str] | None = None) -> Judgement:
    """The verdict of a log as far as it was read; columns that are not ``stated`` are guessed."""
    columns = columns_of(log.series, stated or {})
    judged = {name: log.series[name] for name in columns.values()}
    points = {role: log.series[name].arrays() for role, name in columns.items()}
    points = {role: both for role, both in points.items() if len(both[0])}
    scores = [name for name in SCORES if name in points]
    score = scores[0] if scores else None
    found = [
        _broken(judged),
        _of_signals(log),
        *(judge_score(name, *points[name]) for name in scores),
        judge_answers(points),
        _of_losses(log, points),
    ]
    opinions = [opinion for opinion in found if opinion is not None]
    if not opinions:
        because = "no column is known for a loss, a logit or a score"
        opinions = [Opinion(CANNOT_TELL, "nothing", because)]
    seen = points[score][0][-1] if score is not None else -np.inf
    # What has happened since the last score is not in it.
    order = [o for o in opinions if o.is_ill and o.since is not None and o.since > seen >= 0]
    order += [o for o in opinions if o not in order and o.verdict != CANNOT_TELL]
    order += [o for o in opinions if o not in order]
    has = {
        "fid or kid": bool({"fid", "kid"} & set(points)),
        "recall or coverage": bool({"recall", "coverage"} & set(points)),
        "real and fake logits, or accuracy": judge_answers(points) is not None,
        "diagnosis/...": any(name.startswith(OURS) for name in log.series),
    }
    return Judgement(
        log=log,
        columns=columns,
        opinions=tuple(order),
        best=None if score is None else best_of(score, *points[score]),
        score=score,
        notes=(*log.notes, *_notes(judged), *_not_there(log, stated or {})),
        missing=tuple(f"{name}: {why}" for name, why in _LOG_MORE.items() if not has[name]),
    )


def _notes(series: Mapping[str, Series]) -> Iterator[str]:
    """Remarks on the columns that are judged."""
    if any(one.began_again for one in series.values()):
        yield "steps begin again: several runs are in this log, the last is judged"
    elif back := [one.went_back for one in series.values() if one.went_back is not None]:
        yield f"steps go back to {min(back):g}: the later ones count from there"
    for name, one in series.items():
        if one.was_broken and one.broken_since is None:
            yield f"{one.was_broken} values of {name} were NaN or infinite, and passed"
        if one.stride > 1:
            yield f"{name} is long: each point is the mean of {one.stride} values"


def _not_there(log: Log, stated: Mapping[str, str]) -> Iterator[str]:
    for role, name in stated.items():
        is_step = role == "step" and name.lower() in map(str.lower, log.series)
        if not is_step and name not in log.series:
            yield f"there is no column {name!r}, which --map states to be {role}"


def _broken(series: Mapping[str, Series]) -> Opinion | None:
    """Numbers that are not finite, up to the last."""
    broken = {n: s.broken_since for n, s in series.items() if s.broken_since is not None}
    if not broken:
        return None
    because = "NaN or infinite since then"
    return Opinion("non_finite", ", ".join(broken), because, min(broken.values()), 1.0)


def _of_signals(log: Log) -> Opinion | None:
    """What our own diagnosis says of its signals, if the log has them."""
    series = {n.removeprefix(OURS): s for n, s in log.series.items() if n.startswith(OURS)}
    if not series:
        return None
    from ganstoch.diagnosis.signals import Signals
    from ganstoch.diagnosis.verdicts import diagnose

    rows: dict[int, dict[str, Any]] = {}
    for name in series.keys() & set(Signals.__slots__) - {"iteration", "broken"}:
        for step, value in zip(*series[name].arrays(), strict=True):
            rows.setdefault(int(step), {})[name] = float(value)
    if not rows:
        return None
    diagnosed = diagnose([Signals(iteration=step, **rows[step]) for step in sorted(rows)])
    basis = f"{len(rows)} measurements of the diagnosis"
    if not diagnosed.findings:
        sure = 1 - 0.5 ** min(len(rows), 6)
        return Opinion("healthy", basis, "no failure shows", sure=sure)
    first = diagnosed.findings[0]
    return Opinion(first.verdict, basis, "; ".join(first.evidence), first.since, first.sure)


def _of_losses(log: Log, points: Mapping[str, tuple[Array, Array]]) -> Opinion | None:
    d, g = points.get("loss_d"), points.get("loss_g")
    if d is None and "loss_d_real" in points and "loss_d_fake" in points:
        steps, real, fake = aligned(points["loss_d_real"], points["loss_d_fake"])
        d = steps, real + fake
    if d is None and g is None:
        return None
    if d is None or g is None:
        name = "loss_d" if g is None else "loss_g"
        because = f"only {name} is known of the two losses; state the other by --map"
        return Opinion(CANNOT_TELL, name, because)
    return judge_losses(*aligned(d, g), reconstructs=reconstructs(log.series))


def aligned(first: tuple[Array, Array], second: tuple[Array, Array]) -> tuple[Array, Array, Array]:
    """The steps of the first, its values, and the second's latest value at each of them."""
    steps, values = first
    at = np.searchsorted(second[0], steps, side="right") - 1
    there = at >= 0
    return steps[there], values[there], second[1][at[there]]
