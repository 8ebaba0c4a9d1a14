"""The audit's measures against `prdc`, torch-fidelity and scikit-learn, on the same arrays."""

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from ganstoch.bench.goals import Goal
from ganstoch.bench.search import photographs
from ganstoch.bench.timing import say, seconds
from ganstoch.errors import UserError
from ganstoch.metrics.authpct import authpct
from ganstoch.metrics.fid import frechet_distance
from ganstoch.metrics.neighbours import nearest_neighbours
from ganstoch.metrics.prdc import prdc
from ganstoch.rng import normal, rng_for
from ganstoch.types import Norm

_K = 5
_WIDTH = 2048  # of the features
_FASTER = 5.0  # goal between pixels, at full size
Numbers = Callable[[], list[float]]


@dataclass(frozen=True, slots=True)
class Race:
    """The same numbers by another's program and by ours."""

    key: str
    theirs: Numbers
    ours: Numbers
    bound: float


def measure_audit(*, quick: bool) -> list[Goal]:
    """How many times faster ours are, one run each after a small one that does not count."""
    for module in ("prdc", "torch_fidelity", "sklearn"):
        if find_spec(module) is None:
            raise UserError(f"{module} is not installed; run: pip install 'ganstoch[test]'")
    sizes = (1000, 500) if quick else (10_000, 5000)
    goals = []
    small = _races(200, 200, bound=0.0)
    for race, warm in zip(_races(*sizes, bound=1.0 if quick else _FASTER), small, strict=True):
        say(race.key.replace("_", " "))
        warm.theirs(), warm.ours()
        numbers: list[list[float]] = []
        times = [seconds(partial(_keep, act, numbers)) for act in (race.theirs, race.ours)]
        pairs = zip(*numbers, strict=True)
        off = max(abs(a - b) / max(1.0, abs(a)) for a, b in pairs)
        what = f"{times[0]:.2f} s and {times[1]:.2f} s; results within {off:.0e}"
        goals.append(Goal(race.key, times[0] / times[1], ">=", race.bound, what))
    return goals


def _keep(act: Numbers, into: list[list[float]]) -> None:
    into.append(act())


def _races(images: int, rows: int, *, bound: float) -> list[Race]:
    real, made = (photographs(images, draw=draw).byte() for draw in (0, 1))
    made[: images // 20] = real[: images // 20]
    space = normal((64, _WIDTH), rng_for(0, "evaluation"))
    features = [
        (normal((rows, 64), rng_for(draw, "evaluation")) @ space).relu_() for draw in (1, 2)
    ]
    x, y = features
    never_slower = min(1.0, bound)
    floats = real.float(), made.float()  # what the others take
    return [
        Race("prdc_pixels", _prdc(*floats), _ours(real, made), bound),
        Race("prc_pixels", _prc(*floats), _ours(real, made, some=2), bound),
        Race("brute_l1_pixels", _brute(*floats, "l1"), _nearest(real, made, "l1"), bound),
        Race("brute_l2_pixels", _brute(*floats, "l2"), _nearest(real, made, "l2"), bound),
        Race("prdc_features", _prdc(x, y), _ours(x, y), never_slower),
        Race("prc_features", _prc(x, y), _ours(x, y, some=2), never_slower),
        Race("brute_l2_features", _brute(x, y, "l2"), _nearest(x, y, "l2"), never_slower),
        Race("authpct_features", lambda: [_authpct(x, y)], lambda: [authpct(x, y)], never_slower),
        Race("fid_features", _fid(x, y), lambda: [frechet_distance(x, y)], never_slower),
    ]


def _ours(real: Tensor, made: Tensor, *, some: int = 4) -> Numbers:
    return lambda: list(prdc(real, made, k=_K))[:some]


def _prdc(real: Tensor, made: Tensor) -> Numbers:
    compute: Any = import_module("prdc").compute_prdc

    def act() -> list[float]:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints the sizes
            scores = compute(real.numpy(), made.numpy(), _K)
        return [float(scores[key]) for key in ("precision", "recall", "density", "coverage")]

    return act


def _prc(real: Tensor, made: Tensor) -> Numbers:
    compute: Any = import_module("torch_fidelity.metric_prc").prc_features_to_metric
    # Its first set is the generated one.
    options = {"prc_neighborhood": _K, "prc_batch_size": 10_000, "verbose": False}

    def act() -> list[float]:
        scores = compute(made, real, **options)
        return [float(scores["precision"]), float(scores["recall"])]

    return act


def _brute(real: Tensor, made: Tensor, norm: Norm) -> Numbers:
    search: Any = import_module("sklearn.neighbors").NearestNeighbors
    metric = {"l1": "manhattan", "l2": "euclidean"}[norm]

    def act() -> list[float]:
        found = search(n_neighbors=1, algorithm="brute", metric=metric).fit(real.numpy())
        return [float(found.kneighbors(made.numpy())[0].mean(dtype=float))]

    return act


def _nearest(real: Tensor, made: Tensor, norm: Norm) -> Numbers:
    return lambda: [nearest_neighbours(made, real, norm=norm).distances.mean().item()]


def _authpct(real: Tensor, made: Tensor) -> float:
    """dgm-eval's program [github.com/layer6ai-labs/dgm-eval, metrics/authpct.py]."""
    within = torch.cdist(real, real).fill_diagonal_(torch.inf)
    between = torch.cdist(real, made)
    nearest = between.min(dim=0)
    spacing = within.min(dim=1).values[nearest.indices]
    return 100 * (nearest.values > spacing).double().mean().item()


def _fid(real: Tensor, made: Tensor) -> Numbers:
    module: Any = import_module("torch_fidelity.metric_fid")
    key = "frechet_inception_distance"

    def act() -> list[float]:
        stats = [module.fid_features_to_statistics(rows) for rows in (real, made)]
        return [float(module.fid_statistics_to_metric(*stats, verbose=False)[key])]

    return act
