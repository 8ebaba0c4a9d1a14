"""The memory that an audit may take is what it takes, give or take, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ganstoch.auditing.audit import audit
from ganstoch.errors import UserError

PROGRAM = """
import json, resource, sys
from ganstoch.auditing.audit import audit
real, made, unseen, memory = sys.argv[1:]
report = audit(real, made, held_out=unseen, memory=int(memory))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps([peak, report.verdict]))
"""


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Smooth images: 3,000 real ones, as many generated, a tenth of them held out."""
    rng = torch.Generator().manual_seed(0)
    paths = []
    for name, count in (("real", 3000), ("made", 3000), ("unseen", 300)):
        small = torch.rand(count, 3, 6, 6, generator=rng)
        images = torch.nn.functional.interpolate(small, size=48, mode="bilinear") * 255
        paths.append(tmp_path / f"{name}.npy")
        np.save(paths[-1], images.byte().numpy())
    return paths


def least_of(files: list[Path]) -> int:
    """MiB that an audit asks for, by its own words."""
    with pytest.raises(UserError, match="--memory") as refused:
        audit(files[0], files[1], held_out=files[2], memory=512 * 2**20)
    return int(str(refused.value).split("--memory ")[1].split("MiB")[0])


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_peak_memory(files: list[Path]) -> None:
    least = least_of(files)
    assert 512 < least < 1600  # torch alone takes more than 512 MiB
    peaks = []
    for memory in (least, 2048):
        words = [sys.executable, "-c", PROGRAM, *map(str, files), str(memory * 2**20)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        peak, verdict = json.loads(done.stdout.splitlines()[-1])
        peaks.append(verdict)
        assert peak <= 1.15 * memory * 2**20
    assert peaks[0] == peaks[1]
