"""The goals of `ganstoch bench`: ratios of times, operations and bytes, taken in one process."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from statistics import linear_regression
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from ganstoch.bench.costs import diagnosis_price, lightning_overhead
from ganstoch.bench.equality import Contest, make_gan, make_reference
from ganstoch.bench.memory import peak_bytes
from ganstoch.bench.search import race_search
from ganstoch.bench.timing import in_turns, say, seconds


@dataclass(frozen=True, slots=True)
class Scale:
    """How large everything is.

    Attributes:
        width: of both networks.
        small: batch size where fixed costs show; ``large`` is one where they do not, and also the
            micro-batch of larger ones.
        sizes: batch sizes of the cost's curve; ``memory`` are those whose memory is counted.
        rounds: how often each contestant runs.
        images: n of the neighbours' search; ``queries`` are looked up at a time.
    """

    width: int
    small: int
    large: int
    sizes: tuple[int, ...]
    memory: tuple[int, ...]
    rounds: int
    images: int
    queries: int


FULL = Scale(1024, 50, 200, (50, 200, 800, 3200), (3200, 12_800), 5, 12_800, 1280)
QUICK = Scale(128, 50, 200, (50, 200, 800), (800, 1600), 5, 3200, 320)
LATENT_DIM = 512


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio and where it should be.

    Attributes:
        key: its name in JSON; ``what`` was measured, in words.
        least: what the value should reach, ``most`` what it should not exceed, or None.
        applies: whether this machine can be expected to reach it.
    """

    key: str
    value: float
    least: float | None
    most: float | None
    what: str
    applies: bool = True

    @property
    def met(self) -> bool:
        """Whether the value is where it should be."""
        low = self.least is None or self.value >= self.least
        return low and (self.most is None or self.value <= self.most)


def has_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 in hardware; of CPUs those with AMX or AVX-512 BF16."""
    known = torch.cpu.get_capabilities()
    return device.type != "cpu" or bool(known.get("amx_bf16") or known.get("avx512_bf16"))


def count_flops(act: Callable[[], object]) -> int:
    """Floating-point operations of matrix products and convolutions, by torch's own counter."""

    def addmm_(into: Any, a: Any, b: Any, *_: Any, **__: Any) -> int:
        return int(2 * a[0] * a[1] * b[1])

    # The counter knows addmm and not its form in place; without this line it would flatter us.
    counter = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: addmm_})
    with counter:
        act()
    return counter.get_total_flops()


class _Bench:
    """The contestants, and what was measured of them so far."""

    def __init__(self, scale: Scale) -> None:
        self.scale = scale
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.gan = make_gan(latent_dim=LATENT_DIM, width=scale.width, micro_batch=scale.large)
        self.plain = make_reference(self.gan)
        for network in (self.gan, self.plain.g, self.plain.d, self.plain.average):
            network.to(self.device)
        self.flops = 0
        self.times: dict[int, dict[str, float]] = {}

    def contest(self, m: int) -> Contest:
        return Contest(self.gan, self.plain, m)

    def arithmetic(self) -> Goal:
        say("operations of an iteration")
        m = self.scale.large
        contest = self.contest(m)
        self.flops, plain = count_flops(contest.ours), count_flops(contest.theirs)
        what = f"{self.flops / m / 1e9:.2f} of {plain / m / 1e9:.2f} GFLOP an image and iteration"
        return Goal("flops_ratio", self.flops / plain, None, 0.50, what)

    def float32(self, m: int, name: str) -> Goal:
        say(f"float32 at m = {m}, in turns")
        contest = self.contest(m)
        acts = {"ours": contest.ours, "theirs": contest.theirs}
        times = self.times[m] = in_turns(acts, rounds=self.scale.rounds)
        what = f"{times['theirs']:.3f} s and {times['ours']:.3f} s an iteration"
        return Goal(name, times["theirs"] / times["ours"], 2.2, None, what)

    def mixed(self) -> list[Goal]:
        m = self.scale.large
        say(f"bf16-mixed at m = {m}, in turns")
        contest = self.contest(m)
        acts = {name: partial(getattr(contest, name), mixed=True) for name in ("ours", "theirs")}
        times, single = in_turns(acts, rounds=self.scale.rounds), self.times[m]["theirs"]
        ours = f"{times['ours']:.3f} s, m = {m}"
        against, both = f"float32 {single:.3f} s and {ours}", f"{times['theirs']:.3f} s and {ours}"
        applies, stock = has_bf16(self.device), times["theirs"] / times["ours"]
        return [
            Goal("bf16_speedup", single / times["ours"], 5.0, None, against, applies),
            Goal("bf16_vs_bf16_speedup", stock, 1.5, None, both, applies),
        ]

    def peak_share(self) -> Goal:
        say("the machine's matrix product")
        peak, reached = _peak(self.device), self.flops / self.times[self.scale.large]["ours"]
        what = f"{reached / 1e9:.0f} of {peak / 1e9:.0f} GFLOP/s, counting our own operations"
        return Goal("fp32_peak_share", reached / peak, 0.65, None, what)

    def price(self, measure: Callable[..., float], key: str, most: float, of: str) -> Goal:
        m = self.scale.small
        say(f"{key.replace('_', ' ')} at m = {m}")
        share = measure(self.gan, m=m, iterations=2 * self.scale.rounds)
        self.gan.to(self.device)
        return Goal(key, share, None, most, f"of {of}, m = {m}")

    def determinism(self) -> Goal:
        m, step = self.scale.small, self.contest(self.scale.small).ours
        say(f"deterministic kernels at m = {m}")
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS refuses
        before = torch.are_deterministic_algorithms_enabled()

        def run(fixed: bool) -> None:
            torch.use_deterministic_algorithms(fixed)
            step()

        acts = {"fixed": partial(run, True), "any": partial(run, False)}
        try:
            times = in_turns(acts, rounds=2 * self.scale.rounds)
        finally:
            torch.use_deterministic_algorithms(before)
        what = f"{times['fixed']:.3f} s and {times['any']:.3f} s an iteration"
        return Goal("deterministic_time", times["fixed"] / times["any"], None, 1.10, what)

    def cost(self) -> Goal:
        say(f"an iteration up to m = {self.scale.sizes[-1]}")
        curve = {m: times["ours"] for m, times in self.times.items()}
        for m in self.scale.sizes:
            if m not in curve:
                curve[m] = seconds(self.contest(m).ours)
        what = ", ".join(f"{t:.2f} s at {m}" for m, t in sorted(curve.items()))
        return Goal("cost_exponent", _slope(curve), None, 1.02, what)

    def memory(self) -> Goal:
        say("memory")
        m = self.scale.large
        alone = peak_bytes(self.gan, m=m, micro_batch=None)
        sizes = {b: peak_bytes(self.gan, m=b, micro_batch=m) for b in self.scale.memory}
        what = ", ".join(f"{b / 2**20:.0f} MiB at {m}" for m, b in {m: alone, **sizes}.items())
        what += f" in micro-batches of {m}; tensors, counted"
        return Goal("memory_ratio", max(sizes.values()) / alone, None, 1.10, what)

    def search(self) -> list[Goal]:
        s = self.scale
        if find_spec("faiss") is None:
            say("FAISS is not here to compare the nearest neighbours with")
            return []
        say("nearest neighbours against FAISS's l1 index")
        ratio, what = race_search(n=s.images, queries=s.queries, rounds=s.rounds)
        return [Goal("nn_speedup", ratio, 8.0, None, what)]


def measure(scale: Scale) -> list[Goal]:
    """All goals, in the table's order. Progress goes to stderr."""
    b = _Bench(scale)
    return [
        b.arithmetic(),
        b.float32(scale.small, "fp32_speedup_m50"),
        b.float32(scale.large, "fp32_speedup_m200"),
        *b.mixed(),
        b.peak_share(),
        b.price(lightning_overhead, "lightning_overhead", 0.03, "the bare loop"),
        b.price(diagnosis_price, "diagnosis_price", 0.02, "training"),
        b.determinism(),
        b.cost(),
        b.memory(),
        *b.search(),
    ]


def _peak(device: torch.device) -> float:
    """Operations a second of a large float32 matrix product."""
    size = 2048 if device.type == "cpu" else 8192
    a = torch.linspace(-1, 1, size * size, device=device).view(size, size)
    taken = in_turns({"product": lambda: a @ a}, rounds=9)
    return 2 * size**3 / taken["product"]


def _slope(curve: dict[int, float]) -> float:
    """Of log time over log m, by least squares."""
    return linear_regression(
        [math.log(m) for m in curve], [math.log(t) for t in curve.values()]
    ).slope
