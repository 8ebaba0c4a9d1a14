"""What becomes of W&B in this process once it has failed."""

import logging
import os


def end_wandb() -> None:
    """Ends what there is of W&B in this process, which could otherwise fail anew at its end."""
    import wandb
    from wandb.sdk.lib.module import unset_globals

    for end in (wandb.finish, wandb.teardown):
        try:
            end()
        except (Exception, SystemExit) as error:
            logging.getLogger("ganstoch").debug("W&B: %s", error)
    if wandb.run is not None:  # its process died before it could be ended: no next run may take it
        unset_globals()


def first_line(error: Exception) -> str:
    """An error's first line, or its kind if it has none, without the API key."""
    line = next(iter(str(error).splitlines()), "") or type(error).__name__
    key = os.environ.get("WANDB_API_KEY")
    return line.replace(key, "(the key)") if key else line
