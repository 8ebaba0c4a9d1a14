"""What is certain before anything is measured: identical images, repeated ones, ones of one colour.

Whether identical images are evidence depends on the data: blank pages repeat by nature. Under the
null, given all images pooled, every way to call as many of them "training" is as likely as the true
one; of each image that occurs n times in the pool the number in the training set is hypergeometric.
Where every training image occurs equally often, twice say, it counts once.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganstoch.auditing.inputs import Images, Role
from ganstoch.auditing.report import SetFacts
from ganstoch.metrics.excess import Excess

# Chance at which identical images are no longer put down to the data's own repeats. Where no image
# of the data repeats, none is identical by chance: only data that repeat rarely use up this level.
IDENTICAL_LEVEL = 0.02
SURELY = 0.002  # idem before held-out images are refused, where training images repeat by nature
_PERMUTATIONS = 9999
_DRAWN = 2**20  # of them at once
_DRAWS = 2**24  # numbers at most; where many images repeat, fewer permutations say as much


@dataclass(frozen=True)
class Coincidences:
    """Positions of images of a set that equal training images, or each other."""

    identical: list[int]  # equal to a training image which occurs once
    twins: list[int]  # position of that training image, for each of them
    common: list[int]  # equal to a training image which repeats
    repeated: list[int]  # equal to an earlier image of their own set
    identical_p: float  # chance of as many identical ones by the data's own repeats
    repeated_p: float  # of as many repeated ones


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is certain of the sets of an audit."""

    sets: dict[Role, SetFacts]
    generated: Coincidences  # with the training images
    # Generated images that equal training images which repeat, beside held-out ones that do;
    # without these, as if as many unseen images as training ones had been looked at, and none did.
    repeating: Excess
    one_colour: Excess  # images of one colour among the generated, against all real ones
    times: int  # how often every training image occurs; where it is above 1, that counts once


def gather_facts(sets: dict[Role, Images], *, seed: int) -> Facts:
    """Counts what the sets hold."""
    counts = {
        role: SetFacts(
            where=images.where,
            images=len(images),
            different=len(set(images.content.digests)),
            one_colour=int(images.content.looks["one_colour"].sum()),
            shape=images.shape,
            sha256=images.content.sha256,
        )
        for role, images in sets.items()
    }
    unseen = [count for role, count in counts.items() if role != "generated"]
    flat, total = sum(one.one_colour for one in unseen), sum(one.images for one in unseen)
    real, made = sets["real"].content.digests, sets["generated"].content.digests
    shared = coincidences(real, made, seed=seed)
    times, repeats = _times(Counter(real)), Counter(real)
    held_out = sets["held_out"].content.digests if "held_out" in sets else ()
    usual = sum(repeats[digest] > times for digest in held_out)
    return Facts(
        sets=counts,
        generated=shared,
        repeating=Excess(len(shared.common), len(made), usual, len(held_out or real)),
        one_colour=Excess(counts["generated"].one_colour, len(made), flat, total),
        times=times,
    )


def coincidences(real: tuple[bytes, ...], others: tuple[bytes, ...], *, seed: int) -> Coincidences:
    """Who equals whom, by digests, and whether the data's own repeats explain it."""
    in_real, in_others = Counter(real), Counter(others)
    times = _times(in_real)
    first = {digest: i for i, digest in reversed(list(enumerate(real)))}
    first_other = {digest: i for i, digest in reversed(list(enumerate(others)))}
    identical = [i for i, digest in enumerate(others) if in_real[digest] == times]
    pool = [(in_real[d] // times, in_others[d]) for d in in_real.keys() | in_others.keys()]
    return Coincidences(
        identical,
        [first[others[i]] for i in identical],
        [i for i, digest in enumerate(others) if in_real[digest] > times],
        [i for i, digest in enumerate(others) if first_other[digest] < i],
        *_p_values(np.array(pool, np.int64), seed=seed),
    )


def _times(counts: Counter[bytes]) -> int:
    return int(np.gcd.reduce(np.fromiter(counts.values(), np.int64)))


def _p_values(pool: NDArray[np.int64], *, seed: int) -> tuple[float, float]:
    size = pool.sum(1)
    several = pool[size > 1]
    if len(several) == 0:
        return 1.0, 1.0
    several = several[np.lexsort(several.T)]  # the order of a dictionary must decide nothing
    often, alone = several.sum(1), int(size.sum() - several.sum())
    rng = np.random.default_rng(seed)
    draws = max(999, min(_PERMUTATIONS, _DRAWS // len(often)))
    in_real, in_others = several.T
    true = int(in_others[in_real == 1].sum()), int((in_others - 1).clip(min=0).sum())
    reached, step = np.zeros(2, np.int64), max(1, _DRAWN // len(often))
    for start in range(0, draws, step):
        called = rng.multivariate_hypergeometric(
            np.append(often, alone),
            int(pool[:, 0].sum()),
            size=min(step, draws - start),
            method="marginals",
        )[:, :-1]
        rest = often - called
        reached[0] += ((rest * (called == 1)).sum(1) >= true[0]).sum()
        reached[1] += ((rest - 1).clip(min=0).sum(1) >= true[1]).sum()
    identical, repeated = (1 + reached) / (1 + draws)
    return float(identical), float(repeated)
