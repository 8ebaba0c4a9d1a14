"""How often an audit's verdict is wrong where nothing is, and how often right where something is.

    python -m ganstoch.bench.calibration --photographs FOLDER --clothes FOLDER

Nulls: training, generated and held-out images are draws of one of twelve kinds. Faults: a share of
the generated images is spoiled, or classes are left out. Draws that OUT holds are not made again.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from ganstoch.auditing.evidence import gather
from ganstoch.auditing.findings import find, verdict
from ganstoch.auditing.inputs import Images, Role, open_images
from ganstoch.auditing.report import Verdict
from ganstoch.bench.null_images import SYNTHETIC, Pixels, draw, real_images
from ganstoch.metrics.features import EfficientNetLite0, Extractor
from ganstoch.metrics.features import Pixels as PixelSpace
from ganstoch.records import write_atomically
from ganstoch.types import Norm

# Training, generated and held-out images of a null.
SIZES: tuple[tuple[int, int, int], ...] = (
    *((20, 20, 0), (20, 20, 20), (60, 50, 30), (200, 100, 0), (200, 200, 100), (1000, 500, 0)),
    *((1000, 500, 50), (1000, 500, 250), (5000, 500, 500), (5000, 2000, 0)),
)
# What a share of the generated images is, or is left out of them, and the verdicts that are right.
RIGHT = {
    "noise": ("distribution_shift",),
    "black": ("distribution_shift", "mode_collapse"),
    "one image": ("mode_collapse",),
    "exact copies": ("memorization",),
    "classes left out": ("mode_drop",),
}
FAULTS = tuple(RIGHT)[:-1]
SHARES = (0.05, 0.02)
ROLES: tuple[Role, ...] = ("real", "generated", "held_out")
FAULTY = ("photographs", "clothes", "text scans", "grey blobs")  # kinds with a share made faulty
CLASSES = "photographs, by a network's features and classes"
# Classes of ten that are left out, and training, generated and held-out images.
LEFT_OUT: tuple[tuple[int, tuple[int, int, int]], ...] = tuple(
    (count, (real, generated, held_out))
    for count, real, generated in ((0, 1000, 500), (3, 1000, 500), (1, 1000, 2000), (1, 2000, 2000))
    for held_out in (0, 500)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One draw; `fault` is "" for a null, `share` is of the generated images or of the classes."""

    kind: str
    fault: str = ""
    share: float = 0.0
    sizes: tuple[int, int, int]
    draw: int


class _Known(Extractor):
    """Features (N, F) that a network has made before of these images, found by their pixels."""

    name = "efficientnet_lite0_64px_l2"
    norm: Norm = "l2"

    def __init__(self, images: Pixels, rows: torch.Tensor) -> None:
        self._place = {image.tobytes(): i for i, image in enumerate(images)}
        self._rows = rows

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return self._rows[[self._place[image.tobytes()] for image in images.numpy()]]


def trials(kinds: Sequence[str], *, draws: int, most: int, classes: bool) -> Iterator[Trial]:
    """All draws of these kinds, with at most ``most`` training images; those of large sets last."""

    def nulls(low: int, high: int) -> Iterator[Trial]:
        for sizes, number in product((s for s in SIZES if low < s[0] <= high), range(draws)):
            for kind in kinds:
                if kind != "digits" or sum(sizes) <= 1797:
                    yield Trial(kind=kind, sizes=sizes, draw=number)

    yield from nulls(0, min(most, 1000))
    for (count, sizes), number in product(LEFT_OUT if classes else (), range(draws)):
        fault = "classes left out" if count else ""
        yield Trial(kind=CLASSES, fault=fault, share=count / 10, sizes=sizes, draw=number)
    faulty = [kind for kind in kinds if kind in FAULTY]
    for share, kind, fault, number in product(SHARES, faulty, FAULTS, range(draws)):
        yield Trial(kind=kind, fault=fault, share=share, sizes=(1000, 500, 0), draw=number)
    yield from nulls(1000, most)


def run_trial(trial: Trial, folders: dict[str, str], features: str | None) -> dict[str, Any]:
    """Makes one draw and audits it: by pixels, or by a file of ``features`` and by classes."""
    torch.set_num_threads(1)
    started = time.monotonic()
    name = f"{trial.kind}/{trial.fault}/{trial.share}/{trial.sizes}/{trial.draw}"
    rng = np.random.default_rng(list(name.encode()))
    space: Extractor = PixelSpace()
    labels = None
    if trial.kind == CLASSES:
        assert features is not None
        space = _known(folders["photographs"], features)
        arrays, labels = _without_classes(trial, folders["photographs"], rng)
    else:
        images = draw(trial.kind, folders.get(trial.kind, ""), sum(trial.sizes), rng)
        arrays = np.split(images, np.cumsum(trial.sizes)[:-1])
        _spoil(arrays[1], round(trial.share * trial.sizes[1]), trial.fault, arrays[0], rng)
    sets: dict[Role, Images] = {
        role: open_images(array, role=role)
        for role, array in zip(ROLES, arrays, strict=True)
        if len(array)
    }
    sets["real"].labels = labels
    evidence = gather(sets, [space], seed=trial.draw)
    findings = find(evidence)
    kind, sentence = verdict(findings, evidence)
    return {
        **asdict(trial),
        "findings": [finding.verdict for finding in findings],
        "verdict": kind,
        "sentence": sentence,
        "seconds": round(time.monotonic() - started, 2),
    }


def _spoil(images: Pixels, count: int, fault: str, real: Pixels, rng: np.random.Generator) -> None:
    if fault == "noise":
        images[:count] = rng.integers(0, 256, images[:count].shape)
    elif fault == "black":
        images[:count] = 0
    elif fault == "one image":
        images[:count] = images[0].copy()
    elif fault == "exact copies":
        images[:count] = real[:count]


def _without_classes(
    trial: Trial, folder: str, rng: np.random.Generator
) -> tuple[list[Pixels], tuple[str, ...]]:
    """Photographs with some classes left out of the generated, and the real images' classes."""
    images, names = real_images("photographs", folder)
    labels = np.array(names)
    gone = rng.permutation(sorted(set(names)))[: round(10 * trial.share)]
    n, m, k = trial.sizes
    real, held_out, rest = np.split(rng.permutation(len(images)), [n, n + k])
    generated = rest[~np.isin(labels[rest], gone)][:m]
    return [images[ids] for ids in (real, generated, held_out)], tuple(labels[real].tolist())


@cache
def _known(folder: str, features: str) -> _Known:
    return _Known(real_images("photographs", folder)[0], torch.from_numpy(np.load(features)))


def table(records: Sequence[dict[str, Any]]) -> str:
    """Two tables as Markdown: false alarms by kind and size, right verdicts by fault and kind."""
    frame = pd.DataFrame(records)
    frame["images"] = [" / ".join(f"{size:,}" for size in sizes) for sizes in frame["sizes"]]
    frame["order"] = frame["sizes"].map(sum)
    frame["alarm"] = frame["findings"].map(bool)
    pairs = zip(frame["fault"], frame["findings"], strict=True)
    frame["right"] = [bool(set(findings) & set(RIGHT.get(fault, ()))) for fault, findings in pairs]
    nulls, faulty = frame[frame["fault"] == ""].sort_values("order"), frame[frame["fault"] != ""]
    text = "Draws with a finding where nothing is wrong, by real / generated / held-out images:\n\n"
    text += _counts(nulls, "alarm", ["kind"], ["images"]).to_markdown()
    if len(faulty):
        right = _counts(faulty, "right", ["fault", "share", "images"], ["kind"])
        text += "\n\nDraws whose fault is found:\n\n" + right.reset_index().to_markdown(index=False)
    unsure = (nulls["verdict"] == "undecided").sum()
    return f"{text}\n\n{unsure} of {len(nulls)} draws with no fault are undecided.\n"


def _counts(frame: pd.DataFrame, what: str, rows: list[str], columns: list[str]) -> pd.DataFrame:
    def share(hits: pd.Series) -> str:
        return f"{hits.sum()}/{len(hits)}"

    look: dict[str, Any] = {"margins": True, "margins_name": "all", "fill_value": ""}
    return frame.pivot_table(what, rows, columns, aggfunc=share, sort=False, **look)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the trials that are missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", help="folder with a folder of images a class")
    parser.add_argument("--clothes", help="folder of Fashion-MNIST's files")
    parser.add_argument("--kinds", help="comma-separated; all that are at hand if unset")
    parser.add_argument("--draws", type=int, default=30, help="of each kind and size")
    parser.add_argument("--most", type=int, default=5000, help="training images at most")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--out", type=Path, default=Path("runs/calibration"))
    given = parser.parse_args(arguments)
    folders = {name: vars(given)[name] for name in ("photographs", "clothes") if vars(given)[name]}
    chosen = given.kinds.split(",") if given.kinds else [*folders, "digits", *SYNTHETIC]
    kinds = [kind.strip() for kind in chosen]
    given.out.mkdir(parents=True, exist_ok=True)
    features = given.out / "features.npy" if "photographs" in kinds else None
    if features is not None and not features.exists():
        photographs = torch.from_numpy(real_images("photographs", folders["photographs"])[0])
        network, batches = EfficientNetLite0(size=64), torch.split(photographs, 64)
        rows = [network(batch) for batch in tqdm(batches, "features", file=sys.stderr)]
        np.save(features, torch.cat(rows).numpy())
    file = given.out / "draws.jsonl"
    records = list(map(json.loads, file.read_text().splitlines())) if file.exists() else []
    if any(record["verdict"] not in get_args(Verdict) for record in records):
        parser.error(f"{file} has verdicts of an earlier version; remove it")
    done = {_key(record) for record in records}
    all_trials = trials(kinds, draws=given.draws, most=given.most, classes=features is not None)
    missing = [trial for trial in all_trials if _key(asdict(trial)) not in done]
    with ProcessPoolExecutor(given.jobs) as pool, file.open("a") as sink:
        run = partial(run_trial, folders=folders, features=features and str(features))
        futures = [pool.submit(run, trial) for trial in missing]
        for future in tqdm(as_completed(futures), "draws", len(futures), file=sys.stderr):
            records.append(future.result())
            sink.write(json.dumps(records[-1]) + "\n")
            sink.flush()
    print(text := table(records))
    write_atomically(given.out / "calibration.md", text.encode())
    return 0


def _key(record: dict[str, Any]) -> str:
    return json.dumps([record[field] for field in ("kind", "fault", "share", "sizes", "draw")])


if __name__ == "__main__":
    sys.exit(main())
