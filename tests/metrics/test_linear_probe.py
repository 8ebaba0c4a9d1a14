from dataclasses import astuple

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from torch import Tensor

from ganstoch.metrics.linear_probe import STRENGTHS, ProbeScore, linear_probe
from ganstoch.rng import rng_for


def clouds(
    count: int, *, features: int, classes: int = 3, apart: float = 1.0, part: str = "train"
) -> tuple[Tensor, Tensor]:
    """Normal clouds around as many centres, each feature in units of its own."""
    rng = rng_for(0, "evaluation", part="centres")
    centres = apart * torch.randn(classes, features, generator=rng, dtype=torch.float64)
    units = torch.rand(features, generator=rng, dtype=torch.float64) * 9 + 1
    rng = rng_for(0, "evaluation", part=part)
    labels = torch.randint(classes, (count,), generator=rng)
    noise = torch.randn(count, features, generator=rng, dtype=torch.float64)
    return (centres[labels] + noise) * units + 5, labels


def by_hand(x: Tensor, y: Tensor, x_test: Tensor, y_test: Tensor) -> ProbeScore:
    """The same classifier from its definition: every image is left out by fitting the others."""
    rows, labels, truth = x.numpy(), y.numpy(), y_test.numpy()
    scaled, tested = ((each.numpy() - rows.mean(0)) / rows.std(0) for each in (x, x_test))
    coded = np.eye(3)[labels]
    unit = scaled.size / min(len(rows) - 1, rows.shape[1])

    def error(strength: float) -> float:
        left_out = cross_val_predict(Ridge(strength * unit), scaled, coded, cv=LeaveOneOut())
        return float(((coded - left_out) ** 2).sum())

    strength = min(STRENGTHS, key=error)
    model = Ridge(strength * unit).fit(scaled, coded)
    return ProbeScore(
        accuracy=float((model.predict(tested).argmax(1) == truth).mean()),
        chance=float((coded.sum(0).argmax() == truth).mean()),
        train_accuracy=float((model.predict(scaled).argmax(1) == labels).mean()),
        strength=strength,
    )


@pytest.mark.parametrize(("features", "apart"), [(2, 0.3), (7, 1.0), (60, 0.3)])
def test_as_by_hand(features: int, apart: float) -> None:
    fitted = clouds(24, features=features, apart=apart)
    sides = (*fitted, *clouds(400, features=features, apart=apart, part="test"))
    assert astuple(linear_probe(*sides)) == pytest.approx(astuple(by_hand(*sides)), abs=1e-12)


@pytest.mark.parametrize("features", [10, 300])
def test_permuted_labels_leave_chance(features: int) -> None:
    x, labels = clouds(100, features=features, classes=4, apart=2.0)
    tested, truth = clouds(4000, features=features, classes=4, apart=2.0, part="test")
    assert linear_probe(x, labels, tested, truth).accuracy > 0.9
    accuracies = []
    for draw in range(8):
        rng = rng_for(0, "evaluation", draw, part="permutation")
        permuted = labels[torch.randperm(100, generator=rng)]
        accuracies.append(linear_probe(x, permuted, tested, truth).accuracy)
    # The classes that are taken for each other go together, so a draw's error is that of a class.
    assert abs(sum(accuracies) / 8 - 0.25) < 4 * (0.25 * 0.75 / 4 / 8) ** 0.5


@pytest.mark.parametrize("features", [6, 50])
def test_units_order_and_constants_do_not_matter(features: int) -> None:
    x, labels = clouds(30, features=features, apart=0.7)
    tested, truth = clouds(300, features=features, apart=0.7, part="test")
    expected = linear_probe(x, labels, tested, truth)
    assert 0.4 < expected.accuracy < 1.0
    factors = 2.0 ** torch.arange(-3, features - 3).remainder(9)
    order = torch.arange(features).flip(0)
    rng = rng_for(0, "evaluation", part="rounding")
    rounding = 1e6 + 1e-2 * torch.randn(330, 500, generator=rng, dtype=torch.float64)
    changed = [
        (x * factors, tested * factors),
        (x - 100, tested - 100),
        (-x[:, order], -tested[:, order]),
        (torch.cat([x, rounding[:30]], 1), torch.cat([tested, rounding[30:]], 1)),
    ]
    for fitted, others in changed:
        assert linear_probe(fitted, labels, others, truth) == expected
    assert linear_probe(x.flip(0), labels.flip(0), tested, truth) == expected


def test_a_class_nobody_has_seen_is_missed() -> None:
    points = torch.tensor([[-2.0], [-1.0], [1.0], [2.0], [3.0]])
    truth = torch.tensor([3, 3, 5, 5, 8])
    score = linear_probe(points[:4], truth[:4], points, truth)
    assert (score.accuracy, score.train_accuracy) == (0.8, 1.0)
    assert score.chance == 0.4  # of equally common classes, the first


GOOD = (torch.randn(4, 2), torch.tensor([0, 1, 0, 1]), torch.randn(3, 2), torch.tensor([0, 1, 0]))


@pytest.mark.parametrize(
    ("place", "instead", "complaint"),
    [
        (1, torch.zeros(4, dtype=torch.int64), "two classes"),
        (1, torch.tensor([0, 1, 0]), "labels"),
        (1, torch.tensor([0.0, 1.0, 0.0, 1.0]), "labels"),
        (2, torch.randn(3, 5), "2 features to fit, 5 to test"),
        (2, torch.full((3, 2), float("nan")), "not finite"),
    ],
)
def test_refused(place: int, instead: Tensor, complaint: str) -> None:
    sides = list(GOOD)
    sides[place] = instead
    with pytest.raises(ValueError, match=complaint):
        linear_probe(*sides)
