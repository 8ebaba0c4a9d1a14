"""`ganstoch prepare`: fetch a data set, or weights, once, check it, write its manifest."""

from pathlib import Path

from jsonargparse import Namespace

from ganstoch.data import Manifest, choose, find_source
from ganstoch.data.cache import locked, places, write_if_allowed
from ganstoch.data.stacked import Stacked
from ganstoch.errors import UserError

PAPER_N = 12_800
WEIGHTS = ("inception", "dinov2", "clip", "sscd", "sscd_distilled")


def prepare(options: Namespace) -> int:
    """Makes a data set, or a network's weights, ready; see `ganstoch prepare --help`."""
    name, root, n = options.name, options.root, options.n
    if name in WEIGHTS:
        from ganstoch.runs.weights import fetch

        fetch(name)
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
