"""The one exception a user is meant to see: what is wrong, and what mends it, in one line."""

from __future__ import annotations

import unicodedata
from typing import ClassVar

__all__ = ["UserError", "visible"]

_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode's categories of characters that print nothing, or only change what is around them."""


class UserError(ValueError):
    """Something the user can mend. The command line prints it as one line and exits with status 2.

    The message names the thing and the fix, and holds no line break nor any other character that a
    terminal would obey: names of files and settings may be anybody's.

    Attributes:
        status: the exit status that it ends a command with.
    """

    status: ClassVar[int] = 2

    def __init__(self, message: str) -> None:
        super().__init__(visible(" ".join(message.split())))


def visible(text: str) -> str:
    """Text with its control characters, direction overrides and the like written as ``⟨U+202E⟩``.

    A name could otherwise end in ``gpj.exe`` reversed, or look like another name. Halves of
    surrogate pairs, which stand for bytes of file names that are no UTF-8, could not be encoded.
    """
    if text.isprintable():
        return text
    return "".join(
        f"⟨U+{ord(character):04X}⟩" if unicodedata.category(character) in _UNSEEN else character
        for character in text
    )
