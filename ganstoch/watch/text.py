"""Plain text with pairs of a name and a number, as training loops print them.

StudioGAN (``Step: 100 ... Discriminator_loss: 0.7``), pix2pix's loss_log.txt (``(epoch: 1, iters:
100) G_GAN: 0.9``), PyTorch's DCGAN example (``[0/25][10/1583] Loss_D: 1.2``), PyTorch-GAN
(``[Epoch 0/200] [Batch 3/938] [D loss: 0.69]``), tqdm (``D_loss=0.3``), CTGAN (``Gen. (0.3)``).
"""

import re
from collections.abc import Iterable, Iterator

from ganstoch.watch.series import Row
from ganstoch.watch.steps import LEADING, WHOLE, Clock
from ganstoch.watch.tables import GROUPED, number

_NAME = r"[A-Za-z_][\w./()#-]*(?: [A-Za-z_][\w./()#-]*){0,3}"
_PAIR = re.compile(rf"({_NAME})\s?[:=]\s{{0,8}}({GROUPED}|[^\s,;|\])}}\"']+)")
_CTGAN = re.compile(r"\b(Gen|Discrim)\. \((-?[\d.]+)\)")
_INSIDE = re.compile(r"(?:^|\s)\(([^()]*[:=][^()]*)\)")
_EPOCH = re.compile(r"\bepoch\W{1,3}(\d+)", re.IGNORECASE)
_BATCH = re.compile(r"\b(?:batch|iter|step)\w*\W{1,3}(\d+)\s?/\s?(\d+)", re.IGNORECASE)
_BRACKETS = re.compile(r"\[(\d+)/\d+\]\s?\[(\d+)/(\d+)\]")
_LEADING = re.compile(r"\s*(\d+)[ :]")
_LONGEST = 20_000  # characters of a line that are looked at


def pairs_of(line: str) -> dict[str, float]:
    """The numbers of a line, each under the name before it."""
    line = line[:_LONGEST]
    numbers: dict[str, float] = {}
    inside = _INSIDE.findall(line)  # else "FID score (Step: 100)" would be two names
    for part in [*inside, _INSIDE.sub("", line)]:
        for name, word in _PAIR.findall(part) + _CTGAN.findall(part):
            if (
                value := number(word.rstrip("."))
            ) is not None:  # else a word, a time, a share in percent
                numbers.setdefault(name, value)
    if not numbers:
        return numbers
    if match := _BRACKETS.search(line):
        return numbers | dict(
            zip(("epoch", "batch", WHOLE), map(float, match.groups()), strict=True)
        )
    if match := _EPOCH.search(line):
        numbers.setdefault("epoch", float(match[1]))
    if match := _BATCH.search(line):
        numbers |= {"batch": float(match[1]), WHOLE: float(match[2])}
    elif match := _LEADING.match(line):
        numbers.setdefault(LEADING, float(match[1]))
    return numbers


def text_rows(lines: Iterable[str], clock: Clock) -> Iterator[Row]:
    """A row for each line with numbers; those that tqdm overwrote are lines too."""
    for whole in lines:
        for line in whole.split("\r"):
            if numbers := pairs_of(line):
                yield clock.step(numbers), numbers
