"""How often losses alone tell a decay: ``python -m ganstoch.watch.table LOGS OUTCOMES.csv``.

Outcomes: a CSV with the columns ``file``, ``best_step`` and ``last_over_best``, the last FID over
the best. A run that ends at 1.5 or more has decayed; so has one whose best FID is poor.
"""

import csv
import sys
from pathlib import Path

import numpy as np

from ganstoch.watch.columns import columns_of
from ganstoch.watch.judge import aligned
from ganstoch.watch.losses import judge_losses
from ganstoch.watch.series import Array
from ganstoch.watch.sources import sources

DECAYED = 1.5  # last FID over the best
POOR = 150.0  # best FID of a run that has learned nothing
_PREFIXES = 40


def alarms(steps: Array, d: Array, g: Array) -> list[float]:
    """The last steps of those of 40 growing beginnings of a log that are called ill."""
    ends = np.linspace(0, len(steps), _PREFIXES + 1, dtype=int)[1:]
    ill = [end for end in ends if judge_losses(steps[:end], d[:end], g[:end]).is_ill]
    return [float(steps[end - 1]) for end in ill]


def main(logs: Path, outcomes: Path) -> int:
    """Prints the table and its counts."""
    counts = dict.fromkeys(("hits", "misses", "false alarms", "quiet", "cannot tell"), 0)
    print(f"{'log':44} FID ratio {'best':>9}  {'verdict':24} sure alarms     first delay")
    with outcomes.open(newline="") as file:
        for row in csv.DictReader(file):
            (source,) = sources(logs / row["file"])
            source.read()
            columns = columns_of(source.log.series, {})
            points = [source.log.series[columns[role]].arrays() for role in ("loss_d", "loss_g")]
            steps, d, g = aligned(*points)
            opinion, ratio = judge_losses(steps, d, g), float(row["last_over_best"])
            decayed = ratio >= DECAYED or float(row["best_fid"]) >= POOR
            if opinion.verdict == "cannot_tell":
                kind = "cannot tell"
            elif opinion.is_ill:
                kind = "hits" if decayed else "false alarms"
            else:
                kind = "misses" if decayed else "quiet"
            counts[kind] += 1
            early, best = alarms(steps, d, g), float(row["best_step"])
            alarm = f"{early[0]:9,.0f} {early[0] - best:+,.0f}" if early else ""
            print(
                f"{row['file'][:44]:44} {ratio:9.2f} {best:9,.0f}  {opinion.verdict:24} "
                f"{opinion.sure:4.2f} {len(early):6} {alarm}"
            )
    print(", ".join(f"{count} {kind}" for kind, count in counts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:3])))
