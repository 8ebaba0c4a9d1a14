"""What one kind of evidence says of a run."""

from dataclasses import dataclass

CANNOT_TELL = "cannot_tell"


@dataclass(frozen=True, slots=True)
class Opinion:
    """A verdict, and what it rests on."""

    verdict: str  # a name of `ganstoch.diagnosis.VERDICTS`, or "cannot_tell"
    basis: str  # e.g. "losses", "fid"
    because: str  # in words
    since: float | None = None  # step
    sure: float = 0.0  # 0 to 1

    @property
    def is_ill(self) -> bool:
        """Whether something is wrong."""
        return self.verdict not in ("healthy", CANNOT_TELL)
