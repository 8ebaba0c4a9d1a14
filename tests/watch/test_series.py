"""Numbers over time: bounded, in order, and finite."""

import math
from pathlib import Path

import numpy as np
import pytest

from ganstoch.watch.series import MOST, Array, Log, Series


def filled(values: Array, steps: Array | None = None) -> Series:
    series = Series()
    for step, value in zip(range(len(values)) if steps is None else steps, values, strict=True):
        series.add(float(step), float(value))
    return series


def test_many_values_take_a_few_thousand_and_keep_their_means() -> None:
    values = np.random.default_rng(0).normal(3, 1, 10 * MOST)
    series = filled(values)
    kept = series.arrays()[1]
    assert MOST // 2 <= len(kept) < MOST
    whole = len(kept) * series.stride
    np.testing.assert_allclose(kept, values[:whole].reshape(-1, series.stride).mean(1))


def test_steps_that_go_back_replace_what_followed() -> None:
    series = filled(np.array([1.0, 2, 3, 4, 20, 30]), np.array([10, 20, 30, 40, 20, 30]))
    assert series.steps == [10, 20, 30]
    assert series.values == [1, 20, 30]
    assert (series.went_back, series.began_again) == (20, False)


def test_a_second_run_in_one_file_is_the_one_that_counts() -> None:
    series = filled(np.array([1.0, 2, 3, 7, 8]), np.array([10, 20, 30, 10, 20]))
    assert series.values == [7, 8]
    assert series.began_again


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e308])
def test_numbers_that_are_not_finite_are_kept_apart(bad: float) -> None:
    series = filled(np.array([1.0, bad, bad]))
    assert series.values == [1]
    assert series.broken_since == 1
    series.add(3, 2.0)
    assert series.broken_since is None
    assert series.was_broken == 2


def test_a_log_has_an_end_of_names() -> None:
    log = Log(Path(), "text")
    log.add((None, {f"name{i}": 1.0}) for i in range(3000))
    assert len(log.series) == 500
    assert log.notes
