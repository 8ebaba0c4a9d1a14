"""The signals that tell how training is going, and how they are measured.

A measurement changes nothing of the training, and uses the same latents and real images each time,
so that a change of a signal is a change of the generator. Images stand for samples of any kind.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from ganstoch.rng import normal, rng_for, without_replacement
from ganstoch.types import to_signed

# Quantile of real images' distances to their nearest other, below which two are the same.
_COLLISION = 0.05
_SKEWED = 2.0  # mean of real images' nearest distances over their median; of most data below 1.6
_SLACK = 0.1  # of the scale
BANK = 1024  # most training images among which the nearest is looked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """The signals of one measurement; None where there is nothing to measure them on.

    Distances are l2, in units of the root mean square distance between two real images. Closeness
    and reach are of the averaged generator where there is one, all else of the raw one.
    """

    iteration: int  # iterations done
    diversity: float | None = None  # rms distance of two generated images; 1 is the data's own
    # Share of a generated batch nearer to another than all but 5 % of real images; 0.05 is data's.
    collisions: float | None = None
    # Median distance of an image to its nearest other in the batch, over that of real images.
    isolation: float | None = None
    # How far images move with z: the diversity of a linear generator with this gradient.
    sensitivity: float | None = None
    # Mean distance of images to their nearest training image, over held-out ones'; 1 is data's.
    closeness: float | None = None
    # Mean distance of real images to their nearest in a generated batch, over that in a real one.
    reach: float | None = None
    drift: float | None = None  # rms change of the same latents' images since the last measurement
    # Cosine between that change and the one before it; below 0 where images go back and forth.
    turn: float | None = None
    average_gap: float | None = None  # rms distance of the averaged and the raw generator's images
    gap: float | None = None  # mean logit of training images less that of generated ones
    gap_held_out: float | None = None  # mean logit of training images less that of held-out ones
    # Share of pairs (training, generated) whose logits are in the right order, a half of ties.
    separation: float | None = None
    accuracy_real: float | None = None  # share of training images with a logit above 0
    accuracy_held_out: float | None = None
    accuracy_fake: float | None = None  # share of generated images with a logit below 0
    loss_discriminator: float | None = None  # of the last iteration
    loss_generator: float | None = None
    gradient_discriminator: float | None = None  # l2 norm of its whole gradient, last update
    gradient_generator: float | None = None
    # Where the first number that was not finite came from, "discriminator.body.0, iteration 12".
    broken: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """What is diagnosed: a generator, and its discriminator if there is one."""

    # Images or points (S, *shape) of the raw generator from latents (S, latent_dim), or from None
    # where it draws its own.
    sample: Callable[[Tensor | None], Tensor]
    latents: Tensor | None = None  # the same each time; None where the generator takes none
    average: Callable[[Tensor | None], Tensor] | None = None  # ``sample`` of the averaged generator
    discriminator: Callable[[Tensor], Tensor] | None = None  # logits (N,) of images


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class References:
    """Real images, and the distances between them that signals are relative to."""

    batch: Tensor  # training images, shape (S, *shape), signed floats
    bank: Tensor  # rows of training images, float32, shape (B, F); B at most `BANK`
    held_out: Tensor | None  # real images that are no training images, shape (S, *shape)
    scale: float  # root mean square distance between two training images
    collision: float  # below this distance two images of a batch of S count as the same
    isolation: float  # median distance of a training image to its nearest other in a batch of S
    closeness: float  # mean distance of a held-out, else training, image to the bank's nearest
    reach: float  # mean distance of a training image to its nearest in another batch of S real ones
    # Added to these three, 0 but where images repeat by nature, as rows of categories do, or where
    # a few far ones decide a mean, as of single numbers: what such distances vary by is chance.
    slack: float
    rows: Callable[[Tensor], Tensor]  # images as rows (N, F), between which distances are l2

    def to(self, device: torch.device) -> Self:
        """The same with its images on a device."""
        held_out = None if self.held_out is None else self.held_out.to(device)
        batch, bank = self.batch.to(device), self.bank.to(device)
        return dataclasses.replace(self, batch=batch, bank=bank, held_out=held_out)


def flat(images: Tensor) -> Tensor:
    """Each image as a row (N, F) of float32."""
    return images.flatten(1).float()


def references(
    real: Tensor,
    held_out: Tensor | None,
    *,
    size: int,
    seed: int = 0,
    rows: Callable[[Tensor], Tensor] = flat,
) -> References:
    """Draws the real images that a run is compared with, once, in batches of at most ``size``.

    ``real``: images (N, C, H, W), uint8 or floats in [-1, 1], or anything (N, ...) that ``rows``
    makes rows (N, F) of; 4 different ones.
    """
    if len(real) < 4:
        raise ValueError(f"expected at least 4 real images, got {len(real)}")
    size = min(size, len(real) // 2)
    rng = rng_for(seed, "evaluation", part="diagnosis")
    order = without_replacement(len(real), len(real), rng)[: max(2 * size, BANK)]
    drawn = real[order.to(real.device)]
    batch, other = _floats(drawn[:size]), rows(_floats(drawn[size : 2 * size]))
    bank, own = rows(_floats(drawn[:BANK])), rows(batch)
    held = None
    if held_out is not None and len(held_out):
        ids = without_replacement(len(held_out), min(size, len(held_out)), rng)
        held = _floats(held_out[ids.to(held_out.device)])
    scale, others = _spread(own), _nearest_other(own)
    if scale == 0:
        raise ValueError("the real images are all the same")
    nearest = _nearest_other(bank) if held is None else _nearest(rows(held), bank)
    reached = _nearest(own, other)
    skewed = any(not d.mean() < _SKEWED * d.median() for d in (others, nearest, reached))
    slack = _SLACK * scale if skewed else 0.0
    return References(
        batch=batch,
        bank=bank,
        held_out=held,
        scale=scale,
        collision=others.quantile(_COLLISION).item(),
        isolation=others.median().item() + slack,
        closeness=nearest.mean().item() + slack,
        reach=reached.mean().item() + slack,
        slack=slack,
        rows=rows,
    )


def measure(
    networks: Networks,
    reference: References,
    *,
    iteration: int,
    before: Sequence[Tensor] = (),
    seed: int = 0,
) -> tuple[Signals, Tensor]:
    """The signals of one measurement, and the generated images, float32, shape (S, *shape).

    ``before``: the images that the last two calls returned, the latest first.
    """
    images, rows, sensitivity = _sampled(networks, reference.rows, seed=seed)
    if not bool((4 * rows).square().sum(1).isfinite().all()):  # nor are distances then
        return Signals(iteration=iteration, broken="the generated images"), images
    scale, final, average = reference.scale, rows, None
    if networks.average is not None:
        with torch.no_grad():
            final = reference.rows(networks.average(networks.latents))
        average = _rms(final - rows) / scale
    logits: dict[str, Tensor] = {}
    if networks.discriminator is not None:
        sides = {"real": reference.batch, "fake": images}
        if reference.held_out is not None:
            sides["held_out"] = reference.held_out
        with torch.no_grad():
            logits = {k: networks.discriminator(v).float().flatten() for k, v in sides.items()}
    slack, own = reference.slack, reference.rows(reference.batch)
    others, earlier = _nearest_other(rows), [reference.rows(images) for images in before]
    signals = Signals(
        iteration=iteration,
        diversity=_spread(rows) / scale,
        collisions=(others < reference.collision).float().mean().item(),
        isolation=(others.median().item() + slack) / reference.isolation,
        sensitivity=None if sensitivity is None else sensitivity / scale,
        closeness=(_nearest(final, reference.bank).mean().item() + slack) / reference.closeness,
        reach=(_nearest(own, final).mean().item() + slack) / reference.reach,
        drift=_rms(rows - earlier[0]) / scale if earlier else None,
        turn=_turn(rows, *earlier) if len(earlier) == 2 else None,
        average_gap=average,
        **(compare_logits(**logits) if logits else {}),
    )
    return signals, images


def compare_logits(real: Tensor, fake: Tensor, held_out: Tensor | None = None) -> dict[str, Any]:
    """The signals of a discriminator's logits (N,) of training, generated and held-out images."""
    sides = {"real": real, "fake": fake} | ({} if held_out is None else {"held_out": held_out})
    means = {side: values.mean().item() for side, values in sides.items()}
    above = {side: (values > 0).float().mean().item() for side, values in sides.items()}
    return {
        "gap": means["real"] - means["fake"],
        "gap_held_out": means["real"] - means["held_out"] if held_out is not None else None,
        "separation": _separation(real, fake),
        "accuracy_real": above["real"],
        "accuracy_held_out": above.get("held_out"),
        "accuracy_fake": (fake < 0).float().mean().item(),
    }


def _sampled(
    networks: Networks, rows: Callable[[Tensor], Tensor], *, seed: int
) -> tuple[Tensor, Tensor, float | None]:
    """Images, their rows, and how far apart a linear generator J z with this gradient puts them.

    That is sqrt(2) ||J||_F, by E ||v^T J||^2 = ||J||_F^2; None where rows have no gradient.
    """
    if networks.latents is None:
        with torch.no_grad():
            images = networks.sample(None)
            return images.float(), rows(images), None
    latents = networks.latents.detach().clone().requires_grad_()
    with torch.enable_grad():
        images = networks.sample(latents)
        made = rows(images)
        # Of images without a gradient, none looks at z.
        sensitivity = None if images.requires_grad else 0.0
        if made.requires_grad:
            rng = rng_for(seed, "evaluation", part="diagnosis/directions")
            directions = normal(tuple(made.shape), rng).to(made.device, made.dtype)
            (gradient,) = torch.autograd.grad(
                (made * directions).sum(), latents, allow_unused=True, materialize_grads=True
            )
            squared = gradient.flatten(1).double().square().sum(1).mean().item()
            sensitivity = math.sqrt(2 * squared)
    return images.detach().float(), made.detach(), sensitivity


def _floats(images: Tensor) -> Tensor:
    """Bytes as signed floats; floats as float32."""
    return to_signed(images) if images.dtype == torch.uint8 else images.float()


def _rms(difference: Tensor) -> float:
    """Root mean square length of rows (S, F)."""
    return difference.double().square().sum(1).mean().sqrt().item()


def _turn(now: Tensor, before: Tensor, earlier: Tensor) -> float | None:
    """Cosine between two successive changes of rows (S, F), taken as one; None if nothing moved."""
    last, first = (now - before).double().flatten(), (before - earlier).double().flatten()
    lengths = last.norm() * first.norm()
    return (last @ first / lengths).item() if lengths > 0 else None


def _separation(real: Tensor, fake: Tensor) -> float:
    """Share of pairs in the right order, a half of ties (Mann-Whitney)."""
    ranked = fake.sort().values  # of many ranks' logits all pairs would not fit into memory
    below, up_to = (torch.searchsorted(ranked, real, right=right) for right in (False, True))
    return (below + up_to).sum().item() / (2 * len(real) * len(fake))


def _spread(rows: Tensor) -> float:
    """Root mean square distance between two rows of (S, F): sqrt(2) times the deviation."""
    centred = rows.double() - rows.double().mean(0)
    return math.sqrt(2 * centred.square().sum().item() / max(1, len(rows) - 1))


def _nearest(queries: Tensor, bank: Tensor) -> Tensor:
    """Distance of each row (Q, F) to the nearest of (B, F), shape (Q,); in float32, for means."""
    return torch.cdist(queries, bank.to(queries.device)).amin(1)


def _nearest_other(rows: Tensor) -> Tensor:
    """Distance of each row (S, F) to its nearest other, shape (S,)."""
    return torch.cdist(rows, rows).fill_diagonal_(torch.inf).amin(1)


def to_columns(history: Sequence[Signals]) -> dict[str, list[Any]]:
    """Each measured signal over time, to four digits, for JSON; None: not measured or finite."""
    columns = {
        name: [_short(getattr(signals, name)) for signals in history] for name in Signals.__slots__
    }
    return {name: values for name, values in columns.items() if set(values) - {None, ""}}


def from_columns(columns: dict[str, list[Any]]) -> list[Signals]:
    """The history that `to_columns` made columns of, but for digits; `ValueError` for others."""
    lengths = {len(values) for values in columns.values()}
    names = set(Signals.__slots__)
    if "iteration" not in columns or not set(columns) <= names or len(lengths) != 1:
        raise ValueError("no columns of signals")
    return [
        Signals(**{name: values[i] for name, values in columns.items()})
        for i in range(len(columns["iteration"]))
    ]


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else None
    return value
