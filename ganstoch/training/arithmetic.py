"""How a game computes what it computes: in how many parts, by which kernels. Never what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ganstoch.models.tuning import choose_forms, forms_of, set_forms
from ganstoch.training.memory import fitting_micro_batch, room_bytes

if TYPE_CHECKING:
    from ganstoch.training.gan import GAN

__all__ = ["settle"]


def settle(game: GAN, *, m: int) -> None:
    """Resolves the micro-batch and the form of every convolution, and compiles if asked to.

    Afterwards ``game.micro_batch`` and ``game.forms`` say what was chosen; given to another run as
    settings, they make it repeat this one's sums in the same order.

    Args:
        game: on its device; changed in place.
        m: this rank's share of the logical batch.

    Raises:
        UserError: for forms of a layer that is not there.
    """
    device = next(game.parameters()).device
    if game.micro_batch == "auto" and game.coupled_by:
        game.micro_batch = None
    if game.micro_batch == "auto":
        # Other parts round otherwise, so what happens to be free must not decide where bits matter.
        room = room_bytes(device, steady=torch.are_deterministic_algorithms_enabled())
        game.micro_batch = fitting_micro_batch(game, m=m, room=room)
    generator, discriminator, forms = game.generator, game.discriminator, game.forms
    size = min(m, game.micro_batch or m)
    of_g, of_d = forms, forms
    if isinstance(forms, dict):
        of_g, of_d = ({k[2:]: v for k, v in forms.items() if k[:2] == p} for p in ("g.", "d."))
    dtype = next(generator.parameters()).dtype

    def images(count: int) -> torch.Tensor:
        return torch.zeros(count, *game.shape, device=device, dtype=dtype)

    z = torch.zeros(size, generator.latent_dim, device=device, dtype=dtype)
    choose_forms(generator, lambda: generator(z), settings=of_g, device=device)
    shown = 2 * -(-size // game.remedies.pack) * game.remedies.pack
    choose_forms(
        discriminator,
        lambda: discriminator(game.remedies.critic_input(images(shown))),
        settings=of_d,
        device=device,
    )
    set_forms(game.average.generator, forms_of(generator))
    game.forms = {f"g.{name}": form for name, form in forms_of(generator).items()}
    game.forms |= {f"d.{name}": form for name, form in forms_of(discriminator).items()}
    if game.compile_mode is not None:
        for network in (generator, discriminator):
            network.compile(mode=game.compile_mode)
