"""Verdicts from scores and from a discriminator's answers."""

import numpy as np
import pytest

from ganstoch.watch.logits import judge_answers
from ganstoch.watch.scores import best_of, judge_score
from ganstoch.watch.series import Array

STEPS = np.arange(2000.0, 102_000.0, 2000.0)
FALLS = 100 * np.exp(-STEPS / 2e4) + 10


def noisy(values: Array) -> Array:
    return values * np.random.default_rng(0).normal(1, 0.02, len(values))


def test_a_score_that_gets_better_or_stays_is_healthy() -> None:
    assert judge_score("fid", STEPS, noisy(FALLS)).verdict == "healthy"
    assert judge_score("is", STEPS, noisy(9 - FALLS / 20)).verdict == "healthy"


def test_far_worse_is_lost_since_the_turn_and_the_best_point_is_known() -> None:
    values = noisy(np.where(STEPS > 60_000, 150.0, FALLS))
    opinion = judge_score("fid", STEPS, values)
    assert opinion.verdict == "diverged"
    assert opinion.since == 62_000
    best = best_of("fid", STEPS, values)
    assert best.step <= 60_000
    assert best.after == pytest.approx(1 - best.step / 100_000)


@pytest.mark.parametrize(("times", "verdict"), [(2, "stalled"), (1.4, "stalled"), (1.2, "healthy")])
def test_how_much_worse_it_takes(times: float, verdict: str) -> None:
    values = np.where(STEPS > 50_000, times * FALLS[24], FALLS)
    assert judge_score("fid", STEPS, values).verdict == verdict


def test_single_bad_values_say_nothing() -> None:
    values = FALLS.copy()
    values[[20, 49]] *= 5
    assert judge_score("fid", STEPS, values).verdict == "healthy"


def test_an_inception_score_of_one_is_a_collapse() -> None:
    values = np.where(STEPS > 40_000, 1.1, 5.0)
    assert judge_score("is", STEPS, values).verdict == "complete_collapse"


def test_a_poor_score_that_never_came_down_is_stalled() -> None:
    assert judge_score("fid", STEPS, noisy(np.full(50, 170.0))).verdict == "stalled"
    assert judge_score("fid", STEPS, noisy(np.full(50, 20.0))).verdict == "healthy"  # fine-tuned


def test_ratios_to_nothing_and_few_values_cannot_tell() -> None:
    assert judge_score("kid", STEPS, np.linspace(0.1, -0.01, 50)).verdict == "cannot_tell"
    assert judge_score("fid", STEPS[:3], FALLS[:3]).verdict == "cannot_tell"


@pytest.mark.parametrize(
    ("roles", "won", "even"),
    [
        (("d_real", "d_fake"), (0.995, 0.004), (0.7, 0.3)),
        (("accuracy_real", "accuracy_fake"), (99.9, 100.0), (75.0, 80.0)),
        (("sign_real", "sign_fake"), (0.99, -0.99), (0.5, -0.5)),
    ],
)
def test_answers(roles: tuple[str, str], won: tuple[float, ...], even: tuple[float, ...]) -> None:
    for values, verdict in ((won, "discriminator_dominates"), (even, "healthy")):
        pairs = zip(roles, values, strict=True)
        opinion = judge_answers({role: (STEPS, np.full(50, value)) for role, value in pairs})
        assert opinion is not None
        assert opinion.verdict == verdict


def test_a_discriminator_that_has_lately_won_is_named_since_then() -> None:
    opinion = judge_answers({"accuracy": (STEPS, np.where(STEPS > 50_000, 1.0, 0.8))})
    assert opinion is not None
    assert opinion.verdict == "discriminator_dominates"
    assert opinion.since == pytest.approx(52_000, abs=4000)


def test_loud_logits_diverge_and_no_answers_say_nothing() -> None:
    opinion = judge_answers({"logit_real": (STEPS, np.full(50, 900.0))})
    assert opinion is not None
    assert opinion.verdict == "diverged"
    assert judge_answers({"fid": (STEPS, FALLS)}) is None
