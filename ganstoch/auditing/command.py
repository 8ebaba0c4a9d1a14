"""`ganstoch audit`: its options, and from them to a report on the terminal and in a folder.

Every other command reads this module too, so torch comes only when the options are checked.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ganstoch.auditing.gate import Gate, check_file, exit_status, github_annotations, junit
from ganstoch.auditing.groups import Grouping
from ganstoch.errors import UserError
from ganstoch.locations import HINT, locate, locate_table
from ganstoch.records import write_atomically

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

_OUT = Path("audit")
_ROLES = ("real", "generated", "held_out")
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_EPILOG = """examples:
  ganstoch audit --real photos --generated samples
  ganstoch audit --real train.npz --generated samples.npz --held-out test.npz --out report
  ganstoch audit --real photos.zip --generated "samples-{00..07}.tar" --resize 64 --fit pad
  ganstoch audit --real-features train.parquet --generated-features samples.npz:emb
  ganstoch audit --real photos --generated samples --features pixel,efficientnet_lite0
  ganstoch audit --checkpoint runs/NAME/checkpoints/step=2500.ckpt
  ganstoch audit --real photos --generated samples --fail-on memorization --max-copied 0.01
  ganstoch audit --real photos --generated samples --against audit/report.json --out again

verdicts, the gravest first:
  memorization        generated images are copies of training images
  mode_collapse       generated images repeat each other
  mode_drop           training images, or classes or clusters of them, are left out
  distribution_shift  generated images, or a share of them, are of another kind
  undecided           none of these, but a number points to one: more images would tell
  no_issue            none of these shows; the sentence says what would have been found

exit status: 0, whatever the verdict; with --fail-on, --max-copied or --max-missed
  0 all of them hold   1 one does not   3 too few images to tell   2 wrong input"""


def audit_arguments(parser: ArgumentParser) -> None:
    """Declares the options."""
    parser.epilog = _EPILOG
    add = parser.add_argument
    place = (
        "the generator's training images: a folder, .zip, .tar, .tar.gz, shards such as "
        "name-{000..011}.tar, .parquet[:COLUMN], .npz[:KEY], .npy, .pt[:KEY], or "
        "hf:OWNER/NAME[:SPLIT[:COLUMN]]"
    )
    add("--real", type=str, help=place, metavar="PLACE")
    add("--generated", type=str, help="images that it made", metavar="PLACE")
    unseen = "real images that it was not trained on; every number then has a baseline of its own"
    add("--held-out", type=str, help=unseen, metavar="PLACE")
    rows = "embeddings (N, F) of anything in place of images: .npy, .npz, .pt or .parquet"
    add("--real-features", type=str, help=rows, metavar="FILE")
    add("--generated-features", type=str, help="of what was generated", metavar="FILE")
    add("--held-out-features", type=str, help="not trained on", metavar="FILE")
    run = "of ganstoch fit, in place of --generated; the run's own images unless --real is given"
    add("--checkpoint", type=Path, help=run, metavar="FILE")
    which = "for --checkpoint: the fixed latents of training, or others; the bank if there is one"
    add("--latents", choices=["bank", "fresh"], help=which)
    spaces = (
        "comma-separated: pixel, inception, efficientnet_lite0, dinov2, clip, sscd, onnx:FILE, "
        "torchscript:FILE, timm:NAME[:FILE], or your own module:callable, which is run; pixel if "
        "unset"
    )
    add("--features", type=str, help=spaces, metavar="A,B")
    add("--out", type=Path, help="folder of the report; audit if unset")
    add("--json", action="store_true", help="print the report as JSON; no files without --out")
    add("--memory", default="2GiB", help="most to take; 2GiB if unset")
    add("--resize", type=int | None, help="side to fit each image to, in pixels", metavar="N")
    how = "for --resize: the centre (if unset), the whole with other sides, or with black beside it"
    add("--fit", choices=["crop", "stretch", "pad"], help=how)
    add("--mode", choices=["L", "RGB"], help="make all images grey, or give all three channels")
    add("--skip-unreadable", action="store_true", help="leave out files that cannot be decoded")
    add("--layout", choices=["NCHW", "NHWC"], help="of arrays whose shape does not tell")
    ends = "of arrays whose numbers do not tell: [0, 255], [0, 1] or [-1, 1]"
    add("--range", choices=["bytes", "unit", "symmetric"], help=ends)
    groups = "CSV file with columns name,group, or regular expression on names: whose image it is"
    add("--group-by", type=str, help=groups, metavar="FILE.csv|REGEX")
    verdicts = "comma-separated verdicts; status 1 if one of them is found"
    add("--fail-on", default="", help=verdicts, metavar="A,B")
    copied = "largest share of the generated images that may be copies, e.g. 0.01"
    add("--max-copied", type=float | None, help=copied, metavar="SHARE")
    missed = "largest share of the training images that may be missed, e.g. 0.05"
    add("--max-missed", type=float | None, help=missed, metavar="SHARE")
    add("--junit", type=Path, help="the checks as a JUnit file", metavar="FILE")
    add("--against", type=Path, help="an earlier report.json: what changed", metavar="FILE")
    no_names = "no picture, no file name: hashes keyed by GANSTOCH_AUDIT_SALT, or at random"
    add("--private", action="store_true", help=no_names)
    edits = "search pixels for copies that were mirrored, turned or shifted by up to 4 px, too"
    add("--search-edits", action="store_true", help=edits)
    lists = "search 10,000 images and more approximately, by FAISS, and tell the recall"
    add("--approximate", action="store_true", help=lists)
    add("--seed", type=int, default=0, help="of every sample; 0 if unset")
    add("--no-cache", action="store_true", help="keep no features for next time")
    add("--quiet", action="store_true", help="nothing on standard error")


def audit_command(options: Any) -> int:
    """Makes the audit of the parsed options, prints it and leaves its files; see `Gate`."""
    memory = parse_memory(options.memory)
    gate = _gate(options)
    _check(options)
    out = options.out or (None if options.json else _OUT)
    from ganstoch.auditing.audit import audit
    from ganstoch.auditing.output import GENERATED, MISSED, PAGE, REPORT, terminal
    from ganstoch.data.cache import user_cache

    if options.junit is not None and out is not None:
        places = [out / name for name in ("", GENERATED, MISSED, PAGE, REPORT)]
        if options.junit.resolve() in [place.resolve() for place in places]:
            raise UserError(f"--junit {options.junit} is a place of the report; give it another")

    home = None if options.no_cache else user_cache()
    with contextlib.ExitStack() as stack:
        if options.quiet:
            logger = logging.getLogger("ganstoch")
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.WARNING)
            stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        report = audit(
            **_sources(options),
            features=None if options.features is None else _spaces(options),
            out=out,
            cache=None if home is None else home / "features",
            memory=memory,
            resize=options.resize,
            group_by=options.group_by,
            fit=options.fit or "crop",
            mode=options.mode,
            skip_unreadable=options.skip_unreadable,
            layout=options.layout,
            range=options.range,
            search_edits=options.search_edits,
            approximate=options.approximate,
            seed=options.seed,
            gate=gate,
            against=options.against,
            private=options.private,
            command=shlex.join(["ganstoch", "audit", *options.words]),
        )
    if options.junit is not None:
        write_atomically(options.junit, junit(report))
    if options.json:
        sys.stdout.write(report.to_json())
    else:
        print(f"{terminal(report)}\n\n{(out or _OUT) / PAGE}")
    if "GITHUB_ACTIONS" in os.environ:
        for line in github_annotations(report.checks):
            print(line, file=sys.stderr)
    return exit_status(report.checks)


def _gate(options: Any) -> Gate:
    verdicts = [name.strip() for name in options.fail_on.split(",") if name.strip()]
    if options.fail_on and not verdicts:
        raise UserError(
            f"--fail-on {options.fail_on!r} names no verdict; give one, or leave it out"
        )
    gate = Gate(cast(Any, tuple(verdicts)), options.max_copied, options.max_missed)
    if options.junit is not None and gate == Gate():
        fix = "give --fail-on, --max-copied or --max-missed"
        raise UserError(f"--junit tells of conditions, and there are none; {fix}")
    if options.junit is not None:
        check_file(options.junit)
    return gate


def _check(options: Any) -> None:
    """Tells mistakes before torch is imported, which takes seconds."""
    checkpoint: Path | None = options.checkpoint
    if checkpoint is None and options.latents is not None:
        raise UserError("--latents chooses what a --checkpoint's generator makes; give one")
    if checkpoint is not None and options.generated is not None:
        raise UserError("--generated and --checkpoint both say what was generated; give one")
    if options.group_by is not None:
        Grouping(options.group_by)
    if options.against is not None and not options.against.is_file():
        raise UserError(f"there is no report {options.against}; --against takes a report.json")
    if checkpoint is not None and not checkpoint.is_file():
        fix = "--checkpoint takes a step=*.ckpt of ganstoch fit"
        raise UserError(f"there is no checkpoint {checkpoint}; {fix}")
    if options.fit is not None and options.resize is None:
        raise UserError(f"--fit {options.fit} says how --resize fits images; give --resize")
    embedded = [name for name in _ROLES if options[f"{name}_features"] is not None]
    if embedded and (options.features is not None or checkpoint is not None):
        other = "--checkpoint" if options.features is None else "--features"
        raise UserError(f"embeddings are compared as they are; leave out {other}")
    for name in _ROLES:
        for key in (name, f"{name}_features"):
            word = f"--{key.replace('_', '-')}"
            if options[key] is not None:
                (locate if key == name else locate_table)(options[key], option=word)
                if bool(embedded) is (key == name):
                    raise UserError(f"{word} goes with others of its kind: images, or embeddings")
            elif name != "held_out" and bool(embedded) is (key != name) and checkpoint is None:
                raise UserError(f"{word} is missing; give {HINT}")

    for space in _spaces(options):
        kind, _, file = space.partition(":")
        if kind == "timm":
            file = file.partition(":")[2]
        if kind in ("onnx", "torchscript", "timm") and file and not Path(file).is_file():
            raise UserError(f"there is no file {file}; --features {kind} takes a network's")


def _spaces(options: Any) -> list[str]:
    return [name.strip() for name in (options.features or "").split(",") if name.strip()]


def _sources(options: Any) -> dict[str, Any]:
    sources = {name: options[name] for name in _ROLES}
    if options.checkpoint is None:
        return sources | {f"{name}_features": options[f"{name}_features"] for name in _ROLES}
    from ganstoch.auditing.checkpoint import load_checkpoint  # brings Lightning: seconds

    run = load_checkpoint(options.checkpoint, latents=options.latents, data=options.real is None)
    return run | {name: path for name, path in sources.items() if path is not None}


def parse_memory(text: str) -> int:
    """Bytes, from e.g. "2GiB", "1.5g", "800 MB" (of 1,024 KB) or a number; else a UserError."""
    match = re.fullmatch(r"\s*(\d{1,18}(?:\.\d*)?)\s*([kmgt]?)(?:i?b)?\s*", text, re.IGNORECASE)
    size = int(float(match[1]) * _UNITS[match[2].lower()]) if match else 0
    if size < 1:
        raise UserError(f"--memory must be a size such as 2GiB or 800MiB, got {text!r}")
    return size
