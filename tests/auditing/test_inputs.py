"""What an audit is given: archives, options, embeddings; each mistake is one line, at once."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from ganstoch.auditing.audit import audit
from ganstoch.auditing.inputs import open_images
from ganstoch.auditing.output import terminal
from ganstoch.cli import main
from ganstoch.data.points import open_points
from ganstoch.data.reading import Reading
from ganstoch.errors import UserError

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(300, 16)).astype(np.float32)
FRESH = RNG.normal(size=(200, 16)).astype(np.float32)


def run(*words: object) -> tuple[int, Any]:
    return main(["audit", *map(str, words), "--json", "--quiet", "--no-cache"]), None


def test_archives_from_the_command_line(
    split: Any, folder: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digits = split(train=60, fresh=40, held_out=40)
    train, made = folder("train", digits.train), folder("made", digits.fresh)
    with zipfile.ZipFile(tmp_path / "made.zip", "w") as archive:
        for path in sorted(made.iterdir()):
            archive.write(path, path.name)
    np.savez(tmp_path / "sets.npz", a=digits.train.numpy(), b=digits.fresh.numpy())
    reports = []
    for real, generated in (
        (train, made),
        (train, tmp_path / "made.zip"),
        (tmp_path / "sets.npz:a", tmp_path / "sets.npz:b"),
    ):
        assert run("--real", real, "--generated", generated)[0] == 0
        reports.append(json.loads(capsys.readouterr().out))
    assert reports[0]["metrics"] == reports[1]["metrics"] == reports[2]["metrics"]
    assert reports[1]["sets"]["generated"]["where"] == str(tmp_path / "made.zip")


def test_grey_saved_as_rgb_is_told_and_compared(split: Any) -> None:
    digits = split(train=60, fresh=40, held_out=40)
    rgb = digits.fresh.expand(-1, 3, -1, -1).contiguous()
    plain, report = audit(digits.train, digits.fresh), audit(digits.train, rgb)
    assert report.metrics == plain.metrics
    assert any("grey" in note for note in report.notes)
    rgb[0, 0, 0, 0] ^= 1
    with pytest.raises(UserError, match="--mode"):
        audit(digits.train, rgb)
    assert audit(digits.train, rgb, mode="L").sets["generated"].shape == (1, 8, 8)
    assert audit(digits.train, rgb, mode="RGB").sets["real"].shape == (3, 8, 8)


def test_a_function_is_asked_for_as_many_as_there_are_real_ones(split: Any) -> None:
    digits, asked = split(train=60, fresh=200, held_out=40), []

    def sample(n: int) -> torch.Tensor:
        asked.append(n)
        images: torch.Tensor = digits.fresh[:n].float() / 255
        return images

    assert audit(digits.train, sample).sets["generated"].images == 60
    assert asked == [60]
    pictures = [Image.fromarray(image[0].numpy()) for image in digits.train]
    assert audit(pictures, digits.fresh).sets["real"].shape == (1, 8, 8)


def test_unreadable_files_are_left_out_when_asked(split: Any, folder: Any) -> None:
    digits = split(train=60, fresh=40, held_out=40)
    train, made = folder("train", digits.train), folder("made", digits.fresh)
    (train / "0007.png").write_bytes(b"text")
    with pytest.raises(UserError, match="--skip-unreadable"):
        audit(train, made)
    with pytest.raises(UserError, match="--range"):
        audit(train, made, range="unit")
    report = audit(train, made, skip_unreadable=True)
    assert report.sets["real"].images == 59
    assert any("0007.png" in note for note in report.notes)


def test_embeddings(tmp_path: Path) -> None:
    report = audit(real_features=ROWS, generated_features=FRESH, out=tmp_path / "out")
    assert report.verdict == "no_issue"
    assert report.settings["features"] == ["embedding_l2"]
    assert report.sets["real"].shape == (16,)
    assert any("pictures" in left_out.name for left_out in report.not_checked)
    assert "embedding" in terminal(report)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "data:image/png" not in page
    assert "no picture" not in page
    copies = np.concatenate([FRESH[:150], ROWS[:50]])
    report = audit(real_features=torch.from_numpy(ROWS), generated_features=copies)
    assert report.verdict == "memorization"
    assert len(report.identical) == 50
    few = audit(real_features=ROWS, generated_features=np.repeat(FRESH[:4], 50, 0))
    assert "mode_collapse" in few.verdicts
    shifted = audit(
        real_features=ROWS,
        generated_features=FRESH + 4,
        held_out_features=RNG.normal(size=(99, 16)),
    )
    assert "distribution_shift" in shifted.verdicts


def written(path: Path, rows: Any) -> str:
    if path.suffix == ".npy":
        np.save(path, rows)
    elif path.suffix == ".npz":
        np.savez(path, names=np.arange(len(rows)), emb=rows)
    elif path.suffix == ".pt":
        torch.save({"emb": torch.from_numpy(rows), "step": 3}, path)
    elif path.name.startswith("list"):
        pq.write_table(pa.table({"emb": list(rows), "id": list(range(len(rows)))}), path)
    else:
        label = pa.array(["ab"[i % 2] for i in range(len(rows))])
        pq.write_table(pa.table({str(i): rows[:, i] for i in range(16)} | {"label": label}), path)
    return str(path)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.pt", "list.parquet", "table.parquet"])
def test_files_of_embeddings(name: str, tmp_path: Path) -> None:
    place = written(tmp_path / name, ROWS)
    report = audit(real_features=place, generated_features=FRESH)
    inside = audit(real_features=ROWS, generated_features=FRESH)
    assert report.sets["real"].sha256 == inside.sets["real"].sha256
    assert report.metrics.items() >= inside.metrics.items()
    if name == "a.npz":
        both = tmp_path / "two.npz"
        np.savez(both, a=FRESH, b=ROWS)
        with pytest.raises(UserError, match=r"a .*b "):
            audit(real_features=both, generated_features=FRESH)
        named = audit(real_features=f"{both}:b", generated_features=FRESH)
        assert named.sets["real"].sha256 == inside.sets["real"].sha256


@pytest.mark.parametrize("name", ["list.parquet", "table.parquet"])
def test_a_table_of_embeddings_fits_the_memory(name: str, tmp_path: Path) -> None:
    """Its size is told by its numbers, not by its bytes: zeros are packed."""
    place, most = written(tmp_path / name, np.zeros((20_000, 16))), 8 * 20_000 * 16
    opened = open_points(place, option="--real-features", reading=Reading(memory=most))
    assert len(opened) == 20_000
    with pytest.raises(UserError, match="--memory"):
        open_points(place, option="--real-features", reading=Reading(memory=most - 1))


NAN = ROWS.copy()
NAN[7, 3] = np.nan
POINTS: dict[str, tuple[dict[str, Any], str]] = {
    "nan": ({"real_features": NAN}, "#7"),
    "huge": ({"real_features": np.where(np.isnan(NAN), 1e300, ROWS.astype(np.float64))}, "#7"),
    "widths": ({"real_features": ROWS[:, :9]}, "9"),
    "one axis": ({"real_features": ROWS[:, 0]}, r"\(300,\)"),
    "words": ({"real_features": ROWS.astype(str)}, "embeddings"),
    "a list": ({"real_features": ROWS.tolist()}, "list"),
    "no generated": ({"generated_features": None}, "--generated-features"),
    "images too": ({"real": np.zeros((30, 1, 4, 4), np.uint8)}, "--real"),
    "a space": ({"features": "pixel"}, "--features"),
    "a size": ({"resize": 8}, "--resize"),
    "few": ({"generated_features": FRESH[:5]}, "20"),
}


@pytest.mark.parametrize("case", POINTS)
def test_embeddings_that_are_refused(case: str) -> None:
    change, word = POINTS[case]
    with pytest.raises(UserError, match=word):
        audit(**{"real_features": ROWS, "generated_features": FRESH, **change})


WRONG: dict[str, tuple[list[str], str]] = {
    "folder": (["--real", "nowhere", "--generated", "made.npy"], "nowhere"),
    "shards": (["--real", "a-{00..11}.tar", "--generated", "made.npy"], "a-00.tar"),
    "key": (["--real", "gone.npz:x", "--generated", "made.npy"], "gone.npz"),
    "hub": (["--real", "hf:photos", "--generated", "made.npy"], "hf:OWNER/NAME"),
    "no images": (["--real", "notes.txt", "--generated", "made.npy"], "notes.txt"),
    "empty": (["--real", "", "--generated", "made.npy"], "--real"),
    "embedding": (["--real-features", "no.npy", "--generated-features", "made.npy"], "no.npy"),
    "no table": (["--real-features", ".", "--generated-features", "made.npy"], "--real-features"),
    "both": (["--real", "made.npy", "--generated-features", "made.npy"], "--real"),
    "one": (["--real-features", "made.npy"], "--generated-features"),
    "space": (
        ["--real-features=made.npy", "--generated-features=made.npy", "--features=pixel"],
        "--features",
    ),
    "fit": (["--real", "made.npy", "--generated", "made.npy", "--fit", "pad"], "--resize"),
}


def test_mistakes_are_told_before_torch_is_imported(tmp_path: Path) -> None:
    np.save(tmp_path / "made.npy", ROWS)
    (tmp_path / "notes.txt").touch()
    program = """
import contextlib, io, json, sys
from ganstoch.cli import main
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stderr(io.StringIO()) as said:
        status = main(["audit", *words])
    print(json.dumps([status, said.getvalue(), "torch" in sys.modules]))
"""
    cases = json.dumps([words for words, _ in WRONG.values()])
    done = subprocess.run(
        [sys.executable, "-c", program, cases], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for line, (case, (_, word)) in zip(done.stdout.splitlines(), WRONG.items(), strict=True):
        status, said, torch_is_here = json.loads(line)
        assert (status, said.count("\n"), torch_is_here) == (2, 1, False), (case, said)
        assert word in said, case


def test_images_that_are_open_already_obey_the_options(split: Any) -> None:
    digits = split(train=60, fresh=40, held_out=40)
    made = open_images(digits.fresh, role="generated")
    made.where = "a checkpoint"
    report = audit(digits.train, made, mode="RGB", resize=8)
    assert report.sets["generated"].shape == report.sets["real"].shape == (3, 8, 8)
    assert report.sets["generated"].where == "a checkpoint"
    with pytest.raises(UserError, match="--resize"):
        audit(digits.train, made, resize=4)
