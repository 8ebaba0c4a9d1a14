"""Spaces of samples: in what units two images, vectors, rows of a table or sounds lie apart.

A space takes samples as they come, and makes rows of them between which distances are l2. What it
scales by is the real data's own, as all signals are relative to them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganstoch.diagnosis.log_mel import LogMel
from ganstoch.diagnosis.signals import flat
from ganstoch.diagnosis.table import TableCoordinates, is_table
from ganstoch.errors import UserError
from ganstoch.pixels import as_symmetric, channel_axis, range_of
from ganstoch.rng import rng_for, without_replacement
from ganstoch.types import to_signed

SPACES = ("image", "vector", "waveform", "spectrogram", "table")
_LONGEST = 1024  # numbers of a row that is a vector beyond doubt
_ROWS = 4096  # most real rows of a table that coordinates are made of

AnySpace = str | Callable[[Tensor], Any] | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Space:
    """How samples of one kind are compared."""

    kind: str
    data: Callable[[Any], Tensor]  # real data as a tensor (N, *shape); bytes stay bytes
    encode: Callable[[Any], Tensor]  # samples as they come, as floats (N, *shape); ValueError
    rows: Callable[[Tensor], Tensor]  # that as rows (N, F), float32
    shown: Callable[[Tensor], Tensor] = lambda samples: samples  # those as a page shows them
    names: tuple[str, ...] = ()  # of a table's columns, as shown
    left_out: tuple[str, ...] = ()  # columns that are not compared, as identifiers


def first_tensor(output: Any) -> Tensor:
    """The tensor that a network returns, also in a record, a tuple, a list or a dict: the first."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, np.ndarray):
        try:
            return torch.from_numpy(np.array(output))  # a copy: a read-only array makes a warning
        except TypeError as error:
            raise ValueError(f"expected numbers, got an array of {output.dtype}") from error
    parts: Any = ()
    if isinstance(output, Mapping):
        parts = output.values()
    elif isinstance(output, (tuple, list)):
        parts = output
    else:
        names = ("logits", "sample", "images")  # of the records of this project and of diffusers
        parts = [getattr(output, name, None) for name in names]
    for part in parts:
        if isinstance(part, (Tensor, np.ndarray, tuple, list)) and len(part):
            return first_tensor(part)
    raise ValueError(f"expected a tensor, got a {type(output).__name__}")


def space_for(real: Any, space: AnySpace = None, *, rate: int | None = None) -> Space:
    """The space of some real data: the one that is named, or the only one that it can be.

    Raises:
        UserError: data of a shape that may mean several things, or that the space does not take.
    """
    kind = space if isinstance(space, str) else "own" if space is not None else _guess(real)
    if kind == "table":
        if not is_table(real):
            raise UserError(f'space="table" takes a DataFrame, got a {type(real).__name__}')
        coordinates = TableCoordinates(real)
        return Space(
            kind=kind,
            data=lambda rows: coordinates(_drawn(rows)),
            encode=coordinates,
            rows=flat,
            shown=coordinates.in_own_units,
            names=coordinates.names,
            left_out=tuple(coordinates.left_out),
        )
    if kind not in (*SPACES, "own"):
        raise UserError(f"space must be one of {', '.join(SPACES)} or a function, got {space!r}")
    if is_table(real):
        raise UserError(f'the real data are a DataFrame: space="table" fits, not {space!r}')
    if kind == "waveform" and (rate is None or rate < 1):
        raise UserError('space="waveform" needs sample_rate=, in samples a second')

    def shaped(samples: Any) -> Tensor:
        made = _shaped(_tensor(samples), kind)
        if made.shape[1:] != shape:
            raise ValueError(f"samples have shape {tuple(made.shape[1:])}, real ones {shape}")
        return made

    def encode(samples: Any) -> Tensor:
        made = shaped(samples)
        if kind == "waveform" and made.dtype in (torch.int16, torch.int32):
            return made / torch.iinfo(made.dtype).max
        if made.dtype == torch.uint8 and kind in ("image", "own") and not in_bytes:
            return to_signed(made) / 2 + 0.5 if unit else to_signed(made)
        if made.is_floating_point():
            return made  # in its own units: a discriminator is asked about what it is trained on
        return as_symmetric(made.float(), "bytes") if whole else made.float()

    def data(samples: Any) -> Tensor:
        made = shaped(_whole(samples))
        stays = made.dtype == torch.uint8 and kind in ("image", "own") and not unit
        return made if stays else encode(made)

    try:
        tensor = _shaped(_tensor(_whole(real)), kind)
        shape, unit, in_bytes, whole = tuple(tensor.shape[1:]), False, False, False
        if kind == "image":
            low, high = (value.item() for value in torch.aminmax(tensor.detach()))
            found = range_of(low, high, floats=tensor.is_floating_point())
            unit = found == "unit" and tensor.is_floating_point()
            in_bytes = found == "bytes" and tensor.is_floating_point()
            whole = found == "bytes" and not in_bytes
        rows = _rows(kind, data(tensor), space, rate)
        return Space(kind=kind, data=data, encode=encode, rows=rows)
    except (ValueError, RuntimeError) as error:
        raise UserError(f"real: {error}") from error


def range_warning(generated: Tensor, real: Tensor) -> str:
    """That a generator's floats seem to lie in another range than the real images' [-1, 1]."""
    if not generated.is_floating_point() or not generated.numel():
        return ""
    low, high = (value.item() for value in torch.aminmax(generated.detach().float()))
    least = real.min().item() / 127.5 - 1 if real.dtype == torch.uint8 else real.min().item()
    found = range_of(low, high, floats=True)
    if real.dtype != torch.uint8 and range_of(least, real.max().item(), floats=True) == "bytes":
        ends = {"symmetric": "[-1, 1]", "unit": "[0, 1]"}.get(found or "", "")
        return ends and (
            f"the generator's floats lie in {ends}, and the real images' in [0, 255]: map either"
        )
    if found == "bytes" or (found == "unit" and least < -0.5):
        ends = "[0, 1]" if found == "unit" else "[0, 255]"
        return (
            f"the generator's floats lie in {ends}, and are taken to be in [-1, 1] as the real "
            "images: give sample=a function of n that maps them"
        )
    if found == "symmetric" and least >= 0:
        return "the generator's floats lie in [-1, 1], and the real images' in [0, 1]: map either"
    return ""


def _drawn(table: Any) -> Any:
    if len(table) <= _ROWS:
        return table
    rng = rng_for(0, "evaluation", part="diagnosis/table")
    return table.iloc[without_replacement(len(table), _ROWS, rng).numpy()]


def _guess(real: Any) -> str:
    if is_table(real):
        return "table"
    shape = tuple(_whole(real).shape)
    if len(shape) == 4 and (channel_axis(shape) is not None or shape[1] <= 4):
        return "image"
    if len(shape) == 2 and shape[1] <= _LONGEST:
        return "vector"
    raise UserError(
        f"real data of shape {shape} may mean several things; say which by "
        f"space={' or '.join(repr(name) for name in SPACES[:4])}, or a function"
    )


def _whole(real: Any) -> Any:
    """Real data, which are one tensor or array; of a list only the first would be seen."""
    if isinstance(real, (Tensor, np.ndarray)):
        return real
    fix = "join what it holds by torch.cat or torch.stack"
    raise UserError(f"expected one tensor, array or DataFrame, got a {type(real).__name__}; {fix}")


def _tensor(samples: Any) -> Tensor:
    made = first_tensor(samples)
    if made.is_complex() or made.dtype == torch.bool:
        raise ValueError(f"expected numbers, got {made.dtype}")
    return made


def _shaped(samples: Tensor, kind: str) -> Tensor:
    """Channels first, and a sound's one channel left out; `ValueError` for other shapes."""
    if kind == "image":
        if samples.ndim == 3:
            samples = samples[:, None]
        if samples.ndim == 4 and samples.shape[1] > 4 and channel_axis(tuple(samples.shape)) == 3:
            samples = samples.permute(0, 3, 1, 2)
    if kind == "vector" and samples.ndim == 1:
        samples = samples[:, None]
    axes = {"image": 4, "waveform": 2, "spectrogram": 3}.get(kind)
    if axes is not None and kind != "image" and samples.ndim == axes + 1 and samples.shape[1] == 1:
        samples = samples[:, 0]
    if samples.ndim < 2 or axes not in (None, samples.ndim) or 0 in samples.shape:
        raise ValueError(f"{kind} samples cannot have shape {tuple(samples.shape)}")
    return samples


def _rows(kind: str, real: Tensor, space: Any, rate: int | None) -> Callable[[Tensor], Tensor]:
    if kind == "image":
        return flat
    if kind == "own":
        return lambda samples: flat(_shaped(_tensor(space(samples)), "rows"))
    if kind == "waveform":
        assert rate is not None
        return LogMel.of(real[:256].float(), rate=rate)
    over = (0, 2) if kind == "spectrogram" else 0  # of a frequency at all times, or of a column
    mean, spread = real.float().mean(over, keepdim=True), real.float().std(over, keepdim=True)
    spread = torch.where(spread > 0, spread, 1.0)

    def standardized(samples: Tensor) -> Tensor:
        here = mean.to(samples.device), spread.to(samples.device)
        return flat((samples.float() - here[0]) / here[1])

    return standardized
