"""Files that are welcome beside the data, but that a read-only data folder does without."""

from __future__ import annotations

import errno
from pathlib import Path

from ganstoch.errors import UserError
from ganstoch.records import write_atomically

__all__ = ["write_if_allowed"]


def write_if_allowed(path: Path, content: bytes) -> bool:
    """Writes a file whole, or not at all.

    Returns:
        Whether it was written; False if the place is read-only to this user.

    Raises:
        UserError: if it could be written but for the disk being full or failing.
    """
    try:
        write_atomically(path, content)
    except UserError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return False
        raise UserError(f"cannot write {path} ({cause}); free space on its disk") from cause
    return True
