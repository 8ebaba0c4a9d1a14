"""What Table 1 will cost here, from a minute's measurement."""

from dataclasses import replace
from statistics import median

import torch

from ganstoch.bench.equality import Contest, draw
from ganstoch.bench.memory import peak_bytes
from ganstoch.bench.timing import say, seconds
from ganstoch.data.subset import resolve_batch_size
from ganstoch.environment import hardware
from ganstoch.metrics.neighbours import nearest_neighbours
from ganstoch.report.formatting import duration
from ganstoch.runs.configs import sweep_path
from ganstoch.runs.settings import resolve_all, understand
from ganstoch.runs.sweep import read_sweep
from ganstoch.training.gan import CPU_MICRO_BATCH, GAN

FEW, MANY = 4, 64  # batch sizes that are timed; between them an iteration's time is a line


def estimate(preset: str) -> int:
    """Prints the cost of each row of Table 1 at a preset."""
    sweep = replace(read_sweep(sweep_path("table1")), preset=preset)
    lines = [sweep.arguments(point) for point in sweep.points()]
    configs = [resolved.config for resolved in resolve_all(lines)]
    sources = [config["data"]["source"]["class_path"] for config in configs]
    rows = [config for config, source in zip(configs, sources, strict=True) if source == sources[0]]
    command = understand(lines[0])
    command.build([])
    gan = command.model
    assert isinstance(gan, GAN)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    gan.to(device).micro_batch = None
    say(f"the networks of preset {preset}, about a minute")
    once, image, image_in_parts, evaluation = _measure(gan, n=rows[0]["data"]["n"])
    total = 0.0
    print(f"preset {preset}, per data set and seed, on {hardware()}")
    print("     m noise  s/iteration  iterations       time    memory")
    for config in rows:
        m = resolve_batch_size(config["data"]["m"], n=config["data"]["n"])
        iterations = config["trainer"]["max_steps"]
        evaluations = iterations // config["evaluation"]["every"]
        micro = _micro_batch(gan, m, device)
        iteration = once + m * (image if micro is None else image_in_parts)
        spent = iterations * iteration + evaluations * evaluation
        memory = peak_bytes(gan, m=micro or m, micro_batch=None)
        parts = "" if micro is None else f", micro-batches of {micro}"
        print(
            f"{m:>6} {config['model']['latents']['noise']:>5g} {iteration:>12.3f} "
            f"{iterations:>11,} {duration(spent):>10} {memory / 2**30:>5.1f} GiB{parts}"
        )
        total += spent
    each = f"{duration(total)} for each of {len(set(sources))} data set(s) and each seed"
    caps = "iterations are caps, and a stop rule may end a row before"
    print(f"all rows: {each}; {caps}; semantic features come on top")
    return 0


def _measure(gan: GAN, *, n: int) -> tuple[float, float, float, float]:
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
    return max(0.0, few - FEW * image), image, max(image, halves / MANY), images + 2 * search


def _micro_batch(gan: GAN, m: int, device: torch.device) -> int | None:
    """What `ganstoch fit` comes to by ``micro_batch: auto``; None for the whole batch."""
    if device.type == "cpu":
        return CPU_MICRO_BATCH if m > CPU_MICRO_BATCH else None
    free, size = torch.cuda.mem_get_info(device)[0], m
    while size > 1 and peak_bytes(gan, m=size, micro_batch=None) > free:
        size = -(-size // 2)
    return None if size == m else size
