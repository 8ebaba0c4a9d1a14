"""Each fault does to a run what its cause says, and nothing before its time."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ganstoch.data import Digits
from ganstoch.data.datamodule import ImageData
from ganstoch.models.mlp import MaxoutDiscriminator, ReLUGenerator
from ganstoch.runs import faults
from ganstoch.training.gan import GAN
from ganstoch.training.silent_fit import silent_fit


class Watch(Callback):
    """Copies what a function sees after every iteration."""

    def __init__(self, see: Callable[[GAN, Trainer, Any], Any]) -> None:
        self.see, self.seen = see, list[Any]()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.seen.append(self.see(pl_module, trainer, batch))


def seen(see: Callable[[GAN, Trainer, Any], Any], *callbacks: Callback) -> list[Any]:
    """What is seen in a short run of dense networks with callbacks."""
    data, watch = ImageData(Digits(), n=32, m=8), Watch(see)
    gan = GAN(
        lambda shape: ReLUGenerator(shape, width=16, depth=2, latent_dim=4),
        lambda shape: MaxoutDiscriminator(shape, width=8, depth=1),
        shape=(3, 32, 32),
    )
    silent_fit(gan, data, iterations=4, callbacks=[*callbacks, watch], accelerator="cpu")
    return watch.seen


def weights(network: str) -> Callable[[GAN, Trainer, Any], Tensor]:
    def see(gan: GAN, trainer: Trainer, batch: Any) -> Tensor:
        return nn.utils.parameters_to_vector(gan.get_submodule(network).parameters()).clone()

    return see


def test_a_loader_repeats_its_first_batch() -> None:
    first, *later = seen(lambda gan, trainer, batch: batch.pixels.clone(), faults.RepeatBatch())
    assert all(torch.equal(pixels, first) for pixels in later)


def test_labels_are_dealt_out_among_the_same_images() -> None:
    def see(gan: GAN, trainer: Trainer, batch: Any) -> tuple[list[int], list[int], Tensor]:
        labels: list[int] = batch.labels.tolist()
        return labels, sorted(labels), batch.pixels.sum()

    shuffled, well = (
        zip(*seen(see, *fault), strict=True) for fault in ([faults.ShuffleLabels()], [])
    )
    (ours, our_set, our_images), (labels, label_set, images) = shuffled, well
    assert (our_set, our_images) == (label_set, images)
    assert ours != labels


def test_all_real_images_get_another_range() -> None:
    def see(gan: GAN, trainer: Trainer, batch: Any) -> list[Tensor]:
        (micro,) = gan.micro_batches(batch)
        data = trainer.datamodule  # type: ignore[attr-defined]
        return [micro.real, data.subset.pixels, data.held_out]

    for images in seen(see, faults.Range(low=0, high=255))[-1]:
        assert (images.min(), images.max()) == (0, 255)


def test_from_its_iteration_on_the_generator_is_in_eval_mode() -> None:
    modes = seen(lambda gan, *_: gan.generator.training, faults.GeneratorInEval(at=3))
    assert modes == [True, True, False, False]


def test_the_moments_start_anew() -> None:
    def steps(gan: GAN, trainer: Trainer, batch: Any) -> set[float]:
        return {s["step"].item() for o in trainer.optimizers for s in o.state.values()}

    assert seen(steps, faults.ForgetMoments(at=3)) == [{1}, {2}, {1}, {2}]


@pytest.mark.parametrize(
    ("network", "fault"),
    [
        ("average", faults.FrozenAverage(at=3)),
        ("generator", faults.HalfGradients(player="generator", scale=1e-12, at=3)),
        ("discriminator", faults.HalfGradients(player="discriminator", scale=1e-12, at=3)),
    ],
)
def test_from_its_iteration_on_nothing_moves(network: str, fault: Callback) -> None:
    first, second, third, fourth = seen(weights(network), fault)
    assert not torch.equal(first, second)
    assert torch.equal(second, third)
    assert torch.equal(second, fourth)


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_gradients_overflow_in_16_bits(player: str) -> None:
    over = seen(weights(player), faults.HalfGradients(player=player, scale=1e12, at=3))
    assert [bool(each.isfinite().all()) for each in over] == [True, True, False, False]


def test_a_network_is_drawn_anew() -> None:
    _, before, after, _ = seen(weights("discriminator"), faults.Redraw(layer="discriminator", at=3))
    assert abs(torch.corrcoef(torch.stack([before, after]))[0, 1]) < 0.1


LOGITS = torch.linspace(-3, 3, 13, dtype=torch.float64)


def gradient(loss: Callable[[Tensor], Tensor]) -> Tensor:
    logits = LOGITS.clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss(logits), logits)
    return slope * len(logits)


def test_the_logistic_function_is_applied_twice() -> None:
    ones, zeros = torch.ones_like(LOGITS), torch.zeros_like(LOGITS)
    cross_entropy = binary_cross_entropy_with_logits
    twice, real, fake = faults.SigmoidTwice(), LOGITS.sigmoid(), LOGITS.flip(0).sigmoid()
    wanted = cross_entropy(real, ones) + cross_entropy(fake, zeros)
    torch.testing.assert_close(twice.discriminator(LOGITS, LOGITS.flip(0)), wanted)
    torch.testing.assert_close(twice.generator(LOGITS), cross_entropy(real, ones))
    assert (gradient(twice.generator) < 0).all()  # the right way


def test_detached_images_give_no_gradient() -> None:
    assert not gradient(faults.DetachedFakes().generator).any()


def test_one_optimizer_and_a_saturating_loss_hide_generated_images_from_the_discriminator() -> None:
    def of_fake(saturating: bool) -> Tensor:
        shared = faults.SharedOptimizer(saturating=saturating)
        return gradient(lambda fake: shared.discriminator(torch.zeros_like(fake), fake))

    torch.testing.assert_close(of_fake(True), torch.zeros_like(LOGITS))
    torch.testing.assert_close(of_fake(False), 2 * LOGITS.sigmoid() - 1)  # towards a half
