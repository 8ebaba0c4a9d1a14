import logging
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from torch import Tensor

import ganstoch.callbacks.evaluation
from ganstoch.callbacks.evaluation import Evaluation
from ganstoch.errors import UserError
from ganstoch.metrics.features import Extractor, make_extractor
from ganstoch.remedies import FeatureMatching, Packing, Ratio, Remedy
from ganstoch.training.gan import GAN

Make = Callable[..., Any]
STATISTICS = ("mean", "worst10", "worst5")
KEYS = {f"{d}/pixel_l1/{s}" for d in ("overfitting", "mode_drop") for s in STATISTICS}


def measure(every: int = 1, **settings: Any) -> Evaluation:
    return Evaluation(every=every, **({"queries": 8, "semantic": None} | settings))


def pixels(images: Tensor) -> Tensor:
    """Grey levels in [0, 255], one row an image."""
    if images.dtype == torch.uint8:
        return images.double().flatten(1)
    return (images.double() + 1).mul(127.5).flatten(1)


def scores(key: str, distances: Tensor) -> Any:
    """The three statistics of 64 nearest distances."""
    worst = distances.sort(descending=True).values
    shares = {"mean": 64, "worst10": 7, "worst5": 4}
    expected = {f"{key}/{name}": worst[:count].mean().item() for name, count in shares.items()}
    return pytest.approx(expected, rel=1e-5)


@pytest.mark.usefixtures("mean_colour")
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_metrics_by_brute_force(make_gan: Make, make_data: Make, fit: Make, noise: float) -> None:
    gan, data = make_gan(noise=noise), make_data()
    evaluation = measure(3, queries="all", semantic="inception", held_out=True)
    fit(gan, data, evaluation, steps=3)
    generated = gan.average(gan.latents.fixed)  # plain latents, averaged weights, every one
    real, held_out = data.subset.pixels, data.held_out
    metrics = evaluation.history[-1].metrics
    spaces: Any = (("pixel_l1", pixels, 1.0, 3072), ("mean_colour_l2", MeanColour(), 2.0, 1))
    for space, features, p, scale in spaces:
        for numbers, key, queries, bank in (
            (metrics, "overfitting", generated, real),
            (metrics, "mode_drop", real, generated),
            (metrics, "held_out_drop", held_out, generated),
            (evaluation.baseline, "overfitting", held_out, real),
            (evaluation.baseline, "mode_drop", real, held_out),
        ):
            name = f"{key}/{space}"
            apart = torch.cdist(features(queries).double(), features(bank).double(), p=p) / scale
            actual = {k: v for k, v in numbers.items() if k.startswith(name)}
            assert actual == scores(name, apart.amin(1))


def test_copies_reach_held_out_images_as_far_as_the_data_do(
    make_gan: Make, make_data: Make, fit: Make, watch: Make
) -> None:
    gan, data, evaluation, queries = make_gan(), make_data(), measure(held_out=True), []
    data.setup("fit")
    gan.sample = lambda latents: data.subset.pixels.float().div(127.5).sub(1.0)

    def look(trainer: Trainer, gan: GAN) -> None:
        pairs = evaluation.latest.pairs["pixel_l1"]  # type: ignore[union-attr]
        queries.append((pairs.overfitting.queries.tolist(), pairs.mode_drop.queries.tolist()))

    fit(gan, data, evaluation, watch(look), steps=3)
    assert queries[0] == queries[1] == queries[2]
    assert len(queries[0][0]) == len(set(queries[0][0])) == 8
    expected = evaluation.baseline["overfitting/pixel_l1/mean"]
    metrics = evaluation.history[-1].metrics
    assert metrics["mode_drop/pixel_l1/mean"] == pytest.approx(0.0, abs=1e-4)
    assert metrics["held_out_drop/pixel_l1/mean"] == pytest.approx(expected, abs=1e-4)
    assert expected > 1.0


def test_a_diverged_generator_is_told_in_one_line(run: Make, diverge: Make) -> None:
    with pytest.raises(UserError, match=r"iteration 2.*model\.optimizer\.lr"):
        run(diverge("generator"), measure(), steps=3)


class MeanColour(Extractor):
    """A feature space for tests: the three mean colours."""

    name = "mean_colour_l2"
    norm = "l2"

    def __call__(self, images: Tensor) -> Tensor:
        return pixels(images).view(len(images), 3, -1).mean(dim=2)


@pytest.fixture
def mean_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(name: Any, **others: Any) -> Extractor:
        return MeanColour() if name == "inception" else make_extractor(name, **others)

    monkeypatch.setattr(ganstoch.callbacks.evaluation, "make_extractor", make)
    monkeypatch.setattr(ganstoch.callbacks.evaluation, "missing_weights", lambda *_: None)


@pytest.mark.usefixtures("mean_colour")
@pytest.mark.parametrize(("semantic_every", "semantic"), [(None, [5]), (4, [4, 5]), (2, [2, 4, 5])])
def test_second_feature_space_at_its_own_interval(
    run: Make, semantic_every: int | None, semantic: list[int]
) -> None:
    evaluation = measure(1, semantic="inception", semantic_every=semantic_every, birthday=4)
    run(evaluation, steps=5)
    assert [m.iteration for m in evaluation.history] == [1, 2, 3, 4, 5]  # none of them twice
    more = {key.replace("pixel_l1", "mean_colour_l2") for key in KEYS}
    for m in evaluation.history:
        distances = {name for name in m.metrics if not name.startswith("birthday/")}
        assert distances == (KEYS | more if m.iteration in semantic else KEYS)
        collision = m.metrics.get("birthday/mean_colour_l2/collision", -1.0)
        assert 0.0 <= collision <= 1.0 if m.iteration in semantic else collision < 0.0
    assert set(evaluation.baseline) == KEYS | more
    assert evaluation.latest is not None
    assert set(evaluation.latest.pairs) == {"pixel_l1", "mean_colour_l2"}


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"every": 0}, "every"),
        ({"every": 2, "semantic_every": 3}, "semantic_every"),
        ({"every": 2, "semantic_every": 0}, "semantic_every"),
        ({"queries": 0}, "queries"),
        ({"queries": None, "held_out": True}, "held_out"),
        ({"birthday": 1}, "birthday"),
        ({"birthday": 4, "queries": None}, "birthday"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError, match=rf"evaluation\.{key}"):
        Evaluation(**settings)


@pytest.mark.parametrize(("every", "measured"), [(1, [1, 2, 3]), (2, [2, 3])])
def test_modes_of_a_world(
    make_point_game: Make, make_ring: Make, fit: Make, every: int, measured: list[int]
) -> None:
    gan, evaluation = make_point_game(), measure(every, queries=None)
    made = torch.tensor([[1.0, 0.0], [0.0, -1.0], [0.0, 0.0]])
    made = made.repeat_interleave(torch.tensor([1000, 500, 1000]), dim=0)
    drawn = []

    def sample(latents: Tensor) -> Tensor:
        drawn.append(latents)
        return made

    gan.sample = sample
    fit(gan, make_ring(), evaluation, steps=3)
    assert [m.iteration for m in evaluation.history] == measured
    expected = {
        **{"modes/of": 8, "modes/count": 2, "modes/good_share": 0.6},
        "modes/reverse_kl": math.log(8) + 2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3),
    }
    assert all(m.metrics == pytest.approx(expected) for m in evaluation.history)
    assert [tuple(latents.shape) for latents in drawn] == [(2500, 4)] * len(measured)
    assert all(torch.equal(latents, drawn[0]) for latents in drawn)
    assert evaluation.latest is not None
    assert evaluation.latest.pairs == {}
    assert torch.equal(evaluation.latest.generated, made)
    # The baseline is a perfect sampler, of whose points a share of exp(-9/2) lies 3 sigma out.
    baseline = evaluation.baseline
    assert (baseline["modes/count"], baseline["modes/of"]) == (8, 8)
    share = 1 - math.exp(-4.5)
    error = (share * (1 - share) / 2500) ** 0.5
    assert abs(baseline["modes/good_share"] - share) < 4 * error
    assert 0 < baseline["modes/reverse_kl"] < 4 * 7 / 5000


@pytest.mark.parametrize(
    ("remedies", "images"),
    [
        ([Packing(size=3, matched="packs")], 48),
        ([Ratio(discriminator=3)], 48),
        ([Ratio(generator=2)], 16),
        ([Ratio(generator=2), FeatureMatching()], 32),
        ([Packing(size=2, matched="packs"), Ratio(discriminator=2, generator=2)], 64),
    ],
)
def test_images_seen_are_those_that_were_looked_at(
    make_point_game: Make, make_ring: Make, fit: Make, remedies: list[Remedy], images: int
) -> None:
    evaluation = measure(queries=None)
    fit(make_point_game(*remedies), make_ring(), evaluation, steps=2)
    assert [m.images_seen for m in evaluation.history] == [images, 2 * images]


@pytest.mark.parametrize(
    ("settings", "held_out", "key"),
    [
        ({"held_out": True}, False, "held_out"),
        ({"queries": None}, True, "queries"),
        ({"birthday": 13}, True, "birthday"),
    ],
)
def test_what_the_data_do_not_allow_is_refused(
    make_ring: Make, make_data: Make, settings: dict[str, Any], held_out: bool, key: str
) -> None:
    data, points = make_data(), make_ring()
    data.setup("fit")
    points.setup("fit")
    data.held_out = data.held_out if held_out else None
    with pytest.raises(UserError, match=rf"evaluation\.{key}"):
        measure(**settings)._check(data)
    with pytest.raises(UserError, match=r"evaluation\.queries"):  # neighbours of points
        measure(queries=8)._check(points)


def test_goes_on_by_pixels_where_weights_are_missing(
    run: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    evaluation = measure(semantic="inception", weights=tmp_path / "nowhere.pth")
    with caplog.at_level(logging.WARNING, logger="ganstoch"):
        run(evaluation, steps=2)
    assert ["nowhere.pth" in record.getMessage() for record in caplog.records] == [True]
    assert [set(m.metrics) for m in evaluation.history] == [KEYS, KEYS]


def test_weights_that_one_rank_of_two_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation, images = measure(), torch.zeros(2, 3, 32, 32)
    evaluation._extractors = {"pixel": make_extractor("pixel"), "inception": MeanColour()}

    def gather(share: Any, *, world: int) -> list[Any]:
        return [share, (share[0], {"pixel": share[1]["pixel"]})]

    monkeypatch.setattr(ganstoch.callbacks.evaluation, "gather", gather)
    trainer: Any = SimpleNamespace(world_size=2, global_rank=0)
    with pytest.raises(UserError, match=r"evaluation\.semantic") as caught:
        evaluation._share_features(trainer, lambda own: images[own], 2, ["pixel", "inception"])
    assert "\n" not in str(caught.value)
