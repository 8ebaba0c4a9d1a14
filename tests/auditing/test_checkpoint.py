"""A checkpoint of `ganstoch fit` under audit."""

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
ALL = torch.arange(64)


@pytest.fixture(scope="module", autouse=True)
def digits_once() -> Any:
    """Reads the digits once: enlarging them takes as long as training on them."""
    images = Digits().open(Path(), "train")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Digits, "open", lambda _, root, split: images if split == "train" else None)
        yield


def play(folder: Path, *words: str) -> Path:
    """Trains for two iterations; the checkpoint."""
    tiny = [f"--{key}={value}" for key, value in TINY.items()]
    assert main(["fit", "--config", "mini", *tiny, f"--out={folder}", *words]) == 0
    return folder / "checkpoints" / "step=2.ckpt"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return play(tmp_path_factory.mktemp("run"))


@pytest.fixture
def changed(checkpoint: Path, tmp_path: Path) -> Callable[[Callable[[Any], None]], Path]:
    """The checkpoint in a copy of its run, whose run.json is changed."""

    def changed(change: Callable[[Any], None]) -> Path:
        folder = tmp_path / "run"
        shutil.copytree(checkpoint.parents[1], folder, dirs_exist_ok=True)
        state = json.loads((folder / "run.json").read_bytes())
        change(state["config"]["model"])
        (folder / "run.json").write_text(json.dumps(state))
        return folder / "checkpoints" / checkpoint.name

    return changed


def test_images_are_those_that_the_run_measured(checkpoint: Path) -> None:
    run = load_checkpoint(checkpoint)
    with np.load(checkpoint.parents[1] / "samples.npz") as samples:
        expected = torch.from_numpy(samples["generated"])
    assert torch.equal(run["generated"].read(ALL), expected)
    assert len(set(run["generated"].content.digests)) == 64
    assert run["generated"].where == str(checkpoint)
    assert "64 of the run's bank" in run["notes"][0]


def test_real_images_are_the_runs_own(checkpoint: Path) -> None:
    run, source = load_checkpoint(checkpoint), Digits().open(Path(), "train")
    assert source is not None
    assert source.labels is not None
    assert len(run["real"]) == len(run["real"].labels) == 64
    places = torch.tensor([int(name.rsplit("/", 1)[1]) for name in run["real"].names(ALL)])
    assert torch.equal(run["real"].read(ALL), source.read(places))
    assert list(run["real"].labels) == [str(label) for label in source.labels[places].tolist()]
    assert not set(run["real"].content.digests) & set(run["held_out"].content.digests)


def test_a_run_of_0_5_0_is_read(checkpoint: Path, changed: Any) -> None:
    old = changed(lambda model: model.update(forms="rule"))
    old.with_name(f"{old.name}.seal").write_text("{}")
    contents = [load_checkpoint(path)["generated"].content for path in (old, checkpoint)]
    assert contents[0].sha256 == contents[1].sha256


def test_fresh_latents_are_others(checkpoint: Path, tmp_path: Path) -> None:
    bank, fresh, again = (
        load_checkpoint(checkpoint, latents=kind)["generated"].content.sha256
        for kind in ("bank", "fresh", "fresh")
    )
    assert bank != fresh == again
    bankless = play(tmp_path, "--model.latents.bank=fresh")
    assert "never used" in load_checkpoint(bankless)["notes"][0]
    with pytest.raises(UserError, match="no bank of latents; use --latents fresh"):
        load_checkpoint(bankless, latents="bank")


def test_the_generator_is_the_averaged_one(checkpoint: Path) -> None:
    run = load_checkpoint(checkpoint, data=False)
    assert run.keys() == {"generator", "generated", "notes"}
    generate = run["generator"].generate
    z = torch.randn(3, run["generator"].latent_dim, requires_grad=True)
    images = generate(z)
    assert images.shape == (3, 3, 32, 32)
    images.sum().backward()
    assert z.grad is not None
    assert z.grad.abs().sum() > 0
    weights = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    assert all(torch.equal(v, weights[f"average.{n}"]) for n, v in generate.state_dict().items())
    # Without the data the bank is the same.
    with_data = load_checkpoint(checkpoint)
    assert torch.equal(run["generated"].read(ALL), with_data["generated"].read(ALL))


def test_a_checkpoint_away_from_its_run_is_refused(checkpoint: Path, tmp_path: Path) -> None:
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


POINTS = {
    "shape": [2],
    "generator": {
        "class_path": "ganstoch.models.ReLUGenerator",
        "init_args": {"latent_dim": 2, "width": 8, "depth": 1, "batch_norm": False},
    },
    "discriminator": {
        "class_path": "ganstoch.models.MaxoutDiscriminator",
        "init_args": {"width": 8, "depth": 1, "pieces": 2},
    },
}


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda model: model["generator"]["init_args"].update(width=32), "of other networks"),
        (lambda model: model.update(colour="blue"), r"colour.*ganstoch 0\.5\.0"),
        (lambda model: model.update(POINTS), "generator of points"),
    ],
    ids=["other networks", "an unknown setting", "points"],
)
def test_settings_that_do_not_fit_are_told(change: Any, key: str, changed: Any) -> None:
    with pytest.raises(UserError, match=key):
        load_checkpoint(changed(change))
