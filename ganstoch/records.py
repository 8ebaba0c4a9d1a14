"""`record.json`, what a finished run leaves: a model that needs neither torch nor Lightning."""

import gzip
import json
import os
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ganstoch.errors import UserError, visible

RECORD = "record.json"
RUN_LOCK = "running.lock"
SCHEMA = 3  # of the record's layout; ganstoch 0.5.0 wrote 1 and 2, which `read_record` converts
_HALF = ".half"  # how the name of a file ends that is still being written
_FIX = "remove it to run that row again"
_END = 2**63

_Count = Annotated[int, Field(ge=1, lt=_END)]
_Whole = Annotated[int, Field(ge=0, lt=_END)]
_Amount = Annotated[float, Field(ge=0, lt=_END)]
_Words = Annotated[str, AfterValidator(visible)]  # a terminal would obey other characters

STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class FileModel(BaseModel):
    """What a file holds: no other types, no unknown fields, no NaN; unchangeable."""

    model_config = ConfigDict(frozen=True, **STRICT)


class Measurement(FileModel):
    """The metrics at one point of a run."""

    iteration: _Whole  # D+G iterations done
    images_seen: _Whole  # real images looked at, m an update of the discriminator; more in packs
    metrics: dict[str, float]  # e.g. ``overfitting/pixel_l1/mean`` in grey levels
    digests: dict[str, str] = {}  # of every number of training by then: see `GAN.digests`


class Record(FileModel):
    """One finished run. ``Record.model_json_schema()`` is its JSON schema."""

    config_hash: str  # sha256 of everything that decides the run's numbers, hexadecimal
    seed: Annotated[int, Field(ge=-_END, lt=_END)]
    preset: _Words
    dataset: _Words
    n: _Count  # images in the subset
    m: _Count  # logical mini-batch size
    bank: _Count | None  # number of fixed latents k, or None for fresh ones every iteration
    noise: _Amount  # variance of the noise added to the latents in training
    iterations: _Whole
    images_seen: _Whole
    converged: bool  # whether the stop rule found convergence (otherwise the cap was hit)
    seconds: _Amount  # of training with its evaluations, over all segments of a resumed run
    subset_sha256: str  # of the subset's pixels
    metrics: dict[str, float]  # the last measurement, EMA generator, plain latents
    baseline: dict[str, float]  # of held-out real images in the generator's place, or empty
    history: tuple[Measurement, ...]
    config: dict[str, Any]
    versions: dict[str, str]  # of packages that decide numbers
    hardware: _Words
    git_sha: str | None = None  # commit of the working tree it ran from, or None outside one
    threads: _Count | None = None  # CPU threads of each process, if known
    schema_version: Literal[3] = Field(default=3, alias="schema")


def write_atomically(
    path: Path, content: bytes | memoryview | Iterator[bytes | memoryview]
) -> None:
    """Writes a file, and its folder, whole or, with a `UserError` of why, not at all."""
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=_HALF
        )
        with os.fdopen(descriptor, "wb") as file:
            for part in [content] if isinstance(content, bytes | memoryview) else content:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp's 0600 would lock out the rest of a team
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"cannot write {path}: {reason}; free space or choose another --out"
        ) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def sweep_up(folder: Path) -> None:
    """Removes what killed processes left half-written in a folder that nobody else writes to."""
    for stale in folder.glob(f".*{_HALF}"):
        stale.unlink(missing_ok=True)


def write_record(path: Path, record: Record) -> None:
    """Writes a record as JSON; a ValueError if a metric is not a finite number."""
    content = record.model_dump(by_alias=True)
    text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False)
    write_atomically(path, text.encode() + b"\n")


def read_record(path: Path) -> Record:
    """Reads a record back, those of ganstoch 0.5.0 too; a `UserError` names a wrong field."""
    return _read(read_json(path, fix=_FIX), str(path))


def read_records(path: Path) -> list[Record]:
    """Reads many records out of one compressed file, a line each, as ``results/`` holds them."""
    try:
        lines = gzip.decompress(path.read_bytes()).splitlines()
        contents = [json.loads(line) for line in lines]
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f"cannot read {path}: {error}; {_FIX}") from error
    return [_read(content, str(path)) for content in contents]


def _read(content: Any, where: str) -> Record:
    if not isinstance(content, dict) or "schema" not in content:
        raise UserError(f"{where} has no schema, so it is no record; {_FIX}")
    if content["schema"] in (1, 2):  # of ganstoch 0.5.0
        content = {key: value for key, value in content.items() if key != "company"}
        content |= {"schema": SCHEMA}
    content |= {"config": converted_config(content.get("config"))}
    record: Record = decode(Record, content, where, fix=_FIX)
    return record


def converted_config(config: Any) -> Any:
    """A run's settings of ganstoch 0.5.0 as today's: without ``forms``, one per convolution."""
    if not isinstance(config, dict) or not isinstance(model := config.get("model"), dict):
        return config
    model = {k: v for k, v in model.items() if k != "forms"}
    if isinstance(remedies := model.get("remedies"), list):
        text = json.dumps(remedies).replace('remedies.Replay"', 'remedies.ExperienceReplay"')
        model["remedies"] = json.loads(text)
    names = str(config.get("remedy", "")).split("+")
    if "replay" in names:
        names = ["experience_replay" if name == "replay" else name for name in names]
        config = config | {"remedy": "+".join(names)}
    return config | {"model": model}


def read_json(path: Path, *, fix: str) -> Any:
    """What a JSON file holds; a `UserError` with the ``fix`` if it is missing or no JSON."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON ({error}); {fix}") from error


def decode(expected: Any, value: Any, where: str, *, fix: str) -> Any:
    """A JSON value as a model or dataclass; a `UserError` names the first wrong field, and fix."""
    try:
        text = json.dumps(value, ensure_ascii=False).encode(errors="replace")
        return TypeAdapter(expected).validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        reason = f"{first['msg']}, got {first['input']!r:.40}"
        raise UserError(f"{where}: {key}: {reason}; {fix}") from error


def is_finished(folder: Path, config_hash: str) -> bool:
    """Whether a folder, which may be missing, holds the finished run of these settings."""
    # Listed, not looked up: a shared disk may remember for a minute that a file was not there.
    if not folder.is_dir() or RECORD not in os.listdir(folder):
        return False
    return read_record(folder / RECORD).config_hash == config_hash
