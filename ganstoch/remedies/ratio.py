"""More than one update of a player in an iteration."""

from __future__ import annotations

from ganstoch.remedies.base import Remedy, RemedySpec


class Ratio(Remedy):
    """So many updates of the discriminator, then so many of the generator, make an iteration.

    Several of the discriminator keep it near its optimum, as [1], Alg. 1, has it (its k); several
    of the generator hold back a discriminator that dominates. Every update has real examples and
    latents of its own, but for the last of the discriminator's and the first of the generator's,
    which share theirs. An iteration counts once, so that at equal iterations more images are seen.

    [1] Goodfellow et al. 2014, "Generative Adversarial Nets".

    Args:
        discriminator: updates of the discriminator, n_dis.
        generator: updates of the generator, n_gen.
    """

    def __init__(self, *, discriminator: int = 1, generator: int = 1) -> None:
        super().__init__()
        for name, count in (("discriminator", discriminator), ("generator", generator)):
            self._require(count >= 1, name, count, "1 or more")
        counts = discriminator, generator
        self.spec = RemedySpec(is_noop=counts == (1, 1), updates=counts)
