"""Verdicts from made-up histories: each rule holds where it should, and nowhere near by."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from ganstoch.diagnosis import VERDICTS, Signals, Verdict, diagnose
from ganstoch.diagnosis.rules import RULES
from ganstoch.diagnosis.signals import from_columns, to_columns
from ganstoch.diagnosis.verdicts import FATAL

IMAGES: dict[str, Any] = {
    **{"diversity": 1.0, "collisions": 0.05, "isolation": 1.0, "closeness": 1.5, "reach": 1.3},
    **{"drift": 0.4, "turn": 0.1},
}
GAME: dict[str, Any] = {
    **{"sensitivity": 1.0, "average_gap": 0.3, "gap": 1.0, "gap_held_out": 0.05},
    **{"separation": 0.85, "accuracy_real": 0.8, "accuracy_held_out": 0.8, "accuracy_fake": 0.8},
    **{"loss_discriminator": 1.1, "loss_generator": 1.0},
    **{"gradient_discriminator": 5.0, "gradient_generator": 3.0},
}
WELL = Signals(iteration=0, **IMAGES, **GAME)
RULE = {rule.verdict: rule for rule in RULES}


def history(count: int, change: Callable[[int], dict[str, Any]]) -> list[Signals]:
    """Moments 25 iterations apart, each as usual but for what a function of its number says."""
    return [dataclasses.replace(WELL, iteration=25 * (i + 1), **change(i)) for i in range(count)]


DULL = dict.fromkeys(("diversity", "sensitivity", "isolation"), 0.03)
BROKEN: dict[Verdict, Callable[[int], dict[str, Any]]] = {
    "non_finite": lambda i: {"broken": "generator.0, iteration 99"} if i >= 7 else {},
    "ignores_latent": lambda i: {"sensitivity": 1e-4},
    "generator_dominates": lambda i: {"separation": 0.02, "gap": -1.0, "closeness": 2.6},
    "diverged": lambda i: {"gap": 10.0**i},
    "complete_collapse": lambda i: DULL if i >= 5 else {},
    "partial_collapse": lambda i: {"isolation": 0.01, "sensitivity": 1e-3},
    "vanishing_gradient": lambda i: {"gradient_generator": 10.0**-i, "separation": 1.0},
    "discriminator_dominates": lambda i: {"separation": 1.0, "closeness": 2.7, "reach": 2.4},
    "oscillating": lambda i: {"drift": 1.5, "turn": -0.7},
    "memorization": lambda i: {"closeness": 0.4, "reach": 0.8},
    "stalled": lambda i: {"closeness": 1.5 * 1.15 ** min(2, max(0, i - 3))},
}


@pytest.mark.parametrize("verdict", BROKEN)
def test_a_failure_is_named_when_seen_three_times_and_sure_when_six(verdict: Verdict) -> None:
    moments = history(12, BROKEN[verdict])
    first = next(end for end in range(1, 13) if RULE[verdict].holds(moments[:end]))
    diagnoses = {end: diagnose(moments[:end]) for end in range(1, 13)}
    findings = {end: {f.verdict: f for f in each.findings} for end, each in diagnoses.items()}
    named, sure = (first, first) if verdict == "non_finite" else (first + 2, first + 5)
    assert [end for end in findings if verdict in findings[end]] == [*range(named, 13)]
    assert [end for end, each in diagnoses.items() if each.due([verdict])] == [*range(sure, 13)]
    assert (verdict in {f.verdict for f in diagnoses[12].due()}) == (verdict in FATAL)
    finding = findings[named][verdict]
    assert finding.since == moments[first - 1].iteration
    assert finding.sure == (1 if verdict == "non_finite" else 1 - 2**-3)
    assert finding.remedies
    assert len(finding.evidence) > 1
    assert diagnoses[10].verdict == verdict
    assert diagnoses[10].words.startswith(f"diagnosis at iteration 250: {verdict} since iteration")
    assert "\n" not in diagnoses[10].words


def test_a_run_that_is_well_is_healthy_from_its_first_moment_on() -> None:
    well = history(12, lambda i: {"closeness": 2.0 - 0.05 * i})
    assert {diagnose(well[: i + 1]).verdict for i in range(12)} == {"healthy"}
    assert {*BROKEN, "healthy"} == set(VERDICTS)
    assert diagnose(well).words == "diagnosis at iteration 300: healthy"


def published_dcgan(i: int) -> dict[str, Any]:
    """The discriminator's loss is 0.007 at once, and images get better."""
    perfect = dict.fromkeys(("separation", "accuracy_real", "accuracy_fake"), 1.0)
    better = {"closeness": 3.0 * 0.97**i, "reach": 2.5 * 0.98**i}
    return {"loss_discriminator": 0.007, "gap": 12.0, **perfect, **better}


def grey_start(i: int) -> dict[str, Any]:
    """All images grey, then more and more diverse: no collapse."""
    variety = dict.fromkeys(DULL, min(1.0, 0.004 * 2.2**i))
    return {**variety, "separation": 1.0, "closeness": 2.75 - 0.02 * i, "reach": 2.4 - 0.03 * i}


def late_start(i: int) -> dict[str, Any]:
    """The discriminator wins six measurements long, then the generator begins."""
    waits = {**dict.fromkeys(DULL, 0.002), "drift": 0.01, "gap": 10.0 + 2 * i}
    begins = dict.fromkeys(DULL, min(1.0, 0.1 * (i - 5)))
    images = {"closeness": min(2.75, 2.75 * 0.93 ** (i - 5)), "reach": 2.4}
    return {**(waits if i < 6 else begins), **images, "separation": 1.0}


@pytest.mark.parametrize(
    ("change", "count"), [(published_dcgan, 30), (grey_start, 10), (late_start, 16)]
)
def test_no_failure(change: Callable[[int], dict[str, Any]], count: int) -> None:
    moments = history(count, change)
    assert {diagnose(moments[: i + 1]).verdict for i in range(count)} == {"healthy"}


def test_without_a_discriminator_or_latents_what_is_there_is_judged() -> None:
    none = dict.fromkeys(GAME)
    assert diagnose(history(8, lambda i: none)).verdict == "healthy"
    copies = history(8, lambda i: none | BROKEN["memorization"](i))
    assert diagnose(copies).verdict == "memorization"


WAVERING: dict[Verdict, dict[str, Any]] = {
    "ignores_latent": {"sensitivity": 0.03},
    "generator_dominates": {"separation": 0.3, "gap": -0.2, "closeness": 2.6, "reach": 2.5},
    "diverged": {"gap": 150.0, "closeness": 1.7, "reach": 1.6, "drift": 1.5, "turn": -0.7},
    "complete_collapse": {"diversity": 0.13, "sensitivity": 0.13, "isolation": 0.14},
    "partial_collapse": {"isolation": 0.08, "sensitivity": 0.05},
    "vanishing_gradient": {"gradient_generator": 1e-2, "separation": 0.99},
}
"""Signals that would not have been found to be a failure, of one that was found before."""


@pytest.mark.parametrize("verdict", list(WAVERING))
def test_a_grave_verdict_stays_until_the_signals_say_otherwise(verdict: Verdict) -> None:
    wavering = history(8, lambda i: WAVERING[verdict])
    good = [dataclasses.replace(WELL, iteration=i) for i in range(6)]  # something to lose
    assert verdict not in {finding.verdict for finding in diagnose([*good, *wavering]).findings}
    failed = [*good, *history(10, BROKEN[verdict])]
    before, after = (diagnose(moments).findings[0] for moments in (failed, [*failed, *wavering]))
    assert after.verdict == before.verdict == verdict
    assert (after.since, after.sure) == (before.since, before.sure)  # it lasts, and is no surer
    well = [*failed, *wavering, *history(1, lambda i: {})]
    assert verdict not in {finding.verdict for finding in diagnose(well).findings}


def test_a_generator_that_saturated_has_diverged_and_does_not_ignore_z() -> None:
    wild = {"closeness": 4.7, "reach": 3.5, "diversity": 1.9}
    moments = history(12, lambda i: wild | {"sensitivity": 900.0 if i < 4 else 0.0})
    assert diagnose(moments).verdict == "diverged"


def left_behind(i: int) -> dict[str, Any]:
    """The average stays where it was, and the generator goes on."""
    return {"closeness": 2.7, "reach": 2.4, "average_gap": 0.8, "turn": -0.5}


ENDINGS: list[tuple[Verdict, Callable[[int], dict[str, Any]]]] = [
    ("stalled", left_behind),
    ("healthy", lambda i: left_behind(i) | {"closeness": 2.7 * 0.99**i, "turn": 0.1}),
    ("stalled", lambda i: {"drift": 0.01}),
    ("healthy", lambda i: {"drift": 0.01, "closeness": 1.2}),  # it is good, and done
    # The players win by turns, or the one and then for good the other.
    ("oscillating", lambda i: {"separation": float(i % 2), "turn": -0.5, "drift": 0.5}),
    ("healthy", lambda i: {"separation": float(i > 8), "turn": -0.5, "closeness": 2 * 0.97**i}),
    # Images that swing are no sign of a discriminator that has won.
    ("oscillating", lambda i: BROKEN["discriminator_dominates"](i) | BROKEN["oscillating"](i)),
    # A generator that stands still has lost to a discriminator that learns, not to one that stands.
    ("stalled", lambda i: BROKEN["discriminator_dominates"](i) | {"drift": 0.0}),
    (
        "discriminator_dominates",
        lambda i: BROKEN["discriminator_dominates"](i) | {"drift": 0.0, "gap": 1.0 + 0.1 * i},
    ),
    # A generator that never began, and then makes but one image, down to the last bit.
    (
        "complete_collapse",
        lambda i: grey_start(0) | {"drift": 0.01} | (dict.fromkeys(DULL, 0.0) if i > 4 else {}),
    ),
    ("memorization", lambda i: {"closeness": 0.6, "reach": 1.2}),  # of a part of the data
    ("healthy", lambda i: {"closeness": 0.6, "reach": 1.2, "diversity": 0.6}),  # a blur
]


@pytest.mark.parametrize(("verdict", "change"), ENDINGS)
def test_near_relations_are_told_apart(
    verdict: Verdict, change: Callable[[int], dict[str, Any]]
) -> None:
    assert diagnose(history(12, change)).verdict == verdict


def test_one_garbage_image_is_no_mere_stall() -> None:
    """Rates a hundred times too high: what was made is gone, and one pattern stays."""
    one = {"diversity": 0.07, "isolation": 0.02, "sensitivity": 0.0, "drift": 0.0}
    garbage = one | {"closeness": 3.5, "reach": 3.0}
    moments = history(20, lambda i: {"sensitivity": 90.0} if i == 4 else garbage if i > 4 else {})
    verdicts = [diagnose(moments[: i + 1]).verdict for i in range(20)]
    assert set(verdicts[9:]) <= {"complete_collapse", "diverged"}


def test_columns_hold_a_history() -> None:
    moments = history(4, lambda i: {"closeness": 1 + i / 7, "sensitivity": None, "turn": None})
    columns = to_columns(moments)
    assert not {"sensitivity", "broken"} & columns.keys()
    back = from_columns(columns)
    assert [s.closeness for s in back] == [1.0, 1.143, 1.286, 1.429]
    assert [dataclasses.replace(s, closeness=None) for s in back] == [
        dataclasses.replace(s, closeness=None) for s in moments
    ]
    assert to_columns([dataclasses.replace(WELL, gap=float("inf"))]).get("gap") is None
    damaged: Any = ({"iteration": [1, 2], "gap": [1.0]}, {"iteration": [1], "wrong": [1.0]})
    for wrong in damaged:
        with pytest.raises(ValueError, match="no columns"):
            from_columns(wrong)
