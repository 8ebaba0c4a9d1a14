"""A look at what a generator makes: it fails without harm, and nothing of training changes."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ganstoch.diagnosis.given import flat_logits
from ganstoch.diagnosis.signals import (
    Networks,
    References,
    Signals,
    compare_logits,
    measure,
    references,
)
from ganstoch.diagnosis.spaces import Space, range_warning
from ganstoch.diagnosis.undisturbed import same_rng
from ganstoch.errors import UserError

Note = Callable[[str, str], None]  # a kind, and what happened


class Looker:
    """Compares generated samples with real ones, look by look; tells ``note`` what fails."""

    def __init__(self, real: Any, held_out: Any, *, size: int, space: Space, note: Note) -> None:
        self.space = space
        self.size = size
        self.samples: Tensor | None = None  # of the last look, (S, *shape); None if it failed
        self.earlier: list[Tensor] = []  # of the last two looks, the latest first
        self._note = note
        self._begun = False  # whether samples have been made
        self._is_same = True  # whether two calls make the same samples
        self._cut_off = False  # whether samples change with the latents, and have no gradient
        try:
            data, what = self.space.data(real), "held_out"
            held = None if held_out is None else self.space.data(held_out)
            what = "real"
            self.reference: References = references(data, held, size=size, rows=self.space.rows)
        except ValueError as error:
            raise UserError(f"{what}: {error}") from error
        if not torch.tensor([self.reference.scale, self.reference.closeness]).isfinite().all():
            what = "held_out" if bool(self.reference.bank.isfinite().all()) else "real"
            raise UserError(f"{what}: numbers that are not finite; leave such samples out")
        if self.reference.slack:
            note("slack", "memorization is not judged: copies lie no nearer than real samples do")

    def signals(self, networks: Networks, iteration: int) -> Signals:
        """The signals of generated samples, and of a discriminator's logits of them."""
        with torch.inference_mode(False), same_rng():
            try:
                self.samples, first = None, not self._begun
                own = self._checked(networks, first=first)
                signals, self.samples = measure(
                    own, self.reference, iteration=iteration, before=self.earlier
                )
            except Exception as error:
                self._note("sample", _words("sample", iteration, error))
                return Signals(iteration=iteration)
            self._begun = True
            self.earlier = [self.samples, *self.earlier[:1]] if self._is_same else []
            if first and self.space.kind == "image":
                self._note("range", range_warning(self.samples, self.reference.batch))
            if networks.discriminator is None or signals.broken:
                return signals
            try:
                logits = self._logits(networks.discriminator)
            except Exception as error:
                self._note("discriminator", _words("discriminator", iteration, error))
                return signals
        if not all(bool(side.isfinite().all()) for side in logits.values()):
            return dataclasses.replace(signals, broken="the discriminator's logits")
        return dataclasses.replace(signals, **compare_logits(**logits))

    def try_once(self, networks: Networks) -> str:
        """What fails where samples are made as at a look; a discriminator that fails is noted."""
        with same_rng():
            try:
                own = self._checked(networks, first=True)
                with torch.no_grad():
                    self.samples = own.sample(own.latents).float()
            except Exception as error:
                return _words("sample", 0, error)
            if networks.discriminator is not None:
                try:
                    self._logits(networks.discriminator)
                except Exception as error:
                    self._note("discriminator", _words("discriminator", 0, error))
        return ""

    def load(self, earlier: Sequence[Tensor]) -> None:
        """Goes on from the samples of the last looks, unless they are of another number."""
        self.earlier = [samples for samples in earlier if len(samples) == self.size]

    def _logits(self, discriminator: Callable[[Tensor], Any]) -> dict[str, Tensor]:
        assert self.samples is not None
        sides = {"real": self.reference.batch, "fake": self.samples}
        if self.reference.held_out is not None:
            sides["held_out"] = self.reference.held_out
        with torch.no_grad():
            return {side: flat_logits(discriminator(x)) for side, x in sides.items()}

    def _checked(self, networks: Networks, *, first: bool) -> Networks:
        """The networks, of samples as tensors; at first, references move to their device."""
        encode, z = self.space.encode, networks.latents
        count = self.size if z is None else len(z)

        def checked(function: Callable[[Any], Any]) -> Callable[[Tensor | None], Tensor]:
            def make(z: Tensor | None) -> Tensor:
                samples = encode(function(z))
                if len(samples) < count:
                    raise ValueError(f"asked for {count} samples, got {len(samples)}")
                return samples[:count].clone()  # the function may write to the same tensor again

            return make

        sample = checked(networks.sample)
        average = None if networks.average is None else checked(networks.average)
        if first:
            with torch.no_grad():
                with same_rng():
                    made = sample(z)
                with same_rng():
                    self._is_same = torch.allclose(sample(z), made, rtol=1e-3, equal_nan=True)
            if not self._is_same:
                self._note(
                    "moving", "sample makes others each time: movement is not judged; seed it"
                )
            self.reference = self.reference.to(made.device)
            self.earlier = [samples.to(made.device) for samples in self.earlier]
            # A function may hide a gradient, a network that is itself called does not.
            if z is not None and not isinstance(networks.sample, nn.Module):
                self._cut_off = _is_cut_off(sample, z, made)
            if self._cut_off:
                self._note("latents", "samples have no gradient: see that sample(z) records it")
        if self._cut_off:
            return Networks(sample=lambda _: sample(z))
        return Networks(sample=sample, latents=z, average=average)


def _is_cut_off(sample: Callable[[Tensor | None], Tensor], z: Tensor, made: Tensor) -> bool:
    with torch.enable_grad():
        latents = z.detach().clone().requires_grad_()
        samples = sample(latents)
        if samples.requires_grad:
            (gradient,) = torch.autograd.grad(
                samples.sum(), latents, allow_unused=True, materialize_grads=True
            )
            if bool(gradient.any()):
                return False
    with torch.no_grad():
        return not torch.equal(sample(z.flip(0)), made)


def _words(what: str, iteration: int, error: Exception) -> str:
    return f"{what} failed at iteration {iteration}: {type(error).__name__}: {error}"
