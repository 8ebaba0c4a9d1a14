"""A checkpoint of `ganstoch fit` under audit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganstoch.auditing.checkpoint import load_checkpoint
from ganstoch.cli import main
from ganstoch.data import Digits
from ganstoch.errors import UserError
from ganstoch.types import to_bytes

TINY = {
    "trainer.max_steps": "2",
    "evaluation.every": "2",
    "evaluation.queries": "8",
    "evaluation.semantic": "null",
    "model.generator.init_args.width": "16",
    "model.generator.init_args.latent_dim": "8",
    "model.discriminator.init_args.width": "16",
    "model.init_std": "0.3",  # by so few iterations no two images would differ otherwise
    "wandb.mode": "disabled",
    "data.n": "64",
    "quiet": "true",
}


@pytest.fixture(scope="module", autouse=True)
def digits_once() -> Any:
    """Reads the digits once: enlarging them takes as long as training on them."""
    images = Digits().open(Path(), "train")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Digits, "open", lambda _, root, split: images if split == "train" else None)
        yield


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Trains for two iterations; the checkpoint."""

    def play(*words: str) -> Path:
        folder = tmp_path_factory.mktemp("run")
        tiny = [f"--{key}={value}" for key, value in TINY.items()]
        assert main(["fit", "--config", "mini", *tiny, f"--out={folder}", *words]) == 0
        return folder / "checkpoints" / "step=2.ckpt"

    return play


@pytest.fixture(scope="module")
def checkpoint(play: Callable[..., Path]) -> Path:
    return play()


def test_makes_the_images_that_the_run_measured(checkpoint: Path) -> None:
    run = load_checkpoint(checkpoint)
    with np.load(checkpoint.parents[1] / "samples.npz") as samples:
        expected = torch.from_numpy(samples["generated"])
    assert torch.equal(run["generated"].read(torch.arange(64)), expected)
    assert len(set(run["generated"].content.digests)) == 64
    assert run["generated"].where == str(checkpoint)
    assert "64 of the run's bank" in run["notes"][0]


def test_real_images_are_the_runs_own(checkpoint: Path) -> None:
    record = json.loads((checkpoint.parents[1] / "record.json").read_bytes())
    run = load_checkpoint(checkpoint)
    assert len(run["real"]) == len(run["real"].labels) == record["n"] == 64
    source = Digits().open(Path(), "train")
    assert source is not None
    for i in (0, 63):
        name = run["real"].names(torch.tensor([i]))[0]
        position = int(name.rsplit("/", 1)[1])
        assert torch.equal(
            run["real"].read(torch.tensor([i])), source.read(torch.tensor([position]))
        )
        assert source.labels is not None
        assert run["real"].labels[i] == str(int(source.labels[position]))
    assert not set(run["real"].content.digests) & set(run["held_out"].content.digests)


def test_a_run_of_0_5_0_is_read(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(checkpoint.parents[1], folder)
    state = json.loads((folder / "run.json").read_bytes())
    state["config"]["model"]["forms"] = "rule"
    (folder / "run.json").write_text(json.dumps(state))
    (folder / "checkpoints" / f"{checkpoint.name}.seal").write_text("{}")
    old = load_checkpoint(folder / "checkpoints" / checkpoint.name)
    assert (
        old["generated"].content.sha256 == load_checkpoint(checkpoint)["generated"].content.sha256
    )


def test_fresh_latents_are_others(checkpoint: Path) -> None:
    bank, fresh, again = (
        load_checkpoint(checkpoint, latents=kind)["generated"].content.sha256
        for kind in ("bank", "fresh", "fresh")
    )
    assert bank != fresh == again


def test_the_generator_can_be_asked(checkpoint: Path) -> None:
    run = load_checkpoint(checkpoint, data=False)
    assert run.keys() == {"generator", "generated", "notes"}
    z = torch.randn(3, run["generator"].latent_dim, requires_grad=True)
    made = run["generator"].generate(z)
    made.sum().backward()
    assert z.grad is not None
    assert z.grad.abs().sum() > 0
    kept = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    averaged = {name: value for name, value in kept.items() if name.startswith("average.")}
    asked = run["generator"].generate
    assert isinstance(asked, torch.nn.Module)
    assert averaged.keys() == {f"average.{name}" for name in asked.state_dict()}
    assert all(torch.equal(v, averaged[f"average.{n}"]) for n, v in asked.state_dict().items())
    # Without the data the bank is the same.
    with_data = load_checkpoint(checkpoint)
    ids = torch.arange(64)
    assert torch.equal(run["generated"].read(ids), with_data["generated"].read(ids))
    assert to_bytes(made.detach()).shape == (3, 3, 32, 32)


def test_a_run_of_fresh_latents(play: Callable[..., Path]) -> None:
    checkpoint = play("--model.latents.bank=fresh")
    assert "never used" in load_checkpoint(checkpoint)["notes"][0]
    with pytest.raises(UserError, match="no bank of latents; use --latents fresh"):
        load_checkpoint(checkpoint, latents="bank")


def test_bad_checkpoints_are_told_in_one_line(checkpoint: Path, tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(1)}, tmp_path / "other.ckpt")
    with pytest.raises(UserError, match="no checkpoint of ganstoch fit"):
        load_checkpoint(tmp_path / "other.ckpt")
    lonely = tmp_path / "away" / "checkpoints" / "step=2.ckpt"
    lonely.parent.mkdir(parents=True)
    shutil.copy(checkpoint, lonely)
    with pytest.raises(UserError, match=r"run\.json cannot be read"):
        load_checkpoint(lonely)
    (tmp_path / "away" / "run.json").write_text("{}")
    with pytest.raises(UserError, match=r"run\.json is damaged"):
        load_checkpoint(lonely)


def test_settings_that_do_not_fit_are_told(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(checkpoint.parents[1], folder)
    state = json.loads((folder / "run.json").read_bytes())
    copy = folder / "checkpoints" / checkpoint.name
    state["config"]["model"]["generator"]["init_args"]["width"] = 32
    (folder / "run.json").write_text(json.dumps(state))
    with pytest.raises(UserError, match="the checkpoint is of other networks"):
        load_checkpoint(copy)
    state["config"]["model"]["colour"] = "blue"
    (folder / "run.json").write_text(json.dumps(state))
    with pytest.raises(UserError, match=r"colour.*ganstoch 0\.5\.0"):
        load_checkpoint(copy)


def test_points_are_no_images(play: Callable[..., Path]) -> None:
    folder = play().parents[1]  # any run whose shape is then another
    state = json.loads((folder / "run.json").read_bytes())
    model = state["config"]["model"]
    model["shape"] = [2]
    model["generator"] = {
        "class_path": "ganstoch.models.ReLUGenerator",
        "init_args": {"latent_dim": 2, "width": 8, "depth": 1, "batch_norm": False},
    }
    model["discriminator"] = {
        "class_path": "ganstoch.models.MaxoutDiscriminator",
        "init_args": {"width": 8, "depth": 1, "pieces": 2},
    }
    (folder / "run.json").write_text(json.dumps(state))
    with pytest.raises(UserError, match="generator of points"):
        load_checkpoint(folder / "checkpoints" / "step=2.ckpt")
