from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from ganstoch.data import FFHQ
from ganstoch.errors import UserError


def write(folder: Path, pixels: NDArray[np.uint8], *, side: int) -> None:
    """Images of even blocks, so that a box filter gives the pixels back."""
    for i, image in enumerate(pixels):
        path = folder / f"{i // 2 * 1000:05}" / f"{i:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = np.kron(image.transpose(1, 2, 0), np.ones((side // 32, side // 32, 1), np.uint8))
        Image.fromarray(whole).save(path)


@pytest.mark.parametrize(
    ("tree", "side"), [("thumbnails128x128", 128), ("images1024x1024", 1024), (".", 64)]
)
def test_scales_each_published_tree(
    tmp_path: Path, noise: Callable[[int], NDArray[np.uint8]], tree: str, side: int
) -> None:
    expected = noise(3)
    write(tmp_path / tree, expected, side=side)
    images = FFHQ("box").open(tmp_path, "train")
    assert images is not None
    assert torch.equal(images.read(torch.arange(3)), torch.from_numpy(expected))
    assert images.names(torch.tensor([2])) == ("01000/00002.png",)
    assert images.labels is None
    assert FFHQ().open(tmp_path, "held_out") is None
    assert FFHQ("box").label == "ffhq-box"


def test_names_what_is_missing_or_damaged(tmp_path: Path) -> None:
    path = tmp_path / "thumbnails128x128" / "00000" / "00000.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half")
    images = FFHQ().open(tmp_path, "train")
    assert images is not None
    with pytest.raises(UserError, match=str(path)):
        images.read(torch.tensor([0]))
    (tmp_path / "empty").mkdir()
    for root in (tmp_path / "empty", tmp_path / "gone"):
        with pytest.raises(UserError, match=rf"{root.name}.*--data\.root"):
            FFHQ().open(root, "train")
