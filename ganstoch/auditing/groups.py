"""Groups of images: those of one person or source, which never stand on both sides of a split.

A rule is a file with columns ``name`` and ``group``, or a regular expression of which the first
group, or else the whole match, in an image's name is its group. Names are those of a report.
"""

import csv
import hashlib
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from ganstoch.errors import UserError

_COLUMNS = {"name", "group"}
_NONE = ""


class Grouping:
    """The rule of ``--group-by``; a UserError for a file or an expression that is none."""

    def __init__(self, rule: str | Path) -> None:
        path, text = Path(rule), str(rule)
        if not text:
            raise UserError("--group-by is empty; give FILE.csv or a regular expression")
        self._of: Callable[[str], str]
        content = text.encode()
        if isinstance(rule, Path) or path.suffix.lower() == ".csv":
            groups, content = _read(path)
            self._of = lambda name: groups.get(name, _NONE)
        else:
            try:
                pattern = re.compile(text)
            except (re.error, OverflowError, RecursionError) as error:
                raise UserError(f"--group-by {text!r} is no regular expression: {error}") from error
            self._of = lambda name: _matched(pattern, name)
        self.digest = hashlib.sha256(content).hexdigest()  # of the rule: private names stay so

    def __call__(self, names: Sequence[str], *, where: str) -> tuple[str, ...]:
        """Each name's group; a UserError where some have none."""
        groups = tuple(map(self._of, names))
        missing = [name for name, group in zip(names, groups, strict=True) if group == _NONE]
        if missing:
            count = f"{len(missing):,} of the {len(names):,} images in {where}"
            raise UserError(f"{count} have no group by --group-by, the first is {missing[0]}")
        return groups


def _read(path: Path) -> tuple[dict[str, str], bytes]:
    fix = "--group-by takes a CSV file with the columns name and group"
    try:
        content = path.read_bytes()
        text = io.StringIO(content.decode("utf-8-sig"), newline="")
        rows = list(csv.DictReader(text, strict=True))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; {fix}") from error
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path} is no CSV file in UTF-8 ({error}); {fix}") from error
    if not rows or not set(rows[0]) >= _COLUMNS:
        raise UserError(f"{path} lacks a column or has no row; {fix}")
    groups: dict[str, str] = {}
    for row in rows:
        name, group = row["name"] or "", row["group"] or _NONE
        if groups.setdefault(name, group) != group:
            raise UserError(f"{path} has two groups for {name}; give each name once")
    return groups, content


def _matched(pattern: re.Pattern[str], name: str) -> str:
    match = pattern.search(name)
    if match is None:
        return _NONE
    return (match[1] if pattern.groups else match[0]) or _NONE
