"""Points to shades: smoothed histograms, drawn without a plotting library so that a film is quick.

A picture is an array of uint8 "ink", 0 for paper and 255 for the densest; `PALETTE` colours it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ganstoch.report.trails import Floats, SampleHistory, Scene

__all__ = ["PALETTE", "Ink", "Painter"]

Ink = npt.NDArray[np.uint8]

_SMOOTHINGS = 6  # by 1/4, 1/2, 1/4: a variance of half a square pixel each
_STEPS = 32  # shades: a film of fewer shades is a smaller file
_FULL = 0.25  # of the data's greatest density, where the ink is full in two dimensions

# Paper, then ever darker: told apart by lightness alone, so by every reader and in print.
_STOPS = ((255, 255, 255), (197, 219, 239), (99, 158, 206), (26, 84, 154), (4, 20, 62))


def _ramp() -> bytes:
    places = np.linspace(0, 255, len(_STOPS))
    channels = [np.interp(np.arange(256), places, column) for column in zip(*_STOPS, strict=True)]
    return np.stack(channels, axis=1).round().astype(np.uint8).tobytes()


PALETTE = _ramp()
"""Red, green and blue of the 256 inks, dark on white."""


class Painter:
    """Panels of one world, all in its window and on its data's scale.

    Args:
        scene: the world.
        size: pixels of a panel's side.
    """

    def __init__(self, scene: Scene, *, size: int) -> None:
        self.size = size
        self._scene = scene
        real = scene.trails[0].real
        self._real = np.tile(self._line(real), (size, 1)) if scene.flat else self._plane(real)
        self._full = float(self._real.max()) * (1.0 if scene.flat else _FULL)

    def data(self) -> Ink:
        """The data's points, shape (size, size)."""
        return self._shade(self._real)

    def panel(self, trail: SampleHistory, *, iteration: int) -> Ink:
        """A trail's points as they were at an iteration, shape (size, size).

        Points of one coordinate fill a strip per moment of the world, from the first at the top
        down to the iteration; below it the panel is empty.

        Args:
            trail: whose points.
            iteration: its last moment up to it is shown.
        """
        if not self._scene.flat:
            return self._shade(self._plane(trail.samples[trail.moment(iteration)]))
        moments = self._scene.iterations
        densities = np.zeros((self.size, self.size))
        edges = np.linspace(0, self.size, len(moments) + 1).round().astype(int)
        for moment, top, bottom in zip(moments.tolist(), edges[:-1], edges[1:], strict=True):
            if moment <= iteration and top < bottom:
                densities[top:bottom] = self._line(trail.samples[trail.moment(moment)])
        return self._shade(densities)

    def _shade(self, densities: npt.NDArray[np.float64]) -> Ink:
        """Ink by the root of the density, so that a few stray points still show."""
        ink = np.sqrt(np.minimum(densities / self._full, 1.0))
        return np.asarray(np.round(ink * (_STEPS - 1)) * (255 / (_STEPS - 1)), dtype=np.uint8)

    def _pixels(self, points: Floats) -> npt.NDArray[np.int64]:
        """The pixel of every point in the window, shape (P, D), first coordinate to the right."""
        low, high = self._scene.low, self._scene.high
        with np.errstate(invalid="ignore", over="ignore"):  # a diverged run has points anywhere
            places = (points - low) / (high - low) * self.size
            inside = ((places >= 0) & (places < self.size)).all(1)
        return places[inside].astype(np.int64)

    def _plane(self, points: Floats) -> npt.NDArray[np.float64]:
        """Share of the points per pixel, smoothed; second coordinate upwards."""
        pixels = self._pixels(points)
        flat = (self.size - 1 - pixels[:, 1]) * self.size + pixels[:, 0]
        counts = np.bincount(flat, minlength=self.size**2).reshape(self.size, self.size)
        return _smooth(_smooth(counts / len(points)).T).T

    def _line(self, points: Floats) -> npt.NDArray[np.float64]:
        counts = np.bincount(self._pixels(points)[:, 0], minlength=self.size)
        return np.asarray(_smooth(counts[None] / len(points))[0])


def _smooth(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Binomial smoothing along the last axis."""
    for _ in range(_SMOOTHINGS):
        padded = np.pad(rows, ((0, 0), (1, 1)))
        rows = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    return rows
