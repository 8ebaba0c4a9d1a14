"""The command line: `ganstoch COMMAND ...`. Each command imports what it needs, and no more."""

from __future__ import annotations

import argparse
import errno
import gc
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from ganstoch import __version__
from ganstoch.auditing.arguments import audit_arguments
from ganstoch.errors import UserError
from ganstoch.runs.arguments import asked_request, sweep_arguments

__all__ = ["main"]

EPILOG = """examples:
  ganstoch table1 --preset mini                 the paper's Table 1 on handwritten digits
  ganstoch remedies --preset mini               every remedy at every amount of chance
  ganstoch remedies --world ring --seeds 0,1,2  where the modes can be counted
  ganstoch fit --config mini --config n16      one row of Table 1
  ganstoch fit --config cifar10 --config n256    one row at the paper's scale
  ganstoch audit --real A --generated B         does any generator copy, what does it drop
  ganstoch replay results/.../record.json       the same run once more: is it the same bits
  ganstoch prepare cifar10 --root data          fetch and check a data set
  ganstoch bench --quick                        how fast it is here, and that nothing changes
  ganstoch bench --estimate --preset paper      what Table 1 will cost here
  ganstoch doctor                               what is here, and what is missing

`ganstoch COMMAND --help` says more."""

_FULL_OR_CLOSED = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
_WRONG_PATH = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP)
_FIXES = dict.fromkeys(_FULL_OR_CLOSED, "choose another --out")
_FIXES |= dict.fromkeys((*_WRONG_PATH, errno.EIO), "give another path, or another --out")
"""What mends an error of the file system that lies in the place or the path a user has named."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        0 on success, 1 if a run of several failed or a replay differs, 2 for a mistake that the
        user can mend, 75 if another process is at work on the run, 130 if interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("ganstoch").setLevel(logging.INFO)
    try:
        return _dispatch(words)
    except UserError as error:
        print(f"ganstoch: {error}", file=sys.stderr)
        return error.status
    except OSError as error:
        fix = _FIXES.get(error.errno or 0)
        if fix is None:
            raise
        place = f": {error.filename}" if error.filename else ""
        print(f"ganstoch: {UserError(f'{error.strerror}{place}; {fix}')}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        # What torch's allocator says: on the CPU it has no exception of its own.
        if not isinstance(error, MemoryError) and "can't allocate memory" not in str(error):
            raise
        print("ganstoch: too little memory for what is asked for; ask for less", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ganstoch: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130


class _Parser(argparse.ArgumentParser):
    """Tells a mistake in one line, as every other part of the program does."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def _dispatch(words: list[str]) -> int:
    parser = _Parser(
        prog="ganstoch",
        description="Overfitting and mode drop in GAN training, every source of chance in hand.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ganstoch {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    # LightningCLI reads the words behind `fit` itself.
    commands.add_parser("fit", add_help=False, help="train one row: data, game, metrics, record")
    _table1_arguments(commands.add_parser("table1", help="train every row of Table 1, print it"))
    _remedies_arguments(commands.add_parser("remedies", help="every remedy, at every chance"))
    _replay_arguments(commands.add_parser("replay", help="rerun a record; is it the same bits"))
    _prepare_arguments(commands.add_parser("prepare", help="fetch, convert and check a data set"))
    audit_arguments(commands.add_parser("audit", help="does a generator copy, what does it drop"))
    _bench_arguments(commands.add_parser("bench", help="speed against a plain loop; costs"))
    _cases_arguments(commands.add_parser("cases", help="judge the diagnosis on labelled runs"))
    _doctor_arguments(commands.add_parser("doctor", help="what is here, and what is missing"))
    if words[:1] == ["fit"]:
        with _uncollected("ganstoch.runs.run"):
            from ganstoch.runs.run import fit
        fit(words[1:])
        return 0
    chosen = parser.parse_args(words)
    run: Callable[[argparse.Namespace], int] = chosen.run
    return run(chosen)


@contextmanager
def _uncollected(module: str) -> Iterator[None]:
    """While a module is imported: of what it brings next to nothing ever becomes garbage.

    Looking for some, meanwhile and as the process ends, takes a third of the time of
    `ganstoch fit --help`.
    """
    if module in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _table1_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Trains every row of a sweep file, skips those that are finished, resumes those that were "
        "interrupted, and writes the table and its figures to OUT."
    )
    parser.add_argument(
        "--sweep", default="table1", help="table1, table1_matched, noise, bank, or a sweep file"
    )
    sweep_arguments(parser)

    def run(chosen: argparse.Namespace) -> int:
        from ganstoch.runs.table1 import table1

        return table1(asked_request(chosen, sweep=chosen.sweep))

    parser.set_defaults(run=run)


def _remedies_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Trains the same game under every remedy: on images, where each remedy meets every amount "
        "of chance, or on data whose modes are known. Finished runs are skipped, interrupted ones "
        "go on. `ganstoch fit --help` names the packaged remedies."
    )
    parser.add_argument(
        "--world",
        default="images",
        choices=["images", "ring", "ring_unrolled", "grid", "1200d", "bimodal", "stacked"],
        help="images: Table 1's game; the others: data whose modes are known",
    )
    parser.add_argument(
        "--remedies",
        default=None,
        metavar="A,B",
        help="comma-separated; A+B stacks two; the world's own list if unset",
    )
    sweep_arguments(parser)

    def run(chosen: argparse.Namespace) -> int:
        from ganstoch.runs.remedies import remedies

        names = None if chosen.remedies is None else [n.strip() for n in chosen.remedies.split(",")]
        return remedies(asked_request(chosen, sweep=""), world=chosen.world, names=names)

    parser.set_defaults(run=run)


def _replay_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Reruns a recorded run from its record alone and says whether the result is bit-identical, "
        "equal within a tolerance, or different, and where it first differs. The status is 0, or 1 "
        "if it is different."
    )
    parser.add_argument("record", type=Path, metavar="RECORD", help="a record.json, or its folder")
    parser.add_argument("--out", type=Path, default=None, help="replays/... if unset")
    parser.add_argument("--root", type=Path, default=None, help="folder of the data set's files")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=1e-3,
        help="largest relative gap of a metric that passes for rounding",
    )

    def run(chosen: argparse.Namespace) -> int:
        from ganstoch.runs.verify import replay

        return replay(chosen.record, out=chosen.out, root=chosen.root, tolerance=chosen.tolerance)

    parser.set_defaults(run=run)


def _prepare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Fetches or converts a data set, checks it and writes its manifest."
    parser.add_argument("name", help="a data set, or inception for the feature network's weights")
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder of its files")
    parser.add_argument(
        "--n", type=int, default=None, help="size of the subset; 12800, or all there are, if unset"
    )
    parser.add_argument("--subset_seed", type=int, default=0, help="which subset")

    def run(chosen: argparse.Namespace) -> int:
        from ganstoch.runs.prepare import prepare

        prepare(chosen.name, root=chosen.root, n=chosen.n, subset_seed=chosen.subset_seed)
        return 0

    parser.set_defaults(run=run)


def _bench_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Races the game against a plain transcription of the paper's loop, in one process and in "
        "turns, and shows that both compute the same. With --estimate, says what Table 1 costs."
    )
    parser.add_argument("--quick", action="store_true", help="narrower networks, within a minute")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write it as JSON")
    parser.add_argument(
        "--estimate", action="store_true", help="cost of each row here, from a minute's measurement"
    )
    parser.add_argument(
        "--preset", choices=["mini", "small", "paper"], default="paper", help="for --estimate"
    )

    def run(chosen: argparse.Namespace) -> int:
        if chosen.estimate:
            from ganstoch.bench.estimate import estimate

            return estimate(chosen.preset)
        from ganstoch.bench.report import bench

        return bench(quick=chosen.quick, file=chosen.json)

    parser.set_defaults(run=run)


def _cases_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Plays short runs whose trouble, or lack of it, was put there on purpose, and says how the "
        "verdicts agree. Runs that are there already are not played again."
    )
    parser.add_argument("--seeds", default="0", help="comma-separated, e.g. 0,1")
    parser.add_argument("--jobs", type=int, default=0, help="runs at once; 0 for one a core")
    parser.add_argument("--out", type=Path, default=Path("results/cases"), help="their folder")
    parser.add_argument("--report", action="store_true", help="play nothing, judge what is there")

    def run(chosen: argparse.Namespace) -> int:
        from ganstoch.runs.cases import cases
        from ganstoch.runs.sweep import asked_seeds

        seeds = asked_seeds(chosen.seeds)
        return cases(out=chosen.out, seeds=seeds, jobs=chosen.jobs, report_only=chosen.report)

    parser.set_defaults(run=run)


def _doctor_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Says what is here and what each missing thing costs."
    parser.add_argument("--preset", choices=["mini", "small", "paper"], default="mini")
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder of the data sets")

    def run(chosen: argparse.Namespace) -> int:
        from ganstoch.runs.doctor import doctor

        return doctor(preset=chosen.preset, root=chosen.root)

    parser.set_defaults(run=run)


if __name__ == "__main__":
    sys.exit(main())
