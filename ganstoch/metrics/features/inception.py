"""InceptionV3 as for FID: Heusel et al. 2017, arXiv:1706.08500; torch-fidelity's network."""

import importlib
import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganstoch.metrics.features.base import Device, Network
from ganstoch.metrics.features.weights import find_weights, load_weights


class Inception(Network):
    """InceptionV3 as for FID, torch-fidelity's: 2048 activations before the classifier, l2.

    Its weights are by default in torch hub's folder of checkpoints; it runs where the images are,
    or on ``device``.
    """

    name = "inception_l2"

    def __init__(self, weights: Path | None = None, *, device: Device | None = None) -> None:
        network = load_weights(_build, find_weights("inception", weights))
        self._classifier = network.fc
        super().__init__(network, device=device)

    def _features(self, pixels: Tensor) -> Any:
        assert self._network is not None
        return self._network(pixels)[0]

    @torch.no_grad()
    def logits(self, features: Tensor) -> Tensor:
        """Class scores (N, 1008) of this extractor's features (N, 2048), without the bias."""
        classifier = self._classifier
        assert isinstance(classifier, nn.Linear)
        weight = classifier.weight.to(features.device)
        with torch.autocast(device_type=features.device.type, enabled=False):
            return features.float() @ weight.T


def _build() -> nn.Module:
    """torch-fidelity's FID network, which maps uint8 (N, 3, H, W) to a tuple of one (N, 2048)."""
    module = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    original: Any = module.FeatureExtractorInceptionV3
    # The constructor insists on a file: it gets an empty one from memory, and ignores it.
    empty = io.BytesIO()
    torch.save({}, empty)
    empty.seek(0)
    bare: Any = type("Bare", (original,), {"load_state_dict": lambda *_: None})
    network = bare("inception_l2", ["2048"], feature_extractor_weights_path=empty)
    network.__class__ = original  # the class a pickle can name, with the real load_state_dict
    assert isinstance(network, nn.Module)
    return network
