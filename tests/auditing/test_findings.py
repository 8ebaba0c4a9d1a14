"""Verdicts: right for every scenario, rare where nothing is wrong, and by the rules as stated."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from ganstoch.auditing.evidence import Evidence
from ganstoch.auditing.findings import LEVEL, find, level_of, signals, verdict
from ganstoch.metrics.features import Pixels


def kinds(evidence: Evidence) -> list[str]:
    return [finding.verdict for finding in find(evidence)]


def verdict_of(evidence: Evidence) -> str:
    return verdict(find(evidence), evidence)[0]


SCENARIOS = {
    "held out": "no_issue",
    "copy all": "memorization",
    "copy one": "memorization",
    "copy a tenth": "memorization",
    "one unseen image": "mode_collapse",
    "drop half": "mode_drop",
    "drop the zeros": "mode_drop",
    "noise": "distribution_shift",
    "blur": "distribution_shift",
}


@pytest.mark.parametrize("held_out", [True, False])
@pytest.mark.parametrize("name", SCENARIOS)
def test_scenarios(name: str, held_out: bool, split: Any, make: Any, evidence: Any) -> None:
    digits = split()
    assert verdict_of(evidence(digits, make(name, digits), held_out=held_out)) == SCENARIOS[name]


@pytest.mark.parametrize("seed", range(1, 6))
def test_real_images_are_not_accused(seed: int, split: Any, evidence: Any) -> None:
    digits = split(seed, train=700, fresh=700, held_out=397)
    harmless = evidence(digits, digits.fresh, held_out=seed % 2 == 0, labels=True, seed=seed)
    assert kinds(harmless) == []


@pytest.mark.parametrize("held_out", [True, False])
def test_classes_left_out_are_named(held_out: bool, split: Any, make: Any, evidence: Any) -> None:
    digits = split()
    zeros = evidence(digits, make("drop the zeros", digits), held_out=held_out, labels=True)
    first = find(zeros)[0]
    assert first.verdict == "mode_drop"
    assert "0 (" in first.sentence
    (of_classes,) = (each for each in zeros.spaces[0].proportions if each.by_class)
    emptiest = min(of_classes.cells, key=lambda cell: cell.generated / cell.real)
    assert emptiest.name == "0"


def altered(digits: Any, share: float) -> Tensor:
    """As large a share of copies that are not identical."""
    count = int(-(-500 * share // 1))
    made: Tensor = digits.fresh.clone()
    made[:count] = digits.train[:count]
    made[:count, :, 0, 0] = (made[:count, :, 0, 0].int() + 9).clamp(max=255).byte()
    return made


def test_shares_that_would_have_been_found_are_found(split: Any, evidence: Any) -> None:
    digits = split()
    harmless = evidence(digits, digits.fresh)
    assert verdict_of(harmless) == "no_issue"
    share = harmless.spaces[0].copied.excess.detectable(LEVEL)
    assert share is not None
    assert kinds(evidence(digits, altered(digits, share))) == ["memorization"]


@pytest.mark.parametrize(("copies", "expected"), [(2, "undecided"), (12, "memorization")])
def test_few_identical_images(copies: int, expected: str, split: Any, evidence: Any) -> None:
    digits = split(train=200, fresh=200, held_out=200)
    made = torch.cat([digits.train[:copies], digits.fresh[copies:]])
    assert verdict_of(evidence(digits, made)) == expected


def test_what_points_the_other_way_is_told(split: Any, evidence: Any) -> None:
    digits = split()
    halves = evidence(digits, (digits.train[:500].int() * 3 + digits.fresh.int() * 2).div(5).byte())
    assert halves.spaces[0].train_vs_held_out.p_value <= 0.001
    assert any("held-out" in signal.clause for signal in signals(halves))
    assert verdict_of(halves) != "no_issue"


def test_the_space_with_most_to_say_speaks(split: Any, evidence: Any) -> None:
    class Corner(Pixels):
        """One pixel in four."""

        name = "corner_l1"

        def __call__(self, images: Tensor) -> Tensor:
            return super().__call__(images[:, :, :4, :4])

    digits = split()
    made = altered(digits, 0.1)
    one, other = (evidence(digits, made, extractor=space) for space in (Pixels(), Corner()))
    shares = [space.copied.excess.low for space in one.spaces + other.spaces]
    assert shares[0] != shares[1]
    both = dataclasses.replace(one, spaces=one.spaces + other.spaces)
    assert level_of(both) == level_of(one) / 2 == LEVEL / 2
    for spaces in (one.spaces + other.spaces, other.spaces + one.spaces):
        findings = find(dataclasses.replace(one, spaces=spaces))
        assert findings[0].verdict == "memorization"
        assert findings[0].share == max(shares)
