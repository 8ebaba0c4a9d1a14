"""What others published for worlds whose modes are known, and the protocols behind their numbers.

[1] Lin et al. 2018, "PacGAN: The power of two samples in generative adversarial networks",
    Tables 1 to 3; standard errors over 10 trials, in Table 3 over 50.
[2] Srivastava et al. 2017, "VEEGAN: Reducing mode collapse in GANs using implicit variational
    learning", Table 1; without errors.
[3] Metz et al. 2017, "Unrolled generative adversarial networks", as quoted in [1, Table 3]. Their
    errors are taken for standard errors like those around them; were they deviations, a gap would
    count for more.
"""

from __future__ import annotations

from dataclasses import dataclass

from ganstoch.report.quantities import Estimate

__all__ = ["Protocol", "PublishedRow", "protocol_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRow:
    """One method's published numbers.

    Attributes:
        method: as its authors write it.
        source: the table, in words.
        remedy: label of our remedy that it is the counterpart of, or None.
        modes: modes found.
        good_percent: samples near a mode, per cent; None if not published.
        reverse_kl: nats; None if not published.
    """

    method: str
    source: str
    remedy: str | None
    modes: Estimate
    good_percent: Estimate | None = None
    reverse_kl: Estimate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How a world is set up and measured.

    Attributes:
        title: the world's name as written in a heading.
        name: whose protocol it is, in a few words.
        rows: what was published under that name; those that are no counterpart of ours as well.
        iterations: length of the published training, or None if unknown.
        batch: published mini-batch (of packs), or None if unknown.
    """

    title: str
    name: str
    rows: tuple[PublishedRow, ...] = ()
    iterations: int | None = None
    batch: int | None = None

    def counterpart(self, remedy: str) -> PublishedRow | None:
        """The published row of a remedy's label, or None."""
        return next((row for row in self.rows if row.remedy == remedy), None)


_Pair = tuple[float, float | None] | None


def _row(
    source: str,
    method: str,
    remedy: str | None,
    modes: _Pair,
    good: _Pair = None,
    kl: _Pair = None,
    *,
    trials: int | None = None,
) -> PublishedRow:
    def estimate(pair: _Pair) -> Estimate | None:
        return None if pair is None else Estimate(*pair, trials)

    found = estimate(modes)
    assert found is not None
    return PublishedRow(
        method=method,
        source=source,
        remedy=remedy,
        modes=found,
        good_percent=estimate(good),
        reverse_kl=estimate(kl),
    )


_PAC1, _PAC2, _PAC3 = (f"PacGAN Table {number}" for number in (1, 2, 3))
_VEE1 = "VEEGAN Table 1"

_RING = (
    _row(_PAC1, "GAN", "plain", (6.3, 0.5), (98.2, 0.2), (0.45, 0.09), trials=10),
    _row(_PAC1, "PacGAN2", "pacgan2", (7.9, 0.1), (95.6, 2.0), (0.07, 0.03), trials=10),
    _row(_PAC1, "PacGAN3", "pacgan3", (7.8, 0.1), (97.7, 0.3), (0.10, 0.02), trials=10),
    _row(_PAC1, "PacGAN4", "pacgan4", (7.8, 0.1), (95.9, 1.4), (0.07, 0.02), trials=10),
    _row(_PAC1, "ALI", None, (6.6, 0.3), (97.6, 0.4), (0.36, 0.04), trials=10),
    _row(_VEE1, "GAN", None, (1.0, None), (99.3, None)),
    _row(_VEE1, "ALI", None, (2.8, None), (0.13, None)),
    _row(_VEE1, "Unrolled", None, (7.6, None), (35.6, None)),
    _row(_VEE1, "VEEGAN", None, (8.0, None), (52.9, None)),
)
_GRID = (
    _row(_PAC1, "GAN", "plain", (17.3, 0.8), (94.8, 0.7), (0.70, 0.07), trials=10),
    _row(_PAC1, "PacGAN2", "pacgan2", (23.8, 0.7), (91.3, 0.8), (0.13, 0.04), trials=10),
    _row(_PAC1, "PacGAN3", "pacgan3", (24.6, 0.4), (94.2, 0.4), (0.06, 0.02), trials=10),
    _row(_PAC1, "PacGAN4", "pacgan4", (24.8, 0.2), (93.6, 0.6), (0.04, 0.01), trials=10),
    _row(_PAC1, "ALI", None, (24.1, 0.4), (95.7, 0.6), (0.14, 0.03), trials=10),
    _row(_VEE1, "GAN", None, (3.3, None), (0.5, None)),
    _row(_VEE1, "ALI", None, (15.8, None), (1.6, None)),
    _row(_VEE1, "Unrolled", None, (23.6, None), (16.0, None)),
    _row(_VEE1, "VEEGAN", None, (24.6, None), (40.0, None)),
)
_HIGH = (
    # Of other networks, and of another notion of a good sample: no counterpart of ours.
    _row(_VEE1, "GAN", None, (1.6, None), (2.0, None)),
    _row(_VEE1, "ALI", None, (3.0, None), (5.4, None)),
    _row(_VEE1, "Unrolled", None, (0.0, None), (0.0, None)),
    _row(_VEE1, "VEEGAN", None, (5.5, None), (28.29, None)),
)
_STACKED = (
    _row(_PAC2, "DCGAN", "plain", (78.9, 6.46), None, (4.50, 0.127), trials=10),
    _row(_PAC2, "PacDCGAN2", "pacgan2", (1000.0, 0.0), None, (0.06, 0.003), trials=10),
    _row(_PAC2, "PacDCGAN3", "pacgan3", (1000.0, 0.0), None, (0.06, 0.003), trials=10),
    _row(_PAC2, "PacDCGAN4", "pacgan4", (1000.0, 0.0), None, (0.07, 0.005), trials=10),
    _row(f"VEEGAN, in {_PAC2}", "DCGAN", None, (99.0, None), None, (3.40, None)),
    _row(f"VEEGAN, in {_PAC2}", "ALI", None, (16.0, None), None, (5.40, None)),
    _row(f"VEEGAN, in {_PAC2}", "Unrolled", None, (48.7, None), None, (4.32, None)),
    _row(f"VEEGAN, in {_PAC2}", "VEEGAN", None, (150.0, None), None, (2.95, None)),
)
_METZ = f"Metz et al., in {_PAC3}"
_QUARTER = (
    _row(_PAC3, "DCGAN", "plain", (78.5, 17.56), None, (5.21, 0.19), trials=50),
    _row(_PAC3, "PacDCGAN2", "pacgan2", (484.5, 32.99), None, (2.61, 0.22), trials=50),
    _row(_PAC3, "PacDCGAN3", "pacgan3", (601.3, 32.18), None, (2.00, 0.17), trials=50),
    _row(_PAC3, "PacDCGAN4", "pacgan4", (667.4, 29.00), None, (1.81, 0.15), trials=50),
    _row(_METZ, "Unrolled 1 step", "unrolled1", (65.4, 34.75), None, (5.91, 0.14)),
    _row(_METZ, "Unrolled 5 steps", "unrolled5", (236.4, 63.30), None, (4.67, 0.43)),
    _row(_METZ, "Unrolled 10 steps", "unrolled10", (327.2, 74.67), None, (4.66, 0.46)),
    _row(_METZ, "DCGAN", None, (30.6, 20.73), None, (5.99, 0.42)),
)
_HALF = (
    _row(_PAC3, "DCGAN", "plain", (487.7, 34.59), None, (2.24, 0.15), trials=50),
    _row(_PAC3, "PacDCGAN2", "pacgan2", (840.7, 15.92), None, (1.00, 0.05), trials=50),
    _row(_PAC3, "PacDCGAN3", "pacgan3", (866.6, 12.10), None, (0.90, 0.04), trials=50),
    _row(_PAC3, "PacDCGAN4", "pacgan4", (820.2, 25.50), None, (1.15, 0.14), trials=50),
    _row(_METZ, "Unrolled 1 step", "unrolled1", (523.6, 55.77), None, (2.44, 0.26)),
    _row(_METZ, "Unrolled 5 steps", "unrolled5", (732.0, 44.98), None, (1.66, 0.09)),
    _row(_METZ, "Unrolled 10 steps", "unrolled10", (817.4, 37.91), None, (1.43, 0.12)),
    _row(_METZ, "DCGAN", None, (628.0, 140.9), None, (2.58, 0.75)),
)

# 400 epochs of 100,000 points in batches of 100 [1, appendix].
_WORLDS = {
    "ring": Protocol(
        title="2-D ring", name="PacGAN 2-D", rows=_RING, iterations=400_000, batch=100
    ),
    # The notebook published with unrolled GANs shows pictures and no numbers.
    "ring_unrolled": Protocol(
        title="2-D ring", name="unrolled GAN's notebook", iterations=25_000, batch=512
    ),
    "grid": Protocol(
        title="2-D grid", name="PacGAN 2-D", rows=_GRID, iterations=400_000, batch=100
    ),
    "gaussians1200": Protocol(title="1200-D Gaussians", name="VEEGAN 1200-D", rows=_HIGH),
    "bimodal": Protocol(title="bimodal", name="two modes in 1-D"),
}
_STACKS = {"stacked_mnist": "stacked MNIST", "stacked_fashion": "stacked Fashion-MNIST"}
_BY_RATIO = {0.25: ("D = G/4", _QUARTER), 0.5: ("D = G/2", _HALF)}


def protocol_of(dataset: str, *, variant: str = "veegan", ratio: float | None = None) -> Protocol:
    """The protocol of a world.

    Args:
        dataset: name of the source, e.g. ``ring``, or ``ring_unrolled`` for the ring by another
            protocol; an unknown one has no published counterpart.
        variant: of the stacked worlds, ``veegan`` or ``unrolled``.
        ratio: size of the discriminator over that of the generator, which parts the columns of
            [1, Table 3]; None if unknown.
    """
    if dataset not in _STACKS:
        return _WORLDS.get(dataset, Protocol(title=dataset, name=dataset))
    rows: tuple[PublishedRow, ...]
    published = dataset == "stacked_mnist"  # nobody published Fashion-MNIST's numbers
    if variant == "veegan":
        # 50 epochs of 128,000 images in batches of 64 [1, appendix].
        name, rows, iterations, batch = "VEEGAN", _STACKED, 100_000, 64
    else:
        size, rows = _BY_RATIO.get(ratio or 0.0, (f"D = {ratio:g} G" if ratio else "", ()))
        name = ", ".join(part for part in ("unrolled", size) if part)
        iterations, batch = 500_000, 128
    return Protocol(
        title=_STACKS[dataset],
        name=name,
        rows=rows if published else (),
        iterations=iterations,
        batch=batch,
    )
