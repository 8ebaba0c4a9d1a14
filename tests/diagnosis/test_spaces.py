"""Spaces of samples against formulas written out here, and monitors of each kind of samples."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from ganstoch import Monitor
from ganstoch.diagnosis.log_mel import LogMel, filterbank
from ganstoch.diagnosis.spaces import first_tensor, space_for
from ganstoch.diagnosis.table import TableCoordinates
from ganstoch.errors import UserError

RATE = 8000


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def table(count: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age = rng.normal(40, 12, count).round()
    ages = pd.Series(age).where(rng.random(count) > 0.1)
    return pd.DataFrame(
        {
            "age": ages,
            "income": rng.lognormal(10, 0.5, count),
            "city": rng.choice(["Ulm", "Bonn", "Kiel"], count, p=[0.6, 0.3, 0.1]),
            "member": rng.random(count) > 0.5,
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 999, count), "D"),
            "id": [f"{seed}-{i}" for i in range(count)],
        }
    )


def tones(count: int, seed: int = 0) -> Tensor:
    """Sounds of one tone each, of random pitch and phase."""
    rng = torch.Generator().manual_seed(seed)
    pitch, phase = torch.rand(2, count, 1, generator=rng)
    return 0.3 * torch.sin(
        2 * math.pi * (200 + 1500 * pitch) * torch.arange(4000) / RATE + 6 * phase
    )


def distance(a: Tensor, b: Tensor) -> float:
    return (a - b).square().sum().item()


def test_columns_are_standardized_by_the_real_ones() -> None:
    real = randn(500, 3) * torch.tensor([1.0, 100.0, 0.0]) + 7
    rows = space_for(real).rows(real)
    assert rows[:, :2].std(0) == pytest.approx(torch.ones(2), rel=1e-4)
    scaled = space_for(real * torch.tensor([10.0, 0.1, 5.0]) - 3)
    moved = scaled.rows(real * torch.tensor([10.0, 0.1, 5.0]) - 3)
    assert torch.allclose(moved[:, :2], rows[:, :2], atol=1e-4)


def test_a_table_lies_in_gowers_kind_of_space() -> None:
    real = table(400)
    coordinates = TableCoordinates(real)
    assert coordinates.left_out == ["id"]
    row = real.dropna().iloc[[0]]
    here = coordinates(row)[0]

    def apart(**changes: Any) -> float:
        return distance(here, coordinates(row.assign(**changes))[0])

    assert apart() == 0
    assert apart(city="Kiel" if row.city.item() != "Kiel" else "Bonn") == pytest.approx(1)
    assert apart(member=not row.member.item()) == pytest.approx(1)
    assert apart(city="Rome") == pytest.approx(1)  # unseen
    one = coordinates(real.assign(city="Rome"))
    assert (one - coordinates(real)).square().sum(1).tolist() == pytest.approx([1] * 400, rel=1e-5)
    income = row.income.item() + real.income.std(ddof=0)
    assert apart(income=income) == pytest.approx(0.5, rel=1e-3)
    assert apart(city="Rome", income=income) == pytest.approx(1.5, rel=1e-3)
    mean = coordinates(row.assign(age=real.age.mean()))[0]
    assert distance(mean, coordinates(row.assign(age=np.nan))[0]) == pytest.approx(1)
    since = row.since.item() + pd.Timedelta(days=100)
    days = (real.since - real.since.min()).dt.days.std(ddof=0)
    assert apart(since=since) == pytest.approx(0.5 * (100 / days) ** 2, rel=1e-3)
    # A number that is missing where no real one is cannot be placed.
    assert not coordinates(row.assign(income=np.nan)).isfinite().all()
    shuffled = real[real.columns[::-1]].sample(frac=1, random_state=0).sort_index()
    assert torch.equal(coordinates(shuffled), coordinates(real))


def test_coordinates_of_a_table_go_back_to_its_own_units() -> None:
    real = table(400)
    coordinates = TableCoordinates(real)
    rows = coordinates.in_own_units(coordinates(real)).double().numpy()
    shown = pd.DataFrame(rows, columns=[*coordinates.names])
    for name in ("age", "income"):
        assert shown[name].to_numpy() == pytest.approx(real[name].to_numpy(), 1e-4, nan_ok=True)
    for city in real.city.unique():
        assert (shown[f"city = {city}"] == (real.city == city)).all()
    other = coordinates.in_own_units(coordinates(real.assign(city="Rome")))
    assert (other[:, ["city" in name for name in coordinates.names]] == 0).all()


def test_a_yes_is_a_yes_as_a_number_too() -> None:
    real = table(100)
    coordinates = TableCoordinates(real)
    for kind in (int, float, object):
        assert torch.equal(
            coordinates(real.assign(member=real.member.astype(kind))), coordinates(real)
        )


def test_a_table_of_other_columns_is_refused() -> None:
    coordinates = TableCoordinates(table(50))
    for wrong in (
        table(50).drop(columns="city"),
        table(50).assign(income="much"),
        torch.ones(3, 6),
    ):
        with pytest.raises(ValueError, match=r"column|DataFrame"):
            coordinates(wrong)
    with pytest.raises(UserError):
        TableCoordinates(table(50)[["id"]])


def test_the_filterbank_is_of_triangles_in_mel() -> None:
    """HTK's: each filter rises and falls linearly in hertz between neighbours in mel."""
    bins, mels = 257, 20
    bank = filterbank(RATE, bins, mels=mels)
    top = 2595 * math.log10(1 + RATE / 2 / 700)
    corners = [700 * (10 ** (i * top / (mels + 1) / 2595) - 1) for i in range(mels + 2)]
    for band in range(mels):
        low, middle, high = corners[band : band + 3]
        for k in range(bins):
            f = k * RATE / 2 / (bins - 1)
            expected = max(0, min((f - low) / (middle - low), (high - f) / (high - middle)))
            assert bank[k, band].item() == pytest.approx(expected, abs=1e-5)


def test_log_mel_hears_pitch_and_not_phase() -> None:
    t = torch.arange(4000) / RATE
    low, shifted, high = (
        torch.sin(2 * math.pi * f * t + phase) for f, phase in ((300, 0), (300, 2), (1500, 0))
    )
    waves = torch.stack([low, shifted, high])
    rows = LogMel.of(waves, rate=RATE)(waves)
    assert distance(rows[0], rows[1]) < 0.05 * distance(rows[0], rows[2])
    assert distance(waves[0], waves[1]) > 0.5 * distance(waves[0], waves[2])
    energies = LogMel(RATE).energies(waves)[:, :, 8]
    peaks = energies.argmax(1)
    assert peaks[0] == peaks[1] < peaks[2]
    assert torch.allclose(LogMel(RATE).energies(2 * waves), 4 * LogMel(RATE).energies(waves))


KINDS: dict[str, tuple[Callable[[int, int], Any], dict[str, Any]]] = {
    "bytes": (lambda n, s: (randn(n, 3, 4, 4, seed=s).sigmoid() * 255).byte(), {}),
    "unit": (lambda n, s: randn(n, 1, 4, 4, seed=s).sigmoid(), {}),
    "floats in bytes": (lambda n, s: randn(n, 1, 4, 4, seed=s).sigmoid() * 255, {}),
    "int64": (lambda n, s: (randn(n, 1, 4, 4, seed=s).sigmoid() * 255).long(), {}),
    "channels last": (lambda n, s: randn(n, 12, 12, 3, seed=s).tanh().numpy(), {}),
    "gray": (lambda n, s: randn(n, 6, 6, seed=s).tanh(), {"space": "image"}),
    "vector": (lambda n, s: randn(n, 9, seed=s), {}),
    "table": (table, {}),
    "categories": (lambda n, s: table(n, s)[["city", "member"]], {}),
    "numbers": (lambda n, s: randn(n, 1, seed=s + 16), {}),
    "waveform": (tones, {"space": "waveform", "sample_rate": RATE}),
    "short": (lambda n, s: tones(n, s)[:, None], {"space": "waveform", "sample_rate": RATE}),
    "int16": (
        lambda n, s: (tones(n, s) * 30000).to(torch.int16),
        {"space": "waveform", "sample_rate": RATE},
    ),
    "spectrogram": (lambda n, s: randn(n, 5, 7, seed=s), {"space": "spectrogram"}),
    "own": (lambda n, s: randn(n, 2, 3, 4, 5, seed=s), {"space": lambda x: x.mean((1, 2))}),
}


NOTES = {"table": {"left_out"}, "categories": {"slack"}, "numbers": {"slack"}}


@pytest.mark.parametrize("kind", KINDS)
def test_samples_of_each_kind_are_told_healthy_collapsed_or_copied(kind: str) -> None:
    make, options = KINDS[kind]
    calls = iter(range(2, 1000))

    def collapsed(n: int) -> Any:
        one = make(n, next(calls))
        rows = [0] * n
        return one.iloc[rows] if isinstance(one, pd.DataFrame) else one[rows]

    samples = {
        "healthy": lambda n: make(n, next(calls)),
        "complete_collapse": collapsed,
        "memorization": lambda n: make(200, 0)[:n],
    }
    for verdict, sample in samples.items():
        real, held_out = make(200, 0), make(128, 1)
        monitor = Monitor(real, held_out=held_out, sample=sample, every=1, images=64, **options)
        for step in range(8):
            monitor.step(step)
        assert set(monitor._notes) - {"moving"} == NOTES.get(kind, set())  # others each time
        if verdict == "memorization" and kind in ("categories", "numbers"):
            continue  # they lie as near as copies
        assert monitor.verdict == verdict, (verdict, monitor.history[-1])


def test_a_gradient_passes_through_each_space() -> None:
    z = randn(32, 4000)
    for options in ({"space": "waveform", "sample_rate": RATE}, {"space": "vector"}):
        monitor = Monitor(tones(100), sample=lambda z: z.tanh(), latents=z, **options)
        monitor.step(0)
        assert (monitor.history[0].sensitivity or 0) > 0


def given(samples: Tensor, n: int) -> Tensor:
    return samples


def test_the_range_of_images_does_not_matter_and_another_one_is_noted() -> None:
    real, made = randn(200, 3, 4, 4).tanh(), randn(64, 3, 4, 4, seed=1).tanh()
    found = []
    for images, samples in ((real, made), (real / 2 + 0.5, made / 2 + 0.5)):
        monitor = Monitor(images, sample=partial(given, samples))
        monitor.step(0)
        found.append(monitor.history[0])
        assert monitor.notes == []
    assert found[0].closeness == pytest.approx(found[1].closeness, rel=1e-4)
    for images, samples in ((real, made / 2 + 0.5), (real / 2 + 0.5, made)):
        monitor = Monitor(images, sample=partial(given, samples))
        monitor.step(0)
        assert len(monitor.notes) == 1


def test_what_may_be_several_things_must_be_told() -> None:
    for real in (randn(9, 2000), randn(9, 4, 4), randn(9, 1, 50), randn(9, 7, 5, 5), randn(9)):
        with pytest.raises(UserError, match="space="):
            space_for(real)
    wrong: list[Any] = [(randn(9, 4), "image"), (table(9), "vector"), (randn(9, 4), "table")]
    for case in wrong:
        with pytest.raises(UserError):
            space_for(*case)
    assert space_for(randn(9, 2000), "vector").kind == "vector"
    assert space_for(randn(9), "vector").rows(randn(9)[:, None]).shape == (9, 1)


def test_arrays_of_words_and_a_space_of_one_axis_are_refused() -> None:
    words = np.array([["a", "b"]] * 9)
    wrong: list[tuple[Any, dict[str, Any], str]] = [
        (words, {}, "real: .*numbers"),
        (randn(9, 4), {"held_out": words}, "held_out: .*numbers"),
        (randn(9, 4), {"space": lambda samples: samples.sum(1)}, "shape"),
    ]
    for real, options, match in wrong:
        with pytest.raises(UserError, match=match):
            Monitor(real, **options)


def test_samples_too_large_for_distances_are_not_finite() -> None:
    monitor = Monitor(randn(64, 4), sample=lambda n: 1e30 * randn(n, 4))
    monitor.step(0)
    assert monitor.verdict == "non_finite"


def test_the_first_tensor_of_what_networks_return() -> None:
    one = randn(3)
    for output in (one, (one, 2), [[one], one], {"logits": one}, one.numpy()):
        assert torch.equal(first_tensor(output), one)
    for nothing in (None, "text", (), {"loss": 1.0}):
        with pytest.raises(ValueError, match="tensor"):
            first_tensor(nothing)
