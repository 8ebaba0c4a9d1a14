"""What `ganstoch audit` takes; light, because every other command reads it too."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["audit_arguments"]

_EPILOG = """examples:
  ganstoch audit --real photos --generated samples
  ganstoch audit --real train.npz --generated samples.npz --held-out test.npz --out report
  ganstoch audit --real photos --generated samples --features pixel,efficientnet_lite0
  ganstoch audit --checkpoint runs/NAME/checkpoints/step=2500.ckpt

verdicts, the gravest first:
  copies            generated images are copies of training images
  collapsed         the generator makes almost one image
  drops_modes       training images, or whole classes of them, are left out
  unlike_the_data   generated images are of another kind
  nothing_found     none of these shows"""


def audit_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.description = (
        "Says whether a generator copies its training images, and what it leaves out, from a "
        "folder of each: images of any format, or a file .npz, .npy or .pt that holds an array. "
        "Writes report.html, report.json and missed.csv."
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("--real", type=Path, help="the generator's training images", metavar="DIR")
    parser.add_argument("--generated", type=Path, help="images that it made", metavar="DIR")
    parser.add_argument(
        "--held-out",
        type=Path,
        help="real images that it was not trained on; every number then has a baseline of its own",
        metavar="DIR",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
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
    parser.add_argument("--out", type=Path, help="folder of the report; audit if unset")
    parser.add_argument(
        "--json", action="store_true", help="print the report as JSON; no files without --out"
    )
    parser.add_argument("--memory", default="2GiB", help="most to take; 2GiB if unset")
    parser.add_argument(
        "--resize", type=int, help="side to scale each image's centre to, in pixels", metavar="N"
    )
    parser.add_argument("--seed", type=int, default=0, help="of every sample; 0 if unset")
    parser.add_argument("--no-cache", action="store_true", help="keep no features for next time")
    parser.add_argument("--quiet", action="store_true", help="nothing on standard error")

    def run(chosen: argparse.Namespace) -> int:
        from ganstoch.auditing.command import Asked, run_audit

        return run_audit(
            Asked(
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
                cache=not chosen.no_cache,
                quiet=chosen.quiet,
            )
        )

    parser.set_defaults(run=run)
