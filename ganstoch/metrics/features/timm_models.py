"""Networks of the timm library: DINOv2, CLIP, and any other by its name.

[1] Stein et al. 2023, arXiv:2306.04675 (dgm-eval): FD-DINOv2 is of ViT-L/14's class token, of
    pictures resized to 224 x 224 by bicubic interpolation, whatever they were.
[2] Jayasumana et al. 2024, arXiv:2401.09603: CMMD is of CLIP ViT-L/14 at 336 x 336, projected and
    of length 1; resized likewise.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganstoch.errors import UserError
from ganstoch.metrics.features.base import Device, Network
from ganstoch.metrics.features.weights import FILES, digest_of, fill, find_weights, read_state

_OFFSET = 0.1  # by which DINOv2's own code enlarges its grid of positions before it is scaled


class Timm(Network):
    """What a timm network makes before its classifier, l2.

    Pictures are stretched to the side that it was trained on, by its own interpolation with
    antialiasing, and normalised as it was trained.

    Args:
        name: of the network, as ``vit_small_patch14_dinov2.lvd142m``.
        weights: a state dict, .safetensors or by torch.save; None lets timm fetch the published
            ones, or find them in its own cache.
        device: where it runs; None for where the images are.
        size: side in pixels; None for the one trained on.
    """

    def __init__(
        self,
        name: str,
        weights: Path | None = None,
        *,
        device: Device | None = None,
        size: int | None = None,
    ) -> None:
        timm = _import_timm()
        if not timm.is_model(name):
            raise UserError(f"timm knows no network {name!r}; timm.list_models() names all")
        state = None if weights is None else read_state(weights)
        options = {} if size is None else {"img_size": size}
        try:
            with torch.random.fork_rng(devices=[]):  # chance is not spent on weights replaced
                network = timm.create_model(name, pretrained=state is None, **options)
        except Exception as error:  # no network, no such file there, or a size it cannot take
            first = (str(error).splitlines() or [type(error).__name__])[0]
            fix = f"fetch them elsewhere and give timm:{name}:FILE"
            raise UserError(f"timm cannot make {name} with its weights ({first}); {fix}") from error
        assert isinstance(network, nn.Module)
        if weights is None:
            network = network.float().requires_grad_(False).eval()
        else:
            network = fill(network, self._fitted(state, network), weights)
        config = timm.data.resolve_model_data_config(network)
        self._side = config["input_size"][-1] if size is None else size
        self._mode = "bicubic" if config["interpolation"] == "bicubic" else "bilinear"
        self._mean = torch.tensor(config["mean"]).view(3, 1, 1)
        self._std = torch.tensor(config["std"]).view(3, 1, 1)
        self.name = f"timm_{name}_{digest_of(network)[:8]}_l2"
        super().__init__(network, device=device)

    def _fitted(self, state: Any, network: nn.Module) -> Any:
        """A state dict as the network wants it."""
        return state

    def _normalised(self, pixels: Tensor) -> Tensor:
        side = (self._side, self._side)
        resized = F.interpolate(pixels.float(), size=side, mode=self._mode, antialias=True)
        levels = resized.clamp_(0, 255).div_(255)  # bicubic overshoots
        return (levels - self._mean.to(pixels.device)) / self._std.to(pixels.device)

    def _features(self, pixels: Tensor) -> Any:
        network: Any = self._network
        before = network.forward_features(self._normalised(pixels))
        return network.forward_head(before, pre_logits=True)


class DINOv2(Timm):
    """DINOv2's ViT-L/14, 1024 numbers, l2, as FD-DINOv2 takes them [1]."""

    def __init__(self, weights: Path | None = None, *, device: Device | None = None) -> None:
        path = find_weights("dinov2", weights)
        super().__init__(
            FILES["dinov2"].name.removesuffix(".safetensors"), path, size=224, device=device
        )
        self.name = f"dinov2_{self.name.split('_')[-2]}_l2"

    def _fitted(self, state: Any, network: nn.Module) -> Any:
        """Positions of 37 x 37 patches scaled to 16 x 16 as DINOv2's own code does it."""
        positions = state.get("pos_embed") if isinstance(state, dict) else None
        if not isinstance(positions, Tensor) or positions.ndim != 3:
            return state
        patches = round((positions.shape[1] - 1) ** 0.5)
        grid = positions[:, 1:].float().mT.reshape(1, -1, patches, patches)
        scale = (224 // 14 + _OFFSET) / patches
        scaled = F.interpolate(grid, scale_factor=(scale, scale), mode="bicubic").flatten(2).mT
        kept = {key: value for key, value in state.items() if key != "mask_token"}
        return kept | {"pos_embed": torch.cat([positions[:, :1].float(), scaled], dim=1)}


class CLIP(Timm):
    """CLIP's ViT-L/14 at 336 pixels, 768 numbers of length 1, l2, as CMMD takes them [2]."""

    def __init__(self, weights: Path | None = None, *, device: Device | None = None) -> None:
        path = find_weights("clip", weights)
        super().__init__(FILES["clip"].name.removesuffix(".safetensors"), path, device=device)
        self.name = f"clip_{self.name.split('_')[-2]}_l2"

    def _features(self, pixels: Tensor) -> Any:
        network: Any = self._network
        return F.normalize(network(self._normalised(pixels)))  # its last layer is the projection


def _import_timm() -> Any:
    try:
        import timm
        import timm.data
    except ImportError as error:
        raise UserError("this space needs timm; run: pip install 'ganstoch[timm]'") from error
    return timm
