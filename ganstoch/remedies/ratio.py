"""More than one update of a player in an iteration."""

from ganstoch.remedies.base import Remedy, RemedySpec


class Ratio(Remedy):
    """So many updates of the discriminator, then so many of the generator, make an iteration.

    Every update has real examples and latents of its own, but for the last of the discriminator's
    and the first of the generator's, which share theirs; an iteration counts once. Several of the
    discriminator: Goodfellow et al. 2014, "Generative Adversarial Nets", Alg. 1 (its k).

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
