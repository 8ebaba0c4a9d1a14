"""Plain text with pairs of a name and a number, as training loops print them.

StudioGAN (``Step: 100 ... Discriminator_loss: 0.7``), pix2pix's loss_log.txt (``(epoch: 1, iters:
100) G_GAN: 0.9``), PyTorch's DCGAN example (``[0/25][10/1583] Loss_D: 1.2``), PyTorch-GAN
(``[Epoch 0/200] [Batch 3/938] [D loss: 0.69]``), tqdm (``D_loss=0.3``), CTGAN (``Gen. (0.3)``),
RVC (``INFO:voice:loss_disc=3.9``), and objects of Python or JSON, also after a prefix.
"""

import re
from collections.abc import Iterable, Iterator

from ganstoch.watch.series import Row
from ganstoch.watch.steps import LEADING, WHOLE, Clock
from ganstoch.watch.tables import GROUPED, number

# Names are of bounded length and begin where letters do, so that no line takes long.
_NAME = r"(?<![A-Za-z_])[A-Za-z_][\w./()#-]{0,80}(?: [A-Za-z_][\w./()#-]{0,80}){0,3}"
_WRAPPED = r"(?:(?:tensor|array|(?:np\.|numpy\.)?float\d*)\(\[?)?"
_DECIMAL = r"[-+]?\d+,\d+(?![\w.,])"  # by a comma
_VALUE = rf"{GROUPED}|{_DECIMAL}|[-+]?(?:\.?\d|(?i:nan|inf(?:inity)?)\b)[^\s,;|\])}}\"']*"
_PAIR = re.compile(rf"({_NAME})[\"']?\s?[:=]\s{{0,8}}[\"']?{_WRAPPED}({_VALUE})")
# Without a sign between, only of what is surely a name: ``d_loss 0.5``, ``| D loss | 0.5 |``.
_SPACED = re.compile(
    r"((?:\b[A-Za-z]{1,20} )?\b\w{0,40}loss\w{0,40}|\bfid)"
    rf"(?: {{1,8}}| {{0,40}}\| {{0,40}})({_VALUE})",
    re.IGNORECASE,
)
_COLOR = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_CTGAN = re.compile(r"\b(Gen|Discrim)\. \((-?[\d.]+)\)")
_INSIDE = re.compile(r"(?:^|\s)\(([^():=]*[:=][^()]*)\)")
_EPOCH = re.compile(r"(?<!best )\bepoch\W{1,3}(\d+)", re.IGNORECASE)
_BATCH = re.compile(r"\b(?:batch|iter|step)\w*\W{1,3}(\d+)\s?/\s?(\d+)", re.IGNORECASE)
_STEP = re.compile(r"\b(?:step|iter|iteration|itr|kimg)s?[ \[#]{1,2}([\d,.]*\d)", re.IGNORECASE)
_BRACKETS = re.compile(r"\[(\d+)/\d+\]\s?\[(\d+)/(\d+)\]")
_LEADING = re.compile(r"\s*(\d+)[ :]")
_LONGEST = 20_000  # characters of a line that are looked at


def pairs_of(line: str) -> dict[str, float]:
    """The numbers of a line, each under the name before it."""
    line = _COLOR.sub("", line[:_LONGEST])
    numbers: dict[str, float] = {}
    inside = _INSIDE.findall(line)  # else "FID score (Step: 100)" would be two names
    for part in [*inside, _INSIDE.sub("", line)]:
        for name, word in [
            *(*_PAIR.findall(part), *_SPACED.findall(part), *_CTGAN.findall(part)),
        ]:
            value = number(word := word.rstrip("."))
            if value is None:  # a decimal comma; else a word, a time, a share in percent
                value = number(word.replace(",", "."))
            if value is not None:
                numbers.setdefault(name, value)
    if not numbers:
        return numbers
    if match := _BRACKETS.search(line):
        return numbers | {
            "epoch": float(match[1]),
            "batch": float(match[2]),
            WHOLE: float(match[3]),
        }
    if match := _EPOCH.search(line):
        numbers.setdefault("epoch", float(match[1]))
    if match := _BATCH.search(line):
        numbers |= {"batch": float(match[1]), WHOLE: float(match[2])}
    elif (match := _STEP.search(line)) and (at := number(match[1])) is not None:
        numbers.setdefault("step", at)
    elif match := _LEADING.match(line):
        numbers.setdefault(LEADING, float(match[1]))
    return numbers


class TextRows:
    """A row for each line with numbers; those that tqdm overwrote are lines too."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._epoch: float | None = None  # of the last line that names one

    def rows(self, lines: Iterable[str]) -> Iterator[Row]:
        """Those of further lines; a line without an epoch is of that of the line before."""
        for line in (part for whole in lines for part in whole.split("\r")):
            numbers = pairs_of(line)
            if match := _EPOCH.search(line[:_LONGEST]):
                self._epoch = float(match[1])
            if numbers:
                if self._epoch is not None:
                    numbers.setdefault("epoch", self._epoch)
                yield self._clock.step(numbers), numbers
