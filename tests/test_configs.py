"""Every packaged config is parsed, alone and over every preset, and plays an iteration."""

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from ganstoch.data import Source, StackedFashion, StackedMNIST
from ganstoch.data.grey_files import GreyFiles
from ganstoch.data.stacked import _SAMPLES
from ganstoch.data.subset import resolve_batch_size
from ganstoch.metrics.digit_classifier import DigitClassifier, serialize
from ganstoch.records import read_record
from ganstoch.runs.configs import PRESETS, config_path, packaged_names, remedy_names
from ganstoch.runs.fit import fit
from ganstoch.runs.settings import resolve_all, source_class

ROWS = {"n4": 4, "n4-noise": 4, "n16": 16, "n64": 64, "n256": 256, "full": 1, "full-noise": 1}
"""What share of n a row's batch is."""

SYNTHETIC = {
    **{"ring": 8, "ring_unrolled": 8, "grid": 25, "gaussians1200": 10, "bimodal": 2},
    **{"stacked": 1000, "stacked_fashion": 1000},
}
"""How many modes such data have."""

TINY = [
    *("--trainer.max_steps=1", "--evaluation.every=1", "--evaluation.semantic=null"),
    *("--evaluation.semantic_every=null", "--wandb.mode=disabled", "--quiet=true"),
    *("--model.generator.init_args.width=16", "--model.generator.init_args.latent_dim=8"),
    "--model.discriminator.init_args.width=16",
]
DIGITS = ["--data.source=Digits", "--evaluation.queries=4"]


@functools.cache
def resolved(*names: str) -> dict[str, Any]:
    return resolve_all([[word for name in names for word in ("--config", name)]])[0].config


def test_what_is_packaged() -> None:
    others = {"cifar10", "digits", "fashion_mnist", "ffhq", "folder", "svhn"}
    assert set(packaged_names()) == {*PRESETS, *ROWS, *SYNTHETIC} | others
    assert {source_class(resolved(name)).name for name in SYNTHETIC} == {
        kind.name
        for kind in Source.__subclasses__()
        if kind.known_modes is not Source.known_modes and kind.__module__.startswith("ganstoch.")
    }


@pytest.mark.parametrize("name", packaged_names())
def test_config_is_understood_alone_and_over_every_preset(name: str) -> None:
    lines = [["--config", name], *(["--config", preset, "--config", name] for preset in PRESETS)]
    sections = yaml.safe_load(config_path(name).read_text())
    for run in resolve_all(lines):
        for section in ("data", "trainer"):
            for key, value in sections.get(section, {}).items():
                actual = run.config[section][key]
                assert value == (actual["class_path"].split(".")[-1] if key == "source" else actual)


def test_presets_say_their_name_and_rows_are_shares_of_n() -> None:
    for preset, n in zip(PRESETS, (256, 1280, 12800), strict=True):
        assert resolved(preset)["preset"] == preset
        for row, share in ROWS.items():
            config = resolved(preset, row)
            assert config["data"]["n"] == n
            assert resolve_batch_size(config["data"]["m"], n=n) == n // share
            assert config["model"]["latents"]["noise"] == (0.5 if row.endswith("-noise") else 0.0)


def test_a_later_config_wins_and_the_line_wins_over_all() -> None:
    one, other = resolved("n4-noise", "n16"), resolved("n16", "n4-noise")
    assert (one["data"]["m"], one["model"]["latents"]["noise"]) == ("n/16", 0.0)
    assert (other["data"]["m"], other["model"]["latents"]["noise"]) == ("n/4", 0.5)
    line = ["--config", "n16", "--data.m=7", "--config", "cifar10"]
    assert resolve_all([line])[0].config["data"]["m"] == 7


@pytest.mark.parametrize(
    "words",
    [
        *(f"--config={name}" for name in packaged_names() if name not in (*SYNTHETIC, *ROWS)),
        *(f"--config=mini --remedy={name}" for name in remedy_names()),
    ],
)
def test_config_plays_an_iteration(words: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    folder = fit([*words.split(), *TINY, *DIGITS, "--data.n=64", f"--out={tmp_path / 'run'}"])
    record = read_record(folder / "record.json")
    assert (record.iterations, record.n, record.m) == (1, 64, 16)
    name = words.rpartition("=")[2]
    assert name in (record.config["remedy"], record.preset) or record.preset == "paper"
    assert record.metrics["overfitting/pixel_l1/mean"] > 0
    assert not (tmp_path / "data").exists()


@pytest.fixture
def grey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where twenty images to be stacked seem to lie, and a classifier that has learned nothing."""
    folder = tmp_path / "grey"
    (folder / "ganstoch-cache").mkdir(parents=True)
    images = torch.arange(20, dtype=torch.uint8)[:, None, None].expand(20, 28, 28)
    monkeypatch.setattr(GreyFiles, "read", lambda *_, name: (images, torch.arange(20) % 10))
    monkeypatch.setitem(_SAMPLES, "veegan", 40)
    for source in (StackedMNIST(), StackedFashion()):
        path = source.known_modes(folder).classifier
        path.write_bytes(serialize(DigitClassifier()))
    return folder


@pytest.mark.parametrize("name", SYNTHETIC)
def test_known_modes_play_an_iteration(
    name: str, grey: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--data.n=512", "--data.m=16", f"--data.root={grey}", f"--out={tmp_path / 'run'}"]
    record = read_record(fit(["--config", name, *TINY, *words]) / "record.json")
    assert (record.iterations, record.n, record.m, record.bank) == (1, 512, 16, None)
    assert record.preset == name
    assert record.metrics["modes/of"] == SYNTHETIC[name]
    assert 0 <= record.metrics["modes/count"] <= SYNTHETIC[name]
    assert (tmp_path / "run" / "trail.npz").exists() == ("stacked" not in name)
