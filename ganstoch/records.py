"""`record.json`: what a finished run leaves, typed, versioned, written atomically, read back whole.

Tables and figures are made from records alone, so this module imports neither torch nor Lightning.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganstoch.errors import UserError, visible

__all__ = [
    "SCHEMA",
    "Measurement",
    "Record",
    "decode",
    "read_record",
    "sweep_up",
    "write_atomically",
    "write_record",
]

SCHEMA = 2
"""Version of the record's layout; 1 had no digests, threads or company."""
READABLE = (1, 2)
"""A record of another version is refused, never guessed at."""

_HALF = ".half"
"""How the name of a file ends that is still being written."""
_FIX = "remove it to run that row again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The metrics at one moment of a run.

    Attributes:
        iteration: D+G iterations done.
        images_seen: real images looked at so far, m an update of the discriminator; more in packs.
        metrics: e.g. ``overfitting/pixel_l1/mean`` in grey levels per pixel and channel.
        digests: of every number that training had made by then, by part: see
            `ganstoch.training.fingerprint`.
    """

    iteration: int
    images_seen: int
    metrics: dict[str, float]
    digests: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One finished run.

    Attributes:
        config_hash: sha256 of everything that decides the run's numbers, hexadecimal.
        seed: the run's seed.
        preset: name of the preset it was made from.
        dataset: name of the source of images.
        n: images in the subset.
        m: logical mini-batch size.
        bank: number of fixed latents k, or None for fresh ones every iteration.
        noise: variance of the noise added to the latents in training.
        iterations: D+G iterations done.
        images_seen: real images looked at, as in a measurement.
        converged: whether the stop rule found convergence (otherwise the cap was hit).
        seconds: wall time of training with its evaluations, over all segments of a resumed run.
        subset_sha256: checksum of the subset's pixels.
        metrics: the last measurement, EMA generator, plain latents.
        baseline: the same metrics with held-out real images in the generator's place; empty where
            the source has none.
        history: every measurement, in order.
        config: the resolved configuration.
        versions: packages that decide numbers, with their versions.
        hardware: what it ran on, in words.
        git_sha: commit of the working tree it ran from, or None outside one.
        threads: CPU threads of each process; None where the record does not say.
        company: runs that were played as one with it, itself included.
        schema: version of this layout.
    """

    config_hash: str
    seed: int
    preset: str
    dataset: str
    n: int
    m: int
    bank: int | None
    noise: float
    iterations: int
    images_seen: int
    converged: bool
    seconds: float
    subset_sha256: str
    metrics: dict[str, float]
    baseline: dict[str, float]
    history: tuple[Measurement, ...]
    config: dict[str, Any]
    versions: dict[str, str]
    hardware: str
    git_sha: str | None = None
    threads: int | None = None
    company: int = 1
    schema: int = field(default=SCHEMA)


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Writes a file so that a reader sees the old content or the new, never half of either.

    Raises:
        UserError: if the disk is full or the place cannot be written to; nothing is left behind.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=_HALF
        )
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp's 0600 would lock out the rest of a team
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise UserError(
            f"cannot write {path}: {reason}; free space or choose another --out"
        ) from error


def sweep_up(folder: Path) -> None:
    """Removes what killed processes left half-written in a folder that nobody else writes to."""
    for stale in folder.glob(f".*{_HALF}"):
        stale.unlink(missing_ok=True)


def write_record(path: Path, record: Record) -> None:
    """Writes a record as JSON.

    Raises:
        UserError: if it cannot be written.
        ValueError: if a metric is not a finite number: JSON has no name for it.
    """
    text = json.dumps(dataclasses.asdict(record), indent=1, sort_keys=True, allow_nan=False)
    write_atomically(path, text.encode() + b"\n")


def read_record(path: Path) -> Record:
    """Reads a record back, checking every field's presence and type.

    Raises:
        UserError: if the file is missing, no JSON, of another schema, or has a wrong field.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON ({error}); {_FIX}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is no record; {_FIX}")
    if content.get("schema") not in READABLE:
        raise UserError(
            f"{path} has schema {content.get('schema')!r}, this version reads {READABLE[0]} to "
            f"{READABLE[-1]}; {_FIX}"
        )
    record = decode(Record, content, str(path), fix=_FIX)
    assert isinstance(record, Record)
    _check_ranges(record, where=str(path))
    if isinstance(model := record.config.get("model"), dict):
        model.pop("forms", None)  # a choice that versions up to 0.5.0 recorded
    return dataclasses.replace(  # anybody's words, which a terminal would obey
        record,
        preset=visible(record.preset),
        dataset=visible(record.dataset),
        hardware=visible(record.hardware),
    )


_COUNTS = ("n", "m", "bank", "company", "threads")
_NUMBERS = ("noise", "iterations", "images_seen", "seconds")


def _check_ranges(record: Record, *, where: str) -> None:
    """Makes sure that a report can compute with the numbers: JSON's have no end.

    Raises:
        UserError: naming the first that no run could have, or that 64 bits cannot hold.
    """
    numbers = [("seed", record.seed, -(2**63)), *((k, getattr(record, k), 1) for k in _COUNTS)]
    numbers += [(name, getattr(record, name), 0) for name in _NUMBERS]
    for moment in record.history:
        numbers += [("history", moment.iteration, 0), ("history", moment.images_seen, 0)]
    for name, value, least in numbers:
        if value is not None and not least <= value < 2**63:
            raise UserError(f"{where}: {name}: unexpected value {value!r:.30}; {_FIX}")


def decode(expected: Any, value: Any, where: str, *, fix: str) -> Any:
    """A JSON value as the annotated type, every field checked for its presence and type.

    Args:
        expected: a dataclass (fields with a default may be missing), ``str``, ``int``, ``bool``,
            ``float`` (finite), ``Any``, a `Literal`, ``tuple[T, ...]``, ``dict[K, T]`` or
            ``T | None``.
        value: what `json.loads` returned.
        where: file, or field of a file, as the error should name it.
        fix: what the user can do about it, in words.

    Raises:
        UserError: that names the first field that is missing, unknown or of another type.
    """

    def inner(expected: Any, value: Any, where: str) -> Any:
        return decode(expected, value, where, fix=fix)

    if dataclasses.is_dataclass(expected) and isinstance(expected, type):
        if not isinstance(value, dict):
            raise UserError(f"{where}: expected an object; {fix}")
        hints = typing.get_type_hints(expected)
        needed = {f.name for f in dataclasses.fields(expected) if _has_no_default(f)}
        if wrong := sorted((set(value) - set(hints)) | (needed - set(value))):
            word = "unknown" if wrong[0] in value else "missing"
            raise UserError(f"{where}: {word} field {wrong[0]!r}; {fix}")
        return expected(**{k: inner(hints[k], v, f"{where}: {k}") for k, v in value.items()})
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if expected is Any:
        return value
    if origin is types.UnionType:
        if value is None and type(None) in arguments:
            return None
        return inner(next(a for a in arguments if a is not type(None)), value, where)
    if origin is tuple and isinstance(value, list):
        return tuple(inner(arguments[0], item, where) for item in value)
    if origin is dict and isinstance(value, dict):
        of_key, of_item = arguments
        return {
            inner(of_key, key, where): inner(of_item, item, f"{where}.{key}")
            for key, item in value.items()
        }
    if origin is typing.Literal:
        # By type too: 1 == True, and JSON tells them apart.
        if any(type(value) is type(choice) and value == choice for choice in arguments):
            return value
    elif expected is float and isinstance(value, int | float) and not isinstance(value, bool):
        # A whole number of JSON has no end, and one beyond the largest float is no number either.
        if abs(value) <= sys.float_info.max:
            return float(value)
    elif isinstance(expected, type) and type(value) is expected:
        return value
    raise UserError(f"{where}: unexpected value {value!r}; {fix}")


def _has_no_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is field.default_factory is dataclasses.MISSING
