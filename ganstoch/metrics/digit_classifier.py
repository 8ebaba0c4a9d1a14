"""The classifier that tells which of the 1,000 modes a stacked image belongs to.

One network for single grey images, asked for each channel in turn, as in Lin et al. 2018, "PacGAN",
arXiv:1712.04086, Sec. 4.2. The network is ours: smaller than theirs, for one core.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from ganstoch.errors import UserError
from ganstoch.metrics.weights import load_weights
from ganstoch.rng import normal, rng_for, without_replacement
from ganstoch.types import to_bytes, to_signed

__all__ = ["Judge", "accuracy", "card_path", "load_judge", "name_stacks", "pack", "train_judge"]

SCHEMA = 1
"""Version of the files."""
_BATCH = 128
_AT_ONCE = 1000
"""Images in memory at once where nothing is learnt."""


class Judge(nn.Module):
    """Two convolutions and two full layers, 215,370 weights, for grey 28x28 images."""

    def __init__(self) -> None:
        """Starts anywhere; `train_judge` draws the start."""
        super().__init__()
        self.first = nn.Conv2d(1, 16, 5, stride=2, padding=2)
        self.second = nn.Conv2d(16, 32, 5, stride=2, padding=2)
        self.third = nn.Linear(32 * 7 * 7, 128)
        self.last = nn.Linear(128, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the ten classes, shape (N, 10), of images (N, 1, 28, 28) in [-1, 1]."""
        h = F.relu(self.first(images))
        h = F.relu(self.second(h))
        h = F.relu(self.third(h.flatten(1)))
        logits: Tensor = self.last(h)
        return logits


def train_judge(images: Tensor, labels: Tensor, *, seed: int = 0, epochs: int = 6) -> Judge:
    """A trained classifier, on the CPU, a function of its arguments; shows the time left.

    Adam, its learning rate falling from 0.002 to 0 along a straight line; every weight starts
    normal with variance 2 / inputs (He et al. 2015), every bias at 0.

    Args:
        images: uint8, shape (N, 28, 28), range [0, 255].
        labels: int64, shape (N,), range [0, 9].
        seed: decides the start and the order.
        epochs: times that every image is shown.
    """
    with torch.device("meta"):  # the constructor would draw from the global generator
        judge = Judge()
    judge.to_empty(device="cpu")
    rng = rng_for(seed, "init", part="judge")
    with torch.no_grad():
        for parameter in judge.parameters():
            if parameter.ndim == 1:
                parameter.zero_()
            else:
                fan_in = math.prod(parameter.shape[1:])
                parameter.copy_(normal(tuple(parameter.shape), rng) * math.sqrt(2 / fan_in))
    orders = [
        without_replacement(len(images), len(images), rng_for(seed, "data", epoch, part="judge"))
        for epoch in range(epochs)
    ]
    batches = [ids for order in orders for ids in torch.split(order, _BATCH)]
    optimizer = torch.optim.Adam(judge.parameters(), lr=0.002)
    shown = tqdm(
        batches,
        "training the judge",
        file=sys.stderr,
        unit=" batches",
        delay=2,  # silent for what takes less
        mininterval=0.2 if sys.stderr.isatty() else 30,  # a log file needs no animation
    )
    for done, ids in enumerate(shown):
        optimizer.param_groups[0]["lr"] = 0.002 * (1 - done / len(batches))
        loss = F.cross_entropy(judge(to_signed(images[ids]).unsqueeze(1)), labels[ids])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return judge.requires_grad_(False).eval()


def accuracy(judge: Judge, images: Tensor, labels: Tensor) -> float:
    """Share of images (N, 28, 28), uint8, whose class (N,) the judge names, in [0, 1]."""
    named, _ = _name(judge, images)
    return (named == labels).double().mean().item()


def name_stacks(judge: Judge, stacks: Tensor) -> tuple[Tensor, Tensor]:
    """Which mode each stacked image belongs to, and how sure the judge is.

    Args:
        judge: on any device.
        stacks: shape (S, 3, 28, 28), uint8, or floats in [-1, 1], which are rounded to bytes.

    Returns:
        100 a + 10 b + c of the classes in the three channels, int64, shape (S,); and the product of
        the three probabilities, float32, shape (S,), range [0, 1]. Both on the CPU.

    Raises:
        ValueError: for stacks of another shape, or none.
    """
    if stacks.shape[1:] != (3, 28, 28) or not len(stacks):
        raise ValueError(f"expected stacks of shape (S, 3, 28, 28), got {tuple(stacks.shape)}")
    named, sure = _name(judge, stacks.flatten(0, 1))
    ids = named.reshape(-1, 3) @ torch.tensor([100, 10, 1])
    return ids, sure.reshape(-1, 3).prod(dim=1)


@torch.no_grad()
def _name(judge: Judge, images: Tensor) -> tuple[Tensor, Tensor]:
    """Class and probability, (N,) each, of images (N, 28, 28), bytes or floats in [-1, 1]."""
    device = judge.last.weight.device
    named, sure = [], []
    # Under a trainer's autocast, half precision would change the numbers.
    with torch.autocast(device_type=device.type, enabled=False):
        for part in torch.split(images, _AT_ONCE):
            # A generator that has diverged makes no numbers; black is what they are judged as.
            pixels = to_bytes(part.nan_to_num(-1.0)) if part.is_floating_point() else part
            shares = judge(to_signed(pixels.to(device)).unsqueeze(1)).softmax(dim=1).cpu()
            best, ids = shares.max(dim=1)
            named.append(ids)
            sure.append(best)
    return torch.cat(named), torch.cat(sure)


def pack(judge: Judge, *, accuracy: float) -> tuple[bytes, bytes]:
    """The judge as two files' contents: its weights, and a card that vouches for them.

    Args:
        judge: the judge.
        accuracy: on images that it was not trained on, in [0, 1].
    """
    buffer = io.BytesIO()
    torch.save({name: value.cpu() for name, value in judge.state_dict().items()}, buffer)
    weights = buffer.getvalue()
    card = {
        "schema": SCHEMA,
        "sha256": hashlib.sha256(weights).hexdigest(),
        "accuracy": accuracy,
    }
    return weights, json.dumps(card).encode() + b"\n"


def card_path(path: Path) -> Path:
    """Where the card of a file of weights lies: beside it."""
    return path.with_suffix(".json")


def load_judge(path: Path, *, made_by: str) -> Judge:
    """The judge in a file, on the CPU; read as tensors only, and only if its card vouches for it.

    Args:
        path: the file of weights.
        made_by: the command that makes it, for the message.

    Raises:
        UserError: if it is missing or damaged.
    """
    try:
        card, content = json.loads(card_path(path).read_bytes()), path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(
            f"the classifier that counts modes is missing, no {error.filename}; run: {made_by}"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"cannot read {path} or its card ({error}); remove both and run: {made_by}"
        ) from error
    if not isinstance(card, dict) or card.get("schema") != SCHEMA:
        raise UserError(f"{path} is of another version; remove it and run: {made_by}")
    if card.get("sha256") != hashlib.sha256(content).hexdigest():
        raise UserError(f"{path} is damaged; remove it and run: {made_by}")
    return load_weights(Judge, path)
