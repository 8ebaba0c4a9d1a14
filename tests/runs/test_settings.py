from __future__ import annotations

import functools
from typing import Any

import pytest
from pytorch_lightning.strategies import StrategyRegistry

from ganstoch.errors import UserError
from ganstoch.runs.settings import Resolved, resolve_all, source_class, understand
from ganstoch.training.distributed import Ranks


@functools.cache
def one(*words: str) -> Resolved:
    """What the preset mini means with further words; do not touch."""
    return resolve_all([["--config", "mini", *words]])[0]


@pytest.mark.parametrize(
    "words",
    [
        ["--data.root=elsewhere"],
        ["--model.micro_batch=8"],
        ["--out=elsewhere"],
        ["--quiet=true"],
        ["--checkpoint_every=7"],
        ["--trainer.log_every_n_steps=7"],
        ["--trainer.accelerator=cpu"],
        ["--evaluation.weights=some.pth"],
        ["--evaluation.held_out=false"],
        ["--probe=null"],
        ["--wandb.mode=disabled", "--wandb.group=g", "--wandb.project=p"],
        ["--config", "mini"],
        ["--remedy=plain"],
        ["--model.remedies=null"],
        ["--model.remedies=[]"],
    ],
)
def test_what_changes_no_number_changes_no_hash(words: list[str]) -> None:
    assert one(*words).config_hash == one().config_hash
    assert one(*words).name == one().name


@pytest.mark.parametrize(
    "words",
    [
        ["--seed_everything=1"],
        ["--data.m=n/16"],
        ["--data.n=255"],
        ["--data.source=FashionMNIST"],
        ["--data.subset_seed=1"],
        ["--data.sampling=permutation"],
        ["--model.optimizer.lr=0.001"],
        ["--model.ema_decay=0.9"],
        ["--model.latents.noise=0.5"],
        ["--model.latents.bank=2n"],
        ["--model.generator.init_args.width=64"],
        ["--trainer.max_steps=7"],
        ["--trainer.precision=bf16-mixed"],
        ["--stop_rule.stop=true"],
        ["--evaluation.queries=all"],
        ["--evaluation.every=50"],
        ["--evaluation.held_out=true"],
        ["--probe.every=50"],
        ["--iterations_of=twin"],
        ["--remedy=hinge"],
        ["--remedy=packing2"],
        ["--remedy=packing3+r1"],
    ],
)
def test_what_changes_numbers_changes_the_hash(words: list[str]) -> None:
    assert one(*words).config_hash != one().config_hash
    assert one(*words).name != one().name


@pytest.mark.parametrize(
    ("devices", "strategy"), [(1, "auto"), (1, "ddp"), (2, "auto"), (2, "ddp")]
)
def test_several_devices_share_our_way(devices: int, strategy: str) -> None:
    theirs = StrategyRegistry["ddp"]
    words = ["--config=mini", "--wandb.mode=disabled", "--trainer.accelerator=cpu"]
    words += [f"--trainer.devices={devices}", f"--trainer.strategy={strategy}"]
    command = understand(words)
    command.build([])
    assert isinstance(command.trainer.strategy, Ranks) == (devices > 1 or strategy == "ddp")
    assert command.trainer.world_size == devices
    assert StrategyRegistry["ddp"] == theirs


def test_name_says_what_a_run_is() -> None:
    words = ["--model.latents.noise=0.25", "--model.latents.bank=fresh", "--seed_everything=3"]
    run = one("--data.m=8", *words)
    assert run.name == f"digits-n256-m8-noise0.25-bank-fresh-seed3-{run.config_hash[:8]}"
    assert one().name == f"digits-n256-m64-seed0-{one().config_hash[:8]}"
    assert source_class(run.config).name == "digits"
    stacked = one("--remedy=packing2+hinge")
    assert stacked.name == f"digits-n256-m64-packing2+hinge-seed0-{stacked.config_hash[:8]}"
    assert one("--remedy=plain").name == one().name


@pytest.mark.parametrize(("m", "expected"), [("n", 25), ("n/4", 100), ("n/16", 400), ("48", 133)])
def test_equal_images_scales_the_iterations(m: str, expected: int) -> None:
    words = [f"--data.m={m}", "--trainer.max_steps=100"]
    matched = one(*words, "--equal=images").config
    assert matched["trainer"]["max_steps"] == expected
    assert one(*words).config["trainer"]["max_steps"] == 100


def test_one_seed_is_everybody_s() -> None:
    config: dict[str, Any] = one("--seed_everything=5").config
    assert config["seed_everything"] == config["model"]["seed"] == config["data"]["seed"] == 5


def test_a_mistake_is_told_with_its_line() -> None:
    lines = [["--config", "mini"], ["--config", "mini", "--data.nn=3"]]
    with pytest.raises(UserError, match=r"--data\.nn=3"):
        resolve_all(lines)


def test_lines_do_not_touch_each_other() -> None:
    lines = [["--data.n=64"], ["--data.m=n/16"], []]
    settings = [(r.config["data"]["n"], r.config["data"]["m"]) for r in resolve_all(lines)]
    assert settings == [(64, "n/4"), (12800, "n/16"), (12800, "n/4")]
    assert resolve_all([]) == []
