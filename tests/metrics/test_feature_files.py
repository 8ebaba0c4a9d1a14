"""Spaces that users bring: ONNX, TorchScript and timm files, functions and modules of Python."""

import copy
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from ganstoch.callbacks.evaluation import Evaluation
from ganstoch.errors import UserError
from ganstoch.metrics import FID, make_extractor
from ganstoch.metrics.features import Extractor, Pixels
from ganstoch.metrics.features.weights import FILES, WeightsFile
from ganstoch.types import to_signed

Patch = pytest.MonkeyPatch


def draw_bytes(*shape: int, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(256, shape, generator=rng, dtype=torch.uint8)


IMAGES = draw_bytes(7, 3, 12, 12, seed=0)
MEANS = IMAGES.float().mean((2, 3))


@pytest.fixture
def write_onnx(tmp_path: Path) -> Callable[..., Path]:
    """Writes a network of one operation: the mean of each channel, times a factor."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")

    def write(kind: str, shape: Sequence[Any], *, outputs: int = 1, factor: float = 1.0) -> Path:
        make, types = onnx.helper, onnx.TensorProto
        axes = [1, 2] if shape[-1] == 3 else [2, 3]
        nodes = [make.make_node("Cast", ["x"], ["f"], to=types.FLOAT)]
        nodes += [make.make_node("ReduceMean", ["f", "axes"], ["m"], keepdims=0)]
        names = [f"y{i}" for i in range(outputs)]
        nodes += [make.make_node("Mul", ["m", "k"], [name]) for name in names]
        constants = [
            onnx.numpy_helper.from_array(np.array(axes), "axes"),
            onnx.numpy_helper.from_array(np.array([factor], np.float32), "k"),
        ]
        graph = make.make_graph(
            nodes,
            "g",
            [make.make_tensor_value_info("x", getattr(types, kind), shape)],
            [make.make_tensor_value_info(name, types.FLOAT, None) for name in names],
            constants,
        )
        model = make.make_model(graph, opset_imports=[make.make_opsetid("", 18)], ir_version=9)
        path = tmp_path / f"mean {kind}{len(list(tmp_path.iterdir()))}.onnx"
        onnx.save(model, path)
        return path

    return write


@pytest.mark.parametrize("batch", ["n", 4])
@pytest.mark.parametrize("size", [("h", "w"), (24, 24)])
@pytest.mark.parametrize("kind", ["UINT8", "FLOAT", "FLOAT16"])
@pytest.mark.parametrize("last", [True, False])
def test_onnx_takes_what_its_input_says(
    write_onnx: Callable[..., Path], batch: Any, size: tuple[Any, Any], kind: str, last: bool
) -> None:
    shape = [batch, *size, 3] if last else [batch, 3, *size]
    extractor = make_extractor(f"onnx:{write_onnx(kind, shape)}")
    scale, slack = (1, 0.4) if kind == "UINT8" else (255, 2e-3)  # resized bytes are rounded
    for images in (IMAGES, to_signed(IMAGES)):
        rows = extractor(images)
        torch.testing.assert_close(rows, MEANS / scale, rtol=0, atol=slack)
    assert (rows.dtype, extractor.norm) == (torch.float32, "l2")
    grey = draw_bytes(2, 1, 8, 8, seed=1)
    assert torch.equal(extractor(grey), extractor(grey.expand(2, 3, 8, 8)))
    again = pickle.loads(pickle.dumps(extractor))
    assert again.name == extractor.name
    assert torch.equal(again(IMAGES), extractor(IMAGES))
    assert copy.deepcopy(extractor) is extractor


def test_onnx_that_leaves_room_to_guess(write_onnx: Callable[..., Path], tmp_path: Path) -> None:
    files = [
        write_onnx("UINT8", ["n", "c", "h", "w"]),
        write_onnx("UINT8", ["n", 3, "h", 3]),
        write_onnx("INT32", ["n", 3, "h", "w"]),
        write_onnx("UINT8", ["n", 3, "h", "w"], outputs=2),
        write_onnx("UINT8", ["n", 3, 0, 0]),
        tmp_path / "absent.onnx",
        tmp_path / "text.onnx",
    ]
    files[-1].write_text("no network")
    for file in files:
        with pytest.raises(UserError, match=file.name):
            make_extractor(f"onnx:{file}")


def test_the_name_changes_with_the_file(write_onnx: Callable[..., Path]) -> None:
    files = [write_onnx("UINT8", ["n", 3, "h", "w"], factor=k) for k in (1.0, 2.0)]
    names = [make_extractor(f"onnx:{file}").name for file in files]
    assert names[0].split("_")[-2] != names[1].split("_")[-2]
    assert all("/" not in name and " " not in name for name in names)


def test_weights_in_a_file_beside_an_onnx_file_are_refused(
    write_onnx: Callable[..., Path], tmp_path: Path, monkeypatch: Patch
) -> None:
    import onnx

    monkeypatch.chdir(tmp_path)

    model = onnx.load(write_onnx("UINT8", ["n", 3, "h", "w"]))
    onnx.save(
        model, tmp_path / "m.onnx", save_as_external_data=True, location="w", size_threshold=0
    )
    with pytest.raises(UserError, match=r"m\.onnx"):
        make_extractor(f"onnx:{tmp_path / 'm.onnx'}")


class Mean(nn.Module):
    """Means of the channels, in training mode doubled."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, images: Tensor) -> Tensor:
        means = images.float().mean(dim=(2, 3)) * self.factor
        return 2 * means if self.training else means


def mean_colour(images: Tensor) -> Tensor:
    assert (images.dtype, images.shape[1]) == (torch.uint8, 3)
    return images.float().mean((2, 3))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_torchscript(tmp_path: Path) -> None:
    for name, factor in (("a.pt", 1.0), ("b.pt", 2.0)):
        torch.jit.save(torch.jit.script(Mean(factor)), str(tmp_path / name))
    one, two = (make_extractor(f"torchscript:{tmp_path / name}") for name in ("a.pt", "b.pt"))
    torch.testing.assert_close(one(IMAGES), MEANS)
    torch.testing.assert_close(two(IMAGES), 2 * MEANS)
    assert one.name.split("_")[-2] != two.name.split("_")[-2]
    assert torch.equal(pickle.loads(pickle.dumps(one))(IMAGES), one(IMAGES))
    torch.save(Mean().state_dict(), tmp_path / "state.pt")
    for name in ("state.pt", "absent.pt"):
        with pytest.raises(UserError, match=name):
            make_extractor(f"torchscript:{tmp_path / name}")


def test_functions_and_modules() -> None:
    module = Mean()
    assert module.training
    for features in (mean_colour, module, Mean().eval()):
        torch.testing.assert_close(make_extractor(features)(IMAGES), MEANS)
        metric = FID(features)
        metric.update(IMAGES, real=True)
        metric.update(IMAGES.flip(0), real=False)
        assert list(metric.state_dict()) == list(FID("pixel").state_dict()) == []
        ((key, value),) = metric.compute().items()
        assert key == f"fid/{metric.extractor.name}"
        assert value == pytest.approx(0, abs=1e-6)
    assert module.training  # a copy was taken, which training does not change
    extractor = make_extractor(module)
    before, name = extractor(IMAGES), extractor.name
    nn.init.constant_(module.factor, 3.0)
    assert torch.equal(extractor(IMAGES), before)
    assert make_extractor(module).name != name
    assert make_extractor(mean_colour).name == make_extractor(mean_colour).name
    pixels = Pixels()
    assert make_extractor(pixels) is pixels


@pytest.mark.parametrize("features", [3, ["pixel"], Mean, Pixels, None])
def test_what_no_space_can_be(features: Any) -> None:
    with pytest.raises(ValueError, match=r"onnx|Extractor"):
        make_extractor(features)


def test_strings_that_name_no_space() -> None:
    for text in ("pixels", "onnx:", "onnx"):
        with pytest.raises(ValueError, match=r"onnx:FILE.*module:callable"):
            make_extractor(text)
    with pytest.raises(ValueError, match="weights"):
        make_extractor("onnx:a.onnx", weights=Path("b"))


@pytest.mark.parametrize(
    "features",
    [
        lambda images: (images.float().mean((2, 3)),),
        lambda images: images.float().mean(),
        lambda images: images.float().mean((2, 3))[1:],
        nn.Conv2d(3, 4, 3),  # which takes no bytes
    ],
)
def test_what_is_returned_is_checked(features: Any) -> None:
    with pytest.raises(ValueError, match=r"\(N, F\)"):
        make_extractor(features)(IMAGES)


def test_a_callable_by_its_name(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.chdir(tmp_path)
    source = Path(__file__).read_text()
    Path("my_space.py").write_text(source)
    for name in ("mean_colour", "Mean"):
        extractor = make_extractor(f"my_space:{name}")
        assert isinstance(extractor, Extractor)
        torch.testing.assert_close(extractor(IMAGES), MEANS)
    assert extractor.name.startswith("python_my_space.Mean_")
    Path("another.py").write_text(f"{source}\n# changed\n")
    assert make_extractor("another:Mean").name.split("_")[-2] != extractor.name.split("_")[-2]
    for text in ("my_space:absent", "absent_module:f", "my_space:MEANS"):
        with pytest.raises(UserError, match=text):
            make_extractor(text)
    for semantic in ("my_space:Mean", "pixels"):
        with pytest.raises(UserError, match=r"evaluation\.semantic"):  # a file may have said so
            Evaluation(semantic=semantic)
    assert Evaluation(semantic="onnx:a.onnx").semantic == "onnx:a.onnx"


def test_timm_s_own_features(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    from safetensors.torch import save_file

    network = timm.create_model("test_resnet.r160_in1k", pretrained=False).eval()
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    torch.save(network.state_dict(), tmp_path / "w.pth")
    state = torch.get_rng_state()
    one, two = (
        make_extractor(f"timm:test_resnet.r160_in1k:{tmp_path / name}")
        for name in ("w.safetensors", "w.pth")
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert one.name == two.name  # of the same weights
    images = draw_bytes(3, 3, 160, 160, seed=2)
    config = timm.data.resolve_model_data_config(network)
    mean, std = (torch.tensor(config[name]).view(3, 1, 1) for name in ("mean", "std"))
    with torch.no_grad():
        maps = network.forward_features((images / 255 - mean) / std)
        expected = network.forward_head(maps, pre_logits=True)
    torch.testing.assert_close(one(images), expected)
    assert torch.equal(two(images), one(images))
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    for rest in (f"test_resnet.r160_in1k:{tmp_path / 'other.pth'}", "no_such_network"):
        with pytest.raises(UserError, match=rest.split("/")[-1]):
            make_extractor(f"timm:{rest}")


def positions_by_dinov2(positions: Tensor) -> Tensor:
    """`interpolate_pos_encoding` of DINOv2's code, for 224 pixels, without registers."""
    side, patches = 37, positions[:, 1:]
    scale = float(16 + 0.1) / side
    patches = F.interpolate(
        patches.reshape(1, side, side, -1).permute(0, 3, 1, 2),
        mode="bicubic",
        antialias=False,
        scale_factor=(scale, scale),
    )
    return torch.cat((positions[:, :1], patches.permute(0, 2, 3, 1).flatten(1, 2)), dim=1)


def resized_by_dgm_eval(image: Tensor, side: int) -> np.ndarray:
    """`pil_resize` of dgm-eval."""
    channels = [
        np.asarray(
            Image.fromarray(channel.numpy().astype(np.float32), mode="F").resize(
                (side, side), resample=Image.BICUBIC
            )
        ).clip(0, 255)
        for channel in image
    ]
    return np.stack(channels)


@pytest.mark.filterwarnings("ignore:.*mode.*deprecated:DeprecationWarning")
def test_dinov2_as_fd_dinov2_takes_it(tmp_path: Path, monkeypatch: Patch) -> None:
    timm = pytest.importorskip("timm")
    name = "vit_small_patch14_dinov2.lvd142m"
    network = timm.create_model(name, pretrained=False, depth=1)
    state = network.state_dict() | {"mask_token": torch.zeros(1, 1)}
    torch.save(state, tmp_path / "w.pth")
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda *a, **k: create(*a, depth=1, **k))
    monkeypatch.setitem(FILES, "dinov2", WeightsFile(f"{name}.safetensors"))
    extractor: Any = make_extractor("dinov2", weights=tmp_path / "w.pth")
    assert extractor.name.startswith("dinov2_")
    inner = extractor._network
    torch.testing.assert_close(inner.pos_embed.data, positions_by_dinov2(state["pos_embed"]))
    images = draw_bytes(2, 3, 32, 32, seed=3)
    resized = np.stack([resized_by_dgm_eval(image, 224) for image in images])
    mean, std = (
        np.array(x).reshape(3, 1, 1) for x in (inner.default_cfg[k] for k in ("mean", "std"))
    )
    expected = torch.from_numpy((resized / 255 - mean) / std).float()
    torch.testing.assert_close(extractor._normalised(images), expected, rtol=0, atol=1e-4)
    with torch.no_grad():  # the class token, normalised: what the published network returns
        tokens = inner.forward_features(expected)
    torch.testing.assert_close(extractor(images), tokens[:, 0], rtol=1e-3, atol=1e-3)


def test_clip_is_projected_and_of_length_1(tmp_path: Path, monkeypatch: Patch) -> None:
    timm = pytest.importorskip("timm")
    network = timm.create_model("test_vit.r160_in1k", pretrained=False)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    monkeypatch.setitem(FILES, "clip", WeightsFile("test_vit.r160_in1k.safetensors"))
    extractor = make_extractor("clip", weights=tmp_path / "w.pth")
    rows = extractor(IMAGES)
    assert rows.shape == (7, 1000)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(7))


@pytest.mark.parametrize("space", ["dinov2", "clip", "sscd", "sscd_distilled"])
def test_weights_that_are_not_there(space: str, tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError, match=f"prepare {space}") as error:
        make_extractor(space)
    assert str(FILES[space].path) in str(error.value)
