from pathlib import Path

import torch
from sklearn.datasets import load_digits

import ganstoch.data
from ganstoch.data import Digits, Source, find_source

NAMES = [
    *("bimodal", "cifar10", "digits", "fashion_mnist", "ffhq", "folder", "gaussians1200", "grid"),
    *("ring", "stacked_fashion", "stacked_mnist", "svhn"),
]
WORLDS = ("bimodal", "gaussians1200", "grid", "ring", "stacked_fashion", "stacked_mnist")


def test_every_source_is_found_by_name(tmp_path: Path) -> None:
    shipped = [s for s in Source.__subclasses__() if s.__module__.startswith("ganstoch.")]
    assert sorted(source.name for source in shipped) == NAMES
    for source in shipped:
        assert find_source(source.name) is getattr(ganstoch.data, source.__name__) is source
        assert source().label == source.name
        assert (source().known_modes(tmp_path) is not None) == (source.name in WORLDS)


def test_digits_are_the_published_ones_scaled_up() -> None:
    images = Digits().open(Path("/does/not/exist"), "train")
    assert images is not None
    assert len(images) == 1797
    ids = torch.tensor([3, 0, 1796, 3])
    pixels = images.read(ids)
    assert (pixels.shape, pixels.dtype) == ((4, 3, 32, 32), torch.uint8)
    assert torch.equal(pixels[:, 0], pixels[:, 2])
    published = torch.from_numpy(load_digits().images[ids.numpy()]).unsqueeze(1) * (255 / 16)
    expected = torch.nn.functional.interpolate(published, scale_factor=4, mode="bilinear")
    # Pillow rounds after each of its two passes, and the grey levels are rounded before.
    assert (pixels[:, :1] - expected).abs().max() < 1.6
    assert images.labels is not None
    assert images.labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert images.classes == tuple("0123456789")
    assert images.names(ids) == ("train/3", "train/0", "train/1796", "train/3")
