"""The installation of FAISS: found, checked, and spread over the GPUs that it sees."""

import importlib
from importlib.metadata import distributions
from types import ModuleType
from typing import Any

import torch

from ganstoch.errors import UserError

_GPU_SCRATCH_BYTES = 2**28
# One folder `faiss/` belongs to all of them: the last one installed wins, silently.
_DISTRIBUTIONS = ("faiss-cpu", "faiss-gpu", "faiss-gpu-cu11", "faiss-gpu-cu12", "faiss-gpu-cuvs")


def faiss_flavour() -> str | None:
    """FAISS in words, as "gpu 1.15.1, 2 devices" or "cpu 1.15.1"; None where there is none."""
    faiss = load_faiss()
    if faiss is None:
        return None
    if devices := gpus(faiss):
        return f"gpu {faiss.__version__}, {devices} device(s)"
    return f"cpu {faiss.__version__}"


def load_faiss() -> ModuleType | None:
    """The module, or None where none is installed; `UserError` for a broken installation."""
    installed = [name for name in _DISTRIBUTIONS if any(distributions(name=name))]
    if len(installed) > 1:
        raise UserError(
            f"{' and '.join(installed)} are installed together and overwrite each other's files; "
            f"run: pip uninstall -y {' '.join(installed)}, then install one: "
            "pip install 'ganstoch[gpu]' or pip install 'ganstoch[cpu]'"
        )
    try:
        faiss = importlib.import_module("faiss")
        faiss.knn  # noqa: B018  # gone once one of two distributions was uninstalled
    except Exception as error:  # a GPU build without its CUDA wheels raises RuntimeError and others
        if isinstance(error, ModuleNotFoundError) and error.name == "faiss":
            return None
        raise UserError(
            f"faiss is installed but cannot be used ({error}); "
            "run: pip install --force-reinstall 'ganstoch[gpu]' (or 'ganstoch[cpu]')"
        ) from error
    return faiss


def gpus(faiss: ModuleType) -> int:
    """Number of GPUs that FAISS can use."""
    # Any GPU call aborts the whole process where there is no GPU, so both gates come first.
    return int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0


def gpu_resources(faiss: ModuleType) -> Any:
    """Of one GPU, with little scratch memory: by default it takes 1.5 GiB from training."""
    resources = faiss.StandardGpuResources()
    resources.setTempMemory(_GPU_SCRATCH_BYTES)
    return resources


def free_gpus(faiss: ModuleType) -> int:
    """GPUs that one search may use: no other rank's, so none of several where there are ranks."""
    alone = not (torch.distributed.is_available() and torch.distributed.is_initialized())
    return gpus(faiss) if alone else 0


def sharded(faiss: ModuleType, index: Any) -> Any:
    """An index on all free GPUs, to each a share of its members; itself where there are none."""
    if not (count := free_gpus(faiss)):
        return index
    options = faiss.GpuMultipleClonerOptions()
    options.shard = True  # else each holds all members and answers a share of the queries
    resources = [gpu_resources(faiss) for _ in range(count)]
    return faiss.index_cpu_to_gpu_multiple_py(resources, index, options)
