import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from ganstoch.data import FFHQ
from ganstoch.data.decoding import ScaleFilter
from ganstoch.errors import UserError

KEY = "ganstoch-cache/ffhq32-box-thumbnails128x128"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def write(folder: Path, pixels: NDArray[np.uint8], *, side: int = 128) -> None:
    """Images of even blocks, so that a box filter gives the pixels back."""
    for i, image in enumerate(pixels):
        path = folder / f"{i // 2 * 1000:05}" / f"{i:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = np.kron(image.transpose(1, 2, 0), np.ones((side // 32, side // 32, 1), np.uint8))
        Image.fromarray(whole).save(path)


@pytest.fixture
def root(tmp_path: Path, noise: Callable[[int], NDArray[np.uint8]]) -> Path:
    write(tmp_path / "ffhq" / "thumbnails128x128", noise(3))
    return tmp_path / "ffhq"


def pixels(root: Path, filter: ScaleFilter = "box") -> torch.Tensor:
    images = FFHQ(filter).open(root, "train")
    assert images is not None
    return images.read(torch.arange(len(images)))


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
    names = ("00000/00000.png", "00000/00001.png", "01000/00002.png")
    assert images.names(torch.arange(3)) == names
    assert images.labels is None
    assert FFHQ().open(tmp_path, "held_out") is None


@pytest.mark.parametrize("filter", ["lanczos", "bicubic", "box"])
def test_uses_the_named_filter(root: Path, filter: ScaleFilter) -> None:
    resampling = Image.Resampling[filter.upper()]
    with Image.open(root / "thumbnails128x128" / "00000" / "00001.png") as image:
        expected = np.asarray(image.resize((32, 32), resampling)).transpose(2, 0, 1)
    assert np.array_equal(pixels(root, filter)[1].numpy(), expected)


def test_converts_once(
    root: Path, noise: Callable[[int], NDArray[np.uint8]], capsys: pytest.CaptureFixture[str]
) -> None:
    first = pixels(root)
    assert "scaling 3 images" in capsys.readouterr().err
    assert sorted(path.name for path in (root / "ganstoch-cache").iterdir()) == [
        "ffhq32-box-thumbnails128x128.json",
        "ffhq32-box-thumbnails128x128.npy",
    ]
    array = np.load(root / f"{KEY}.npy", allow_pickle=False)
    assert (array.dtype, array.shape) == (np.uint8, (3, 3, 32, 32))
    Image.new("RGB", (128, 128)).save(root / "thumbnails128x128" / "00000" / "00000.png")
    assert torch.equal(pixels(root), first)
    for path in root.glob("thumbnails128x128/*/*.png"):
        path.unlink()
    assert torch.equal(pixels(root), first)
    assert "scaling" not in capsys.readouterr().err
    write(root / "thumbnails128x128", noise(4))
    assert len(pixels(root)) == 4


@pytest.mark.parametrize(("part", "at"), [("npy", -10), ("json", 0)])
def test_a_damaged_cache_is_made_again(root: Path, part: str, at: int) -> None:
    first = pixels(root)
    file = root / f"{KEY}.{part}"
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)
    assert torch.equal(pixels(root), first)
    file.write_bytes(content)
    for path in root.glob("thumbnails128x128/*/*.png"):
        path.unlink()
    with pytest.raises(UserError, match="no PNG files"):
        pixels(root)


def test_read_only_root_is_cached_at_home(
    root: Path,
    home: Path,
    tmp_path: Path,
    make_read_only: Callable[[Path], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_read_only(root)
    first = pixels(root)
    assert list((root / "ganstoch-cache").iterdir()) == []
    digest = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]
    assert (home / "ganstoch" / digest / "ffhq32-box-thumbnails128x128.npy").exists()
    Image.new("RGB", (128, 128)).save(root / "thumbnails128x128" / "00000" / "00000.png")
    assert torch.equal(pixels(root), first)
    assert "not cached" not in capsys.readouterr().err
    make_read_only(tmp_path)  # no place at all
    assert len(FFHQ("bicubic").open(root, "train") or ()) == 3
    assert "ffhq32-bicubic-thumbnails128x128 is not cached" in capsys.readouterr().err


def test_names_what_is_missing_or_damaged(root: Path) -> None:
    path = root / "thumbnails128x128" / "01000" / "00002.png"
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(UserError, match=str(path)):
        pixels(root)
    assert list((root / "ganstoch-cache").iterdir()) == []
    (root / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty; --data\.root"):
        pixels(root / "empty")
    with pytest.raises(UserError, match=r"--data\.root"):
        pixels(root / "gone")
