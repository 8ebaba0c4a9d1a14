"""Two ranks train as one device does, under every remedy; only the first of them writes."""

import os
import subprocess
import sysconfig
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor

from ganstoch import remedies
from ganstoch.cli import main
from ganstoch.data import Digits
from ganstoch.data.datamodule import ImageData
from ganstoch.models import PaperDiscriminator, PaperGenerator
from ganstoch.objectives import Hinge, LeastSquares, Objective, Relativistic, Wasserstein
from ganstoch.records import read_record
from ganstoch.remedies import Remedy
from ganstoch.rng import rng_for, with_replacement
from ganstoch.training.gan import GAN

Make = Callable[..., Any]
STEPS = 20
REFUSED = {"DiscriminatorBatchNorm", "FeatureMatching", "MinibatchDiscrimination", "Unrolling"}
"""Those that look at whole batches; tests/training/test_distributed.py shows that they are."""

SHARED: dict[str, Callable[[], list[Remedy]]] = {
    "none": list,
    "ACGAN": lambda: [remedies.ACGAN(classes=10)],
    "LabelFlipping": lambda: [remedies.LabelFlipping(probability=0.3)],
    "LabelSmoothing": lambda: [remedies.LabelSmoothing()],
    "Mixture": lambda: [remedies.Mixture(generators=3, identity=1.0)],
    "Packing": lambda: [remedies.Packing(size=3)],
    "Packing, packs": lambda: [remedies.Packing(size=2, matched="packs")],
    "Pretraining": lambda: [remedies.Pretraining(iterations=STEPS // 2)],
    "R1": lambda: [remedies.R1()],
    "Ratio": lambda: [remedies.Ratio(discriminator=2, generator=2)],
    "ExperienceReplay": lambda: [remedies.ExperienceReplay(share=0.5, capacity=20)],
    "SVRE": lambda: [remedies.SVRE(every=6)],
    "SVRE, extragradient": lambda: [remedies.SVRE(variance_reduction=False)],
    "SVRE, less variance": lambda: [remedies.SVRE(extrapolate=False)],
    "Snapshots, G": lambda: [remedies.Snapshots(every=4, keep=2, lasting=2)],
    "Snapshots, D": lambda: [remedies.Snapshots(of="discriminator", every=4, keep=2, lasting=2)],
    "Timescales": lambda: [remedies.Timescales(discriminator=2.0)],
    "WGANGP": lambda: [remedies.WGANGP()],
    "WeightClipping": lambda: [remedies.WeightClipping(limit=0.05)],
    "several": lambda: [
        remedies.Packing(size=3),
        remedies.ExperienceReplay(share=0.3, capacity=9),
        remedies.LabelSmoothing(),
        remedies.LabelFlipping(probability=0.2),
        remedies.R1(gamma=1.0),
        remedies.Ratio(discriminator=2),
    ],
}
OBJECTIVES: dict[str, Objective] = {
    "hinge": Hinge(),
    "least squares": LeastSquares(),
    "relativistic": Relativistic(),
    "wasserstein": Wasserstein(),
}
TWO = [*SHARED, *OBJECTIVES]


def make(*given: Remedy, objective: Objective | None = None) -> GAN:
    return GAN(
        partial(PaperGenerator, width=8, latent_dim=8),
        partial(PaperDiscriminator, width=8),
        objective,
        remedies=given,
        ema_decay=0.9,
        micro_batch=4,
    )


@pytest.fixture
def play(fit: Make, state_of: Make) -> Callable[..., dict[str, Tensor]]:
    """Every number that training leaves, in double precision; losses are means over the ranks."""

    def play(
        devices: int, game: GAN, *, resume: Path | None = None, save: Path | None = None
    ) -> dict[str, Tensor]:
        settings: dict[str, Any] = {"filename": "{step}", "every_n_train_steps": 7}
        saver = [ModelCheckpoint(save, save_top_k=-1, **settings)] if save else []
        settings = {"steps": STEPS, "resume": resume, "devices": devices, "precision": "64-true"}
        with warnings.catch_warnings(action="ignore"):  # Lightning's about itself
            trainer = fit(game, ImageData(Digits(), n=48, m=13), *saver, **settings)
        numbers: dict[str, Tensor] = state_of(trainer)
        for name, loss in game.losses.items():
            mean = loss.clone()
            if devices > 1:
                torch.distributed.all_reduce(mean)
            numbers[name] = mean / devices
        return numbers

    return play


def farthest(one: dict[str, Tensor], other: dict[str, Tensor]) -> tuple[float, str]:
    assert one.keys() == other.keys()
    return max(((one[k] - other[k]).abs().max().item(), k) for k in one)


def test_every_remedy_is_shared_or_refused() -> None:
    named = {name.partition(",")[0] for name in SHARED} - {"none", "several"}
    assert named | REFUSED | {"Remedies", "Remedy"} == set(remedies.__all__)
    assert not named & REFUSED


@pytest.mark.parametrize(("name", "world"), [*((n, 2) for n in TWO), ("several", 3)])
def test_several_ranks_are_one(
    name: str, world: int, play: Make, on_ranks: Make, assert_same_bits: Make, tally: Make
) -> None:
    """13 images: 7 and 6, or 9 and 6 (three and two packs of 3), at most 4 at once."""

    def game() -> GAN:
        return make(*SHARED.get(name, list)(), objective=OBJECTIVES.get(name))

    one, *others = on_ranks(lambda: play(world, game()), world=world)
    for other in others:
        assert_same_bits(one, other)
    alone, start = play(1, game()), game().double().state_dict()
    far, where = farthest(one, alone)
    assert far < 1e-10, where
    moved = max((start[k] - alone[k]).abs().max().item() for k in start)
    assert moved > 1e-4
    tally("DDP equals one process", len(one))


def test_a_resumed_run_is_the_uninterrupted_one(
    play: Make, on_ranks: Make, assert_same_bits: Make, tmp_path: Path, tally: Make
) -> None:

    def game() -> GAN:
        return make(*SHARED["several"]())

    whole, _ = on_ranks(lambda: play(2, game(), save=tmp_path))
    checkpoint = tmp_path / "step=7.ckpt"
    one, other = on_ranks(lambda: play(2, game(), resume=checkpoint))
    assert_same_bits(one, whole)
    assert_same_bits(other, whole)
    far, where = farthest(play(1, game(), resume=checkpoint), whole)
    assert far < 1e-10, where
    tally("resumed on two ranks, the same bits", len(whole))


AUDIT = """
import os, sys
rank = os.environ.get("LOCAL_RANK", "none")
log = os.open(os.environ["AUDIT_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
changes = ("os.rename", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.remove")
def hook(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        write = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if not write or str(path) == os.devnull:
            return
    elif event not in changes:
        return
    os.write(log, f"{rank} {event} {arguments[0]}\\n".encode())
sys.addaudithook(hook)
"""


def test_the_command_on_two_devices(lab: Any, tmp_path: Path, tally: Make) -> None:
    """The same record; every file is the first rank's, the data's manifest too.

    What packages leave in home and temporary folders when they are imported is not counted.
    """
    root, scratch, audit = tmp_path / "images", tmp_path / "scratch", tmp_path / "audit.txt"
    root.mkdir()
    scratch.mkdir()
    pixels = with_replacement(256, 80 * 3072, rng_for(0, "data")).view(80, 32, 32, 3)
    for i, image in enumerate(pixels.to(torch.uint8).numpy()):
        Image.fromarray(image).save(root / f"{i}.png")
    line = [*lab.settings, "--data.source=Folder", f"--data.root={root}", "--data.n=70"]
    line += ["--data.m=13", "--model.micro_batch=4", "--evaluation.held_out=true"]
    line += ["--wandb.mode=offline", "--trainer.accelerator=cpu", "--trainer.precision=64-true"]
    (tmp_path / "sitecustomize.py").write_text(AUDIT)
    environment = os.environ | {
        "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "AUDIT_LOG": str(audit),
        "TMPDIR": str(scratch),
        "HOME": str(scratch),
        "TORCHINDUCTOR_CACHE_DIR": str(scratch / "inductor"),
    }
    command = [str(Path(sysconfig.get_path("scripts")) / "ganstoch"), "fit", *line]
    words = [*command, "--trainer.devices=2", f"--out={tmp_path / 'two'}"]
    subprocess.run(words, env=environment, check=True, timeout=400)
    assert main(["fit", *line, f"--out={tmp_path / 'one'}"]) == 0

    one, two = (read_record(tmp_path / name / "record.json") for name in ("one", "two"))
    tried = 0
    for ours, theirs in zip(two.history, one.history, strict=True):
        assert (ours.iteration, ours.images_seen) == (theirs.iteration, theirs.images_seen)
        assert ours.metrics == pytest.approx(theirs.metrics, rel=1e-10)
        tried += len(ours.metrics)
    assert two.metrics == pytest.approx(one.metrics, rel=1e-10)
    assert two.baseline == pytest.approx(one.baseline, rel=1e-10)
    assert tried == 3 * 9
    tally("record on two devices equals one's", tried)

    written = [line.split(" ", 2) for line in audit.read_text().splitlines()]
    by_first = [path for rank, _, path in written if rank != "1"]
    for name in ("record.json", "ganstoch-folder", "samples.npz", "ckpt"):
        assert any(name in path for path in by_first), f"the hook does not hear of {name}"
    others = [path for rank, _, path in written if rank == "1"]
    assert [path for path in others if not path.startswith(str(scratch))] == []
    tally("files that only the first rank touched", len(by_first))
