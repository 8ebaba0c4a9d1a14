"""Verdicts: right for every scenario, rare where nothing is wrong, and by the rules as stated."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from ganstoch.auditing.evidence import Evidence
from ganstoch.auditing.findings import LEVEL, find, signals, verdict
from ganstoch.metrics.features import Pixels


def kinds(evidence: Evidence) -> list[str]:
    return [finding.verdict for finding in find(evidence)]


@pytest.mark.parametrize("held_out", [True, False])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("held out", "no_issue"),
        ("copy all", "memorization"),
        ("copy one", "memorization"),
        ("copy a tenth", "memorization"),
        ("one unseen image", "mode_collapse"),
        ("drop half", "mode_drop"),
        ("drop the zeros", "mode_drop"),
        ("noise", "distribution_shift"),
        ("blur", "distribution_shift"),
    ],
)
def test_scenarios(
    name: str, expected: str, held_out: bool, split: Any, make: Any, evidence: Any
) -> None:
    digits = split()
    found = evidence(digits, make(name, digits), held_out=held_out)
    kind, sentence = verdict(find(found), found)
    assert kind == expected, sentence
    assert sentence.endswith(".")


@pytest.mark.parametrize("seed", range(1, 6))
def test_real_images_are_not_accused(seed: int, split: Any, evidence: Any) -> None:
    digits = split(seed, train=700, fresh=700, held_out=397)
    found = evidence(digits, digits.fresh, held_out=seed % 2 == 0, labels=True, seed=seed)
    assert kinds(found) == []


@pytest.mark.parametrize("held_out", [True, False])
def test_classes_left_out_are_named(held_out: bool, split: Any, make: Any, evidence: Any) -> None:
    digits = split()
    found = evidence(digits, make("drop the zeros", digits), held_out=held_out, labels=True)
    first = find(found)[0]
    assert first.verdict == "mode_drop"
    assert "0 (" in first.sentence
    (of_classes,) = (each for each in found.spaces[0].proportions if each.by_class)
    emptiest = min(of_classes.cells, key=lambda cell: cell.generated / cell.real)
    assert emptiest.name == "0"


def test_nothing_found_says_what_would_have_been(split: Any, evidence: Any) -> None:
    """The shares that the sentence names are found; half of them are not always."""
    digits = split()
    harmless = evidence(digits, digits.fresh)
    kind, _ = verdict(find(harmless), harmless)
    assert kind == "no_issue"
    share = harmless.spaces[0].copied.excess.detectable(LEVEL)
    assert share is not None
    copies = digits.fresh.clone()
    many = -(-500 * share // 1)
    # Lightly altered, so that no two are identical.
    near = digits.train[: int(many)].clone()
    near[:, :, 0, 0] = (near[:, :, 0, 0].int() + 9).clamp(max=255).byte()
    copies[: int(many)] = near
    assert kinds(evidence(digits, copies)) == ["memorization"]


def test_a_few_identical_images_are_undecided(split: Any, evidence: Any) -> None:
    digits = split(train=200, fresh=200, held_out=200)
    made = digits.fresh.clone()
    made[:2] = digits.train[:2]
    found = evidence(digits, made)
    assert verdict(find(found), found)[0] == "undecided"
    made[:12] = digits.train[:12]
    found = evidence(digits, made)
    assert verdict(find(found), found)[0] == "memorization"


def test_what_points_the_other_way_is_told(split: Any, evidence: Any) -> None:
    """Halfway between a training and an unseen image is nearer to training images than chance."""
    digits = split()
    halves = (digits.train[:500].int() * 3 + digits.fresh.int() * 2).div(5).byte()
    found = evidence(digits, halves)
    nearer = found.spaces[0].train_vs_held_out
    assert nearer is not None
    assert nearer.p_value <= 0.001
    assert any("held-out" in signal for signal in signals(found))
    assert verdict(find(found), found)[0] != "no_issue"


def test_the_space_with_most_to_say_speaks(split: Any, make: Any, evidence: Any) -> None:
    class Corner(Pixels):
        """One pixel in four."""

        name = "corner_l1"

        def __call__(self, images: torch.Tensor) -> torch.Tensor:
            return super().__call__(images[:, :, :4, :4])

    digits = split()
    made = make("noise", digits)
    one, other = (evidence(digits, made, extractor=space) for space in (Pixels(), Corner()))
    both = dataclasses.replace(one, spaces=other.spaces + one.spaces)
    found = {finding.space.space.name for finding in find(both) if finding.space}
    assert found <= {"pixel_l1", "corner_l1"}
    assert kinds(both)[0] == "distribution_shift"
