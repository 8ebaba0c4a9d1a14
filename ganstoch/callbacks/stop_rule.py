"""The stop rule for "we train each case till convergence of our metrics" [1, Sec. 5].

The paper does not say when a metric has converged. Here: when, over a window of iterations, neither
the best overfitting mean nor the best mode-drop mean has fallen by more than a small share.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytorch_lightning import LightningModule, Trainer

from ganstoch.callbacks.evaluation import AfterEvaluation, Evaluation, Outcome
from ganstoch.callbacks.progress import callback_of
from ganstoch.errors import UserError
from ganstoch.records import Measurement

__all__ = ["StopRule", "has_converged"]

WATCHED = ("overfitting/pixel_l1/mean", "mode_drop/pixel_l1/mean")


def has_converged(
    history: Sequence[Measurement], *, window: int, threshold: float, after: int
) -> bool:
    """Whether both watched means have stopped falling.

    At iteration T, with best(t) the lowest value up to iteration t, a mean has stopped where
    best(T) > (1 - threshold) best(T - window). Distances fall in steps and rise again, hence the
    best values; they may lie still before the fall begins, hence ``after``.

    Args:
        history: measurements in order of iteration.
        window: iterations to look back.
        threshold: relative fall that still counts as progress.
        after: iterations before which nothing is called converged.
    """
    if not history or not set(WATCHED) <= set(history[-1].metrics):
        return False  # where modes are counted, runs end by their number of iterations
    now = history[-1].iteration
    earlier = [m for m in history if m.iteration <= now - window]
    if now < after or not earlier:
        return False
    for name in WATCHED:
        before = min(m.metrics[name] for m in earlier)
        best = min(m.metrics[name] for m in history)
        if best <= (1.0 - threshold) * before:
            return False
    return True


class StopRule(AfterEvaluation):
    """Notes convergence and, where asked, ends the run there; `trainer.max_steps` is the cap.

    Args:
        window: iterations to look back.
        threshold: relative fall over the window that still counts as progress, in (0, 1).
        after: iterations before which nothing is called converged.
        stop: whether to end the run at convergence, rather than only to note it. Rows compared at
            equal iterations must not stop by themselves.

    Raises:
        UserError: for a setting out of its range.
    """

    def __init__(
        self, *, window: int = 10_000, threshold: float = 0.02, after: int = 0, stop: bool = True
    ) -> None:
        if window < 1:
            raise UserError(f"stop_rule.window must be 1 iteration or more, got {window}")
        if not 0.0 < threshold < 1.0:
            raise UserError(f"stop_rule.threshold must be between 0 and 1, got {threshold}")
        self.window = window
        self.threshold = threshold
        self.after = after
        self.stop = stop
        self.converged = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lets a run that had converged, and was killed before its record, end where it did."""
        self._check(trainer, callback_of(trainer, Evaluation))

    def on_evaluation(self, trainer: Trainer, evaluation: Evaluation, outcome: Outcome) -> None:
        """Checks a measurement just made."""
        self._check(trainer, evaluation)

    def _check(self, trainer: Trainer, evaluation: Evaluation) -> None:
        """Applies this rule alone, also to what was measured before the run was resumed."""
        self.converged = has_converged(
            evaluation.history, window=self.window, threshold=self.threshold, after=self.after
        )
        if self.converged and self.stop:
            trainer.should_stop = True
