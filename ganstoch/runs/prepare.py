"""`ganstoch prepare`: fetch a data set once, check it, write its manifest."""

import sys
from pathlib import Path

from jsonargparse import Namespace

from ganstoch.data import Manifest, choose, find_source
from ganstoch.data.cache import locked, places, write_if_allowed
from ganstoch.data.download import patience
from ganstoch.data.stacked import Stacked
from ganstoch.errors import UserError

PAPER_N = 12_800


def prepare(options: Namespace) -> int:
    """Makes a data set, or Inception's weights, ready; see `ganstoch prepare --help`."""
    name, root, n = options.name, options.root, options.n
    if name == "inception":
        _fetch_inception()
        return 0
    source = find_source(name)()
    source.prepare(root)
    images = source.open(root, "train")
    assert images is not None, "every source has a training split"
    print(f"{name}: {len(images):,} training images")
    if isinstance(source, Stacked):
        file = source.known_modes(root).classifier.name
        target, *otherwise = (place / file for place in places(root))
        doing = "train the classifier that counts modes"
        with locked(target, doing=doing, otherwise=tuple(otherwise)):
            _train_classifier(source, root)
    if n is None:
        n = len(images) if source.known_modes(root) else min(PAPER_N, len(images))
    if not 1 <= n <= len(images):
        raise UserError(f"--n must be 1 .. {len(images)}, the images of {name}, got {n}")
    subset = choose(images, n=n, seed=options.subset_seed)
    if not source.in_package:
        Manifest.of(subset, source=source.label).verify_or_write(root)
    print(f"subset of {n:,}, seed {options.subset_seed}: sha256 {subset.sha256}")
    return 0


def _train_classifier(source: Stacked, root: Path) -> None:
    """Trains the classifier that counts modes, and keeps it; unless a sound one is there."""
    from ganstoch.metrics import digit_classifier

    modes = source.known_modes(root)
    if modes.classifier.exists():
        digit_classifier.load_classifier(modes.classifier, made_by=modes.made_by)
        print(f"the classifier that counts modes is at {modes.classifier}")
        return
    classifier = digit_classifier.train_classifier(*source.singles(root, "train"))
    right = digit_classifier.accuracy(classifier, *source.singles(root, "held_out"))
    for folder in places(root):
        path = folder / modes.classifier.name
        if write_if_allowed(path, digit_classifier.serialize(classifier)):
            print(f"the classifier that counts modes, right on {right:.2%} of test images: {path}")
            return
    raise UserError(f"may not write below {root}, nor in the user's cache; copy the data elsewhere")


def _fetch_inception() -> None:
    """Downloads the FID weights to where they are looked for, checking their published hash."""
    import torch

    from ganstoch.metrics.features import INCEPTION_URL, inception_weights_path

    path = inception_weights_path()
    with locked(path, doing="download Inception's weights"), patience():
        try:
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                torch.hub.download_url_to_file(
                    INCEPTION_URL, str(path), hash_prefix="6726825d", progress=sys.stderr.isatty()
                )
        except (OSError, RuntimeError) as error:  # unreachable, or another file than published
            raise UserError(
                f"cannot fetch Inception's weights ({error}); fetch {INCEPTION_URL} elsewhere and "
                f"put it at {path}"
            ) from error
    print(f"Inception's weights are at {path}")
