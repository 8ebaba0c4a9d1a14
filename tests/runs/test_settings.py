import functools

import pytest
from pytorch_lightning.strategies import StrategyRegistry

from ganstoch.errors import UserError
from ganstoch.runs.settings import Resolved, resolve_all, source_class, understand
from ganstoch.training.distributed import Ranks


@functools.cache
def one(*words: str) -> Resolved:
    """What the preset mini means with further words; do not touch."""
    return resolve_all([["--config", "mini", *words]])[0]


SAME = [
    *("--data.root=elsewhere", "--model.micro_batch=8", "--out=elsewhere", "--quiet=true"),
    *("--checkpoint_every=7", "--trainer.log_every_n_steps=7", "--trainer.accelerator=cpu"),
    *("--evaluation.weights=some.pth", "--evaluation.held_out=false", "--probe=null"),
    *("--wandb.group=g", "--config=mini", "--remedy=plain"),
    *("--model.remedies=null", "--model.remedies=[]"),
]
OTHER = [
    *("--seed_everything=1", "--data.m=n/16", "--data.n=255", "--data.source=FashionMNIST"),
    *("--data.subset_seed=1", "--data.sampling=permutation", "--model.optimizer.lr=0.001"),
    *("--model.ema_decay=0.9", "--model.latents.noise=0.5", "--model.latents.bank=2n"),
    *("--model.generator.init_args.width=64", "--trainer.max_steps=7", "--remedy=hinge"),
    *("--trainer.precision=bf16-mixed", "--stop_rule.stop=true", "--evaluation.queries=all"),
    *("--evaluation.every=50", "--evaluation.held_out=true", "--probe.every=50"),
    *("--iterations_of=twin", "--remedy=packing3+r1"),
]


@pytest.mark.parametrize("word", [*SAME, *OTHER])
def test_what_changes_numbers_and_nothing_else_changes_the_hash(word: str) -> None:
    assert (one(word).config_hash == one().config_hash) == (word in SAME)
    assert (one(word).name == one().name) == (word in SAME)


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("strategy", ["auto", "ddp"])
def test_several_devices_share_our_way(devices: int, strategy: str) -> None:
    theirs = StrategyRegistry["ddp"]
    words = ["--config=mini", "--wandb.mode=disabled", "--trainer.accelerator=cpu"]
    words += [f"--trainer.devices={devices}", f"--trainer.strategy={strategy}"]
    command = understand(words)
    command.build([])
    assert isinstance(command.trainer.strategy, Ranks) == (devices > 1 or strategy == "ddp")
    assert command.trainer.world_size == devices
    assert StrategyRegistry["ddp"] == theirs


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ([], "digits-n256-m64-seed0"),
        (["--remedy=packing2+hinge"], "digits-n256-m64-packing2+hinge-seed0"),
        (
            ["--data.m=8", "--model.latents.noise=0.25", "--model.latents.bank=fresh"],
            "digits-n256-m8-noise0.25-bank-fresh-seed0",
        ),
    ],
)
def test_a_name_says_what_a_run_is(words: list[str], name: str) -> None:
    run = one(*words)
    assert run.name == f"{name}-{run.config_hash[:8]}"
    assert source_class(run.config).name == "digits"


@pytest.mark.parametrize(("m", "expected"), [("n", 25), ("n/4", 100), ("n/16", 400), ("48", 133)])
def test_equal_images_scales_the_iterations(m: str, expected: int) -> None:
    words = [f"--data.m={m}", "--trainer.max_steps=100"]
    assert one(*words, "--equal=images").config["trainer"]["max_steps"] == expected
    assert one(*words).config["trainer"]["max_steps"] == 100


@pytest.mark.parametrize("word", ["--data.nn=3", f"--data.n={10**30}"])
def test_a_mistake_is_told(word: str) -> None:
    with pytest.raises(UserError, match=word.rpartition("=")[2]):
        resolve_all([["--config", "mini"], ["--config", "mini", word]])


def test_lines_do_not_touch_each_other() -> None:
    lines = [["--data.n=64"], ["--data.m=n/16"], []]
    settings = [(r.config["data"]["n"], r.config["data"]["m"]) for r in resolve_all(lines)]
    assert settings == [(64, "n/4"), (12800, "n/16"), (12800, "n/4")]
    assert resolve_all([]) == []
