"""`make gpu-report`: what only a CUDA device can show, as JSON, curves and one page.

In this order: the tests of ``tests/gpu``, FAISS beside torch, the race against the plain loop, and
the paper's own row (Tables 2 and 3 of Yazici et al. 2020, m = n / 4) for as long as is left.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from ganstoch.bench.equality import Contest, make_gan, make_reference
from ganstoch.bench.search import photographs
from ganstoch.bench.timing import in_turns, say, seconds
from ganstoch.environment import hardware, versions
from ganstoch.metrics.neighbours import nearest_neighbours
from ganstoch.records import write_atomically
from ganstoch.report.figures import draw_curves, draw_neighbors, figure, png, styled
from ganstoch.report.frame import load
from ganstoch.report.reports import report_page
from ganstoch.report.tables import Section, table1

_MOST_BYTES = 16 * 2**20  # of all files together
_SHARE = 0.7  # of the time that is left, for the row's iterations; measuring takes the rest


@dataclass(frozen=True, slots=True)
class Scale:
    """How large everything is."""

    width: int  # of both networks
    latent_dim: int
    sizes: tuple[int, ...]  # batch sizes of the race; the last is the row's m
    rounds: int  # how often each contestant runs
    images: int  # n


FULL = Scale(1024, 512, (50, 800, 3200), 5, 12_800)
DRY = Scale(8, 8, (2, 4), 1, 16)


def run_tests(folder: Path) -> dict[str, Any]:
    """Runs the tests of a CUDA device; how many passed, which did not."""
    tests = Path(__file__).parents[2] / "tests" / "gpu"
    if not tests.is_dir():
        return {"not run": "the package is installed without its tests"}
    file = folder / "junit.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", str(tests), f"--junitxml={file}"]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if not file.exists():
        return {"not run": "pytest is not here, or ended early"}
    outcomes: dict[str, list[str]] = {"passed": [], "failed": [], "skipped": []}
    for case in ElementTree.parse(file).iter("testcase"):
        kinds = {child.tag for child in case}
        kind = "failed" if kinds & {"failure", "error"} else "skipped" if kinds else "passed"
        outcomes[kind].append(case.attrib["name"])
    return outcomes


def race_search(scale: Scale, device: torch.device) -> dict[str, Any]:
    """Neighbors of tensors on the device against all distances by torch in float64."""
    bank = photographs(scale.images, draw=0).round_().to(torch.uint8).to(device)
    query = photographs(max(1, scale.images // 10), draw=1).to(device)
    found = nearest_neighbours(query, bank, norm="l2")
    exact = partial(_all_distances, query.double(), bank.double())
    distances, ids = exact()
    ours = partial(nearest_neighbours, query, bank, norm="l2")
    times = in_turns({"ours": ours, "all": exact}, rounds=scale.rounds)
    maps = Path("/proc/self/maps")
    loaded = re.findall(r"(lib(?:cudart|cublas)[^/\s]*)$", maps.read_text(), re.M)
    return {
        "queries": len(query),
        "bank": len(bank),
        "same_ids": int((found.ids.to(device) == ids).sum()),
        "largest_difference": (found.distances.to(device) - distances).abs().max().item(),
        "cuda_libraries": sorted({*loaded}),
        **{f"seconds_{name}": seconds for name, seconds in times.items()},
    }


def _all_distances(query: Tensor, bank: Tensor) -> tuple[Tensor, Tensor]:
    mode = "donot_use_mm_for_euclid_dist"
    rows = [torch.cdist(part, bank, compute_mode=mode).min(1) for part in torch.split(query, 64)]
    return torch.cat([row.values for row in rows]), torch.cat([row.indices for row in rows])


def race(scale: Scale, device: torch.device, *, until: float) -> list[dict[str, Any]]:
    """Seconds of an iteration: the plain loop, ours, with bf16, compiled and as CUDA graphs.

    After ``until``, by `time.monotonic`, nothing more is compiled.
    """
    rows = []
    for m in scale.sizes:
        say(f"the race at m = {m}")
        gan = make_gan(latent_dim=scale.latent_dim, width=scale.width)
        plain = make_reference(gan)
        for network in (gan, plain.g, plain.d, plain.average):
            network.to(device)
        contest = Contest(gan, plain, m)
        acts: dict[str, Callable[[], object]] = {
            "plain loop": contest.theirs,
            "plain loop, bf16": partial(contest.theirs, mixed=True),
            "float32": contest.ours,
            "bf16": partial(contest.ours, mixed=True),
        }
        eager = [*acts]
        if device.type == "cuda":  # to compile for a CPU takes longer than to run
            for name, mode in (("compiled", "default"), ("CUDA graphs", "reduce-overhead")):
                twin = deepcopy(gan)
                twin.compile_mode = mode  # type: ignore[assignment]
                twin.on_fit_start()
                acts[f"bf16, {name}"] = partial(Contest(twin, None, m).ours, mixed=True)
        for name, act in acts.items():
            row: dict[str, Any] = {"m": m, "contestant": name}
            rows.append(row)
            if name not in eager and time.monotonic() > until:
                row["failed"] = "not compiled: half of the time had passed"
                continue
            try:
                if device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats()
                seconds(act)  # which may compile
                row["seconds"] = in_turns({name: act}, rounds=scale.rounds)[name]
                if device.type == "cuda":
                    row["peak_mib"] = torch.cuda.max_memory_allocated() / 2**20
            except RuntimeError as error:  # of one contestant, an empty memory for instance
                row["failed"] = str(error).splitlines()[0]
    return rows


def train_row(scale: Scale, folder: Path, images: Path, *, iterations: int) -> Path:
    """Trains the paper's row m = n / 4 for some iterations; its run folder."""
    run, narrow = folder / "row", scale is DRY
    words = ["fit", "--config=paper", "--config=n4", "--data.source=Folder", "--quiet=true"]
    words += [f"--data.root={images}", f"--data.n={scale.images}", "--evaluation.semantic=null"]
    words += [f"--trainer.max_steps={iterations}", f"--evaluation.every={-(-iterations // 8)}"]
    words += ["--wandb.mode=disabled", f"--out={run}"]
    if narrow:
        for player in ("generator", "discriminator"):
            words.append(f"--model.{player}.init_args.width={scale.width}")
        words += ["--evaluation.queries=4", "--trainer.accelerator=cpu"]
    subprocess.run([sys.executable, "-m", "ganstoch.cli", *words], check=True)
    return run


def smooth_images(folder: Path, count: int) -> Path:
    """Writes as many smooth random images as PNG, where there are no photographs."""
    folder.mkdir()
    bytes_ = photographs(count, draw=2).round_().to(torch.uint8).view(-1, 3, 32, 32)
    for number, image in enumerate(bytes_.permute(0, 2, 3, 1).numpy()):
        Image.fromarray(image).save(folder / f"{number:05}.png")
    return folder


@styled
def draw_race(rows: list[dict[str, Any]]) -> bytes:
    """Images a second of each contestant over the batch size, PNG."""
    made, ((axis,),) = figure(1, 1, size=(6.0, 3.6))
    frame = pd.DataFrame([row for row in rows if "seconds" in row])
    for name, own in frame.groupby("contestant", sort=False):
        axis.plot(own.m, own.m / own.seconds, marker="o", label=name)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("m")
    axis.set_ylabel("images a second")
    axis.legend(fontsize=8)
    return png(made)


def write_page(out: Path, content: dict[str, Any], runs: list[Path]) -> None:
    """Writes ``index.html`` and its pictures."""
    tests, search = content["tests"], content["search"]
    sections = [
        Section(
            "Tests",
            pd.DataFrame(
                {"outcome": kind, "tests": str(len(names)) if isinstance(names, list) else names}
                for kind, names in tests.items()
            ),
            tuple(f"failed: {name}" for name in tests.get("failed", ())),
        ),
        Section(
            "An iteration",
            pd.DataFrame(
                {
                    "m": str(row["m"]),
                    "contestant": row["contestant"],
                    "seconds": f"{row['seconds']:.4f}" if "seconds" in row else row["failed"],
                    "MiB": f"{row['peak_mib']:.0f}" if "peak_mib" in row else "-",
                }
                for row in content["race"]
            ),
        ),
        Section(
            "Neighbors of tensors on the device",
            pd.DataFrame(
                {
                    "": name.replace("_", " "),
                    "value": f"{value:.3g}" if isinstance(value, float) else str(value),
                }
                for name, value in search.items()
            ),
        ),
    ]
    pictures = {"race.png": draw_race(content["race"])}
    if runs:
        frame, _ = load(runs)
        sections += table1(frame)
        pictures |= {"curves.png": draw_curves(frame)}
        pictures |= {"neighbors.png": draw_neighbors(frame, direction="overfitting")}
    for name, picture in pictures.items():
        write_atomically(out / name, picture)
    caption = f"{content['hardware']}; {content['seconds']:.0f} seconds. " + (
        "A dry run at toy size: it shows that the report works, and nothing of a device."
        if content["dry"]
        else f"Images of the row: {content['images']}."
    )
    page = report_page("GPU report", caption, sections, list(pictures))
    write_atomically(out / "index.html", page.encode())


def main(arguments: list[str] | None = None) -> int:
    """Measures, writes the report; 1 where a test failed, 2 where there is no device."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/gpu-report"))
    parser.add_argument("--minutes", type=float, default=9.0, help="for all of it")
    parser.add_argument("--images", type=Path, help="folder of 12,800 images or more; else made")
    parser.add_argument("--dry", action="store_true", help="at toy size, on any machine")
    given = parser.parse_args(arguments)
    started, scale = time.monotonic(), DRY if given.dry else FULL
    if not (given.dry or torch.cuda.is_available()):
        parser.error("no CUDA device is here; --dry tries the report at toy size")
    device = torch.device("cpu" if given.dry else "cuda")
    given.out.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {"dry": given.dry, "hardware": hardware(), "versions": versions()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        say("the tests of a CUDA device")
        content["tests"] = run_tests(folder)
        say("neighbors on the device")
        content["search"] = race_search(scale, device)
        content["race"] = race(scale, device, until=started + 30.0 * given.minutes)
        left = 60.0 * given.minutes - (time.monotonic() - started)
        at_m = (row for row in content["race"] if row["m"] == scale.sizes[-1])
        pace = next(row.get("seconds") for row in at_m if row["contestant"] == "float32")
        iterations = 2 if given.dry else int(_SHARE * left / pace) if pace else 0
        runs: list[Path] = []
        content["images"] = given.images.name if given.images else "smooth random ones"
        if iterations > 0:
            say(f"the paper's row for {iterations} iterations")
            images = given.images or smooth_images(folder / "images", scale.images)
            runs = [train_row(scale, folder, images, iterations=iterations)]
            content["row"] = json.loads((runs[0] / "record.json").read_bytes())
        else:
            content["row"] = {"not run": "no time was left for it, or an iteration failed"}
        content["seconds"] = time.monotonic() - started
        write_page(given.out, content, runs)
    text = json.dumps(content, indent=1).encode() + b"\n"
    write_atomically(given.out / "report.json", text)
    size = sum(path.stat().st_size for path in given.out.iterdir())
    if size > _MOST_BYTES:
        print(f"{given.out} has {size / 2**20:.0f} MiB, more than 16", file=sys.stderr)
    print(f"{given.out / 'index.html'}: {len(content['tests'].get('failed', ()))} tests failed")
    return int(bool(content["tests"].get("failed")))


if __name__ == "__main__":
    sys.exit(main())
