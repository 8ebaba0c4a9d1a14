"""A monitor for any training loop: what is at hand goes in at each step, verdicts come out."""

import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, distributed, nn

from ganstoch.diagnosis.given import Given
from ganstoch.diagnosis.history import History, verdict_of
from ganstoch.diagnosis.look import Looker
from ganstoch.diagnosis.pictures import Pictures
from ganstoch.diagnosis.rules import Verdict
from ganstoch.diagnosis.signals import Networks, Signals
from ganstoch.diagnosis.spaces import AnySpace, space_for
from ganstoch.diagnosis.undisturbed import alone, modules_of, put_back, undisturbed
from ganstoch.diagnosis.verdicts import VERDICTS, Diagnosed, Finding
from ganstoch.errors import UserError, visible

_log = logging.getLogger("ganstoch")

# What each verdict rests on: the arguments that give it, in the order to pass them.
_RESTS_ON: dict[Verdict, tuple[str, ...]] = {
    "non_finite": ("loss_d",),
    "ignores_latent": ("real", "sample", "latents"),
    "complete_collapse": ("real", "sample"),
    "generator_dominates": ("discriminator",),
    "diverged": ("loss_d",),
    "partial_collapse": ("real", "sample"),
    "vanishing_gradient": ("discriminator", "generator"),
    "discriminator_dominates": ("real", "sample", "discriminator"),
    "oscillating": ("real", "sample"),
    "memorization": ("real", "sample", "held_out"),
    "stalled": ("real", "sample"),
}
# Which signals show that an argument has given what it is to give.
_GIVES = {
    "sample": {"closeness"},
    "latents": {"sensitivity"},
    "discriminator": {"separation"},
    "generator": {"gradient_generator"},
    "loss_d": {"loss_discriminator", "loss_generator", "gap", "closeness"},
}


class Monitor:
    """Measures a generator in training every so many steps, and says what is wrong with it.

    Training goes the same way with it or without, bit for bit, and never ends by it: what fails is
    logged once and kept in ``notes``. What is not given is not judged, see ``not_judged``.

    Functions run without a gradient (but for that of ``latents``), and with the global random
    numbers of torch, numpy and Python the same at each look and put back after it; keep generators
    of your own apart. A network that is itself given runs in eval mode. Those that a function
    refers to run in the mode that it puts them in; then modes and buffers are put back.

    Args:
        real: training samples (N, ...), 4 or more: a tensor, an array, or a DataFrame for a table.
        held_out: such samples that are not trained on.
        sample: makes n samples (n, ...) in the range of ``real``, [-1, 1] where that is of bytes;
            given ``latents``, makes samples of these, so that it may be the generator itself.
        latents: of the generator, shape (S, ...), floats, the same at each look.
        discriminator: logits (N, ...) of samples; or pass logits to `step`.
        generator: whose gradient is read; None for ``sample``, or the one network it refers to.
        every: steps between looks.
        images: samples in a look, 8 or more; None for 64, and for 256 of a vector or a table, of
            which 64 say little.
        space: in which samples are compared, one of `SPACES`, or a function of samples (N, ...)
            that makes rows (N, F); None where their shape leaves no doubt.
        sample_rate: of waveforms, in hertz.
        act: is called with each `Finding` that becomes sure (six looks); what it raises is raised.
        world: ranks that each have such a monitor and call `step` alike. Losses are then means
            over the ranks, logits are those of all, and generated samples are the first one's.

    Raises:
        UserError: samples that cannot be compared, or an argument out of its range.
    """

    def __init__(
        self,
        real: Any = None,
        *,
        held_out: Any = None,
        sample: Callable[[Any], Any] | None = None,
        latents: Tensor | None = None,
        discriminator: Callable[[Tensor], Any] | None = None,
        generator: nn.Module | None = None,
        every: int = 100,
        images: int | None = None,
        space: AnySpace = None,
        sample_rate: int | None = None,
        act: Callable[[Finding], Any] | None = None,
        world: int = 1,
    ) -> None:
        if every < 1 or (images is not None and images < 8):
            raise UserError(f"every must be 1 or more, images 8 or more; got {every} and {images}")
        latents = None if latents is None else torch.as_tensor(latents)
        if latents is not None and (
            sample is None or len(latents) < 8 or not latents.is_floating_point()
        ):
            raise UserError("latents must be 8 or more, of floats, with sample= of them")
        if real is None and not (held_out is sample is discriminator is None):
            raise UserError("generated and held-out samples are compared with real ones: give real")
        self.every = every
        self.act = act
        self.world = world
        self.past = History(VERDICTS)
        self.looker: Looker | None = None
        self.pictures: Pictures | None = None  # samples of the looks that matter
        self.images = images
        self._has: set[str] = set()  # which of ``real`` and ``held_out`` there are
        self._sample, self._discriminator = sample, discriminator
        self._latents = latents
        self._generator = generator
        self._given = Given(self.note)
        self._before: Sequence[Tensor] = ()  # samples of a resumed run's last looks
        self._notes: dict[str, str] = {}
        self._first: int | None = None  # step that was given first
        self._last = 0  # iteration of the step given last
        self._offset = 0  # of iterations from steps
        if real is not None:
            self.refer_to(real, held_out, space=space, sample_rate=sample_rate)

    def refer_to(
        self,
        real: Any,
        held_out: Any = None,
        *,
        space: AnySpace = None,
        sample_rate: int | None = None,
    ) -> None:
        """Takes up the real samples that generated ones are compared with, as at the start."""
        chosen = space_for(real, space, rate=sample_rate)
        if self._discriminator is not None and chosen.kind == "table":
            raise UserError("a discriminator sees no table: give real_logits to step instead")
        if chosen.left_out:
            self.note("left_out", f"not compared, as identifiers: {', '.join(chosen.left_out)}")
        size = self.images or (256 if chosen.kind in ("vector", "table") else 64)
        if self._latents is not None:
            self._latents = self._latents[:size]
            size = len(self._latents)
        self.looker = Looker(real, held_out, size=size, space=chosen, note=self.note)
        self.looker.load(self._before)
        looks = {} if self.pictures is None else self.pictures.looks
        self.pictures = Pictures(chosen.shown(self.looker.reference.batch), chosen.names)
        self.pictures.looks = looks
        self._has = {"real"} if held_out is None else {"real", "held_out"}

    def try_once(self, networks: Networks) -> None:
        """Makes samples as a look would; `UserError` if that fails, a note if only a D does."""
        assert self.looker is not None
        if problem := self.looker.try_once(networks):
            raise UserError(f"before training, {problem}; give sample=a function of n")

    @property
    def history(self) -> list[Signals]:
        """The signals of each look so far."""
        return self.past.signals

    @property
    def diagnosed(self) -> Diagnosed | None:
        """What follows from the signals; None before the first look."""
        return self.past.diagnosed

    @property
    def verdict(self) -> Verdict | Literal["cannot_tell"]:
        """The gravest finding's; "healthy" where samples were seen at three looks and the last."""
        return verdict_of(self.history, self.diagnosed)

    @property
    def notes(self) -> list[str]:
        """What went wrong with the monitoring itself, each once."""
        return list(self._notes.values())

    @property
    def not_judged(self) -> dict[str, str]:
        """The verdicts that could not be reached, each with the next argument to pass for it."""
        have = {name: name in self._has for name in ("real", "held_out")}
        for argument, names in _GIVES.items():
            have[argument] = any(
                getattr(signals, name) is not None for signals in self.history for name in names
            )
        found = {finding.verdict for finding in self.diagnosed.findings} if self.diagnosed else {}
        return {
            verdict: lacking[0]
            for verdict, arguments in _RESTS_ON.items()
            if verdict not in found and (lacking := [a for a in arguments if not have[a]])
        }

    def report(self, path: Path | str, *, title: str = "") -> None:
        """Writes one self-contained page: the verdict, since when, the curves and what to try."""
        from ganstoch.diagnosis.page import write_page

        write_page(
            Path(path),
            self.history,
            pictures=self.pictures,
            not_judged=self.not_judged,
            notes=self.notes,
            title=title,
        )

    def step(
        self,
        step: int,
        *,
        loss_d: Any = None,
        loss_g: Any = None,
        real_logits: Any = None,
        fake_logits: Any = None,
    ) -> None:
        """Takes up what a step of training has at hand, after its updates; looks where that is due.

        Tensors are read at looks only. A step may be given in several calls. Steps that begin again
        count on; steps that go back to the middle, as of a resumed run, undo what came after.

        Args:
            step: number of the step.
            loss_d: the discriminator's loss, a number or a tensor.
            loss_g: the generator's.
            real_logits: the discriminator's logits (N, ...) of training samples.
            fake_logits: of generated samples.
        """
        try:
            before, iteration = self._advance(int(step))
            logits = {"real_logits": real_logits, "fake_logits": fake_logits}
            self._given.add(iteration, loss_d=loss_d, loss_g=loss_g, **logits)
            if iteration // self.every > before // self.every:
                self.look(iteration)
            elif iteration == before and self.history and self.history[-1].iteration == iteration:
                self._judge(self._given.read(self.history[-1]).merged(self.world))
            else:
                return
        except Exception as error:  # training goes on
            self.note("step", f"step {step!r}: {type(error).__name__}: {error}")
            return
        if self.act is not None:
            for finding in self.past.newly_due:
                self.act(finding)

    def look(
        self,
        iteration: int,
        networks: Networks | None = None,
        *,
        broken: str = "",
        **measured: float | None,
    ) -> Diagnosed:
        """Measures now, these networks or those given, and judges.

        ``measured`` are signals that are known already, ``broken`` among them. It raises nothing
        but what ranks that lose each other raise.
        """
        signals = Signals(iteration=iteration)
        if self.looker is not None and networks is not None:
            signals = self.looker.signals(networks, iteration)
        elif self.looker is not None and self._sample is not None:
            with self._running():
                own = Networks(
                    sample=self._made,
                    latents=self._latents,
                    discriminator=self._logits if self._discriminator else None,
                )
                signals = self.looker.signals(own, iteration)
            measured["gradient_generator"] = self._gradient()
        reading = self._given.read(signals)
        reading.values.update({k: v for k, v in measured.items() if v is not None})
        reading = dataclasses.replace(reading, broken=broken or reading.broken)
        return self._judge(reading.merged(self.world))

    def note(self, kind: str, text: str) -> None:
        """Logs and keeps the first note of a kind, unless it is empty."""
        text = visible(" ".join(text.split()))[:500]
        if text and kind not in self._notes:
            self._notes[kind] = text
            _log.warning("monitor: %s", text)

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs, in plain values and tensors."""
        return {
            "monitor": self.past.state_dict(),
            "before": list(self._before if self.looker is None else self.looker.earlier),
            "steps": {"first": self._first, "last": self._last, "offset": self._offset},
            "pictures": {} if self.pictures is None else self.pictures.looks,
            "has": sorted(self._has),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with the history of the run that is resumed."""
        self.past.load_state_dict(state_dict["monitor"])
        self._before = state_dict["before"]
        self._has |= set(state_dict.get("has", ()))
        if self.looker is not None:
            self.looker.load(self._before)
        self.pictures = self.pictures or Pictures()
        self.pictures.looks = dict(state_dict.get("pictures", {}))
        steps = state_dict.get("steps", {})
        self._first, self._offset = steps.get("first"), steps.get("offset", 0)
        self._last = steps.get("last", 0)

    def _advance(self, step: int) -> tuple[int, int]:
        """The iterations of the step before and of this one, which only a resumed run sets back."""
        if self._first is None:
            self._first, self._last = step, step - 1
        before, iteration = self._last, step + self._offset
        if iteration < before and step <= self._first:
            self.note("again", f"steps begin again at {step} after {before}, and count on")
            self._offset = before + 1 - step
            iteration = before + 1
        elif iteration < before:
            self.note("back", f"steps go back from {before} to {iteration}: the later ones undone")
            self.past.cut(iteration)
            self._given = Given(self.note)
            if self.looker is not None:
                self.looker.earlier = []
            before = iteration - 1
        self._last = iteration
        return before, iteration

    def _judge(self, signals: Signals) -> Diagnosed:
        diagnosed = self.past.add(signals)
        if self.pictures and self.looker and signals.closeness is not None:  # it has not failed
            assert self.looker.samples is not None
            samples = self.looker.space.shown(self.looker.samples)
            self.pictures.look(signals.iteration, samples, self.past)
        first = self.world == 1 or distributed.get_rank() == 0
        if first and self.past.is_new and (diagnosed.findings or signals.closeness is not None):
            level = logging.WARNING if diagnosed.findings else logging.INFO
            _log.log(level, "%s", diagnosed.words)
        return diagnosed

    @contextmanager
    def _running(self) -> Iterator[None]:
        """Networks that are given run in eval mode; others are put back as they were."""
        with ExitStack() as stack:
            for function in (self._sample, self._discriminator):
                networks = modules_of(function)
                stack.enter_context(alone(networks))
                if isinstance(function, nn.Module):
                    stack.enter_context(undisturbed(function))
                else:
                    stack.enter_context(put_back(networks))
            yield

    def _made(self, latents: Tensor | None) -> Any:
        assert self._sample is not None
        assert self.looker is not None
        return self._sample(self.looker.size if latents is None else latents)

    def _logits(self, samples: Tensor) -> Any:
        assert self._discriminator is not None
        for network in modules_of(self._discriminator)[:1]:
            samples = samples.to(next(iter(network.parameters()), samples))
        return self._discriminator(samples)

    def _gradient(self) -> float | None:
        """The l2 norm of the generator's gradient as it is now, if it has one."""
        networks = modules_of(self._sample) if self._generator is None else [self._generator]
        parameters = networks[0].parameters() if len(networks) == 1 else ()
        gradients = [p.grad for p in parameters if p.grad is not None]
        return torch.stack(torch._foreach_norm(gradients)).norm().item() if gradients else None
