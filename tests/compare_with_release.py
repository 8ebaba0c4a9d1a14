"""Whether this version trains to the same weights as a release: a script, not a test.

``python tests/compare_with_release.py CHECKOUT`` trains the same 50 iterations from the same seed
in a checkout of 0.5.0 and in this version, in double precision, and compares every weight of the
generator, the discriminator and the average. Both run in this Python's environment. It prints a
table, and exits with status 1 if a weight differs by more than 1e-6.
"""

from __future__ import annotations

import argparse
import fnmatch
import importlib.util
import logging
import os
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

TOLERANCE = 1e-6
HERE = Path(__file__).resolve().parents[1]
Weights = dict[str, list[Any]]


def make_cases() -> dict[str, Callable[[], tuple[Any, Any]]]:
    """What is trained, by name: each makes a GAN and its data, in either version."""
    from ganstoch import models, objectives, remedies
    from ganstoch.data import Digits, Ring
    from ganstoch.data.datamodule import ImageData
    from ganstoch.latents import LatentSettings

    old = importlib.util.find_spec("ganstoch.training.game") is not None
    module = importlib.import_module(f"ganstoch.training.{'game' if old else 'gan'}")
    gan, adam = (module.Game if old else module.GAN), module.AdamSettings
    replay = remedies.Replay if old else remedies.ExperienceReplay

    def images(
        *parts: Callable[[], Any],
        m: int | str = 16,
        noise: float = 0.0,
        bank: str = "n",
        nets: str = "Paper",
        objective: Callable[[], Any] | None = None,
        **settings: Any,
    ) -> tuple[Any, Any]:
        sizes = {"width": 16} if nets == "Paper" else {}
        latent = {"latent_dim": 8} if nets == "Paper" else {}
        model = gan(
            partial(getattr(models, f"{nets}Generator"), **sizes, **latent),
            partial(getattr(models, f"{nets}Discriminator"), **sizes),
            objective and objective(),
            remedies=[part() for part in parts],
            latents=LatentSettings(bank=bank, noise=noise),
            optimizer=adam(lr=1e-3),
            ema_decay=0.9,
            **settings,
        )
        return model, ImageData(Digits(), n=64, m=m)

    def points(*parts: Callable[[], Any]) -> tuple[Any, Any]:
        model = gan(
            partial(models.ReLUGenerator, latent_dim=2, width=32, depth=4, batch_norm=True),
            partial(models.MaxoutDiscriminator, width=20, depth=3, pieces=5),
            remedies=[part() for part in parts],
            latents=LatentSettings(bank="fresh"),
            optimizer=adam(lr=1e-3, beta1=0.8, beta2=0.999),
            ema_decay=0.0,
            shape=(2,),
        )
        return model, ImageData(Ring(size=1000), n=1000, m=100)

    snapshots = partial(remedies.Snapshots, every=8, keep=2, lasting=5)
    each: dict[str, Callable[[], Any]] = {
        "acgan": partial(remedies.ACGAN, classes=10),
        "batch_norm": remedies.DiscriminatorBatchNorm,
        "batch_norm, one batch": partial(remedies.DiscriminatorBatchNorm, apart=False),
        "experience_replay": partial(replay, share=0.5, capacity=20),
        "feature_matching": partial(remedies.FeatureMatching, share=0.5),
        "label_flipping": partial(remedies.LabelFlipping, probability=0.2),
        "label_smoothing": remedies.LabelSmoothing,
        "minibatch_discrimination": partial(remedies.MinibatchDiscrimination, kernels=5, dims=3),
        "mixture": partial(remedies.Mixture, generators=2, identity=0.3),
        "packing": remedies.Packing,
        "packing, packs": partial(remedies.Packing, matched="packs"),
        "pretraining": partial(remedies.Pretraining, iterations=20),
        "r1": remedies.R1,
        "ratio": partial(remedies.Ratio, discriminator=2, generator=2),
        "snapshots, generator": snapshots,
        "snapshots, discriminator": partial(snapshots, of="discriminator"),
        "svre": remedies.SVRE,
        "svre, extrapolation": partial(remedies.SVRE, variance_reduction=False),
        "svre, variance": partial(remedies.SVRE, extrapolate=False, every=3),
        "timescales": partial(remedies.Timescales, discriminator=2.0, scale="sqrt"),
        "unrolling": partial(remedies.Unrolling, steps=2),
        "weight_clipping": partial(remedies.WeightClipping, limit=0.05),
        "wgan_gp": remedies.WGANGP,
    }
    pairs = [
        *("r1 + label_smoothing + timescales", "acgan + mixture + ratio"),
        *("packing + wgan_gp + label_flipping", "svre, extrapolation + weight_clipping"),
        *("experience_replay + ratio", "pretraining + feature_matching"),
        *("unrolling + r1", "unrolling + ratio"),
    ]
    coupled = {"batch_norm", "feature_matching", "minibatch_discrimination", "unrolling"}
    cases: dict[str, Callable[[], tuple[Any, Any]]] = {
        "plain": images,
        "plain, dcgan": partial(images, nets="DCGAN", m=8),
        "plain, m = n": partial(images, m="n"),
        "plain, noise": partial(images, noise=0.5),
        "plain, fresh latents": partial(images, bank="fresh"),
        "plain, micro-batches of 5": partial(images, micro_batch=5),
        "ring": points,
        "ring, packing": partial(points, remedies.Packing),
        "ring, unrolling": partial(points, partial(remedies.Unrolling, steps=3)),
        "two ranks": images,
        "two ranks, micro-batches of 3": partial(images, micro_batch=3),
    }
    for name, make in each.items():
        cases[f"remedy {name}"] = partial(images, make)
        if name.split(",")[0] not in coupled:
            cases[f"remedy {name}, micro-batches of 6"] = partial(images, make, micro_batch=6)
            cases[f"two ranks, remedy {name}"] = partial(images, make)
    for name in pairs:
        cases[f"remedies {name}"] = partial(images, *(each[part] for part in name.split(" + ")))
    for name in objectives.__all__:
        if name not in ("Objective", "Pointwise"):
            cases[f"objective {name}"] = partial(images, objective=getattr(objectives, name))
    return cases


def train(make: Callable[[], tuple[Any, Any]], *, iterations: int, devices: int) -> Weights:
    """The weights of both networks and of the average after some iterations."""
    from pytorch_lightning import Trainer

    from ganstoch.training.distributed import Ranks

    model, data = make()
    Trainer(
        accelerator="cpu",
        devices=devices,
        strategy=Ranks() if devices > 1 else "auto",
        precision="64-true",
        max_epochs=-1,
        max_steps=iterations,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(model, datamodule=data)
    ema = next(getattr(model, name) for name in ("ema", "average") if hasattr(model, name))
    players = {"G": model.generator, "D": model.discriminator, "average": ema.generator}
    return {
        name: [value.detach().clone() for value in network.state_dict().values()]
        for name, network in players.items()
    }


def train_all(names: Sequence[str], file: Path, *, iterations: int) -> None:
    """Trains the cases of these names in the version that is first on the path."""
    import torch

    if importlib.util.find_spec("ganstoch.training.game") is not None:
        sys.modules["ganstoch.training.distributed"] = importlib.import_module(
            "ganstoch.training.ranks"
        )
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for name in ("pytorch_lightning", "pytorch_lightning.utilities.rank_zero", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    cases, devices = make_cases(), int(os.environ.get("WORLD_SIZE", 1))
    trained = {name: train(cases[name], iterations=iterations, devices=devices) for name in names}
    if int(os.environ.get("LOCAL_RANK", 0)) == 0:
        torch.save(trained, file)


def in_version(
    path: Path, names: Sequence[str], folder: Path, *, iterations: int
) -> dict[str, Weights]:
    """The weights that a version trains to, in processes of its own."""
    import torch

    trained: dict[str, Weights] = {}
    for world in (1, 2):
        part = [name for name in names if name.startswith("two ranks") == (world == 2)]
        if not part:
            continue
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        place = {"PYTHONPATH": str(path), "OMP_NUM_THREADS": "1", "NODE_RANK": "0"}
        place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(world)}
        file = folder / f"{world}.pt"
        line = [sys.executable, __file__, f"--train={file}", f"--iterations={iterations}", *part]
        environments = [os.environ | place | {"LOCAL_RANK": str(rank)} for rank in range(world)]
        processes = [subprocess.Popen(line, env=each, cwd=folder) for each in environments]
        if any([process.wait() for process in processes]):
            sys.exit(f"{path} could not train these")
        trained |= torch.load(file, weights_only=True)
    return trained


def farthest(one: Weights, other: Weights) -> tuple[float, bool]:
    """The largest difference of two sets of weights, and whether they are the same bits."""
    import torch

    pairs = [(a, b) for name in one for a, b in zip(one[name], other[name], strict=True)]
    identical = all(torch.equal(a, b) for a, b in pairs)
    gap = max(float((a.double() - b.double()).abs().max()) for a, b in pairs if a.numel())
    return gap, identical


def main() -> int:
    """Compares, and says how."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", nargs="+", help="of 0.5.0")
    parser.add_argument("--only", default="*", help="cases whose names match, e.g. '*svre*'")
    parser.add_argument("--iterations", type=int, default=50)
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:  # in a process of its own, and then these are the cases
        train_all(arguments.checkout, arguments.train, iterations=arguments.iterations)
        return 0
    release = Path(arguments.checkout[0]).resolve()
    sys.path.insert(0, str(HERE))
    names = [name for name in make_cases() if fnmatch.fnmatch(name, arguments.only)]
    with tempfile.TemporaryDirectory() as scratch:
        options = {"folder": Path(scratch), "iterations": arguments.iterations}
        theirs, ours = (in_version(path, names, **options) for path in (release, HERE))
    worst = 0.0
    print(f"{'case':48} {'max abs difference':>18}  identical")
    for name in names:
        gap, identical = farthest(theirs[name], ours[name])
        worst = max(worst, gap) if gap == gap else float("inf")
        print(f"{name:48} {gap:18.3g}  {'yes' if identical else 'no'}")
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
