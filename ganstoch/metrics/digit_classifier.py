"""The classifier that tells which of the 1,000 modes a stacked image belongs to.

One network for single grey images, asked for each channel in turn, as in Lin et al. 2018, "PacGAN",
arXiv:1712.04086, Sec. 4.2; a smaller one than theirs.
"""

import io
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganstoch.errors import UserError
from ganstoch.metrics.features.weights import load_weights
from ganstoch.metrics.progress import progress_bar
from ganstoch.rng import normal, rng_for, without_replacement
from ganstoch.types import to_bytes, to_signed

_BATCH = 128
_AT_ONCE = 1000  # images in memory where nothing is learnt


class DigitClassifier(nn.Module):
    """Two convolutions and two full layers, 215,370 weights, for grey 28x28 images."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 16, 5, stride=2, padding=2)
        self.second = nn.Conv2d(16, 32, 5, stride=2, padding=2)
        self.third = nn.Linear(32 * 7 * 7, 128)
        self.last = nn.Linear(128, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the ten classes, shape (N, 10), of images (N, 1, 28, 28) in [-1, 1]."""
        h = F.relu(self.first(images))
        h = F.relu(self.second(h))
        logits: Tensor = self.last(F.relu(self.third(h.flatten(1))))
        return logits


def train_classifier(
    images: Tensor, labels: Tensor, *, seed: int = 0, epochs: int = 6
) -> DigitClassifier:
    """A classifier of images (N, 28, 28), uint8, of labels (N,) in [0, 9], trained on the CPU."""
    with torch.device("meta"):  # the constructor would draw from the global generator
        classifier = DigitClassifier()
    classifier.to_empty(device="cpu")
    rng = rng_for(seed, "init", part="judge")
    with torch.no_grad():
        for parameter in classifier.parameters():
            parameter.zero_()
            if parameter.ndim > 1:
                fan_in = math.prod(parameter.shape[1:])  # He et al. 2015
                parameter.copy_(normal(tuple(parameter.shape), rng) * math.sqrt(2 / fan_in))
    batches: list[Tensor] = []
    for epoch in range(epochs):
        rng = rng_for(seed, "data", epoch, part="judge")
        batches += torch.split(without_replacement(len(images), len(images), rng), _BATCH)
    optimizer = torch.optim.Adam(classifier.parameters(), lr=0.002)
    bar = progress_bar(batches, "training the digit classifier", unit=" batches")
    for done, ids in enumerate(bar):
        optimizer.param_groups[0]["lr"] = 0.002 * (1 - done / len(batches))
        loss = F.cross_entropy(classifier(to_signed(images[ids]).unsqueeze(1)), labels[ids])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return classifier.requires_grad_(False).eval()


def accuracy(classifier: DigitClassifier, images: Tensor, labels: Tensor) -> float:
    """Share of images (N, 28, 28), uint8, whose class (N,) the classifier names, in [0, 1]."""
    return (_name(classifier, images)[0] == labels).double().mean().item()


def classify_stacks(classifier: DigitClassifier, stacks: Tensor) -> tuple[Tensor, Tensor]:
    """Modes 100 a + 10 b + c of stacks (S, 3, 28, 28), uint8 or in [-1, 1]; how sure these are."""
    if stacks.shape[1:] != (3, 28, 28) or not len(stacks):
        raise ValueError(f"expected stacks of shape (S, 3, 28, 28), got {tuple(stacks.shape)}")
    named, sure = _name(classifier, stacks.flatten(0, 1))
    return named.reshape(-1, 3) @ torch.tensor([100, 10, 1]), sure.reshape(-1, 3).prod(dim=1)


@torch.no_grad()
def _name(classifier: DigitClassifier, images: Tensor) -> tuple[Tensor, Tensor]:
    """Class and probability, (N,) each, of images (N, 28, 28), bytes or floats in [-1, 1]."""
    device = classifier.last.weight.device
    classes, sure = [], []
    # Under a trainer's autocast, half precision would change the numbers.
    with torch.autocast(device_type=device.type, enabled=False):
        for part in torch.split(images, _AT_ONCE):
            # A generator that has diverged makes no numbers; black is what they are judged as.
            pixels = to_bytes(part.nan_to_num(-1.0)) if part.is_floating_point() else part
            shares = classifier(to_signed(pixels.to(device)).unsqueeze(1)).softmax(dim=1).cpu()
            most = shares.max(dim=1)
            classes.append(most.indices)
            sure.append(most.values)
    return torch.cat(classes), torch.cat(sure)


def serialize(classifier: DigitClassifier) -> bytes:
    """The classifier's weights as the content of a file."""
    buffer = io.BytesIO()
    torch.save({name: value.cpu() for name, value in classifier.state_dict().items()}, buffer)
    return buffer.getvalue()


def load_classifier(path: Path, *, made_by: str) -> DigitClassifier:
    """The classifier in a file, on the CPU; a UserError names ``made_by``, which makes the file."""
    if not path.exists():
        raise UserError(f"the classifier that counts modes is missing, no {path}; run: {made_by}")
    try:
        return load_weights(DigitClassifier, path)
    except UserError as error:
        raise UserError(f"{error}; remove it and run: {made_by}") from error
