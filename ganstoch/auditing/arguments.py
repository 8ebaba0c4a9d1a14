"""What `ganstoch audit` takes; light, because every other command reads it too."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganstoch.errors import UserError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

__all__ = ["audit", "audit_arguments"]

_EPILOG = """examples:
  ganstoch audit --real photos --generated samples
  ganstoch audit --real train.npz --generated samples.npz --held-out test.npz --out report
  ganstoch audit --real photos --generated samples --features pixel,efficientnet_lite0
  ganstoch audit --checkpoint runs/NAME/checkpoints/step=2500.ckpt

verdicts, the gravest first:
  memorization        generated images are copies of training images
  mode_collapse       generated images repeat each other
  mode_drop           training images, or classes or clusters of them, are left out
  distribution_shift  generated images, or a share of them, are of another kind
  undecided           none of these, but a number points to one: more images would tell
  no_issue            none of these shows; the sentence says what would have been found"""


def audit_arguments(parser: ArgumentParser) -> None:
    """Declares the options."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "--real", type=Path | None, help="the generator's training images", metavar="DIR"
    )
    parser.add_argument("--generated", type=Path | None, help="images that it made", metavar="DIR")
    parser.add_argument(
        "--held-out",
        type=Path | None,
        help="real images that it was not trained on; every number then has a baseline of its own",
        metavar="DIR",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path | None,
        help="of ganstoch fit, in place of --generated; the run's own images unless --real is "
        "given",
        metavar="FILE",
    )
    parser.add_argument(
        "--latents",
        choices=["bank", "fresh"],
        help="for --checkpoint: the fixed latents of training, or others; the bank if there is one",
    )
    parser.add_argument(
        "--features",
        default="pixel",
        help="comma-separated: pixel, inception, efficientnet_lite0; pixel if unset",
        metavar="A,B",
    )
    parser.add_argument("--out", type=Path | None, help="folder of the report; audit if unset")
    parser.add_argument(
        "--json", action="store_true", help="print the report as JSON; no files without --out"
    )
    parser.add_argument("--memory", default="2GiB", help="most to take; 2GiB if unset")
    parser.add_argument(
        "--resize",
        type=int | None,
        help="side to scale each image's centre to, in pixels",
        metavar="N",
    )
    parser.add_argument("--seed", type=int, default=0, help="of every sample; 0 if unset")
    parser.add_argument("--no-cache", action="store_true", help="keep no features for next time")
    parser.add_argument("--quiet", action="store_true", help="nothing on standard error")


def audit(chosen: Any) -> int:
    """Carries out the parsed options; the exit status."""
    _refuse_missing(chosen)
    from ganstoch.auditing.command import run_audit

    return run_audit(
        real=chosen.real,
        generated=chosen.generated,
        held_out=chosen.held_out,
        checkpoint=chosen.checkpoint,
        latents=chosen.latents,
        features=chosen.features,
        out=chosen.out,
        json=chosen.json,
        memory=chosen.memory,
        resize=chosen.resize,
        seed=chosen.seed,
        no_cache=chosen.no_cache,
        quiet=chosen.quiet,
    )


def _refuse_missing(chosen: Any) -> None:
    """Tells a mistyped path before torch is imported, which takes seconds; a UserError for one."""
    for option in ("real", "generated", "held_out"):
        path: Path | None = getattr(chosen, option)
        if path is not None and not path.exists():
            word = option.replace("_", "-")
            raise UserError(f"{path} does not exist; --{word} must point to images")
    checkpoint: Path | None = chosen.checkpoint
    # Beside --generated it is one too many, whether it is there or not.
    if checkpoint is not None and chosen.generated is None and not checkpoint.is_file():
        raise UserError(
            f"there is no checkpoint {checkpoint}; --checkpoint takes a step=*.ckpt of ganstoch fit"
        )
