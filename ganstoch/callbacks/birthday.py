"""How often a batch from the generator holds the same image twice: the birthday test, in a run.

[1] Arora and Zhang 2018, "Do GANs learn the distribution?", the test; Lin et al. 2018, "PacGAN",
Sec. 4.3, its probabilities against the size of the discriminator.
"""

from __future__ import annotations

import math

from torch import Tensor

from ganstoch.metrics.birthday import calibrate, collisions, estimate_support
from ganstoch.metrics.features import Extractor
from ganstoch.rng import normal, rng_for
from ganstoch.training.gan import GAN

__all__ = ["collision_metrics"]

BATCHES = 4
"""Images made for the test, in units of its batch."""
REPEATS = 100


def collision_metrics(
    game: GAN, extractor: Extractor, real: Tensor, *, size: int
) -> dict[str, float]:
    """The probability of a collision in a batch, and the support that collisions point to.

    Two images are the same if they are nearer than the nearest pair of all but 5 % of batches of
    real images. The latents are fresh: the test is of what the generator can make, not of the bank.

    Args:
        game: whose averaged generator is tested.
        extractor: the space in which pairs are compared.
        real: features of the real images, shape (R, F).
        size: images in a batch, at most R / 5.

    Returns:
        ``birthday/<space>/collision`` in [0, 1] and, where it is finite, ``.../support``.
    """
    rng = rng_for(0, "evaluation", part="birthday")
    latents = normal((BATCHES * size, game.generator.latent_dim), rng)
    made, real = extractor(game.sample(latents)).float(), real.float().cpu()
    near = calibrate(real, size=size, repeats=REPEATS)
    share = collisions(made, size=size, threshold=near, repeats=REPEATS)
    found = {f"birthday/{extractor.name}/collision": share}
    support = estimate_support(made, real=real, repeats=REPEATS).estimate
    if math.isfinite(support):
        found[f"birthday/{extractor.name}/support"] = support
    return found
