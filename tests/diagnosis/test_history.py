"""A run's history without any training loop: signals in, verdicts and what is due out."""

import dataclasses
from collections.abc import Callable, Sequence

import pytest

from ganstoch.diagnosis import VERDICTS, History, Signals, Verdict, diagnose
from ganstoch.diagnosis.rules import RULES


def add(history: History, count: int) -> list[tuple[int, bool, tuple[Verdict, ...]]]:
    """For each of some measurements: its iteration, whether the verdict is new, what is due."""
    answers = []
    for _ in range(count):
        history.add(Signals(iteration=len(history.signals) + 1))
        due = tuple(finding.verdict for finding in history.newly_due)
        answers.append((len(history.signals), history.is_new, due))
    return answers


@pytest.mark.parametrize("verdict", [v for v in VERDICTS if v != "healthy"])
def test_a_verdict_is_new_and_due_once(verdict: Verdict, diagnosing: Callable[..., None]) -> None:
    diagnosing(verdict)
    answers = add(History(on=[verdict]), 9)
    assert [i for i, is_new, _ in answers if is_new] == [1, 3]
    assert [i for i, _, due in answers if due] == [3 if verdict == "non_finite" else 6]


def test_a_graver_verdict_not_acted_on_holds_up_nothing(diagnosing: Callable[..., None]) -> None:
    diagnosing("vanishing_gradient", "ignores_latent")
    history = History(on=["vanishing_gradient"])
    assert [due for *_, due in add(history, 7) if due] == [("vanishing_gradient",)]
    assert history.diagnosed is not None
    assert history.diagnosed.verdict == "ignores_latent"


def test_a_resumed_history_answers_as_the_first_would(diagnosing: Callable[..., None]) -> None:
    diagnosing("diverged")
    whole, first, second = History(), History(), History()
    answers = add(whole, 9)
    before = add(first, 7)
    second.load_state_dict(first.state_dict())
    assert second.is_due
    assert before + add(second, 2) == answers
    assert second.signals == whole.signals


def test_what_is_known_of_the_past_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def holds(history: Sequence[Signals]) -> bool:
        asked.append(len(history))
        return history[-1].iteration > 3 and history[-1].gap == 1.0

    rule = dataclasses.replace(RULES[1], holds=holds, lasts=None)
    monkeypatch.setattr("ganstoch.diagnosis.verdicts.RULES", (rule,))
    history = History()
    for iteration in range(40):
        history.add(Signals(iteration=iteration, gap=1.0))
    assert asked == [*range(1, 41)]
    for iteration, gap in ((39, 0.0), (39, 1.0), (40, 1.0), (41, 0.0)):  # in place of the last
        history.add(Signals(iteration=iteration, gap=gap))
        assert history.diagnosed == diagnose(history.signals)
    history.cut(10)
    assert history.diagnosed == diagnose(history.signals)
    assert history.diagnosed.findings[0].since == 4


def test_the_origin_of_a_number_that_is_not_finite_stays_known() -> None:
    history = History()
    for iteration, broken in ((1, ""), (2, "generator.0, iteration 2"), (3, "the images")):
        history.add(Signals(iteration=iteration, broken=broken))
    expected = ["", *["generator.0, iteration 2"] * 2]
    assert [signals.broken for signals in history.signals] == expected


def test_the_best_images_are_those_nearest_both_ways() -> None:
    history, best = History(), []
    for iteration, closeness in enumerate((None, 2.0, 3.0, 1.0, 1.0)):
        history.add(Signals(iteration=iteration, closeness=closeness, reach=1.0))
        best.append(history.is_best)
    assert best == [False, True, False, True, False]
