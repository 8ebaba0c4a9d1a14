"""Settings of Lightning's trainer that `ganstoch fit` refuses, by name, rather than pass over."""

from __future__ import annotations

from typing import Any

from jsonargparse import Namespace

from ganstoch.errors import UserError

__all__ = ["refuse_not_offered"]

OTHER_ENDS: dict[str, Any] = {
    "max_epochs": -1,
    "max_time": None,
    "limit_train_batches": None,
    "fast_dev_run": False,
    "overfit_batches": 0.0,
}
"""Lightning's other ways to end a run, whose record would pass for that of a whole one."""

WITHOUT_EFFECT: dict[str, Any] = {
    "limit_val_batches": None,
    "limit_test_batches": None,
    "limit_predict_batches": None,
    "val_check_interval": None,
    "check_val_every_n_epoch": 1,
    "num_sanity_val_steps": 0,
    "reload_dataloaders_every_n_epochs": 0,
    "use_distributed_sampler": False,
    "inference_mode": True,
    "enable_autolog_hparams": True,
    "model_registry": None,
}
"""Lightning's settings of what is not done here, such as validation."""


def refuse_not_offered(trainer: Namespace) -> None:
    """Refuses the first of them that is set.

    Raises:
        UserError: naming it.
    """
    for key, value in OTHER_ENDS.items():
        if trainer[key] != value:
            raise UserError(f"trainer.{key} is not offered; trainer.max_steps alone ends a run")
    for key, value in WITHOUT_EFFECT.items():
        if trainer[key] != value:
            raise UserError(f"trainer.{key} would have no effect and is not offered; leave it out")
    if trainer.default_root_dir is not None:
        raise UserError("trainer.default_root_dir is not offered; give --out, the run's folder")
