"""Mistakes: one line that names the key, status 2, and a folder that stays as it was."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

Command = Callable[..., Any]

FIT = [
    ("--confg mini", "--confg"),
    ("--data.nn=3", "--data.nn=3"),
    ("--model.generator.init_args.widht=16", "model.generator widht"),
    ("--equal=epochs", "equal iterations images epochs"),
    ("--config", "--config"),
    ("--config typo.yaml", "sorce"),
    ("--config photos/00.png", "photos/00.png"),
    ("--model.objective=Foo", "model.objective 'Foo'"),
    ("--remedy=packing2 --remedy=hinge", "--remedy"),
    ("--remedy=packing2+packing3", "model.remedies Packing"),
    ("--remedy=relativistic+label_smoothing", "Relativistic"),
    ("--remedy=acgan+packing2", "ACGAN Packing"),
    ("--model.remedies+=Packing --model.remedies.init_args.size=0", "model.remedies size Packing"),
    ("--remedy=svre --model.generator.class_path=DCGANGenerator", "DCGANGenerator SVRE"),
    ("--model.remedies+=ACGAN --model.remedies.init_args.classes=3", "ACGAN classes 10"),
    ("--remedy=pretraining --model.latents.bank=fresh", "Pretraining model.latents.bank"),
    ("--evaluation.queries=null", "evaluation.queries digits"),
    ("--data.source=Ring", "model.shape ring"),
    ("--data.source=Folder --data.root=nowhere", "nowhere --data.root"),
    ("--data.source=Folder --data.root=empty", "empty --data.root"),
    ("--data.source=Folder --data.root=", "--data.root empty"),
    ("--data.source=Folder --data.root=gone-{0..3}.tar", "gone-0.tar --data.root"),
    ("--data.source=Folder --data.root=gone.npz:x", "gone.npz --data.root"),
    ("--data.source=Folder --data.root=hf:photos", "hf:OWNER/NAME --data.root"),
    ("--out=", "--out empty"),
    ("--data.source=Folder --data.root=broken --data.n=8 --data.m=2", "broken/ remove"),
    ("--data.source=Folder --data.root=photos --data.n=13", "data.n 13 12"),
    ("--data.source=CIFAR10 --data.root=nowhere", "prepare cifar10 --root nowhere"),
    ("--data.n=1798", "data.n 1798 1797"),
    ("--data.m=65", "data.m 65 64"),
    ("--data.sampling=exactly_once", "data.sampling exactly_once"),
    ("--model.latents.bank=many", "model.latents.bank 'many'"),
    ("--model.latents.bank=3", "bank data.m"),
    ("--trainer.max_steps=0", "trainer.max_steps"),
    ("--checkpoint_every=0", "checkpoint_every"),
    ("--probe.images=9", "probe"),
    ("--probe.every=1 --remedy=packing2", "probe"),
    ("--seed_everything=-1", "seed_everything -1"),
    ("--model.seed=3", "model.seed"),
    ("--trainer.precision=16-mixed", "trainer.precision bf16-mixed"),
    ("--trainer.max_epochs=1", "trainer.max_epochs trainer.max_steps"),
    ("--trainer.default_root_dir=logs", "trainer.default_root_dir"),
    ("--trainer.gradient_clip_val=1", "gradient_clip_val"),
    ("--trainer.accelerator=abacus", "abacus"),
    ("--ckpt_path=nowhere.ckpt", "nowhere.ckpt"),
    ("--ckpt_path=typo.yaml", "typo.yaml"),
    ("--ckpt_path=other.pt", "other.pt"),
    ("--iterations_of=nowhere", "nowhere/record.json"),
    ("--out=typo.yaml", "typo.yaml --out"),
    ("--trainer.devices=2 --remedy=minibatch_discrimination", "MinibatchDiscrimination devices"),
    ("--trainer.devices=2 --data.m=1", "data.m 2"),
    ("--trainer.devices=2 --trainer.strategy=ddp_spawn", "trainer.strategy ddp_spawn"),
]
"""Words, and what the line must name."""

TABLE1 = [
    ("--data foo", "'foo' cifar10 digits"),
    ("--data digits,digits", "--data"),
    ("--sweep foo", "'foo' table1"),
    ("--sweep typo.yaml", "typo.yaml method"),
    ("--jobs -1", "jobs -1"),
    ("--set data.n", "--set KEY=VALUE"),
    ("--set data.nn=3", "--data.nn=3"),
    ("--set data.m=300", "data.m 300 256"),
    ("--set data.n=1798", "1,797 1,798 data.n"),
    ("--set data.n=64", "digits-n64-m1-seed0 --config=n64 --config=n256 data.n"),
    ("--data cifar10 --root nowhere", "prepare cifar10 --root nowhere"),
    ("--out typo.yaml", "typo.yaml --out"),
    ("--report", "out --report"),
]

REMEDIES = [
    ("--remedies hinge,foo", "'foo' plain acgan"),
    ("--remedies=", "--remedies"),
    ("--remedies hinge,plain,hinge", "--remedies"),
    ("--remedies plain,packing2+packing3", "-packing2+packing3-seed0 model.remedies Packing"),
    ("--preset auto --synthetic ring_unrolled --remedies plain,ttur", "-ttur-seed0 Timescales"),
    ("--remedies plain,label_flipping --set model.objective=Relativistic", "-label_flipping-seed0"),
    ("--set remedy=hinge", "--remedy"),
    ("--synthetic ring", "--preset --synthetic"),
    ("--preset auto --synthetic grid --set data.n=100001", "100,001"),
    ("--report", "out --report"),
]


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """Files to be mistaken about; every test proves that it has left them alone."""
    folder = tmp_path_factory.mktemp("things")
    (folder / "empty").mkdir()
    (folder / "typo.yaml").write_text("data: {sorce: Digits}\n")
    torch.save({"weights": torch.zeros(2)}, folder / "other.pt")
    shutil.copytree(photos, folder / "photos")
    (folder / "broken").mkdir()
    for path in photos.iterdir():  # all of them, as only the chosen ones are read
        (folder / "broken" / path.name).write_bytes(path.read_bytes()[:300])
    return folder


def listing(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def start(fit: Command, ganstoch: Command) -> Command:
    """Starts a command by its name, of toy size."""

    def start(command: str, *words: str) -> Any:
        return fit(*words) if command == "fit" else ganstoch(command, "--preset=mini", *words)

    return start


COMMANDS = [
    *(("fit", *case) for case in FIT),
    *(("table1", *case) for case in TABLE1),
    *(("remedies", *case) for case in REMEDIES),
]


@pytest.mark.parametrize(("command", "words", "names"), COMMANDS)
def test_a_mistake_is_one_line_that_names_it(
    command: str, words: str, names: str, things: Path, started: Any, start: Any, monkeypatch: Any
) -> None:
    monkeypatch.chdir(things)
    before = listing(things)
    options = ["--trainer.accelerator=cpu"] if command == "fit" else ["--out", "out"]
    answer = start(command, *options, *words.split())
    assert [name for name in names.split() if name not in answer.complaint] == [], answer
    assert listing(things) == before
    assert started == []


CALLS = [
    "{class_path: subprocess.Popen, init_args: {args: [touch, pwned]}}",
    "{class_path: os.system, init_args: {command: touch pwned}}",
    "!!python/object/apply:os.system [touch pwned]",
    "subprocess.Popen",
]


KEYS = ["data.source", "model.generator", "model.objective", "model.remedies"]
KEYS += ["trainer.callbacks", "trainer.logger", "trainer.plugins"]


@pytest.mark.parametrize("key", KEYS)
def test_what_is_no_part_of_a_game_is_never_called(key: str, here: Path, fit: Command) -> None:
    config = here / "x.yaml"
    for value in CALLS:
        section, _, name = key.partition(".")
        config.write_text(f"{section}: {{{name}: {value}}}\n")
        assert fit("--config=x.yaml").complaint
        assert fit(f"--{key}={value}").complaint
    assert [path for path in here.rglob("*") if path.is_file()] == [config]


@pytest.mark.parametrize("content", ["", "{}", '{"runs": 3, "missing": []}', '{"runs": []}'])
def test_a_damaged_file_is_named(content: str, here: Path, ganstoch: Command, fit: Command) -> None:
    (here / "plan.json").write_text(content)
    assert "plan.json" in ganstoch("table1", "--report", "--out", here).complaint
    (here / "run").mkdir()
    (here / "run" / "run.json").write_text(content)
    assert "run/run.json" in fit().complaint


@pytest.mark.parametrize(
    ("number", "command"), [(errno.ENOSPC, "fit"), (errno.EROFS, "fit"), (errno.ENOSPC, "table1")]
)
def test_a_disk_that_takes_nothing_from_the_start(
    number: int, command: str, here: Path, started: Any, start: Any, monkeypatch: Any
) -> None:
    def replace(source: object, target: object) -> None:
        raise OSError(number, os.strerror(number), source)

    monkeypatch.setattr(os, "replace", replace)
    answer = start(command, "--out=run")
    assert os.strerror(number) in answer.complaint
    assert "--out" in answer.complaint
    assert started == []
    left = [path for path in here.rglob("*") if path.is_file()]
    assert [(path.name, path.stat().st_size) for path in left] in ([], [("running.lock", 0)])
