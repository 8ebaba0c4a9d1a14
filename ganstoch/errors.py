"""The one exception a user is meant to see: what is wrong, and what mends it, in one line."""

from __future__ import annotations

__all__ = ["UserError"]


class UserError(ValueError):
    """Something the user can mend. The command line prints it as one line and exits with status 2.

    The message names the thing and the fix, and holds no line break.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
