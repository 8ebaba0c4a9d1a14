"""A container's promise without a container: a read-only root, one volume, no privileges."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
VOLUME = "/mnt"
"""Where the volume is seen, in the place of the image's ``/ganstoch``."""

SCRIPT = f"""
set -eu
mount --bind "$1" {VOLUME}
mount -t tmpfs tmpfs /tmp
stays='^({VOLUME}|/tmp|/proc|/sys|/dev)(/|$)'
cut -d' ' -f2 /proc/self/mounts | grep -vE "$stays" | while read -r at; do
    mount -o remount,bind,ro "$at"
done
shift
cd {VOLUME}
! touch /var/tmp/written {sys.prefix}/written 2> /dev/null
status=0
setpriv --no-new-privs --bounding-set=-all --inh-caps=-all "$@" || status=$?
echo "left in /tmp: $(find /tmp -mindepth 1 ! -type d | wc -l)"
exit $status
"""
"""Makes everything read-only but the volume and an empty /tmp, for this process alone."""


def test_fit_on_a_read_only_root(lab: Any, tally: Callable[..., None]) -> None:
    enter = ["unshare", "--mount", "bash", "-c"]
    mount = [*enter, f"mount --bind /tmp {VOLUME}"]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may make a root of its own")
    if any(Path(place).is_relative_to("/tmp") for place in (sys.prefix, ROOT)):
        pytest.skip("the program itself lies in /tmp")
    text = (ROOT / "docker/Dockerfile").read_text().rpartition("\nFROM ")[2]
    places = {k: VOLUME + v for k, v in re.findall(r"(\w+)=/ganstoch(/\S*)?", text)}
    assert places["HOME"] == VOLUME
    path = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    words = ["fit", *lab.settings, "--wandb.mode=offline"]
    fitted = subprocess.run(
        [*enter, SCRIPT, "bash", str(lab.here), sys.executable, "-m", "ganstoch.cli", *words],
        env={**path, "OMP_NUM_THREADS": "1", **places},
        check=False,
        capture_output=True,
        text=True,
    )
    assert fitted.returncode == 0, fitted.stderr
    assert "Traceback" not in fitted.stderr
    assert fitted.stdout.splitlines()[-1] == "left in /tmp: 0"
    (record,) = lab.here.glob("runs/*/record.json")
    assert list(record.parent.glob("wandb/offline-run-*"))
    tally("read-only root, one writable volume", 1)
