"""Handwritten digits of 8 x 8 pixels, and what a generator may make of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from ganstoch.auditing.evidence import Evidence, gather
from ganstoch.auditing.inputs import Images, Role, open_images
from ganstoch.metrics.features import Extractor, Pixels
from ganstoch.rng import rng_for


@dataclass(frozen=True)
class Digits:
    """Three disjoint random sets, uint8 (N, 1, 8, 8), with the classes of two of them."""

    train: Tensor
    labels: Tensor
    fresh: Tensor
    fresh_labels: Tensor
    held_out: Tensor

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(str(label) for label in self.labels.tolist())


@pytest.fixture(scope="session")
def split() -> Callable[..., Digits]:
    """Draws the sets anew for each seed."""
    content = load_digits()
    pixels = torch.from_numpy(content.images * (255 / 16)).round().byte()[:, None]
    labels = torch.from_numpy(content.target)

    def split(seed: int = 0, *, train: int = 800, fresh: int = 500, held_out: int = 497) -> Digits:
        rng = rng_for(seed, "evaluation", part="test split")
        order = torch.randperm(len(pixels), generator=rng)
        a, b = order[:train], order[train : train + fresh]
        c = order[train + fresh : train + fresh + held_out]
        return Digits(pixels[a], labels[a], pixels[b], labels[b], pixels[c])

    return split


@pytest.fixture(scope="session")
def make() -> Callable[[str, Digits], Tensor]:
    """The images of a scenario, as many as there are fresh ones, or those that are left of them."""

    def make(scenario: str, digits: Digits) -> Tensor:
        rng = rng_for(0, "evaluation", part="test scenario")
        fresh, count = digits.fresh, len(digits.fresh)
        copies = digits.train[torch.randint(len(digits.train), (count,), generator=rng)]
        blurred: Tensor = gaussian_blur(fresh, [5, 5], [1.0, 1.0])
        return {
            "held out": fresh,
            "copy all": copies,
            "copy one": digits.train[:1].repeat(count, 1, 1, 1),
            "copy a tenth": torch.cat([copies[: count // 10], fresh[count // 10 :]]),
            "one unseen image": fresh[:1].repeat(count, 1, 1, 1),
            "drop half": fresh[digits.fresh_labels < 5],
            "drop the zeros": fresh[digits.fresh_labels != 0],
            "noise": torch.randint(0, 256, fresh.shape, dtype=torch.uint8, generator=rng),
            "blur": blurred,
        }[scenario]

    return make


@pytest.fixture(scope="session")
def evidence() -> Callable[..., Evidence]:
    """All that the rules look at, of images in a space, pixels if nothing else is said."""

    def evidence(
        digits: Digits,
        generated: Tensor,
        *,
        held_out: bool = True,
        extractor: Extractor | None = None,
        labels: bool = False,
        seed: int = 0,
    ) -> Evidence:
        arrays: dict[Role, Tensor] = {"real": digits.train, "generated": generated}
        if held_out:
            arrays["held_out"] = digits.held_out
        sets: dict[Role, Images] = {role: open_images(a, role=role) for role, a in arrays.items()}
        sets["real"].labels = digits.names if labels else None
        return gather(sets, [extractor or Pixels()], seed=seed)

    return evidence


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes images as PNG files, in a folder a class where labels are given."""

    def folder(name: str, images: Tensor, labels: Tensor | None = None) -> Path:
        root = tmp_path / name
        for i, image in enumerate(images):
            place = root if labels is None else root / f"class {labels[i]}"
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0].numpy()).save(place / f"{i:04}.png")
        return root

    return folder
