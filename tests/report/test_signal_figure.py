"""The figure of a run's signals draws whatever was measured."""

from __future__ import annotations

import io
from dataclasses import fields

import numpy as np
from PIL import Image

from ganstoch.diagnosis.signals import Signals
from ganstoch.report import signal_figure
from ganstoch.report.signal_figure import draw_signals


def pixels(signals: dict[str, list[float | None]]) -> np.ndarray:  # type: ignore[type-arg]
    return np.asarray(Image.open(io.BytesIO(draw_signals(signals, verdict="healthy"))))


def test_every_panel_is_of_signals_that_exist() -> None:
    drawn = {name for lines, _ in signal_figure._PANELS.values() for name in lines}
    assert drawn <= {field.name for field in fields(Signals)}


def test_a_signal_changes_the_figure_and_a_missing_one_is_a_gap() -> None:
    steps: list[float | None] = [1, 2, 3]
    empty = pixels({"iteration": steps})
    line = pixels({"iteration": steps, "diversity": [0.5, 0.6, 0.7]})
    gap = pixels({"iteration": steps, "diversity": [0.5, None, 0.7]})
    assert empty.shape == line.shape == gap.shape
    assert (empty != line).any()
    assert (line != gap).any()
