"""Where images lie: a folder, an archive, shards, an array or column of a file, a data set by name.

Read without torch, so that a mistyped place is told at once.
"""

import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ganstoch.errors import UserError

Kind = Literal["folder", "zip", "tar", "parquet", "array", "hf"]
_ENDINGS: dict[str, Kind] = {
    ".zip": "zip",
    ".tar": "tar",
    ".tar.gz": "tar",
    ".tgz": "tar",
    ".parquet": "parquet",
    ".npz": "array",
    ".npy": "array",
    ".pt": "array",
    ".pth": "array",
}
_KEYED = re.compile(r"(.+\.(?:npz|pt|pth|parquet)):(.+)", re.IGNORECASE | re.DOTALL)
_HUB = re.compile(r"hf:(\w[\w.-]*/\w[\w.-]*)(?::([^:]+))?(?::([^:]+))?")
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")
_MOST_SHARDS = 100_000
HINT = "a folder, .zip, .tar, .tar.gz, .parquet, .npz, .npy or .pt, or hf:OWNER/NAME"


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A place of images that exists, but for a data set of the hub."""

    text: str  # as it was given, for messages
    kind: Kind
    paths: tuple[Path, ...] = ()  # one, but for shards; none for "hf"
    key: str | None = None  # array of a file, or column of a table
    name: str = ""  # of a data set of the hub, OWNER/NAME
    split: str | None = None  # idem

    @property
    def path(self) -> Path | None:
        """The folder or file; of shards the first; None for a data set of the hub."""
        return self.paths[0] if self.paths else None


def locate_table(text: Path | str, *, option: str) -> Location:
    """Looks where embeddings lie: as `locate`, in one file of arrays or of a table."""
    location = locate(text, option=option)
    if location.kind not in ("array", "parquet") or len(location.paths) != 1:
        fix = "embeddings (N, F) in a .npy, .npz, .pt or .parquet file"
        raise UserError(f"{location.text} holds no embeddings; {option} takes {fix}")
    return location


def locate(text: Path | str, *, option: str) -> Location:
    """Looks where images lie; a `UserError` that names the ``option`` if they do not."""
    given = str(text)
    if not given.strip():
        raise UserError(f"{option} is empty; give {HINT}")
    path = _path(given)
    if path.is_dir():
        return Location(text=given, kind="folder", paths=(path,))
    if not path.exists():
        if given.startswith("hf:"):
            return _of_hub(given, option=option)
        if _BRACES.search(given):
            return _shards(given, option=option)
    return _file(given, option=option)


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # there is no such user
        return Path(text)


def _file(given: str, *, option: str) -> Location:
    path, key = _path(given), None
    if not path.exists() and (match := _KEYED.fullmatch(given)):
        path, key = _path(match[1]), match[2]
    kind = next((k for ending, k in _ENDINGS.items() if path.name.lower().endswith(ending)), None)
    if not path.exists():
        raise UserError(f"{path} does not exist; {option} takes {HINT}")
    if kind is None or not path.is_file():
        raise UserError(f"{path} is no file of images; {option} takes {HINT}")
    return Location(text=given, kind=kind, paths=(path,), key=key)


def _shards(given: str, *, option: str) -> Location:
    places = [_file(each, option=option) for each in _expand(given)]
    kinds, keys = {place.kind for place in places}, {place.key for place in places}
    if len(kinds) != 1 or not kinds <= {"tar", "parquet"} or len(keys) != 1:
        raise UserError(f"{given} must name .tar files or .parquet files alone, for {option}")
    paths = tuple(path for place in places for path in place.paths)
    return Location(text=given, kind=places[0].kind, paths=paths, key=places[0].key)


def _expand(pattern: str) -> list[str]:
    """What a shell makes of braces: ``a{08..10}`` is a08, a09, a10; ``{x,y}`` is x, y."""
    texts = [pattern]
    while match := _BRACES.search(texts[0]):
        first, last, several = match.groups()
        parts: Sequence[str]
        if several is not None:
            count, parts = several.count(",") + 1, several.split(",")
        else:
            count, parts = int(last) - int(first) + 1, ()
        if not 0 < count * len(texts) <= _MOST_SHARDS:
            raise UserError(f"{pattern} must name 1 to {_MOST_SHARDS:,} files")
        if several is None:
            parts = [str(int(first) + i).zfill(len(first)) for i in range(count)]
        found = [text for text in texts if match[0] in text]
        texts = [text.replace(match[0], part, 1) for text in found for part in parts]
    return texts


def _of_hub(given: str, *, option: str) -> Location:
    match = _HUB.fullmatch(given)
    if match is None:
        raise UserError(f"{given} is no hf:OWNER/NAME[:SPLIT[:COLUMN]]; see {option}")
    require("datasets", extra="datasets", what=given)
    return Location(text=given, kind="hf", name=match[1], split=match[2], key=match[3])


def require(package: str, *, extra: str, what: str) -> None:
    """A `UserError` with the command that installs an optional package, unless it is there."""
    if importlib.util.find_spec(package) is None:
        raise UserError(f"{what} needs {package}; run: pip install 'ganstoch[{extra}]'")
