"""The one exception a user is meant to see: what is wrong, and what mends it, in one line."""

import unicodedata
from typing import ClassVar

# Unicode's categories of characters that print nothing, or only change what is around them.
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


class UserError(ValueError):
    """Something the user can mend; its one line holds no character that a terminal would obey."""

    status: ClassVar[int] = 2

    def __init__(self, message: str) -> None:
        super().__init__(visible(" ".join(message.split())))


def visible(text: str) -> str:
    """Text with its control characters, direction overrides and the like as ``⟨U+202E⟩``."""
    if text.isprintable():
        return text
    return "".join(
        f"⟨U+{ord(character):04X}⟩" if unicodedata.category(character) in _UNSEEN else character
        for character in text
    )
