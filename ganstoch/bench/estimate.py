"""What Table 1 will cost here, from a minute's measurement; on other devices, a lower bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

import torch

from ganstoch.bench.equality import Contest, draw
from ganstoch.bench.goals import count_flops
from ganstoch.bench.memory import peak_bytes
from ganstoch.bench.timing import say, seconds
from ganstoch.callbacks.run_folder import hardware
from ganstoch.data.subset import resolve_batch_size
from ganstoch.errors import UserError
from ganstoch.metrics.neighbours import nearest_neighbours
from ganstoch.runs.configs import sweep_path
from ganstoch.runs.settings import resolve_all, understand
from ganstoch.runs.sweep import read_sweep
from ganstoch.training.gan import CPU_MICRO_BATCH, GAN

ACCELERATORS = {  # dense float32 and bfloat16 TFLOP/s, from the makers' data sheets
    "H100 SXM": (67.0, 989.0),
    "A100": (19.5, 312.0),
    "L4": (30.3, 121.0),
    "RTX 4090": (82.6, 165.0),
}
FEW, MANY = 4, 64
"""Batch sizes that are timed; between them an iteration's time is a line."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of the table, for one data set."""

    m: int
    noise: float
    iterations: int
    evaluations: int
    n: int


@dataclass(frozen=True, slots=True)
class _Seconds:
    """Of an iteration, an image of it (in a whole batch or in parts) and an evaluation."""

    iteration: float
    image: float
    image_in_parts: float
    evaluation: float


def estimate(preset: str) -> int:
    """Prints the cost of each row of Table 1 at a preset, here and as a bound elsewhere."""
    sweep = replace(read_sweep(sweep_path("table1")), preset=preset)
    lines = [sweep.arguments(point) for point in sweep.points()]
    rows, sources = _rows(lines)
    command = understand(lines[0])
    command.build([])
    gan = command.model
    assert isinstance(gan, GAN)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    gan.to(device).micro_batch = None
    say(f"the networks of preset {preset}, about a minute")
    cost = _measure(gan, n=rows[0].n)
    total = 0.0
    print(f"preset {preset}, per data set and seed, on {hardware()}")
    print("     m noise  s/iteration  iterations       time    memory")
    for row in rows:
        micro = _micro_batch(gan, row.m, device)
        image = cost.image if micro is None else cost.image_in_parts
        iteration = cost.iteration + row.m * image
        spent = row.iterations * iteration + row.evaluations * cost.evaluation
        total += spent
        memory = peak_bytes(gan, m=micro or row.m, micro_batch=None)
        parts = "" if micro is None else f", micro-batches of {micro}"
        print(
            f"{row.m:>6} {row.noise:>5g} {iteration:>12.3f} {row.iterations:>11,} "
            f"{_duration(spent):>10} {memory / 2**30:>5.1f} GiB{parts}"
        )
    print(
        f"all rows: {_duration(total)} for each of {sources} data set(s) and each seed; iterations "
        "are caps, and a stop rule may end a row before; semantic features come on top"
    )
    _roofline(gan, rows)
    return 0


def _rows(lines: Sequence[Sequence[str]]) -> tuple[list[_Row], int]:
    """The rows of the first data set, and how many data sets there are."""
    rows: dict[str, list[_Row]] = {}
    for config in (resolved.config for resolved in resolve_all(lines)):
        steps, n = config["trainer"]["max_steps"], config["data"]["n"]
        row = _Row(
            m=resolve_batch_size(config["data"]["m"], n=n),
            noise=config["model"]["latents"]["noise"],
            iterations=steps,
            evaluations=steps // config["evaluation"]["every"],
            n=n,
        )
        rows.setdefault(config["data"]["source"]["class_path"], []).append(row)
    if not rows:
        raise UserError("the sweep has no rows")
    return next(iter(rows.values())), len(rows)


def _measure(gan: GAN, *, n: int) -> _Seconds:
    def iteration(m: int, micro_batch: int | None) -> float:
        gan.micro_batch, step = micro_batch, Contest(gan, None, m).ours
        step()
        return median(seconds(step) for _ in range(3))

    few, many, halves = iteration(FEW, None), iteration(MANY, None), iteration(MANY, MANY // 2)
    gan.micro_batch = None
    image = max(0.0, (many - few) / (MANY - FEW))
    z = torch.zeros(256, gan.generator.latent_dim)
    images = seconds(lambda: gan.sample(z)) / len(z) * n
    pixels = draw(n, 1, iteration=1)[0].pixels
    queries = pixels[:200].float()
    search = seconds(lambda: nearest_neighbours(queries, pixels, norm="l1"))
    return _Seconds(
        iteration=max(0.0, few - FEW * image),
        image=image,
        image_in_parts=max(image, halves / MANY),
        evaluation=images + 2 * search,
    )


def _micro_batch(gan: GAN, m: int, device: torch.device) -> int | None:
    """What `ganstoch fit` comes to by ``micro_batch: auto``; None for the whole batch."""
    if device.type == "cpu":
        return CPU_MICRO_BATCH if m > CPU_MICRO_BATCH else None
    free, size = torch.cuda.mem_get_info(device)[0], m
    while size > 1 and peak_bytes(gan, m=size, micro_batch=None) > free:
        size = -(-size // 2)
    return None if size == m else size


def _roofline(gan: GAN, rows: Sequence[_Row]) -> None:
    """Least time on devices that are not here: operations over their makers' peak."""
    image = count_flops(Contest(gan, None, MANY).ours) / MANY
    images = sum(row.iterations * row.m for row in rows)
    print(
        f"roofline, not a measurement: {image / 1e9:.2f} GFLOP an image and iteration, "
        f"{images:,} images; no less than"
    )
    for name, (single, half) in ACCELERATORS.items():
        print(
            f"  {name:<9} {_duration(image * images / single / 1e12):>9} in float32, "
            f"{_duration(image * images / half / 1e12):>9} in bfloat16"
        )


def _duration(spent: float) -> str:
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if spent >= 2 * size:
            return f"{spent / size:.1f} {unit}"
    return f"{spent:.1f} s"
