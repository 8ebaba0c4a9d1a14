"""The command line: `ganstoch COMMAND ...`. Each command imports what it needs, and no more."""

import errno
import gc
import importlib
import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jsonargparse.typing import NonNegativeInt, restricted_number_type

from ganstoch import __version__
from ganstoch.errors import UserError
from ganstoch.runs.configs import PRESETS, SYNTHETIC, refuse_renamed

# Errors of the file system that a user can mend by other places.
_MENDABLE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO),
    *(errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP),
}
_Option = tuple[str, dict[str, Any]]
_HELP = """usage: ganstoch COMMAND ...

Measures overfitting and mode drop of GANs; the same seed gives the same bits.

commands:
{commands}

examples:
    ganstoch table1 --preset mini                 the paper's Table 1 on handwritten digits
    ganstoch fit --config mini --config n16       one row of it
    ganstoch fit --config cifar10 --config n256   one row at the paper's scale
    ganstoch remedies --preset mini               every remedy at every amount of stochasticity
    ganstoch remedies --synthetic ring            where the modes can be counted
    ganstoch audit --real A --generated B         does any generator copy, what does it drop
    ganstoch watch lightning_logs --follow        is this training going wrong, by its log
    ganstoch verify runs/.../record.json          the same run once more: is it the same bits
    ganstoch prepare cifar10 --root data          fetch and check a data set
    ganstoch bench --quick                        how fast it is here, and that nothing changes
    ganstoch bench --estimate --preset paper      what Table 1 will cost here

`ganstoch COMMAND --help` says more."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns 0, or 1 if a run of several failed or a verified run differs.

    2 is for a mistake that the user can mend, 75 for a run that another process holds, 130 for ^C.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):  # a terminal need not have every character
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("ganstoch").setLevel(logging.INFO)
    try:
        status = _run(words)
        sys.stdout.flush()
        return status
    except UserError as error:
        return _end(error, error.status)
    except BrokenPipeError:  # whoever reads has read enough, as head does
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # for what is left in the old buffer
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno not in _MENDABLE:
            raise
        place = f": {error.filename}" if error.filename else ""
        fix = "give another path, or another --out"
        return _end(UserError(f"{error.strerror}{place}; {fix}"), 2)
    except (MemoryError, RuntimeError) as error:
        # What torch's allocator says: on the CPU it has no exception of its own.
        if not isinstance(error, MemoryError) and "can't allocate memory" not in str(error):
            raise
        return _end("too little memory for what is asked for; ask for less", 2)
    except KeyboardInterrupt:
        return _end("interrupted; the same command goes on where it stopped", 130)


def _end(why: object, status: int) -> int:
    print(f"ganstoch: {why}", file=sys.stderr)
    return status


def _run(words: list[str]) -> int:
    if words[:1] in (["--help"], ["-h"]):
        lines = [f"    {name:<10}{command.summary}" for name, command in _COMMANDS.items()]
        print(_HELP.format(commands="\n".join(lines)))
        return 0
    if words[:1] == ["--version"]:
        print(f"ganstoch {__version__}")
        return 0
    name, *rest = words or [""]
    refuse_renamed("command", name)
    if name not in _COMMANDS:
        raise UserError(
            f"there is no command {name!r}, but {', '.join(_COMMANDS)}; see ganstoch --help"
        )
    for word in rest:
        refuse_renamed("option", f"{name} {word.partition('=')[0]}")
    command = _COMMANDS[name]
    for before, word in zip(["", *rest], rest, strict=False):
        if not word or (word.startswith("--") and word.endswith("=")):  # a variable that is not set
            raise UserError(f"{(word or before).rstrip('=')} is empty; see ganstoch {name} --help")
    if name == "fit":  # LightningCLI reads the words itself
        return command.run(rest)
    import argparse

    import jsonargparse

    class Help(jsonargparse.DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
        """Keeps the lines of examples."""

    parser = jsonargparse.ArgumentParser(
        prog=f"ganstoch {name}", exit_on_error=False, formatter_class=Help
    )
    parser.description = command.description
    if callable(command.options):
        command.options(parser)
    else:
        for option, settings in command.options:
            parser.add_argument(option, **settings)
    try:
        options = parser.parse_args(rest)
    except jsonargparse.ArgumentError as error:
        raise UserError(f"{error.message}; see ganstoch {name} --help") from error
    options.words = rest
    return command.run(options)


def _fit(words: list[str]) -> int:
    if "ganstoch.runs.fit" not in sys.modules:
        # Next to nothing of what an import brings becomes garbage, and looking for some takes a
        # third of the time of `ganstoch fit --help`.
        gc.disable()
        importlib.import_module("ganstoch.runs.fit")
        gc.freeze()
        gc.enable()
    from ganstoch.runs.fit import fit

    fit(words)
    return 0


def _late(module: str, function: str) -> Callable[[Any], Any]:
    """A function that is imported when it is called."""

    def call(argument: Any) -> Any:
        return getattr(importlib.import_module(f"ganstoch.{module}"), function)(argument)

    return call


def _bench(options: Any) -> int:
    if options.estimate:
        from ganstoch.bench.estimate import estimate

        return estimate(options.preset)
    from ganstoch.bench.report import bench, bench_audit

    return (bench_audit if options.audit else bench)(quick=options.quick, file=options.json)


def _option(name: str, meaning: str, **settings: Any) -> _Option:
    return name, {"help": meaning, **settings}


_FLAG = {"action": "store_true"}
_COUNT = {"type": NonNegativeInt, "default": 0}
_PAIRS = {"action": "append", "default": [], "metavar": "KEY=VALUE"}
_PATH = {"type": Path}
_WORDS = {"type": str}
_ROOT = _option("--root", "folder of the data set's files", **_PATH)
_TOLERANCE = restricted_number_type("Tolerance", float, [(">=", 0.0), ("<", float("inf"))])
_DATA_ROOT = _option("--root", "folder of the data sets", type=Path, default=Path("data"))
_PRESET = {"choices": ["auto", *PRESETS], "default": "auto"}
_SWEEP = (
    _option("--preset", "auto: paper where a CUDA device is visible, otherwise mini", **_PRESET),
    _option("--data", "data sets, comma-separated; else the preset's own", **_WORDS),
    _ROOT,
    _option("--seeds", "comma-separated, e.g. 0,1,2; else the sweep's", **_WORDS),
    _option("--jobs", "runs at once; 0: one a core, or one on a GPU", **_COUNT),
    _option("--out", "folder of all results; runs/... if unset", **_PATH),
    _option("--set", "for every row, as for ganstoch fit, e.g. trainer.max_steps=20", **_PAIRS),
    _option("--report", "train nothing: table and figures of OUT", **_FLAG),
    _option(
        "--executor",
        "submit each row as a job, of a Slurm cluster or of this machine, that outlives this "
        "command; --jobs is then how many run at once",
        choices=["local", "slurm"],
    ),
    _option("--slurm", "what each job gets, e.g. partition=gpu, timeout_min=240", **_PAIRS),
)


class _Command(NamedTuple):
    """A command: a line for `ganstoch --help`, a paragraph for its own, options, and what runs."""

    run: Callable[[Any], int]
    summary: str
    description: str = ""
    options: tuple[_Option, ...] | Callable[[Any], Any] = ()


_COMMANDS = {
    "fit": _Command(_fit, "train one GAN and measure it: one row of a table"),
    "table1": _Command(
        _late("runs.table", "table1"),
        "train every row of Table 1, print it",
        "Trains every row of a sweep file, skips those that are finished, resumes those that were "
        "interrupted, and writes the table and its figures to OUT.",
        (
            _option("--sweep", "table1, table1_matched, noise, bank, or a file", default="table1"),
            *_SWEEP,
        ),
    ),
    "remedies": _Command(
        _late("runs.table", "remedies"),
        "compare remedies against overfitting and mode drop",
        "Trains the same GAN under every remedy: on images, where each remedy meets every amount "
        "of stochasticity, or on data whose modes are known. Finished runs are skipped, "
        "interrupted ones resumed. `ganstoch fit --help` names the packaged remedies.",
        (
            _option("--synthetic", "data of known modes, in place of images", choices=SYNTHETIC),
            _option(
                "--remedies",
                "comma-separated; A+B stacks two; the sweep's own list if unset",
                metavar="A,B",
                **_WORDS,
            ),
            *_SWEEP,
        ),
    ),
    "audit": _Command(
        _late("auditing.command", "audit_command"),
        "does a generator copy, what does it drop",
        "Says whether a generator copies its training images, and what it leaves out, from a "
        "folder of each: images of any format, or a file .npz, .npy or .pt that holds an array. "
        "Writes report.html, report.json, generated.csv and missed.csv.",
        _late("auditing.command", "audit_arguments"),
    ),
    "watch": _Command(
        _late("watch.command", "watch_command"),
        "a verdict on a training from its log",
        "Says from the log of a GAN's training, whoever wrote it, what goes wrong and since when, "
        "what that rests on, and which point was the best.",
        _late("watch.command", "watch_arguments"),
    ),
    "verify": _Command(
        _late("runs.verify", "verify"),
        "rerun a record: is it the same bits",
        "Reruns a recorded run from its record alone and says whether the result is bit-identical, "
        "equal within a tolerance, or different, and where it first differs. The status is 0, or "
        "1 if it is different.",
        (
            _option("record", "a record.json, or its folder", type=Path, metavar="RECORD"),
            _option("--out", "folder of the new run; else verified/...", **_PATH),
            _ROOT,
            _option(
                "--tolerance",
                "largest relative gap of a metric that passes for rounding",
                type=_TOLERANCE,
                default=1e-3,
            ),
        ),
    ),
    "prepare": _Command(
        _late("runs.prepare", "prepare"),
        "fetch and check a data set, or a network's weights",
        "Fetches a data set, checks it and writes its manifest; or a network's weights, and checks "
        "those.",
        (
            _option(
                "name", "a data set; or inception, dinov2, clip, sscd, sscd_distilled: weights"
            ),
            _DATA_ROOT,
            _option("--n", "size of the subset; else 12800, or all", type=int | None),
            _option("--subset_seed", "which subset", type=int, default=0),
        ),
    ),
    "bench": _Command(
        _bench,
        "speed against a plain loop; costs",
        "Races training against a plain transcription of the paper's loop, in one process and in "
        "turns, and shows that both compute the same. With --estimate, says what Table 1 costs.",
        (
            _option("--quick", "narrower networks, within a minute", **_FLAG),
            _option("--json", "write it as JSON", metavar="FILE", **_PATH),
            _option("--audit", "the audit's measures against those of others", **_FLAG),
            _option("--estimate", "cost of each row of a table here", **_FLAG),
            _option("--preset", "for --estimate", choices=PRESETS, default="paper"),
        ),
    ),
    "diagnose": _Command(
        _late("runs.diagnose", "diagnose_run"),
        "what went wrong in a run, on one page",
        "Says what a run's diagnosis found, and writes it as one HTML file: the verdict, since "
        "when, the signals, samples of then and of the best look, and what to try.",
        (
            _option("run", "folder of a run with diagnosis.json", type=Path, metavar="RUN"),
            _option("--out", "the page; else RUN/diagnosis.html", metavar="FILE", **_PATH),
        ),
    ),
    "cases": _Command(
        _late("runs.case_command", "cases"),
        "score the diagnosis on labelled runs",
        "Trains short runs whose trouble, or lack of it, was put there on purpose, and says how "
        "the verdicts agree. Runs that are there already are not trained again.",
        (
            _option("--seeds", "comma-separated, e.g. 0,1", type=str, default="0"),
            _option("--jobs", "runs at once; 0 for one a core", **_COUNT),
            _option("--out", "their folder", type=Path, default=Path("runs/cases")),
            _option("--report", "train nothing, score what is there", **_FLAG),
            _option("--remedies", "train ill runs again as their verdicts advise", **_FLAG),
        ),
    ),
    "doctor": _Command(
        _late("runs.doctor", "doctor"),
        "what is here, and what is missing",
        "Says what is here and what each missing thing costs.",
        (_option("--preset", "what is to be run", choices=PRESETS, default="mini"), _DATA_ROOT),
    ),
}


if __name__ == "__main__":
    sys.exit(main())
