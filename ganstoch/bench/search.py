"""The exact search against FAISS's own flat l1 index, on the CPU."""

import importlib
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from ganstoch.bench.timing import in_turns
from ganstoch.metrics.neighbours import nearest_neighbours
from ganstoch.rng import normal, rng_for


def race_search(*, n: int, queries: int, rounds: int) -> tuple[float, str]:
    """How many times faster than FAISS's flat index float images' l1 nearest of n are found."""
    faiss = importlib.import_module("faiss")
    bank = photographs(n, draw=0).round_().to(torch.uint8)
    query = photographs(queries, draw=1)
    query[::2] = bank[: len(query[::2])] * 0.9 + 0.1 * query[::2]  # half of them nearly copies
    index = faiss.IndexFlat(bank.shape[1], faiss.METRIC_L1)
    index.add(bank.float().numpy())
    faiss.omp_set_num_threads(torch.get_num_threads())
    theirs = partial(index.search, query.numpy(), 1)
    ours = partial(nearest_neighbours, query, bank, norm="l1")
    times = in_turns({"faiss": theirs, "ours": ours}, rounds=rounds)
    nearest = ours()
    same = int((nearest.ids == torch.from_numpy(theirs()[1][:, 0])).sum())
    exact = (query.double() - bank[nearest.ids].double()).abs().sum(1)
    off = (nearest.distances - exact).abs().max().item()
    words = (
        f"{queries:,} floats in {n:,} bytes: {times['faiss']:.2f} s and {times['ours']:.2f} s; "
        f"{same:,} of {queries:,} ids the same, distances exact to {off:.0e}"
    )
    return times["faiss"] / times["ours"], words


def photographs(count: int, *, draw: int) -> Tensor:
    """Smooth random images: shapes of many sizes, as in photographs; (count, 3072) in [0, 255]."""
    image = torch.zeros(count, 3, 32, 32)
    for octave, side in enumerate((2, 4, 8, 16, 32)):
        noise = normal((count, 3, side, side), rng_for(draw, "evaluation", octave))
        image += F.interpolate(noise, size=32, mode="bilinear") * 40 / (octave + 1)
    return image.add_(128).clamp_(0, 255).flatten(1)
