"""Mistakes: one line that names the thing, status 2, and a folder that stays as it was."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ganstoch.records import SCHEMA

FIT: dict[str, tuple[list[str], list[str]]] = {
    "an option misspelt": (["--confg", "mini"], ["--confg"]),
    "an unknown key": (["--data.nn=3"], ["--data.nn=3"]),
    "a setting of an earlier version": (["--model.forms=rule"], ["model.forms"]),
    "an unknown argument of a class": (
        ["--model.generator.init_args.widht=16"],
        ["model.generator", "widht"],
    ),
    "a wrong type": (["--data.n=many"], ["data.n", "many"]),
    "no number": (["--model.latents.noise=nan"], ["model.latents.noise", "nan"]),
    "a wrong choice": (["--equal=epochs"], ["equal", "iterations", "images", "epochs"]),
    "an unknown config": (["--config", "foo"], ["no config 'foo'", "mini"]),
    "an unknown key in a config": (["--config", "typo.yaml"], ["sorce"]),
    "a config of another kind": (["--config", "photos/00.png"], ["photos/00.png is no YAML"]),
    "an unknown data set": (
        ["--data.source=cifar10"],
        [
            "data.source: no class 'cifar10'",
            "there are Bimodal, CIFAR10, Digits, FFHQ, FashionMNIST, ",
            ", Ring, SVHN, StackedFashion, StackedMNIST",  # other tests may have made more
        ],
    ),
    "an unknown loss": (
        ["--model.objective=Foo"],
        ["model.objective: no class 'Foo'", "NonSaturating"],
    ),
    "an unknown remedy": (
        ["--remedy=foo"],
        ["no remedy 'foo'; there are plain, acgan, ", "wgan_gp"],
    ),
    "an unknown remedy in a stack": (["--remedy=packing2+foo"], ["no remedy 'foo'"]),
    "a remedy that is a file": (["--remedy=typo.yaml"], ["no remedy 'typo.yaml'"]),
    "no remedy": (["--remedy="], ["no remedy ''"]),
    "two remedies apart": (
        ["--remedy=packing2", "--remedy=hinge"],
        ["--remedy is given twice", "join the names by +"],
    ),
    "two objectives": (
        ["--remedy=hinge+packing2+wgan_gp"],
        ["hinge and wgan_gp each bring an objective of their own; take one of them"],
    ),
    "two remedies of one class": (
        ["--remedy=packing2+packing3"],
        ["model.remedies has Packing twice; give it once"],
    ),
    "labels where there are none": (
        ["--remedy=relativistic+label_smoothing"],
        ["Relativistic compares real with generated images and has no labels to smooth"],
    ),
    "a remedy against another": (["--remedy=acgan+packing2"], ["leave out ACGAN or Packing"]),
    "an unknown class of remedy": (
        ["--model.remedies=[Foo]"],
        ["model.remedies", "'Foo'", "ACGAN, DiscriminatorBatchNorm", "WeightClipping"],
    ),
    "a remedy's setting out of range": (
        ["--model.remedies+=Packing", "--model.remedies.init_args.size=0"],
        ["model.remedies: size of Packing must be 1 or more, got 0"],
    ),
    "a remedy against the networks": (
        ["--remedy=svre", "--model.generator.class_path=DCGANGenerator"],
        ["DCGANGenerator", "batch normalisation", "SVRE"],
    ),
    "a remedy against the data": (
        ["--model.remedies+=ACGAN", "--model.remedies.init_args.classes=3"],
        ["ACGAN is told of 3 classes, and the data have 10; set its classes to 10"],
    ),
    "a remedy against the latents": (
        ["--remedy=pretraining", "--model.latents.bank=fresh"],
        ["Pretraining pairs each image with a latent", "set model.latents.bank to n"],
    ),
    "no neighbours where no modes are known": (
        ["--evaluation.queries=null"],
        ["evaluation.queries is null, but the modes of digits are not known; give a number"],
    ),
    "points for networks of images": (
        ["--data.source=Ring"],
        ["model.shape is [3, 32, 32], and the examples of ring have shape [2]"],
    ),
    "no folder": (
        ["--data.source=Folder", "--data.root=nowhere"],
        ["nowhere does not exist", "--data.root must point to a folder of images"],
    ),
    "a file for a folder": (
        ["--data.source=Folder", "--data.root=typo.yaml"],
        ["typo.yaml is a file, not a folder"],
    ),
    "an empty folder": (
        ["--data.source=Folder", "--data.root=empty"],
        ["no images under empty", "--data.root"],
    ),
    "a damaged image": (
        ["--data.source=Folder", "--data.root=broken"],
        ["cannot read broken/", "skip_unreadable=true"],
    ),
    "no data yet": (
        ["--data.source=CIFAR10", "--data.root=nowhere"],
        ["ganstoch prepare cifar10 --root nowhere"],
    ),
    "too few images": (["--data.n=1798"], ["data.n is 1798", "has 1797 images"]),
    "too few photos": (
        ["--data.source=Folder", "--data.root=photos", "--data.n=71"],
        ["data.n is 71", "has 70 images"],
    ),
    "no images at all": (["--data.n=0"], ["data.n is 0"]),
    "m above n": (["--data.m=65"], ["data.m is 65", "1 to n = 64"]),
    "m of 0": (["--data.m=0"], ["data.m is 0", "1 to n = 64"]),
    "m of no share": (["--data.m=n/0"], ["data.m is 'n/0'", "n/4"]),
    "m of half an image": (["--data.m=1.5"], ["data.m is '1.5'"]),
    "not exactly once": (["--data.sampling=exactly_once"], ["data.sampling exactly_once", "m = n"]),
    "noise below 0": (["--model.latents.noise=-0.5"], ["model.latents.noise", "-0.5"]),
    "no such bank": (["--model.latents.bank=many"], ["model.latents.bank is 'many'"]),
    "a bank below m": (["--model.latents.bank=3"], ["16 latents", "a bank of 3", "data.m"]),
    "a width that is none": (
        ["--model.generator.init_args.width=12"],
        ["width", "multiple of 8", "12"],
    ),
    "a learning rate of 0": (["--model.optimizer.lr=0"], ["model.optimizer.lr", "above 0"]),
    "an average of all time": (["--model.ema_decay=1"], ["model.ema_decay", "1"]),
    "no iterations": (["--trainer.max_steps=0"], ["trainer.max_steps", "1 or more"]),
    "an interval of 0": (["--evaluation.every=0"], ["evaluation.every", "1 or more"]),
    "no multiple": (
        ["--evaluation.semantic_every=3"],
        ["evaluation.semantic_every", "multiple of evaluation.every (2)"],
    ),
    "a checkpoint every 0": (["--checkpoint_every=0"], ["checkpoint_every", "1 or more"]),
    "a threshold beyond 1": (["--stop_rule.threshold=2"], ["stop_rule.threshold", "2"]),
    "a seed below 0": (["--seed_everything=-1"], ["seed_everything", "-1"]),
    "a seed apart": (["--model.seed=3"], ["model.seed"]),
    "half precision": (["--trainer.precision=16-mixed"], ["trainer.precision", "bf16-mixed"]),
    "another end": (["--trainer.max_epochs=1"], ["trainer.max_epochs", "trainer.max_steps"]),
    "a time limit": (["--trainer.max_time=00:00:01:00"], ["trainer.max_time is not offered"]),
    "a dry run": (["--trainer.fast_dev_run=true"], ["trainer.fast_dev_run is not offered"]),
    "a check of validation": (["--trainer.val_check_interval=5"], ["trainer.val_check_interval"]),
    "a share of the tests": (["--trainer.limit_test_batches=2"], ["trainer.limit_test_batches"]),
    "another folder": (["--trainer.default_root_dir=logs"], ["trainer.default_root_dir"]),
    "seeds of one run": (["--seeds=0,1"], ["--seeds", "--seed_everything"]),
    "clipping": (["--trainer.gradient_clip_val=1"], ["gradient_clip_val"]),
    "no such device": (["--trainer.accelerator=abacus"], ["abacus"]),
    "no checkpoint there": (["--ckpt_path=nowhere.ckpt"], ["no checkpoint nowhere.ckpt"]),
    "a checkpoint that is none": (["--ckpt_path=typo.yaml"], ["typo.yaml is damaged"]),
    "a checkpoint of others": (["--ckpt_path=other.pt"], ["other.pt is no checkpoint of ganstoch"]),
    "no twin there": (["--iterations_of=nowhere"], ["nowhere/record.json"]),
    "a file in the way": (["--out=typo.yaml"], ["typo.yaml", "--out"]),
}


@pytest.fixture
def things(here: Path, photos: Path) -> Path:
    """Files to be mistaken about."""
    (here / "empty").mkdir()
    (here / "typo.yaml").write_text("data: {sorce: Digits}\n")
    torch.save({"weights": torch.zeros(2)}, here / "other.pt")
    (here / "broken").mkdir()
    for path in photos.iterdir():  # all of them, as only the chosen ones are read
        (here / "broken" / path.name).write_bytes(path.read_bytes()[:300])
    return here


def listing(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize("mistake", FIT)
def test_fit(mistake: str, things: Path, fit: Callable[..., Any]) -> None:
    words, expected = FIT[mistake]
    before = listing(things)
    answer = fit(*words)
    for part in expected:
        assert part in answer.complaint
    assert answer.out == ""
    assert listing(things) == before


def test_config_without_a_name(ganstoch: Callable[..., Any]) -> None:
    assert "--config wants a name" in ganstoch("fit", "--config").complaint


TABLE1: dict[str, tuple[list[str], list[str]]] = {
    "an unknown preset": (["--preset", "foo"], ["--preset", "foo", "mini"]),
    "an unknown data set": (["--data", "foo"], ["no data set 'foo'", "cifar10, digits"]),
    "a data set twice": (["--data", "digits,digits"], ["--data names a data set twice"]),
    "an unknown sweep": (["--sweep", "foo"], ["no sweep 'foo'", "table1"]),
    "a sweep that is none": (["--sweep", "typo.yaml"], ["typo.yaml", "method: grid"]),
    "jobs below 0": (["--jobs", "-1"], ["--jobs", "-1"]),
    "seeds of words": (["--seeds", "a"], ["--seeds", "'a'"]),
    "a seed twice": (["--seeds", "1,1"], ["--seeds", "different"]),
    "no seeds": (["--seeds", ""], ["--seeds"]),
    "a setting without a value": (["--set", "data.n"], ["--set", "KEY=VALUE"]),
    "an unknown key": (["--set", "data.nn=3"], ["--data.nn=3", "--config=n4"]),
    "a wrong type": (["--set", "data.n=many"], ["data.n", "many"]),
    "m above n": (["--set", "data.m=300"], ["data.m is 300", "n = 256"]),
    "too few images": (["--set", "data.n=1798"], ["1,797 images", "1,798", "data.n"]),
    "rows that are one": (
        ["--set", "data.n=64"],
        ["digits-n64-m1-seed0", "--config=n64 and --config=n256", "data.n"],
    ),
    "no data yet": (
        ["--data", "cifar10", "--root", "nowhere"],
        ["ganstoch prepare cifar10 --root nowhere"],
    ),
    "a file in the way": (["--out", "typo.yaml"], ["typo.yaml", "--out"]),
    "a report on nothing": (["--report"], ["out holds no results", "without --report"]),
}


@pytest.mark.parametrize("mistake", TABLE1)
def test_table1(
    mistake: str, things: Path, started: list[str], ganstoch: Callable[..., Any]
) -> None:
    words, expected = TABLE1[mistake]
    before = listing(things)
    answer = ganstoch("table1", "--preset", "mini", "--out", "out", *words)
    for part in expected:
        assert part in answer.complaint
    assert listing(things) == before
    assert started == []


REMEDIES: dict[str, tuple[list[str], list[str]]] = {
    "an unknown remedy": (["--remedies", "hinge,foo"], ["no remedy 'foo'; there are plain, acgan"]),
    "an unknown remedy in a stack": (["--remedies", "packing2+foo"], ["no remedy 'foo'"]),
    "no remedies": (["--remedies", ""], ["--remedies"]),
    "a remedy twice": (["--remedies", "hinge,plain,hinge"], ["--remedies names a remedy twice"]),
    "two remedies of one class": (
        ["--remedies", "plain,packing2+packing3"],
        [
            "digits-n256-m256-packing2+packing3-seed0: ",
            "model.remedies has Packing twice; give it once",
        ],
    ),
    "labels where there are none": (
        ["--remedies", "plain,relativistic+label_smoothing"],
        ["-relativistic+label_smoothing-seed0: Relativistic compares", "take an objective such as"],
    ),
    "two objectives": (["--remedies", "hinge+wgan_gp"], ["hinge and wgan_gp each bring"]),
    "a remedy against another": (["--remedies", "svre+unrolled1"], ["svre+unrolled1-seed0: Unrol"]),
    "what the world has already": (
        ["--preset", "auto", "--synthetic", "ring_unrolled", "--remedies", "plain,ttur"],
        ["ring-n100000-m512-bank-fresh-ttur-seed0: model.remedies has Timescales twice"],
    ),
    "a setting against a remedy": (
        ["--remedies", "plain,label_flipping", "--set", "model.objective=Relativistic"],
        ["-label_flipping-seed0: Relativistic compares"],
    ),
    "a remedy for every row": (["--set", "remedy=hinge"], ["--remedy is given twice"]),
    "a setting out of range": (["--set", "data.m=0"], ["data.m is 0"]),
    "a preset where there are none": (["--synthetic", "ring"], ["--preset", "--synthetic"]),
    "too many points": (
        ["--preset", "auto", "--synthetic", "grid", "--set", "data.n=100001"],
        ["100,001"],
    ),
    "a report on nothing": (["--report"], ["out holds no results", "without --report"]),
}


@pytest.mark.parametrize("mistake", REMEDIES)
def test_remedies(
    mistake: str, things: Path, started: list[str], ganstoch: Callable[..., Any]
) -> None:
    words, expected = REMEDIES[mistake]
    before = listing(things)
    answer = ganstoch("remedies", "--preset", "mini", "--out", "out", *words)
    for part in expected:
        assert part in answer.complaint
    assert listing(things) == before
    assert started == []


@pytest.mark.parametrize("content", [b"", b"{}", b'{"runs": 3, "missing": []}', b'{"runs": []}'])
def test_report_on_a_damaged_plan(content: bytes, here: Path, ganstoch: Callable[..., Any]) -> None:
    (here / "plan.json").write_bytes(content)
    answer = ganstoch("table1", "--report", "--out", here)
    assert "plan.json is damaged" in answer.complaint


def test_a_checkpoint_of_other_networks(here: Path, fit: Callable[..., Any]) -> None:
    assert fit().status == 0
    before = listing(here)
    words = ["--ckpt_path=run/checkpoints/step=4.ckpt", "--out=wider"]
    answer = fit(*words, "--model.generator.init_args.width=32")
    assert "model.generator.init_args.width" in answer.complaint
    assert listing(here) == before


def test_a_record_of_another_schema(
    here: Path, fit: Callable[..., Any], tiny_rows: tuple[str, ...]
) -> None:
    assert fit().status == 0
    path = here / "run" / "record.json"
    content = json.loads(path.read_bytes())
    path.write_text(json.dumps({**content, "schema": SCHEMA + 1}))
    before = listing(here)
    complaint = fit().complaint
    assert f"run/record.json has schema {SCHEMA + 1}, this version reads 1 to {SCHEMA}" in complaint
    assert "remove it to run that row again" in complaint
    assert listing(here) == before


def test_a_damaged_state_of_a_run(here: Path, fit: Callable[..., Any]) -> None:
    (here / "run").mkdir()
    (here / "run" / "run.json").write_text("{}")
    assert "run/run.json is damaged; remove run" in fit().complaint


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_is_full_or_read_only_from_the_start(
    number: int, here: Path, fit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace(source: object, target: object) -> None:
        raise OSError(number, os.strerror(number), source)

    monkeypatch.setattr(os, "replace", replace)
    complaint = fit().complaint
    assert f"cannot write run/run.json: {os.strerror(number)}" in complaint
    assert "choose another --out" in complaint
    left = [path for path in here.rglob("*") if path.is_file()]
    assert [(path.name, path.stat().st_size) for path in left] == [("running.lock", 0)]


def test_a_disk_that_fills_up_later(
    here: Path, fit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = os.replace

    def replace(source: str, target: Path) -> None:
        if target.suffix == ".ckpt":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        answer = fit()
    assert answer.status == 2
    assert answer.err.splitlines()[-1] == (
        f"ganstoch: cannot write run/checkpoints/step=2.ckpt: {os.strerror(errno.ENOSPC)}; "
        "free space or choose another --out"
    )
    assert not (here / "run" / "record.json").exists()
    assert fit().status == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to(here: Path, fit: Callable[..., Any]) -> None:
    (here / "run").mkdir(mode=0o500)
    assert os.strerror(errno.EACCES) in fit().complaint


def test_table1_on_a_full_disk(
    here: Path,
    started: list[str],
    tiny_rows: tuple[str, ...],
    ganstoch: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def replace(source: object, target: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), source)

    monkeypatch.setattr(os, "replace", replace)
    answer = ganstoch("table1", "--preset", "mini", *tiny_rows, "--out", "out")
    complaint = answer.complaint
    assert f"cannot write out/plan.json: {os.strerror(errno.ENOSPC)}" in complaint
    assert started == []


@pytest.mark.parametrize(
    ("n", "m", "size"), [(64, "n/7", 9), (10, "n/4", 2), (4, "n/64", 1), (64, "n / 3", 21)]
)
def test_a_share_that_is_no_whole_number_is_rounded_in_one_line(
    n: int, m: str, size: int, here: Path, fit: Callable[..., Any]
) -> None:
    answer = fit(f"--data.n={n}", f"--data.m={m}")
    assert answer.status == 0
    lines = [line for line in answer.err.splitlines() if "rounded" in line]
    assert lines == [f"data.m = {m} of n = {n} is rounded to {size}"]
    assert json.loads((here / "run" / "record.json").read_bytes())["m"] == size


def test_a_number_that_does_not_divide_n_is_taken(here: Path, fit: Callable[..., Any]) -> None:
    assert fit("--data.m=7").status == 0
    assert json.loads((here / "run" / "record.json").read_bytes())["m"] == 7
