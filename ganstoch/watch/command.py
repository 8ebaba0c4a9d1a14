"""`ganstoch watch`: its options, one look at logs or many, and what follows from a verdict.

Every other command reads this module too, so what is heavy comes when the options are checked.
"""

from __future__ import annotations

import json
import logging
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganstoch.errors import UserError, visible

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from ganstoch.watch.judge import Judgement
    from ganstoch.watch.sources import Source

_log = logging.getLogger("ganstoch")
_EVERY = 1.0  # seconds between looks
_RESCAN = 4  # looks between searches of a folder for new logs
_EITHER = {"collapse": ("complete_collapse", "partial_collapse")}
_EPILOG = """examples:
  ganstoch watch lightning_logs/version_0
  ganstoch watch train.log --map d_loss=errD_total --map g_loss=errG_total
  ganstoch watch runs --follow --on collapse,diverged 'kill -INT 4242'
  ganstoch watch stats.jsonl --json --fail-on diverged,discriminator_dominates

reads: TensorBoard, CSV, W&B offline, MLflow, trackio, JSON lines, JSON, text with name: value

exit status: 0, whatever the verdict; with --fail-on
  0 no log has one of these verdicts   1 one has   3 a log cannot tell   2 wrong input"""


def watch_arguments(parser: ArgumentParser) -> None:
    """Declares the options."""
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("path", type=Path, help="a log, or a folder that is looked through", metavar="PATH")
    add("--follow", action="store_true", help="keep looking, tell each change; ends with ^C")
    roles = "which column is what, e.g. d_loss=errD, step=it; guessed if unset"
    add("--map", action="append", default=[], help=roles, metavar="ROLE=NAME")
    run = "run a command once a log has one of these verdicts; collapse is either kind of it"
    add("--on", action="append", nargs=2, default=[], help=run, metavar=("A,B", "COMMAND"))
    add("--fail-on", default="", help="verdicts of which one is status 1", metavar="A,B")
    add("--json", action="store_true", help="print one object; with --follow one for each change")


def watch_command(options: Any) -> int:
    """Looks at the logs once, or until it is interrupted, and returns the status of the gate."""
    from ganstoch.watch.columns import parse_map

    stated = parse_map(options.map)
    fail_on = parse_verdicts(options.fail_on, option="--fail-on")
    reactions = [Reaction(verdicts, command) for verdicts, command in options.on]
    watcher = Watcher(options.path, stated, follows=options.follow)
    if options.follow:
        return _follow(watcher, reactions, fail_on, as_json=options.json)
    judgements = watcher.look()
    if not judgements:
        raise UserError(watcher.nothing())
    tell(judgements, as_json=options.json)
    _react(reactions, judgements)
    return status(judgements, fail_on)


def _follow(
    watcher: Watcher, reactions: list[Reaction], fail_on: Sequence[str], *, as_json: bool
) -> int:
    """Looks again and again and tells what changes, until interrupted or a verdict fails."""
    told: dict[Path, str] = {}
    judgements: list[Judgement] = []
    try:
        judgements = watcher.look()
        if not judgements:
            _log.info("waiting: %s", watcher.nothing())
        while True:
            changed = [j for j in judgements if told.get(j.log.path) != j.opinion.verdict]
            told |= {j.log.path: j.opinion.verdict for j in changed}
            for judgement in changed:
                tell([judgement], as_json=as_json)
            sys.stdout.flush()
            _react(reactions, changed)
            if status(judgements, fail_on) == 1:
                return 1
            time.sleep(_EVERY)
            judgements = watcher.look()
    except KeyboardInterrupt:
        return status(judgements, fail_on)


class Watcher:
    """The logs of a place, each read as far as it is written."""

    def __init__(self, path: Path, stated: dict[str, str], *, follows: bool) -> None:
        self._path, self._stated, self._follows = path, stated, follows
        self._sources: dict[tuple[Path, str], Source] = {}
        self._judged: dict[tuple[Path, str], Judgement] = {}
        self._looks = 0

    def look(self) -> list[Judgement]:
        """A judgement of each log that has a column to judge by, the gravest first."""
        from ganstoch.watch.judge import judge
        from ganstoch.watch.sources import sources

        if self._looks % _RESCAN == 0:
            step, found = self._stated.get("step"), {}
            for source in sources(self._path, waits=self._follows, step=step):
                key = (source.log.path, source.log.kind)
                known = self._sources.get(key)
                found[key] = source if known is None or known.files != source.files else known
            # A log that is gone, or has turned out to be of another kind, is judged no more.
            self._sources = found
            self._judged = {key: self._judged[key] for key in self._judged.keys() & found}
        self._looks += 1
        for key, source in self._sources.items():
            if source.read() or key not in self._judged:
                self._judged[key] = judge(source.log, self._stated)
        known_ones = [judgement for judgement in self._judged.values() if _tells(judgement)]
        return sorted(known_ones, key=_gravity)

    def nothing(self) -> str:
        """Why there is no judgement, and what to do."""
        logs = [source.log for source in self._sources.values()]
        names = sorted({name for log in logs for name in log.series})
        notes = "; ".join(note for log in logs for note in log.notes[:2])
        if not names:
            why = f"{self._path} holds no numbers under names"
            return f"{why}{': ' * bool(notes)}{notes[:300]}; give a log of a training"
        shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
        return f"no column of {self._path} is known ({shown}); say which is what, --map d_loss=NAME"


class Reaction:
    """A command that is run once for each log that has a verdict."""

    def __init__(self, verdicts: str, command: str) -> None:
        self.verdicts = parse_verdicts(verdicts, option="--on")
        try:
            self.words = shlex.split(command)
        except ValueError as error:
            raise UserError(f"--on {verdicts}: {command!r} is no command: {error}") from error
        if not self.words or shutil.which(self.words[0]) is None:
            raise UserError(f"--on {verdicts}: there is no command {command.split(' ')[0]!r}")
        self._done: set[tuple[Path, str]] = set()

    def to(self, judgement: Judgement) -> None:
        """Runs the command where it is due."""
        due = (judgement.log.path, judgement.opinion.verdict)
        if due[1] not in self.verdicts or due in self._done:
            return
        self._done.add(due)
        _log.warning("%s: running %s", due[1], shlex.join(self.words))
        try:
            ended = subprocess.run(self.words, stdin=subprocess.DEVNULL, check=False).returncode
        except OSError as error:
            _log.warning("it could not be run: %s", error.strerror)
        else:
            if ended:
                _log.warning("it ended with status %d", ended)


def _react(reactions: Iterable[Reaction], judgements: Sequence[Judgement]) -> None:
    for reaction in reactions:
        for judgement in judgements:
            reaction.to(judgement)


def parse_verdicts(text: str, *, option: str) -> tuple[str, ...]:
    """Comma-separated verdicts, of which collapse is two; a `UserError` names those there are."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if text and not names:
        raise UserError(f"{option} {text!r} names no verdict")
    if not names:
        return ()
    from ganstoch.diagnosis.verdicts import VERDICTS

    known = (*VERDICTS, "cannot_tell", *_EITHER)
    for name in names:
        if name not in known:
            raise UserError(f"{option} takes {', '.join(known)}; got {name!r}")
    return tuple(verdict for name in names for verdict in _EITHER.get(name, (name,)))


def status(judgements: Sequence[Judgement], fail_on: Sequence[str]) -> int:
    """As the audit's: 1 for a verdict to fail on, else 3 where a log cannot tell, else 0."""
    verdicts = {judgement.opinion.verdict for judgement in judgements}
    if verdicts & set(fail_on):
        return 1
    return 3 if fail_on and "cannot_tell" in verdicts else 0


def _tells(judgement: Judgement) -> bool:
    from ganstoch.watch.columns import OURS

    return bool(judgement.columns) or any(n.startswith(OURS) for n in judgement.log.series)


def _gravity(judgement: Judgement) -> tuple[int, float]:
    verdict = judgement.opinion.verdict
    return {"cannot_tell": 1, "healthy": 2}.get(verdict, 0), -judgement.opinion.sure


def tell(judgements: Sequence[Judgement], *, as_json: bool) -> None:
    """Prints judgements, as one object: that of the gravest, the others under ``logs``."""
    if as_json:
        first, *others = [judgement.content() for judgement in judgements]
        content = first | ({"logs": others} if others else {})
        print(json.dumps(content, allow_nan=False))
        return
    print("\n\n".join(visible_lines(judgement) for judgement in judgements))


def visible_lines(judgement: Judgement) -> str:
    """A judgement in words."""
    log, best = judgement.log, judgement.best
    count = max((series.count for series in log.series.values()), default=0)
    lines = [f"{log.path} ({log.kind}, {count:,} entries)"]
    for opinion in judgement.opinions:
        since = "" if opinion.since is None else f" since {log.unit} {opinion.since:,.10g}"
        sure = f" (sure {opinion.sure:.0%})" if opinion.sure else ""
        also = "" if opinion is judgement.opinion else "also, "
        words = f"{opinion.verdict}{since}{sure}, from {opinion.basis}: {opinion.because}"
        lines.append(f"  {also}{words}")
    if best is not None:
        lines.append(
            f"  the best {judgement.score}, {best.value:.4g}, was at {log.unit} {best.step:,.10g}; "
            f"{best.after:.0%} of the training came after it"
        )
    columns = "  ".join(f"{role}={name}" for role, name in judgement.columns.items())
    lines.append(f"  columns: {columns or 'diagnosis/...'}")
    if judgement.missing:
        lines.append(f"  log more: {'; '.join(judgement.missing)}")
    lines += [f"  note: {note}" for note in judgement.notes]
    return "\n".join(visible(line) for line in lines)
