"""FAISS: found, checked, and asked for candidates; torch where it is not installed."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import logging
from types import ModuleType

import torch
from torch import Tensor

from ganstoch.errors import UserError
from ganstoch.types import Norm

__all__ = ["candidates", "check_faiss", "faiss_flavour", "gpus", "load_faiss"]

_log = logging.getLogger(__name__)
_GPU_SCRATCH_BYTES = 2**28

# One folder `faiss/` belongs to all of them: the last one installed wins, silently.
_DISTRIBUTIONS = ("faiss-cpu", "faiss-gpu", "faiss-gpu-cu11", "faiss-gpu-cu12", "faiss-gpu-cuvs")


def check_faiss() -> None:
    """Makes sure that at most one distribution of FAISS is installed.

    Raises:
        UserError: if there are several: they overwrite each other's files.
    """
    installed = [name for name in _DISTRIBUTIONS if _version(name) is not None]
    if len(installed) > 1:
        raise UserError(
            f"{' and '.join(installed)} are installed together and overwrite each other's files; "
            f"run: pip uninstall -y {' '.join(installed)}, then install one: "
            "pip install 'ganstoch[gpu]' or pip install 'ganstoch[cpu]'"
        )


def faiss_flavour() -> str:
    """What will search, in words: "gpu 1.15.1, 2 devices", "cpu 1.15.1" or "none: torch fallback".

    Raises:
        UserError: if the installation of FAISS is broken.
    """
    faiss = load_faiss()
    if faiss is None:
        return "none: torch fallback"
    devices = gpus(faiss)
    if not devices:
        return f"cpu {faiss.__version__}"
    return f"gpu {faiss.__version__}, {devices} device{'s' if devices > 1 else ''}"


def load_faiss() -> ModuleType | None:
    """The module, or None where none is installed; `UserError` for a broken installation."""
    check_faiss()
    try:
        faiss = importlib.import_module("faiss")
    except Exception as error:  # a GPU build without its CUDA wheels raises RuntimeError and others
        if isinstance(error, ModuleNotFoundError) and error.name == "faiss":
            _say_once("faiss is not installed: torch searches the neighbours, more slowly")
            return None
        raise UserError(
            f"faiss is installed but cannot be imported ({error}); "
            "run: pip install --force-reinstall 'ganstoch[gpu]' (or 'ganstoch[cpu]')"
        ) from error
    if not hasattr(faiss, "knn"):  # what remains once one of two distributions was uninstalled
        raise UserError(
            "faiss is only half installed; "
            "run: pip install --force-reinstall 'ganstoch[gpu]' (or 'ganstoch[cpu]')"
        )
    return faiss


def gpus(faiss: ModuleType) -> int:
    """Number of GPUs that FAISS can use."""
    # Any GPU call aborts the whole process where there is no GPU, so both gates come first.
    return int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0


def candidates(
    query: Tensor, bank: Tensor, *, k: int, norm: Norm, faiss: ModuleType | None
) -> Tensor:
    """Positions in the bank of about the k nearest, int64, shape (Q, k); -1 where there is none.

    Args:
        query: float32 rows (Q, F), contiguous, on the CPU.
        bank: float32 rows (B, F), the same.
        k: at most B.
        norm: "l1" or "l2".
        faiss: the module, or None for torch.
    """
    if faiss is None:
        distances = torch.cdist(query, bank, p=1.0 if norm == "l1" else 2.0)
        least = distances.topk(k, dim=1, largest=False)
        return torch.where(torch.isfinite(least.values), least.indices, -1)
    metric = faiss.METRIC_L1 if norm == "l1" else faiss.METRIC_L2
    rows, members, count = query.numpy(), bank.numpy(), gpus(faiss)
    if not count:
        return torch.from_numpy(faiss.knn(rows, members, k, metric=metric)[1])
    # FAISS may carry its own CUDA runtime, which does not know which device torch has chosen.
    current = torch.cuda.current_device() if torch.cuda.is_available() else 0
    resources = faiss.StandardGpuResources()
    resources.setTempMemory(_GPU_SCRATCH_BYTES)  # by default it takes 1.5 GiB from training
    device = min(current, count - 1)
    return torch.from_numpy(
        faiss.knn_gpu(resources, rows, members, k, metric=metric, device=device)[1]
    )


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def _say_once(message: str) -> None:
    _log.info(message)
