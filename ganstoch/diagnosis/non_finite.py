"""Which layer was the first to put out a number that was not finite, and when.

By the time a loss is NaN, one optimizer step has carried it into every weight. So every layer's
output is summed as it is made, and the sums are read later, all at once.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

_MOST = 500  # iterations whose sums wait to be read


class NonFiniteDetector:
    """Listens to the layers of networks, by their names' prefixes; not to compiled ones."""

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        self._sums: list[tuple[str, Tensor]] = []
        self._waiting: list[tuple[int, list[tuple[str, Tensor]]]] = []
        self._found = ""
        self._deaf = False
        self._handles: list[RemovableHandle] = []
        for prefix, network in networks.items():
            own = {layer: name for name, layer in network.named_modules()}
            for layer, name in own.items():
                if next(layer.parameters(recurse=False), None) is not None:
                    self._handles.append(
                        layer.register_forward_hook(self._hook(f"{prefix}.{name}".rstrip(".")))
                    )

    def _hook(self, name: str) -> Any:
        def hook(layer: nn.Module, inputs: Any, output: Any) -> None:
            if self._deaf:
                return
            if not self._sums and inputs and isinstance(inputs[0], Tensor):
                self._hear(f"the input of {name}", inputs[0])
            self._hear(name, output)

        return hook

    def _hear(self, name: str, value: Any) -> None:
        if isinstance(value, Tensor) and value.is_floating_point():
            self._sums.append((name, value.detach().sum(dtype=torch.float32)))

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """Does not listen, as where networks are run to measure them."""
        self._deaf = True
        try:
            yield
        finally:
            self._deaf = False

    def end_iteration(self, iteration: int) -> None:
        """Puts the sums of an iteration aside."""
        if self._sums:
            self._waiting.append((iteration, self._sums))
            self._sums = []
        if len(self._waiting) >= _MOST:
            self._found = self.first()

    def first(self) -> str:
        """Where and when the first number since the last call came from; empty if all is well."""
        found, self._found = self._found, ""
        waiting, self._waiting = self._waiting, []
        every = [(iteration, name, total) for iteration, sums in waiting for name, total in sums]
        if found or not every:
            return found
        finite = torch.stack([total for _, _, total in every]).isfinite()
        if bool(finite.all()):
            return ""
        iteration, name, _ = every[int(finite.long().argmin())]
        return f"{name}, iteration {iteration}"

    def remove(self) -> None:
        """Takes the hooks off."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._sums, self._waiting = [], [], []
