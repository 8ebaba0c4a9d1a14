from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ganstoch.callbacks.evaluation import Evaluation, StopRule, has_converged
from ganstoch.records import Measurement

Make = Callable[..., Any]


def history(overfitting: list[float], mode_drop: list[float] | None = None) -> list[Measurement]:
    """Measurements after 10, 20, 30, ... iterations."""
    names = ("overfitting/pixel_l1/mean", "mode_drop/pixel_l1/mean")
    metrics = zip(overfitting, mode_drop or overfitting, strict=True)
    return [
        Measurement(iteration=10 * i, images_seen=i, metrics=dict(zip(names, pair, strict=True)))
        for i, pair in enumerate(metrics, 1)
    ]


def converged(*values: list[float], **others: Any) -> bool:
    settings = {"window": 20, "threshold": 0.25, "after": 0} | others
    return has_converged(history(*values), **settings)


@pytest.mark.parametrize(
    ("values", "others", "expected"),
    [
        ([], {}, False),
        ([8.0, 8.0], {}, False),  # no measurement a window ago
        ([8.0, 8.0, 8.0], {}, True),
        ([64.0, 32.0, 16.0, 8.0, 8.0], {}, False),
        ([64.0, 32.0, 16.0, 8.0, 8.0, 8.0], {}, True),
        ([64.0, 64.0, 64.0, 64.0], {}, True),  # a plateau before the fall
        ([64.0, 64.0, 64.0, 64.0], {"after": 50}, False),
        ([64.0, 64.0, 64.0, 64.0, 32.0, 16.0, 16.0, 16.0], {"after": 50}, True),
        ([8.0, 12.0, 8.0, 12.0, 8.0, 12.0], {}, True),
        ([32.0, 64.0, 16.0, 64.0, 8.0], {}, False),  # the lows still fall
        ([8.0, 16.0, 32.0, 64.0], {}, True),
        ([8.0, 16.0, 32.0, 4.0, 16.0], {}, False),  # a late low begins the window anew
        ([8.0, 16.0, 32.0, 4.0, 16.0, 16.0], {}, True),
        ([8.0, 8.0, 6.0], {}, False),  # a fall by just the threshold: 6 = (1 - 0.25) * 8
        ([8.0, 8.0, 6.000001], {}, True),
        ([8.0, 8.0, 8.0, 8.0], {"window": 30}, True),  # iterations, not measurements
        ([8.0, 8.0, 8.0, 8.0], {"window": 31}, False),
    ],
)
def test_converged(values: list[float], others: dict[str, int], expected: bool) -> None:
    assert converged(values, **others) is expected
    falling = [64.0 / 2**i for i in range(len(values))]  # both means must have stopped
    assert not converged(values, falling, **others)
    assert not converged(falling, values, **others)


def rule(**settings: Any) -> StopRule:
    """Finds convergence wherever it may: no mean ever falls by 99.9 %."""
    return StopRule(**({"window": 2, "threshold": 0.999} | settings))


def measure(every: int = 1) -> Evaluation:
    return Evaluation(every=every, queries=4, semantic=None)


def test_a_converged_run_does_not_train_on(run: Make, keep: Make, tmp_path: Path) -> None:
    first = measure()
    assert run(first, rule(after=4), keep(), steps=9).global_step == 4
    again, stop = measure(), rule(after=4)
    trainer = run(again, stop, keep(), steps=9, resume=tmp_path / "step=4.ckpt")
    assert trainer.global_step == 4
    assert stop.converged
    assert again.history == first.history


@pytest.mark.parametrize(
    ("settings", "every", "end", "converged"),
    [
        ({"after": 5}, 1, 5, True),
        ({"stop": False}, 1, 9, True),
        ({"window": 100}, 1, 9, False),
        ({"after": 9}, 2, 9, True),  # off the interval, and measured as it is the end
    ],
)
def test_ends_the_run_at_convergence_where_asked(
    run: Make, settings: dict[str, Any], every: int, end: int, converged: bool
) -> None:
    stop = rule(**settings)
    assert run(measure(every), stop, steps=9).global_step == end
    assert stop.converged is converged
