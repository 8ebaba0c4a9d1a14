"""Training is the same bits whether measured or not, and whether interrupted or not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor

from ganstoch.callbacks.evaluation import Evaluation
from ganstoch.errors import UserError
from ganstoch.models import PaperGenerator

Make = Callable[..., Any]
State = dict[str, Tensor]


def measure(every: int = 1) -> Evaluation:
    return Evaluation(every=every, queries=4, semantic=None)


def checkpoints(folder: Path, every: int) -> ModelCheckpoint:
    return ModelCheckpoint(folder, filename="{step}", every_n_train_steps=every, save_top_k=-1)


@pytest.mark.parametrize("settings", [{}, {"noise": 0.5, "micro_batch": 5}, {"bank": "fresh"}])
def test_a_resumed_run_is_the_uninterrupted_one(
    settings: dict[str, Any],
    make_gan: Make,
    make_data: Make,
    fit: Make,
    state_of: Callable[..., State],
    assert_same_bits: Callable[[State, State], None],
    make_losses: Make,
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    straight = make_losses()
    whole = state_of(fit(make_gan(**settings), make_data(), straight, measure(), steps=6))

    torch.manual_seed(1)
    fit(make_gan(**settings), make_data(), checkpoints(tmp_path, 4), steps=5)
    torch.manual_seed(2)
    rest = make_losses()
    gan = make_gan(**settings)
    trainer = fit(gan, make_data(), rest, measure(3), steps=6, resume=tmp_path / "step=4.ckpt")

    assert list(rest.trace) == [5, 6]
    assert rest.trace == {step: straight.trace[step] for step in (5, 6)}
    assert_same_bits(state_of(trainer), whole)
    assert sum("adam" in name for name in whole) == 3 * (8 + 10)
    assert any(name.startswith("average.") for name in whole)


def test_a_checkpoint_holds_the_average_and_no_bank(
    make_gan: Make, make_data: Make, fit: Make, tmp_path: Path
) -> None:
    gan = make_gan()
    fit(gan, make_data(), checkpoints(tmp_path, 3), steps=3)
    content = torch.load(tmp_path / "step=3.ckpt", weights_only=True)
    saved = content["state_dict"]
    for name, parameter in gan.average.generator.named_parameters():
        assert torch.equal(saved[f"average.generator.{name}"], parameter)
    live = dict(gan.generator.named_parameters())
    assert not torch.equal(saved["average.generator.layers.0.weight"], live["layers.0.weight"])
    assert {name.split(".")[0] for name in saved} == {"generator", "discriminator", "average"}

    # Whoever has only the file can make the images.
    other = PaperGenerator((3, 32, 32), width=16, latent_dim=8)
    own = "average.generator."
    other.load_state_dict({n.removeprefix(own): v for n, v in saved.items() if n.startswith(own)})
    z = gan.latents.evaluation()[:3]
    assert torch.equal(other(z), gan.sample(z))


def test_a_checkpoint_of_other_networks_is_refused_in_one_line(make_gan: Make) -> None:
    gan = make_gan()
    state = gan.state_dict()
    gan.on_load_checkpoint({"state_dict": state})
    name = "generator.layers.0.weight"
    with pytest.raises(UserError, match=rf"{name} .*\(256, 8\).*\(384, 8\).*$"):
        make_gan(width=24).on_load_checkpoint({"state_dict": state})
    with pytest.raises(UserError, match=r"extra.weight .*\(2, 2\)"):
        gan.on_load_checkpoint({"state_dict": state | {"extra.weight": torch.zeros(2, 2)}})
    del state["discriminator.head.bias"]
    with pytest.raises(UserError, match=r"discriminator.head.bias .*\(1,\)"):
        gan.on_load_checkpoint({"state_dict": state})
