"""How often an audit's verdict is wrong where nothing is, and how often right where something is.

    python -m ganstoch.bench.calibration --photographs FOLDER --clothes FOLDER

Nulls: training, generated and held-out images are draws of one kind, of twelve kinds. Faults: a
share of the generated images is noise, black, one image again and again, or training images; or
some classes are left out, in the features of a network. Every draw is audited by the rules and the
code of `ganstoch audit`. One line of JSON a draw goes to OUT, and draws that are there are not made
again; the table is made of all of them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ganstoch.auditing.evidence import gather
from ganstoch.auditing.feature_cache import features_of
from ganstoch.auditing.findings import find
from ganstoch.auditing.images import Images, Role
from ganstoch.auditing.inputs import MEMORY, open_images
from ganstoch.auditing.verdict import verdict
from ganstoch.bench import null_images
from ganstoch.metrics.features import EfficientNetLite0, Extractor
from ganstoch.metrics.features import Pixels as PixelSpace
from ganstoch.records import write_atomically
from ganstoch.report.page_words import percent
from ganstoch.types import Norm

__all__ = ["SIZES", "Trial", "judge", "main", "table", "trials"]

SIZES: tuple[tuple[int, int, int], ...] = (
    (20, 20, 0),
    (20, 20, 20),
    (60, 50, 30),
    (200, 100, 0),
    (200, 200, 100),
    (1000, 500, 0),
    (1000, 500, 50),
    (1000, 500, 250),
    (5000, 500, 500),
    (5000, 2000, 0),
)
"""Training, generated and held-out images of a null."""

FAULTS: dict[str, tuple[str, ...]] = {
    "noise": ("unlike_the_data",),
    "black": ("unlike_the_data", "collapsed"),
    "one image": ("collapsed",),
    "exact copies": ("copies",),
}
"""What a share of the generated images is, and the verdicts that are right."""

SHARES = (0.02, 0.05)
FAULTY = ("photographs", "clothes", "text scans", "grey blobs")
"""Kinds of which a share is made faulty."""

CLASSES = "photographs, by a network's features and classes"
LEFT_OUT: tuple[tuple[int, tuple[int, int, int]], ...] = tuple(
    (count, (real, made, held_out))
    for count, real, made in ((0, 1000, 500), (3, 1000, 500), (1, 1000, 2000), (1, 2000, 2000))
    for held_out in (0, 500)
)
"""Classes of ten that are left out, and training, generated and held-out images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One draw.

    Attributes:
        kind: of images.
        fault: "" for a null.
        share: of the generated images that is faulty, or of the classes.
        sizes: training, generated and held-out images.
        draw: number of the draw.
    """

    kind: str
    fault: str
    share: float
    sizes: tuple[int, int, int]
    draw: int


class Known(Extractor):
    """Features that a network has made before, found by the images' pixels.

    Args:
        images: uint8, shape (N, C, H, W), all different.
        rows: their features, shape (N, F).
    """

    name = "efficientnet_lite0_64px_l2"
    norm: Norm = "l2"

    def __init__(self, images: null_images.Pixels, rows: torch.Tensor) -> None:
        self._place = {image.tobytes(): i for i, image in enumerate(images)}
        self._rows = rows

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Shape (N, F); a KeyError for an image that the network has not seen."""
        return self._rows[[self._place[image.tobytes()] for image in images.numpy()]]


def judge(
    arrays: dict[Role, null_images.Pixels],
    *,
    seed: int,
    extractor: Extractor | None = None,
    labels: tuple[str, ...] | None = None,
) -> tuple[list[str], str, str]:
    """All verdicts of an audit, the one it gives, and its sentence.

    Args:
        arrays: the sets of images.
        seed: of the audit.
        extractor: of the feature space; pixels if None.
        labels: class of each training image.
    """
    sets: dict[Role, Images] = {
        role: open_images(array, role=role) for role, array in arrays.items() if len(array)
    }
    sets["real"].labels = labels
    space = extractor or PixelSpace()
    evidence = gather(
        sets, [space], features=partial(features_of, cache=None, memory=MEMORY), seed=seed
    )
    findings = find(evidence)
    kind, sentence = verdict(findings, evidence)
    return [finding.verdict for finding in findings], kind, sentence


def trials(kinds: Sequence[str], *, draws: int, most: int, classes: bool) -> Iterator[Trial]:
    """All draws, those of large sets last.

    Args:
        kinds: of images.
        draws: of each.
        most: training images at most.
        classes: whether classes can be left out.
    """
    yield from _nulls(kinds, draws=draws, sizes=[s for s in SIZES if s[0] <= min(most, 1000)])
    if classes:
        for count, sizes in LEFT_OUT:
            for draw in range(draws):
                yield Trial(
                    kind=CLASSES,
                    fault="classes left out" if count else "",
                    share=count / 10,
                    sizes=sizes,
                    draw=draw,
                )
    for share in sorted(SHARES, reverse=True):
        for kind in (kind for kind in kinds if kind in FAULTY):
            for fault in FAULTS:
                for draw in range(draws):
                    yield Trial(
                        kind=kind, fault=fault, share=share, sizes=(1000, 500, 0), draw=draw
                    )
    yield from _nulls(kinds, draws=draws, sizes=[s for s in SIZES if 1000 < s[0] <= most])


def _nulls(
    kinds: Sequence[str], *, draws: int, sizes: Sequence[tuple[int, int, int]]
) -> Iterator[Trial]:
    for size in sizes:
        for draw in range(draws):
            for kind in kinds:
                if kind != "digits" or sum(size) <= 1797:
                    yield Trial(kind=kind, fault="", share=0.0, sizes=size, draw=draw)


@cache
def _real_images(kind: str, folder: str) -> Any:
    if kind == "photographs":
        return null_images.photographs(Path(folder))
    return null_images.clothes(Path(folder))


def _draw_of(kind: str, folders: dict[str, str]) -> null_images.Draw:
    if kind == "digits":
        return null_images.array_kind(null_images.digits())
    if kind == "photographs":
        return null_images.array_kind(_real_images(kind, folders[kind])[0])
    if kind == "clothes":
        return null_images.array_kind(_real_images(kind, folders[kind]))
    return null_images.SYNTHETIC[kind]


def _seeded(trial: Trial) -> np.random.Generator:
    name = f"{trial.kind}/{trial.fault}/{trial.share}/{trial.sizes}/{trial.draw}"
    return np.random.default_rng(list(name.encode()))


def play(trial: Trial, folders: dict[str, str], features: str | None) -> dict[str, Any]:
    """Makes one draw, audits it."""
    torch.set_num_threads(1)
    started = time.monotonic()
    rng = _seeded(trial)
    if trial.kind == CLASSES:
        assert features is not None
        found, kind, sentence = _without_classes(trial, folders, features, rng)
    else:
        real, made, held_out = np.split(
            _draw_of(trial.kind, folders)(sum(trial.sizes), rng), np.cumsum(trial.sizes)[:-1]
        )
        made = made.copy()
        bad = round(trial.share * len(made))
        if trial.fault == "noise":
            made[:bad] = rng.integers(0, 256, made[:bad].shape)
        elif trial.fault == "black":
            made[:bad] = 0
        elif trial.fault == "one image":
            made[:bad] = made[0]
        elif trial.fault == "exact copies":
            made[:bad] = real[:bad]
        found, kind, sentence = judge(
            {"real": real, "generated": made, "held_out": held_out}, seed=trial.draw
        )
    return {
        **asdict(trial),
        "findings": found,
        "verdict": kind,
        "sentence": sentence,
        "seconds": round(time.monotonic() - started, 2),
    }


def _without_classes(
    trial: Trial, folders: dict[str, str], features: str, rng: np.random.Generator
) -> tuple[list[str], str, str]:
    images, names = _real_images("photographs", folders["photographs"])
    labels = np.array(names)
    gone = rng.permutation(sorted(set(names)))[: round(10 * trial.share)]
    order = rng.permutation(len(images))
    n, m, k = trial.sizes
    real, rest = order[:n], order[n + k :]
    made = rest[~np.isin(labels[rest], gone)][:m]
    return judge(
        {"real": images[real], "generated": images[made], "held_out": images[order[n : n + k]]},
        seed=trial.draw,
        extractor=_known(folders["photographs"], features),
        labels=tuple(labels[real].tolist()),
    )


@cache
def _known(folder: str, features: str) -> Known:
    return Known(_real_images("photographs", folder)[0], torch.from_numpy(np.load(features)))


def _key(record: dict[str, Any]) -> str:
    fields = ("kind", "fault", "share", "sizes", "draw")
    return json.dumps([record[field] for field in fields])


def table(records: Sequence[dict[str, Any]]) -> str:
    """Both tables as Markdown: false alarms by kind and size, right verdicts by fault and share."""
    nulls = [record for record in records if not record["fault"]]
    sizes = sorted({tuple(record["sizes"]) for record in nulls})
    heads = [f"{n:,} / {m:,} / {k:,}" for n, m, k in sizes]
    lines = [
        "| nothing is wrong: draws with a finding, of all; real / generated / held out | "
        f"{' | '.join(heads)} | all |",
        "|---|" + "---|" * (len(sizes) + 1),
    ]
    kinds = list(dict.fromkeys(record["kind"] for record in nulls))
    for kind in [*kinds, "all"]:
        own = [r for r in nulls if kind in (r["kind"], "all")]
        cells = [_alarms([r for r in own if tuple(r["sizes"]) == size]) for size in sizes]
        lines.append(f"| {kind} | {' | '.join(cells)} | {_alarms(own)} |")
    faulty = [record for record in records if record["fault"]]
    columns = sorted({(r["fault"], r["share"], tuple(r["sizes"])) for r in faulty})
    if columns:
        lines += [
            "",
            "| fault | share | real / generated / held out | found | by kind, where fewer |",
        ]
        lines.append("|---|---|---|---|---|")
    for fault, share, (n, m, k) in columns:
        own = [
            r
            for r in faulty
            if (r["fault"], r["share"], tuple(r["sizes"])) == (fault, share, (n, m, k))
        ]
        less = []
        for kind in dict.fromkeys(r["kind"] for r in own):
            of_kind = [r for r in own if r["kind"] == kind]
            right = sum(_right(r) for r in of_kind)
            if right < 0.95 * len(of_kind):
                less.append(f"{kind} {right}/{len(of_kind)}")
        right = sum(_right(r) for r in own)
        lines.append(
            f"| {fault} | {percent(share)} | {n:,} / {m:,} / {k:,} | {right}/{len(own)} "
            f"| {', '.join(less)} |"
        )
    return "\n".join(lines)


def _alarms(records: Sequence[dict[str, Any]]) -> str:
    if not records:
        return ""
    found = sum(bool(record["findings"]) for record in records)
    unsure = sum(record["verdict"] == "undecided" for record in records)
    return f"{found}/{len(records)}" + (f" ({unsure} undecided)" if unsure else "")


def _right(record: dict[str, Any]) -> bool:
    wanted = FAULTS.get(record["fault"], ("drops_modes",))
    return any(kind in wanted for kind in record["findings"])


def _features(images: null_images.Pixels, file: Path) -> None:
    """Features of photographs, made once."""
    network = EfficientNetLite0(size=64)
    rows = [
        network(torch.from_numpy(images[i : i + 64]))
        for i in tqdm(range(0, len(images), 64), "features", file=sys.stderr)
    ]
    np.save(file, torch.cat(rows).numpy())


def main(arguments: Sequence[str] | None = None) -> int:
    """Plays what is missing, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", type=Path, help="folder with a folder of images a class")
    parser.add_argument("--clothes", type=Path, help="folder of Fashion-MNIST's files")
    parser.add_argument("--kinds", help="comma-separated; all that are at hand if unset")
    parser.add_argument("--draws", type=int, default=30, help="of each kind and size")
    parser.add_argument("--most", type=int, default=5000, help="training images at most")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--out", type=Path, default=Path("results/calibration"))
    chosen = parser.parse_args(arguments)
    folders = {
        name: str(folder)
        for name in ("photographs", "clothes")
        if (folder := getattr(chosen, name)) is not None
    }
    kinds = [*folders, "digits", *null_images.SYNTHETIC]
    if chosen.kinds:
        kinds = [kind.strip() for kind in chosen.kinds.split(",")]
    chosen.out.mkdir(parents=True, exist_ok=True)
    features = None
    if "photographs" in kinds:
        features = chosen.out / "features.npy"
        if not features.exists():
            _features(_real_images("photographs", folders["photographs"])[0], features)
    file = chosen.out / "draws.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    records = [json.loads(line) for line in lines]
    known = {_key(record) for record in records}
    todo = [
        trial
        for trial in trials(
            kinds, draws=chosen.draws, most=chosen.most, classes=features is not None
        )
        if _key(json.loads(json.dumps(asdict(trial)))) not in known
    ]
    with ProcessPoolExecutor(chosen.jobs) as pool, file.open("a") as sink:
        waiting = [
            pool.submit(play, trial, folders, None if features is None else str(features))
            for trial in todo
        ]
        for done in tqdm(as_completed(waiting), "draws", len(waiting), file=sys.stderr):
            records.append(done.result())
            sink.write(json.dumps(records[-1]) + "\n")
            sink.flush()
    text = table(records)
    print(text)
    write_atomically(chosen.out / "calibration.md", (text + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
