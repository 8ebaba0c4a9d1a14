"""What is looked at, every so many iterations, to tell how training is going."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Signals", "from_columns", "series", "to_columns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """The signals at one moment; None where there is nothing to measure them on.

    Distances between images are l2, in units of the root mean square distance between two real
    images, so that they mean the same for every data set. Closeness and reach are of the averaged
    generator where there is one, for that is what gets used; all else is of the raw one.

    Attributes:
        iteration: iterations done.
        diversity: root mean square distance between two generated images; 1 is the data's own.
        collisions: share of a generated batch whose nearest other member is nearer than that of
            all but 5 % of real images in a batch of real ones; 0.05 is the data's own.
        isolation: median distance of a generated image to its nearest other in the batch, over that
            of real images in a batch of real ones; near 0 where images come in a few kinds.
        sensitivity: how far images move with z: what the diversity would be if the generator were
            linear with its present gradient with respect to z, z standard normal.
        closeness: mean distance of generated images to their nearest training image, over that of
            held-out real images; small for copies, and for blur.
        reach: mean distance of real images to their nearest in a generated batch, over that to
            their nearest in a real batch of the same size; large where modes are missing.
        drift: root mean square change, since the last moment, of the images of the same latents.
        turn: cosine between that change and the one before it: near 1 where images go on in one
            direction, below 0 where they go back and forth.
        average_gap: root mean square difference between the images of the averaged and of the raw
            generator, same latents.
        gap: mean logit of training images less that of generated ones.
        gap_held_out: mean logit of training images less that of held-out ones; above 0 where the
            discriminator knows its training images.
        separation: share of pairs of a training and a generated image whose logits are in the right
            order, a half of ties; 0.5 where the discriminator cannot tell them apart. Unlike the
            accuracies it means the same for every loss.
        accuracy_real: share of training images with a logit above 0.
        accuracy_held_out: share of held-out images with a logit above 0.
        accuracy_fake: share of generated images with a logit below 0.
        loss_discriminator: of the last iteration.
        loss_generator: of the last iteration.
        gradient_discriminator: l2 norm of its whole gradient at the last update.
        gradient_generator: the same of the generator.
        broken: where the first number that was not finite came from, "discriminator.body.0,
            iteration 12"; empty while all are finite.
    """

    iteration: int
    diversity: float | None = None
    collisions: float | None = None
    isolation: float | None = None
    sensitivity: float | None = None
    closeness: float | None = None
    reach: float | None = None
    drift: float | None = None
    turn: float | None = None
    average_gap: float | None = None
    gap: float | None = None
    gap_held_out: float | None = None
    separation: float | None = None
    accuracy_real: float | None = None
    accuracy_held_out: float | None = None
    accuracy_fake: float | None = None
    loss_discriminator: float | None = None
    loss_generator: float | None = None
    gradient_discriminator: float | None = None
    gradient_generator: float | None = None
    broken: str = ""


def series(history: Sequence[Signals], name: str) -> list[float]:
    """One signal over time, NaN where it was not measured or not finite."""
    values = (getattr(signals, name) for signals in history)
    return [
        math.nan if value is None or not math.isfinite(value) else float(value) for value in values
    ]


def to_columns(history: Sequence[Signals]) -> dict[str, list[Any]]:
    """A history as JSON can hold it: each signal that was measured over time, to four digits.

    None stands for what was not measured at a moment, or not finite.
    """
    columns = {
        field.name: [_short(getattr(signals, field.name)) for signals in history]
        for field in dataclasses.fields(Signals)
    }
    return {
        name: values
        for name, values in columns.items()
        if any(value not in (None, "") for value in values)
    }


def from_columns(columns: dict[str, list[Any]]) -> list[Signals]:
    """The history that `to_columns` made of it, but for digits.

    Raises:
        ValueError: if these are no such columns.
    """
    known = {field.name for field in dataclasses.fields(Signals)}
    lengths = {len(values) for values in columns.values()}
    if "iteration" not in columns or not set(columns) <= known or len(lengths) != 1:
        raise ValueError("no columns of signals")
    return [
        Signals(**{name: values[i] for name, values in columns.items()})
        for i in range(len(columns["iteration"]))
    ]


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else None
    return value
