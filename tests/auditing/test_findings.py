"""Verdicts: right for every scenario, rare where nothing is wrong, and by the rules as stated."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from ganstoch.auditing.findings import copies_p_value, dropped_classes, find, verdict
from ganstoch.auditing.measure import Measured
from ganstoch.auditing.missed import ClassMissed


@pytest.fixture(scope="module")
def harmless(split: Any, measured: Callable[..., Measured]) -> Measured:
    digits = split()
    return measured(digits, digits.fresh)


def kinds(*spaces: Measured) -> list[str]:
    return [finding.verdict for finding in find(spaces)]


def test_scenarios_without_held_out_images(
    scenario: tuple[str, str], split: Any, make: Any, measured: Any
) -> None:
    name, expected = scenario
    digits = split()
    found = measured(digits, make(name, digits), held_out=False)
    kind, sentence = verdict(find([found]), [found])
    assert kind == expected, sentence
    assert sentence.endswith(".")


@pytest.mark.parametrize("seed", range(1, 6))
def test_real_images_are_not_accused(seed: int, split: Any, measured: Any) -> None:
    digits = split(seed, train=700, fresh=700, held_out=397)
    assert kinds(measured(digits, digits.fresh, held_out=seed % 2 == 0)) == []


def test_one_image_again_and_again_is_all_of_it(split: Any, make: Any, measured: Any) -> None:
    digits = split()
    found = measured(digits, make("copy one", digits))
    assert kinds(found) == ["copies", "collapsed", "drops_modes"]
    sentences = [finding.sentence for finding in find([found])]
    assert "100 % of the generated images are copies" in sentences[0].replace("100.0", "100")
    assert "one and the same image" in sentences[1]


def test_classes_left_out_are_named(split: Any, make: Any, measured: Any) -> None:
    digits = split()
    found = measured(digits, make("drop the zeros", digits))
    assert list(dropped_classes(found)) == ["0"]
    assert "of the classes 0 (" in find([found])[0].sentence


def test_copies_need_an_interval_and_a_test(harmless: Measured) -> None:
    copied = harmless.copied
    many = dataclasses.replace(copied, estimate=0.1, low=0.05, high=0.2, flagged=50)
    assert copies_p_value(dataclasses.replace(harmless, copied=many)) < 1e-6
    assert kinds(dataclasses.replace(harmless, copied=many)) == ["copies"]
    unsure = dataclasses.replace(many, low=0.0)
    assert kinds(dataclasses.replace(harmless, copied=unsure)) == []
    by_chance = dataclasses.replace(many, flagged=round(copied.natural * 500) + 3)
    assert kinds(dataclasses.replace(harmless, copied=by_chance)) == []


def test_collapse_compares_with_real_images(harmless: Measured) -> None:
    one = dataclasses.replace(harmless.variety, estimate=1.0, low=1.0, high=1.2)
    assert kinds(dataclasses.replace(harmless, variety=one)) == ["collapsed"]
    few = dataclasses.replace(one, estimate=11.0, high=12.0)
    assert kinds(dataclasses.replace(harmless, variety=few)) == []
    like_them = dataclasses.replace(one, low=1.0, high=5.0)
    alike = dataclasses.replace(harmless, variety=one, variety_usual=like_them)
    assert kinds(alike) == []


def test_mode_drop_is_more_than_is_natural(harmless: Measured) -> None:
    def with_missed(**changes: Any) -> Measured:
        missed = dataclasses.replace(harmless.missed, **changes)
        return dataclasses.replace(harmless, missed=missed)

    assert kinds(with_missed(sure=0.031)) == ["drops_modes"]
    assert kinds(with_missed(sure=0.029)) == []
    lost = ClassMissed(share=0.4, baseline=0.02, sure=0.2)
    assert kinds(with_missed(classes={"a": lost})) == ["drops_modes"]
    usual = dataclasses.replace(lost, baseline=0.11)
    assert kinds(with_missed(classes={"a": usual})) == []


def test_unlikeness_grants_what_mode_drop_explains(harmless: Measured) -> None:
    def with_likeness(missed: float = 0.0, **changes: Any) -> list[str]:
        like = dataclasses.replace(harmless.likeness, cluster_baseline=0.5, **changes)
        share = dataclasses.replace(harmless.missed.share, high=missed)
        of_missed = dataclasses.replace(harmless.missed, share=share)
        return kinds(dataclasses.replace(harmless, likeness=like, missed=of_missed))

    assert with_likeness(offset_sure=1.21) == ["unlike_the_data"]
    assert with_likeness(offset_sure=1.19) == []
    assert with_likeness(cluster_sure=0.61) == ["unlike_the_data"]
    assert with_likeness(cluster_sure=0.59) == []
    # Half of the data left out: twice as dense where the rest is, so 2/3 lie nearer to their kind.
    assert with_likeness(missed=0.5, cluster_sure=0.76) == []
    assert with_likeness(missed=0.5, cluster_sure=0.77) == ["unlike_the_data"]


def test_the_strongest_evidence_speaks(harmless: Measured) -> None:
    weak, strong = (
        dataclasses.replace(
            harmless,
            copied=dataclasses.replace(
                harmless.copied, estimate=low + 0.01, low=low, high=0.5, flagged=60
            ),
        )
        for low in (0.05, 0.09)
    )
    assert find([weak, strong, harmless])[0].measured is strong
    assert verdict(find([weak, strong]), [weak, strong])[1].startswith("10.0 %")


def test_nothing_found_says_how_much_could_be(harmless: Measured) -> None:
    kind, sentence = verdict((), [harmless])
    assert kind == "nothing_found"
    assert "in pixels" in sentence
    assert f"at most {100 * harmless.copied.high:.1f} %" in sentence
