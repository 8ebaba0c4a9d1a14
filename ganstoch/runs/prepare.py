"""`ganstoch prepare`: fetch or convert a data set once, check it, write its manifest."""

from __future__ import annotations

import sys
from pathlib import Path

from ganstoch.data import Manifest, choose, find_source
from ganstoch.data.cache import locked, make_once, places, write_if_allowed
from ganstoch.data.download import patience
from ganstoch.data.stacked import Stacked
from ganstoch.errors import UserError

__all__ = ["prepare"]


PAPER_N = 12_800


def prepare(name: str, *, root: Path, n: int | None, subset_seed: int) -> None:
    """Makes a data set ready for every later run.

    Args:
        name: of the data set, or "inception" for the weights of the feature network.
        root: folder of the data set's files; not used for the weights.
        n: size of the subset whose manifest is written; None for the paper's, or all there are if
            they are fewer or their modes are known.
        subset_seed: which subset.
    """
    if name == "inception":
        _fetch_inception()
        return
    source = find_source(name)()
    source.prepare(root)
    images = source.open(root, "train")
    assert images is not None, "every source has a training split"
    print(f"{name}: {len(images):,} training images")
    if isinstance(source, Stacked):
        target, *otherwise = (
            place / source.known_modes(root).classifier.name for place in places(root)
        )
        doing = "train the classifier that counts modes"
        with locked(target, doing=doing, otherwise=tuple(otherwise)):
            _train_classifier(source, root)
    if n is None:
        n = len(images) if source.known_modes(root) else min(PAPER_N, len(images))
    if not 1 <= n <= len(images):
        raise UserError(f"--n must be 1 .. {len(images)}, the images of {name}, got {n}")
    subset = choose(images, n=n, seed=subset_seed)
    if not source.in_package:
        Manifest.of(subset, source=source.label).verify_or_write(root)
    print(f"subset of {n:,}, seed {subset_seed}: sha256 {subset.sha256}")


def _train_classifier(source: Stacked, root: Path) -> None:
    """Trains the classifier that counts modes, and keeps it; unless a sound one is there."""
    from ganstoch.metrics.digit_classifier import (
        accuracy,
        load_classifier,
        serialize,
        train_classifier,
    )

    world = source.known_modes(root)
    if world.classifier.exists():
        load_classifier(world.classifier, made_by=world.made_by)
        print(f"the classifier that counts modes is at {world.classifier}")
        return
    classifier = train_classifier(*source.singles(root, "train"))
    right = accuracy(classifier, *source.singles(root, "held_out"))
    for folder in places(root):
        path = folder / world.classifier.name
        if write_if_allowed(path, serialize(classifier)):
            print(f"the classifier that counts modes, right on {right:.2%} of test images: {path}")
            return
    raise UserError(f"may not write below {root}, nor in the user's cache; copy the data elsewhere")


def _fetch_inception() -> None:
    """Downloads the FID weights to where they are looked for, checking their published hash."""
    import torch

    from ganstoch.metrics.features import INCEPTION_URL, inception_weights_path

    path = inception_weights_path()

    def download() -> Path:
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
        return path

    doing = "download Inception's weights"
    make_once(path, doing=doing, look=lambda: path if path.exists() else None, make=download)
    print(f"Inception's weights are at {path}")
