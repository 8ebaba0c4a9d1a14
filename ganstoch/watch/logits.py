"""What a discriminator's answers tell: probabilities, shares of right ones, signs and logits."""

from collections.abc import Mapping

import numpy as np

from ganstoch.watch.opinion import CANNOT_TELL, Opinion
from ganstoch.watch.series import Array

_FEWEST = 12
_ERRS = 0.02  # share of answers that are wrong, below which the discriminator has won
_LOUD = 200.0  # logits, as in the diagnosis

# The share of wrong answers is an offset and a slope times the value; a probability counts by its
# distance from the truth.
_ERRORS = {
    **dict.fromkeys(("accuracy", "accuracy_real", "accuracy_fake", "d_real"), (1.0, -1.0)),
    **{"d_fake": (0.0, 1.0), "sign_real": (0.5, -0.5), "sign_fake": (0.5, 0.5)},
}


def judge_answers(points: Mapping[str, tuple[Array, Array]]) -> Opinion | None:
    """A verdict from steps and values of each role, of a discriminator's answers; None without."""
    points = {role: both for role, both in points.items() if len(both[1]) >= _FEWEST}
    for role in {"logit_real", "logit_fake"} & set(points):
        steps, values = points[role]
        late = float(np.median(np.abs(values[-max(3, len(values) // 5) :])))
        if late > _LOUD:
            since = float(steps[int(np.argmax(np.abs(values) > _LOUD))])
            return Opinion("diverged", role, f"logits of {late:.3g}", since, 0.7)
    lates, starts = {}, []
    for role in _ERRORS.keys() & set(points):
        steps, values = points[role]
        percent = 0.01 if role.startswith("accuracy") and values.max() > 1.5 else 1.0
        offset, slope = _ERRORS[role]
        wrong = offset + slope * percent * values
        width = max(5, len(wrong) // 5)
        means = np.convolve(wrong, np.ones(width) / width, mode="valid")
        lates[role] = means[-1]
        start = np.flatnonzero(means >= _ERRS)[-1] + 1 if means.max() >= _ERRS else 0
        starts.append(float(steps[start]))
    if not lates:
        return None
    basis, mean = ", ".join(sorted(lates)), float(np.mean([*lates.values()]))
    because = f"the discriminator errs on {mean:.1%} of images"
    if max(lates.values()) < _ERRS:
        return Opinion("discriminator_dominates", basis, because, max(starts), 0.7)
    if mean > 0.05 and (len(lates) > 1 or "accuracy" in lates):
        return Opinion("healthy", basis, because, sure=0.6)
    return Opinion(CANNOT_TELL, basis, because)
