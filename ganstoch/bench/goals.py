"""The goals of `ganstoch bench`: ratios of times, operations and bytes, taken in one process."""

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
    """How large everything is."""

    width: int  # of both networks
    small: int  # batch size where fixed costs show
    large: int  # one where they do not, and the micro-batch of larger ones
    sizes: tuple[int, ...]  # batch sizes of the cost's curve
    memory: tuple[int, ...]  # batch sizes whose memory is counted
    rounds: int  # how often each contestant runs
    images: int  # n of the neighbors' search
    queries: int  # looked up at a time


FULL = Scale(1024, 50, 200, (50, 200, 800, 3200), (3200, 12_800), 5, 12_800, 1280)
QUICK = Scale(128, 50, 200, (50, 200, 800), (800, 1600), 5, 3200, 320)
LATENT_DIM = 512
Measured = tuple[float, str]  # a ratio, and what was measured, in words


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio by its key in JSON, the bound that it should keep, and what was measured."""

    key: str
    value: float
    sign: str  # ">=" or "<="
    bound: float
    what: str
    applies: bool = True  # whether this machine can be expected to reach it

    @property
    def met(self) -> bool:
        """Whether the value is where it should be."""
        return self.value >= self.bound if self.sign == ">=" else self.value <= self.bound


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
    def __init__(self, scale: Scale) -> None:
        self.scale = scale
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.gan = make_gan(latent_dim=LATENT_DIM, width=scale.width, micro_batch=scale.large)
        self.plain = make_reference(self.gan)
        for network in (self.gan, self.plain.g, self.plain.d, self.plain.average):
            network.to(self.device)
        self.flops = 0
        self.times: dict[int, dict[str, float]] = {}
        self.mixed: dict[str, float] = {}

    def contest(self, m: int) -> Contest:
        return Contest(self.gan, self.plain, m)

    def arithmetic(self) -> Measured:
        m, contest = self.scale.large, self.contest(self.scale.large)
        self.flops, plain = count_flops(contest.ours), count_flops(contest.theirs)
        what = f"{self.flops / m / 1e9:.2f} of {plain / m / 1e9:.2f} GFLOP an image and iteration"
        return self.flops / plain, what

    def float32(self, m: int) -> Measured:
        contest = self.contest(m)
        acts = {"ours": contest.ours, "theirs": contest.theirs}
        times = self.times[m] = in_turns(acts, rounds=self.scale.rounds)
        what = f"{times['theirs']:.3f} s and {times['ours']:.3f} s an iteration"
        return times["theirs"] / times["ours"], what

    def bf16(self) -> Measured:
        m, contest = self.scale.large, self.contest(self.scale.large)
        acts = {name: partial(getattr(contest, name), mixed=True) for name in ("ours", "theirs")}
        self.mixed, single = in_turns(acts, rounds=self.scale.rounds), self.times[m]["theirs"]
        ours = self.mixed["ours"]
        return single / ours, f"float32 {single:.3f} s and {ours:.3f} s, m = {m}"

    def bf16_both(self) -> Measured:
        ours, theirs = self.mixed["ours"], self.mixed["theirs"]
        return theirs / ours, f"{theirs:.3f} s and {ours:.3f} s, m = {self.scale.large}"

    def peak_share(self) -> Measured:
        """Of the operations a second of a large float32 matrix product."""
        size = 2048 if self.device.type == "cpu" else 8192
        a = torch.linspace(-1, 1, size * size, device=self.device).view(size, size)
        peak = 2 * size**3 / in_turns({"product": lambda: a @ a}, rounds=9)["product"]
        reached = self.flops / self.times[self.scale.large]["ours"]
        what = f"{reached / 1e9:.0f} of {peak / 1e9:.0f} GFLOP/s, counting our own operations"
        return reached / peak, what

    def price(self, measure: Callable[..., float], of: str) -> Measured:
        m = self.scale.small
        share = measure(self.gan, m=m, iterations=2 * self.scale.rounds)
        self.gan.to(self.device)
        return share, f"of {of}, m = {m}"

    def determinism(self) -> Measured:
        step = self.contest(self.scale.small).ours
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
        return times["fixed"] / times["any"], what

    def cost(self) -> Measured:
        """Slope of log time over log m, by least squares."""
        curve = {m: times["ours"] for m, times in self.times.items()}
        for m in self.scale.sizes:
            if m not in curve:
                curve[m] = seconds(self.contest(m).ours)
        logs = [math.log(m) for m in curve], [math.log(t) for t in curve.values()]
        what = ", ".join(f"{t:.2f} s at {m}" for m, t in sorted(curve.items()))
        return linear_regression(*logs).slope, what

    def memory(self) -> Measured:
        m = self.scale.large
        alone = peak_bytes(self.gan, m=m, micro_batch=None)
        sizes = {b: peak_bytes(self.gan, m=b, micro_batch=m) for b in self.scale.memory}
        what = ", ".join(f"{b / 2**20:.0f} MiB at {m}" for m, b in {m: alone, **sizes}.items())
        return max(sizes.values()) / alone, f"{what} in micro-batches of {m}; tensors, counted"


def measure(scale: Scale) -> list[Goal]:
    """All goals, in the table's order. Progress goes to stderr."""
    b = _Bench(scale)
    rows: list[tuple[str, Callable[[], Measured], str, float]] = [
        ("flops_ratio", b.arithmetic, "<=", 0.50),
        ("fp32_speedup_m50", partial(b.float32, scale.small), ">=", 2.2),
        ("fp32_speedup_m200", partial(b.float32, scale.large), ">=", 2.2),
        ("bf16_speedup", b.bf16, ">=", 5.0),
        ("bf16_vs_bf16_speedup", b.bf16_both, ">=", 1.5),
        ("fp32_peak_share", b.peak_share, ">=", 0.65),
        ("lightning_overhead", partial(b.price, lightning_overhead, "the bare loop"), "<=", 0.03),
        ("diagnosis_price", partial(b.price, diagnosis_price, "training"), "<=", 0.02),
        ("deterministic_time", b.determinism, "<=", 1.10),
        ("cost_exponent", b.cost, "<=", 1.02),
        ("memory_ratio", b.memory, "<=", 1.10),
    ]
    if find_spec("faiss") is None:
        say("FAISS is not here to compare the nearest neighbors with")
    else:
        race = partial(race_search, n=scale.images, queries=scale.queries, rounds=scale.rounds)
        rows.append(("nn_speedup", race, ">=", 8.0))
    goals = []
    for key, act, sign, bound in rows:
        say(key.replace("_", " "))
        value, what = act()
        applies = "bf16" not in key or has_bf16(b.device)
        goals.append(Goal(key, value, sign, bound, what, applies))
    return goals
