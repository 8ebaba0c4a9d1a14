"""`ganstoch prepare`: fetch or convert a data set once, check it, write its manifest."""

from __future__ import annotations

import sys
from pathlib import Path

from ganstoch.data import choose, find_source
from ganstoch.data.download import patience
from ganstoch.data.manifest import check_in, describe
from ganstoch.errors import UserError

__all__ = ["prepare"]


PAPER_N = 12_800


def prepare(name: str, *, root: Path, n: int | None, subset_seed: int) -> None:
    """Makes a data set ready for every later run.

    Args:
        name: of the data set, or "inception" for the weights of the feature network.
        root: folder of the data set's files; not used for the weights.
        n: size of the subset whose manifest is written; None for the paper's, or all there are.
        subset_seed: which subset.

    Raises:
        UserError: if it cannot be fetched, is damaged, or has fewer than ``n`` images.
    """
    if name == "inception":
        _fetch_inception()
        return
    source = find_source(name)()
    source.prepare(root)
    images = source.open(root, "train")
    assert images is not None, "every source has a training split"
    print(f"{name}: {len(images):,} training images")
    n = min(PAPER_N, len(images)) if n is None else n
    if not 1 <= n <= len(images):
        raise UserError(f"--n must be 1 .. {len(images)}, the images of {name}, got {n}")
    subset = choose(images, n=n, seed=subset_seed)
    if not source.in_package:
        check_in(root, describe(subset, source=source.label))
    print(f"subset of {n:,}, seed {subset_seed}: sha256 {subset.sha256}")


def _fetch_inception() -> None:
    """Downloads the FID weights to where they are looked for, checking their published hash."""
    import torch

    from ganstoch.metrics.weights import INCEPTION_URL, inception_weights_path

    path = inception_weights_path()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with patience():
                torch.hub.download_url_to_file(
                    INCEPTION_URL, str(path), hash_prefix="6726825d", progress=sys.stderr.isatty()
                )
        except (OSError, RuntimeError) as error:  # unreachable, or another file than published
            raise UserError(
                f"cannot fetch Inception's weights ({error}); fetch {INCEPTION_URL} elsewhere and "
                f"put it at {path}"
            ) from error
    print(f"Inception's weights are at {path}")
