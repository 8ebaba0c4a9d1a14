"""A container's promise without a container: a read-only root, one volume, no privileges."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOBODY = 65534
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
status=0
setpriv --no-new-privs --bounding-set=-all --inh-caps=-all "$@" || status=$?
echo "left in /tmp: $(find /tmp -mindepth 1 ! -type d | wc -l)"
exit $status
"""
"""Makes everything read-only but the volume and an empty /tmp, for this process alone."""

FIT = (
    *("fit", "--config=mini", "--trainer.max_steps=4", "--checkpoint_every=2", "--data.n=64"),
    *("--evaluation.every=2", "--evaluation.queries=8", "--evaluation.semantic=null"),
    *("--model.generator.init_args.width=16", "--model.discriminator.init_args.width=16"),
    *("--wandb.mode=offline", "--quiet=true"),
)
TRY = """
import os
open("{volume}/written", "w").close()
for place in ("/", os.path.dirname({prefix!r}), "/var/tmp"):
    try:
        open(os.path.join(place, "written"), "w").close()
    except OSError:
        continue
    raise SystemExit(f"{{place}} can be written to")
"""


def possible() -> str | None:
    """Why it cannot be tried here, or None."""
    if os.geteuid() != 0:
        return "only root may make a root of its own"
    if Path(sys.prefix).is_relative_to("/tmp") or ROOT.is_relative_to("/tmp"):
        return "the program itself lies in /tmp"
    tried = subprocess.run(["unshare", "--mount", "mount", "--bind", "/tmp", VOLUME], check=False)
    return "no mount namespaces here" if tried.returncode else None


def image_environment(folder: str) -> dict[str, str]:
    """The places that the Dockerfile names, below another folder."""
    text = (ROOT / "docker/Dockerfile").read_text().rpartition("\nFROM ")[2]
    return {k: folder + v for k, v in re.findall(r"(\w+)=/ganstoch(/\S*)?", text)}


def user() -> list[str]:
    """Another user than root, where that one can reach the interpreter at all."""
    reached = subprocess.run(
        [sys.executable, "-c", "import ganstoch"],
        user=NOBODY,
        group=NOBODY,
        check=False,
        capture_output=True,
    )
    if reached.returncode:
        return []
    return [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


@pytest.mark.skipif(possible() is not None, reason=str(possible()))
def test_fit_on_a_read_only_root(tmp_path: Path, tally: Callable[..., None]) -> None:
    try:
        who = user()
    except PermissionError:
        who = []
    if who:
        os.chown(tmp_path, NOBODY, NOBODY)
    environment = {
        **{"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"},
        **image_environment(VOLUME),
    }
    assert environment["HOME"] == VOLUME
    assert environment["XDG_CACHE_HOME"] == f"{VOLUME}/cache"

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        enter = ["unshare", "--mount", "bash", "-c", SCRIPT, "bash", str(tmp_path), *who]
        return subprocess.run(
            [*enter, sys.executable, *words],
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )

    tried = run("-c", TRY.format(volume=VOLUME, prefix=sys.prefix))
    assert tried.returncode == 0, tried.stderr
    fitted = run("-m", "ganstoch.cli", *FIT)
    assert fitted.returncode == 0, fitted.stderr
    assert "Traceback" not in fitted.stderr
    assert fitted.stdout.splitlines()[-1] == "left in /tmp: 0"
    (record,) = tmp_path.glob("runs/*/record.json")
    assert list(record.parent.glob("wandb/offline-run-*"))
    tally("read-only root, one writable volume", 1)
