"""Arrays of every layout, range and file; what cannot be told is refused rather than guessed."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from ganstoch.data import ImageSet
from ganstoch.data.images import open_images
from ganstoch.data.reading import Reading
from ganstoch.errors import UserError

BYTES = np.random.default_rng(0).integers(0, 256, (20, 3, 5, 7), dtype=np.uint8)
ALL = torch.arange(20)


def opened(source: Any, **stated: Any) -> ImageSet:
    return open_images(source, option="--held-out", reading=Reading(**stated))


def refused(source: Any, **stated: Any) -> str:
    with pytest.raises(UserError) as caught:
        opened(source, **stated)
    assert "\n" not in str(caught.value)
    assert "held-out array" in str(caught.value) or str(source) in str(caught.value)
    return str(caught.value)


def unit(pixels: NDArray[np.uint8], dtype: Any = np.float32) -> NDArray[Any]:
    return (pixels / 255).astype(dtype)


def signed(pixels: NDArray[np.uint8], dtype: Any = np.float32) -> NDArray[Any]:
    return (pixels / 127.5 - 1).astype(dtype)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "unit32", "unit64", ">f4"])
def test_layouts_and_ranges(kind: str, layout: str, dtype: str) -> None:
    array: Any = BYTES
    if dtype.startswith("unit"):
        array = unit(BYTES, f"float{dtype[4:]}")
    elif dtype != "uint8":
        array = signed(BYTES, dtype)
    array = array if layout == "NCHW" else np.ascontiguousarray(array.transpose(0, 2, 3, 1))
    if kind == "torch":
        array = torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))
    images: Any = opened(array)
    assert (len(images), images.shape) == (20, (3, 5, 7))
    assert images.path is images.labels is None
    ids = torch.tensor([4, 17, 4])
    pixels = images.read(ids)
    assert pixels.dtype == torch.uint8
    assert pixels.is_contiguous()
    assert np.array_equal(pixels, BYTES[ids.numpy()])
    assert images.names(ids) == ("#4", "#17", "#4")
    ranges = {"i": "", "n": "[0, 1]", "l": "[-1, 1]", "f": "[-1, 1]"}
    assert ranges[dtype[1]] in "".join(images.notes)
    assert len(images.notes) == (dtype != "uint8") + (layout == "NHWC")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    images = opened(torch.from_numpy(signed(BYTES)).to(dtype))
    assert (images.read(ALL).int() - torch.from_numpy(BYTES).int()).abs().max() <= 1


def test_three_axes_are_grey_and_a_little_overshoot_is_clipped() -> None:
    images = opened(BYTES[:, 0])
    assert images.shape == (1, 5, 7)
    assert np.array_equal(images.read(ALL)[:, 0], BYTES[:, 0])
    array = unit(BYTES)
    array[0, 0, 0, :2] = [1.0005, -0.0005]
    assert opened(array).read(torch.tensor([0]))[0, 0, 0, :2].tolist() == [255, 0]


def test_resize() -> None:
    images = opened(unit(BYTES), resize=3)
    assert images.shape == (3, 3, 3)
    square = Image.fromarray(np.ascontiguousarray(BYTES[2].transpose(1, 2, 0)[:, 1:6]))
    small = np.asarray(square.resize((3, 3), Image.Resampling.LANCZOS))
    assert np.array_equal(images.read(torch.tensor([2]))[0].permute(1, 2, 0), small)
    grey = opened(BYTES[:, :1], resize=5)
    assert np.array_equal(grey.read(ALL)[:, 0], BYTES[:, 0, :, 1:6])


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(np.zeros((9, 3, 8, 3), np.uint8), id="either layout"),
        pytest.param(np.zeros((9, 5, 8, 7), np.uint8), id="neither layout"),
        pytest.param(np.zeros((9, 8, 8, 4), np.uint8), id="rgba"),
        pytest.param(np.zeros((3, 8, 8), np.uint8), id="one chw"),
        pytest.param(np.zeros((9, 192), np.uint8), id="flat"),
        pytest.param(np.zeros((0, 3, 8, 8), np.uint8), id="empty"),
        pytest.param(np.minimum(BYTES, 16).astype(np.int64), id="few levels"),
        pytest.param(np.minimum(BYTES, 16).astype(np.float32), id="few levels as floats"),
        pytest.param(BYTES > 9, id="bool"),
        pytest.param(signed(BYTES) * 2, id="wider"),
        pytest.param(unit(BYTES) - 0.1, id="ambiguous"),
        pytest.param(np.zeros((2, 3, 8, 8)), id="all zero"),
    ],
)
def test_refused_arrays(array: NDArray[Any]) -> None:
    refused(array)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_names_the_first_image(value: float) -> None:
    array = signed(BYTES)
    array[[13, 17], 1, 2, 3] = value
    assert "#13" in refused(array)


def test_npy_is_mapped(tmp_path: Path) -> None:
    path = tmp_path / "samples.npy"
    np.save(path, signed(BYTES))
    images = opened(path)
    assert isinstance(images._array, np.memmap)  # type: ignore[attr-defined]
    assert np.array_equal(images.read(ALL), BYTES)
    assert (images.where, images.path) == (str(path), path)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.float32, np.float64])
def test_bytes_of_other_types(dtype: Any) -> None:
    images = opened(BYTES.astype(dtype))
    assert np.array_equal(images.read(ALL), BYTES)
    assert "[0, 255]" in images.notes[0]


def test_what_is_ambiguous_can_be_stated() -> None:
    both = BYTES[:, :, :, :3]
    assert "--layout" in refused(both)
    assert opened(both, layout="NCHW").shape == (3, 5, 3)
    last = opened(both, layout="NHWC")
    assert np.array_equal(last.read(ALL), both.transpose(0, 3, 1, 2))
    few = np.minimum(BYTES, 16)
    assert "--range" in refused(few.astype(np.float32))
    assert np.array_equal(opened(few.astype(np.float32), range="bytes").read(ALL), few)
    dim = unit(BYTES) - 0.1
    assert "--range" in refused(dim)
    assert opened(dim, range="symmetric").read(ALL).min() > 100
    assert "--range unit" in refused(dim, range="unit")
    assert np.array_equal(
        opened((BYTES > 9).astype(np.uint8), range="unit").read(ALL) > 0, BYTES > 9
    )


@pytest.mark.parametrize("ending", ["npz", "pt"])
def test_one_of_several_arrays_is_named(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"samples.{ending}"
    arrays = {"x_test": BYTES[:2], "x_train": BYTES, "y_train": np.arange(20)}
    if ending == "npz":
        np.savez(path, **arrays)  # type: ignore[arg-type]
    else:
        torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, path)
    said = refused(path)
    assert "x_test" in said
    assert "x_train" in said
    images = opened(f"{path}:x_train")
    assert np.array_equal(images.read(ALL), BYTES)
    assert (images.where, images.path, images.notes) == (f"{path}:x_train", path, ())
    assert "x_val" in refused(f"{path}:x_val")
    refused(f"{path}:y_train")


def test_npz_of_guided_diffusion(tmp_path: Path) -> None:
    path = tmp_path / "samples_20x5x7x3.npz"
    np.savez(path, BYTES.transpose(0, 2, 3, 1), np.arange(20))
    images = opened(path)
    assert np.array_equal(images.read(ALL), BYTES)
    assert "arr_1" in images.notes[0]
    np.savez_compressed(path, BYTES)
    assert opened(path).notes == ()
    np.savez(path, labels=np.arange(20))
    assert "labels" in refused(path)
    np.savez(path)
    refused(path)


@pytest.mark.parametrize("new", [True, False])
def test_pt_tensor_or_dictionary(new: bool, tmp_path: Path) -> None:
    path = tmp_path / "samples.pt"
    tensor = torch.from_numpy(BYTES)
    torch.save(tensor, path, _use_new_zipfile_serialization=new)
    assert np.array_equal(opened(path).read(ALL), BYTES)
    about = {"step": 3, "labels": torch.arange(20), "images": tensor}
    torch.save(about, path, _use_new_zipfile_serialization=new)
    images = opened(path)
    assert np.array_equal(images.read(ALL), BYTES)
    assert "images was taken; passed over: step, labels" in images.notes[0]
    for content in ({"a": tensor, "b": tensor}, {"a": 1}, [tensor]):
        torch.save(content, path, _use_new_zipfile_serialization=new)
        refused(path)


def store(path: Path, content: Any) -> None:
    if path.suffix == ".pt":
        torch.save({"images": content}, path)
    else:
        (np.save if path.suffix == ".npy" else np.savez)(path, content)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.pt"])
def test_programs_in_files_are_not_run(name: str, tmp_path: Path) -> None:
    path, sprung = tmp_path / name, tmp_path / "sprung"

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.mkdir, (sprung,)

    store(path, np.array([Trap()], dtype=object))
    refused(path)
    path.write_bytes(pickle.dumps(Trap()))
    refused(path)
    assert not sprung.exists()


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.pt"])
def test_damaged_files(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    store(path, BYTES)
    content = path.read_bytes()
    for damaged in (b"", b"404", content[: len(content) // 2]):
        path.write_bytes(damaged)
        refused(path)


def test_an_archive_that_unpacks_to_more_than_it_may(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, np.zeros((10**5, 3, 8, 8), np.uint8))
    assert "18 MiB" in refused(path, memory=2**24)
    assert len(opened(path, memory=2**25)) == 10**5
