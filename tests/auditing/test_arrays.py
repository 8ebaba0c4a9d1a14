"""Arrays of every layout, range and file; what cannot be told is refused rather than guessed."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from ganstoch.auditing.inputs import open_images
from ganstoch.errors import UserError

BYTES = np.random.default_rng(0).integers(0, 256, (20, 3, 5, 7), dtype=np.uint8)
ALL = torch.arange(20)


def refused(source: Any, *, resize: int | None = None) -> str:
    with pytest.raises(UserError) as caught:
        open_images(source, role="held_out", resize=resize)
    message = str(caught.value)
    assert "\n" not in message
    return message


def unit(pixels: NDArray[np.uint8], dtype: Any = np.float32) -> NDArray[Any]:
    return (pixels / 255).astype(dtype)


def signed(pixels: NDArray[np.uint8], dtype: Any = np.float32) -> NDArray[Any]:
    return (pixels / 127.5 - 1).astype(dtype)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "unit32", "unit64", ">f4"])
def test_layouts_and_ranges(kind: str, layout: str, dtype: str) -> None:
    array: NDArray[Any] = BYTES
    if dtype.startswith("unit"):
        array = unit(BYTES, f"float{dtype[4:]}")
    elif dtype != "uint8":
        array = signed(BYTES, dtype)
    array = array if layout == "NCHW" else np.ascontiguousarray(array.transpose(0, 2, 3, 1))
    if kind == "torch":
        source: Any = torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))
    else:
        source = array
    images = open_images(source, role="generated")
    assert len(images) == 20
    assert images.shape == (3, 5, 7)
    assert images.where == "generated array"
    assert images.path is images.labels is None
    ids = torch.tensor([4, 17, 4])
    found = images.read(ids)
    assert found.dtype == torch.uint8
    assert found.is_contiguous()
    assert np.array_equal(found, BYTES[ids.numpy()])
    assert images.names(ids) == ("#4", "#17", "#4")
    assert images.sha256() == open_images(BYTES, role="real").sha256()
    said = {"uint8": (), "u": "[0, 1]", "f": "[-1, 1]", ">": "[-1, 1]"}
    expected = said["uint8"] if dtype == "uint8" else said[dtype[0]]
    assert (expected in images.notes[0]) if expected else (images.notes == ())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    images = open_images(torch.from_numpy(signed(BYTES)).to(dtype), role="generated")
    gap = images.read(ALL).int() - torch.from_numpy(BYTES).int()
    assert gap.abs().max() <= 1


def test_tensors_with_gradients_are_read_without() -> None:
    tensor = torch.from_numpy(signed(BYTES)).requires_grad_()
    assert np.array_equal(open_images(tensor, role="generated").read(ALL), BYTES)


def test_three_axes_are_grey() -> None:
    images = open_images(BYTES[:, 0], role="real")
    assert images.shape == (1, 5, 7)
    assert np.array_equal(images.read(ALL)[:, 0], BYTES[:, 0])
    assert open_images(BYTES[:, :1], role="real").sha256() == images.sha256()


def test_resize() -> None:
    images = open_images(unit(BYTES), role="real", resize=3)
    assert images.shape == (3, 3, 3)
    square = Image.fromarray(np.ascontiguousarray(BYTES[2].transpose(1, 2, 0)[:, 1:6]))
    small = np.asarray(square.resize((3, 3), Image.Resampling.LANCZOS))
    assert np.array_equal(images.read(torch.tensor([2]))[0].permute(1, 2, 0), small)
    grey = open_images(BYTES[:, :1], role="real", resize=5)
    assert np.array_equal(grey.read(ALL)[:, 0], BYTES[:, 0, :, 1:6])


def test_values_a_little_out_of_range_are_clipped() -> None:
    array = unit(BYTES)
    array[0, 0, 0, :2] = [1.0005, -0.0005]
    found = open_images(array, role="real").read(torch.tensor([0]))
    assert found[0, 0, 0, :2].tolist() == [255, 0]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        pytest.param(np.zeros((9, 3, 8, 3), np.uint8), "second axis or the last", id="both"),
        pytest.param(np.zeros((9, 5, 8, 7), np.uint8), "neither the second axis", id="neither"),
        pytest.param(np.zeros((9, 8, 8, 4), np.uint8), "lay transparency", id="rgba"),
        pytest.param(np.zeros((3, 8, 8), np.uint8), "one image, or several grey", id="one chw"),
        pytest.param(np.zeros((8, 8, 3), np.uint8), "one image, or several grey", id="one hwc"),
        pytest.param(np.zeros((9, 192), np.uint8), "images have four axes", id="flat"),
        pytest.param(np.zeros((0, 3, 8, 8), np.uint8), "is empty", id="empty"),
        pytest.param(BYTES.astype(np.int64), "holds int64; give bytes as uint8", id="int64"),
        pytest.param(BYTES > 9, "holds bool", id="bool"),
        pytest.param(BYTES.astype(np.float32), "floats from 0 to 255", id="float bytes"),
        pytest.param(signed(BYTES) * 2, "floats from -2 to 2", id="wider"),
        pytest.param(unit(BYTES) - 0.1, "floats from -0.1 to 0.9: in [0, 1] with", id="ambiguous"),
        pytest.param(np.zeros((2, 3, 8, 8)), "every number of", id="all zero"),
    ],
)
def test_refused_arrays(array: NDArray[Any], message: str) -> None:
    found = refused(array)
    assert "held-out array" in found
    assert message in found


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_names_the_first_image(value: float) -> None:
    array = signed(BYTES)
    array[[13, 17], 1, 2, 3] = value
    assert "contains NaN or infinite values, first in image #13" in refused(array)


def test_npy_is_mapped_and_read_block_by_block(tmp_path: Path) -> None:
    path = tmp_path / "samples.npy"
    np.save(path, signed(BYTES))
    images = open_images(path, role="generated")
    assert isinstance(images.images._array, np.memmap)  # type: ignore[attr-defined]
    assert np.array_equal(images.read(ALL), BYTES)
    assert (images.where, images.path) == (str(path), path)


def test_npz_takes_the_first_array_of_images(tmp_path: Path) -> None:
    path = tmp_path / "samples.npz"
    labels = np.arange(20)
    np.savez(path, labels=labels, data=BYTES, other=BYTES[:2])
    images = open_images(path, role="generated")
    assert np.array_equal(images.read(ALL), BYTES)
    assert images.notes == (
        f"Of the arrays in {path}, the images are data; passed over: labels, other.",
    )
    np.savez_compressed(path, BYTES)
    assert open_images(path, role="generated").notes == ()
    np.savez(path, labels=labels)
    assert "no array of images with four axes (it holds labels)" in refused(path)
    np.savez(path)
    assert "(it holds nothing)" in refused(path)


@pytest.mark.parametrize("new", [True, False])
def test_pt_tensor_or_dictionary(new: bool, tmp_path: Path) -> None:
    path = tmp_path / "samples.pt"
    tensor = torch.from_numpy(BYTES)
    torch.save(tensor, path, _use_new_zipfile_serialization=new)
    assert np.array_equal(open_images(path, role="generated").read(ALL), BYTES)
    about = {"step": 3, "labels": torch.arange(20), "images": tensor}
    torch.save(about, path, _use_new_zipfile_serialization=new)
    images = open_images(path, role="generated")
    assert np.array_equal(images.read(ALL), BYTES)
    assert "the images are images; passed over: step, labels." in images.notes[0]
    torch.save({"a": tensor, "b": tensor}, path, _use_new_zipfile_serialization=new)
    assert "several tensors that may be images (a, b)" in refused(path)
    torch.save({"a": 1}, path, _use_new_zipfile_serialization=new)
    assert "no array of images with four axes (it holds a)" in refused(path)
    torch.save([tensor], path, _use_new_zipfile_serialization=new)
    assert "holds a list; save one tensor" in refused(path)


class Trap:
    """Makes a folder where it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.folder,)


@pytest.mark.parametrize("ending", ["npy", "npz", "pt"])
def test_programs_in_files_are_not_run(ending: str, tmp_path: Path) -> None:
    path, sprung = tmp_path / f"trap.{ending}", tmp_path / "sprung"
    trap = Trap(sprung)
    if ending == "npy":
        np.save(path, np.array([trap], dtype=object), allow_pickle=True)
    elif ending == "npz":
        np.savez(path, images=np.array([trap], dtype=object))
    else:
        torch.save({"images": trap}, path)
    message = refused(path)
    assert "which are not run" in message or "no array of images" in message
    assert not sprung.exists()
    path.write_bytes(pickle.dumps(trap))
    refused(path)
    assert not sprung.exists()


@pytest.mark.parametrize("ending", ["npy", "npz", "pt"])
@pytest.mark.parametrize("cut", ["empty", "half", "text"])
def test_damaged_files(ending: str, cut: str, tmp_path: Path) -> None:
    path = tmp_path / f"samples.{ending}"
    if ending == "pt":
        torch.save(torch.from_numpy(BYTES), path)
    else:
        (np.save if ending == "npy" else np.savez)(path, BYTES)  # type: ignore[operator]
    content = path.read_bytes()
    path.write_bytes({"empty": b"", "half": content[: len(content) // 2], "text": b"404"}[cut])
    message = refused(path)
    assert str(path) in message
    assert "damaged" in message or "which are not run" in message


def test_npz_with_a_flipped_bit(tmp_path: Path) -> None:
    path = tmp_path / "samples.npz"
    np.savez(path, BYTES)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "damaged" in refused(path)
    np.save(tmp_path / "really.npy", BYTES)
    (tmp_path / "really.npy").rename(tmp_path / "wrong.npz")
    assert "give it the ending .npy" in refused(tmp_path / "wrong.npz")
