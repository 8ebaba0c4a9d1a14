"""The probe of the discriminator in a run: when, on what, and without a trace in training."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from ganstoch.callbacks.evaluation import Evaluation
from ganstoch.callbacks.probe import Probe, ProbeSettings
from ganstoch.data import ArrayImages, Digits
from ganstoch.data.datamodule import ImageData
from ganstoch.data.source import Source
from ganstoch.errors import UserError
from ganstoch.metrics.linear_probe import linear_probe
from ganstoch.models import PaperDiscriminator, PaperGenerator
from ganstoch.remedies import DiscriminatorBatchNorm, Packing
from ganstoch.report.run_files import read_probe
from ganstoch.training.gan import GAN
from ganstoch.types import to_signed

Make = Callable[..., Any]


def probe(folder: Path, *, every: int = 2, images: int = 100) -> Probe:
    return Probe(ProbeSettings(every=every, images=images), folder / "probe.json")


def track(folder: Path) -> Any:
    return read_probe(folder)


class Few(Source):
    """The first digits, of which none is left over; with classes or without."""

    name = "few"
    summary = "a few digits"
    in_package = True

    def __init__(self, count: int, labels: bool = True) -> None:
        self.count, self.labelled = count, labels

    def open(self, root: Path, split: Any) -> ArrayImages | None:
        images: Any = Digits().open(root, split)
        if images is None:
            return None
        labels = images.labels[: self.count] if self.labelled else None
        return ArrayImages(images.pixels[: self.count], split=split, labels=labels)


def test_probes_are_logged_and_left_in_a_file(run: Make, tmp_path: Path, journalist: Any) -> None:
    run(probe(tmp_path, every=2), steps=3, loggers=[journalist])
    record = track(tmp_path)
    assert [moment.iteration for moment in record.moments] == [0, 2, 3]
    assert [m["probe/accuracy"] for _, m in journalist.metrics if "probe/accuracy" in m] == [
        moment.accuracy for moment in record.moments
    ]


def test_what_it_finds_by_hand(make_gan: Make, make_data: Make, fit: Make, tmp_path: Path) -> None:
    gan, data = make_gan(), make_data()
    fit(gan, data, probe(tmp_path, images=2000), steps=2)
    digits: Any = Digits().open(Path(), "train")
    unseen = torch.ones(len(digits), dtype=torch.bool)
    unseen[data.subset.ids] = False
    with torch.no_grad():
        sides = data.subset.pixels, digits.pixels[unseen]
        train, test = (gan.discriminator(to_signed(pixels)).features for pixels in sides)
    score = linear_probe(train, data.subset.labels, test, digits.labels[unseen])
    record = track(tmp_path)
    assert (record.fitted_on, record.tested_on, record.test) == (64, 1733, "held_out")
    # Kernels may add up in another order in batches of another size.
    assert record.moments[-1].accuracy == pytest.approx(score.accuracy, abs=2e-3)
    assert record.moments[-1].train_accuracy == pytest.approx(score.train_accuracy, abs=0.02)
    assert record.moments[0].accuracy > 0.5 > record.chance


def test_without_other_images_a_fifth_is_put_aside(
    make_gan: Make, fit: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data, callback = ImageData(Few(60), n=60, m=16), probe(tmp_path)
    with caplog.at_level(logging.INFO, logger="ganstoch"):
        fit(make_gan(), data, callback, steps=1)
    record = track(tmp_path)
    assert (record.fitted_on, record.tested_on, record.test) == (48, 12, "train")
    assert [r.getMessage() for r in caplog.records if "probe is tested on 12" in r.getMessage()]
    sides: Any = callback._split
    together = torch.cat([sides.train_pixels, sides.test_pixels])
    assert len(torch.unique(together, dim=0)) == 60  # every image on one side


@pytest.mark.parametrize("remedy", [Packing(size=2), DiscriminatorBatchNorm()])
def test_coupled_features_are_refused(
    make_data: Make, fit: Make, tmp_path: Path, remedy: Any
) -> None:
    networks = (
        partial(PaperGenerator, width=16, latent_dim=8),
        partial(PaperDiscriminator, width=16),
    )
    with pytest.raises(UserError, match="probe"):
        fit(GAN(*networks, remedies=[remedy]), make_data(), probe(tmp_path), steps=1)


def test_a_world_of_points_has_classes_too(run_points: Make, tmp_path: Path) -> None:
    measure = Evaluation(every=1, queries=None, semantic=None)
    run_points(measure, probe(tmp_path, images=100), steps=1)
    record = track(tmp_path)
    assert record.chance < 0.4 < record.moments[0].accuracy


def test_a_diverged_discriminator_is_told(run: Make, diverge: Make, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"iteration 1.*model\.optimizer\.lr"):
        run(diverge("discriminator"), probe(tmp_path, every=1), steps=3)


@pytest.mark.parametrize(("source", "n"), [(Few(60, labels=False), 40), (Few(1), 1)])
def test_data_without_classes_are_refused(
    make_gan: Make, fit: Make, tmp_path: Path, source: Source, n: int
) -> None:
    with pytest.raises(UserError, match="probe"):
        fit(make_gan(), ImageData(source, n=n, m=1), probe(tmp_path), steps=1)
