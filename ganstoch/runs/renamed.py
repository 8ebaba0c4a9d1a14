"""Words of version 0.5.0 that are gone: each is refused in a line that names the new one."""

from __future__ import annotations

from collections.abc import Sequence

from ganstoch.errors import UserError

__all__ = ["RENAMED", "refuse_renamed", "refuse_renamed_options"]

_SEEDS = "leave it out; run once for each --seed_everything, or use ganstoch remedies --seeds"

RENAMED: dict[str, dict[str, str]] = {
    "command": {"replay": "use ganstoch verify"},
    "option": {
        "fit --seeds": _SEEDS,
        "remedies --world": "use --synthetic NAME; for images, leave it out",
    },
    "config": {
        "m3200": "use n4",
        "m800": "use n16",
        "m200": "use n64",
        "m50": "use n256",
        "m3200-noise": "use n4-noise",
    },
    "remedy": {"replay": "use experience_replay"},
    "key": {
        "model.forms": "leave it out: a fixed rule chooses how convolutions are computed",
        "seeds": _SEEDS,
    },
}
"""What kind of word, then the word and what to do."""


def refuse_renamed(kind: str, word: str) -> None:
    """Refuses a word of an earlier version; does nothing for others.

    Raises:
        UserError: naming what took its place.
    """
    if hint := RENAMED[kind].get(word):
        raise UserError(f"{kind} {word} is of an earlier version; {hint}")


def refuse_renamed_options(command: str, words: Sequence[str]) -> None:
    """Refuses the first option of a command line that is of an earlier version.

    Raises:
        UserError: naming what took its place.
    """
    for word in words:
        refuse_renamed("option", f"{command} {word.partition('=')[0]}")
