"""What a private report must not hold, and what still agrees in it."""

import json
import os
import tarfile
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tqdm import tqdm

from ganstoch.auditing.audit import audit
from ganstoch.auditing.private import SALT
from ganstoch.errors import UserError


class Mean(torch.nn.Module):
    """Means of rows."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.float().mean(3).flatten(1)


@pytest.fixture
def folders(split: Any, tmp_path: Path) -> dict[str, Path]:
    """Folders with telling names, with classes, and 20 copies among the generated images."""
    digits = split(train=120, fresh=60, held_out=60)
    made = torch.cat([digits.train[:20], digits.fresh[20:]])
    roots = {"real": tmp_path / "clinic_berlin", "generated": tmp_path / "model_seven"}
    for root, pixels in zip(roots.values(), (digits.train, made), strict=True):
        for i, image in enumerate(pixels.numpy()):
            path = root / f"ward_{i % 3}" / f"patient_{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0]).save(path)
    (roots["real"] / "patient_list.txt").write_text("")
    return roots


def texts(out: Path) -> str:
    return "".join((out / name).read_text() for name in sorted(os.listdir(out)))


def test_nothing_of_the_images_is_in_a_private_report(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    sources: dict[str, Any] = dict(folders)
    plain = audit(**sources, out=tmp_path / "plain")
    private = audit(
        **sources, out=tmp_path / "private", private=True, command="audit clinic_berlin"
    )
    words = ("patient", "ward", "clinic", "model_seven", str(tmp_path), "data:image/png")
    shown, hidden = texts(tmp_path / "plain"), texts(tmp_path / "private")
    for word in (*words, *(facts.sha256 for facts in plain.sets.values())):
        assert word in shown, word
        assert word not in hidden, word
    assert private.metrics == plain.metrics
    assert private.verdict == plain.verdict == "memorization"
    assert len(private.identical) == len(plain.identical) == 20


def test_bars_and_spaces_name_nothing_of_the_users(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does what is said of a report that was not private."""
    made, labels = tqdm.__init__, list[str]()

    def init(self: Any, items: Any = None, desc: Any = None, *more: Any, **options: Any) -> None:
        labels.append(str(desc))
        made(self, items, desc, *more, **options)

    monkeypatch.setattr(tqdm, "__init__", init)
    network = tmp_path / "clinic-net.pt"
    with warnings.catch_warnings(action="ignore"):  # torch would have us use another format
        torch.jit.script(Mean()).save(str(network))
    with tarfile.open(tmp_path / "model_seven.tar", "w") as archive:
        archive.add(folders["generated"], "x")
    sources: dict[str, Any] = {"real": folders["real"], "generated": tmp_path / "model_seven.tar"}
    space = f"torchscript:{network}"
    plain = audit(**sources, features=space, out=tmp_path / "plain")
    against = tmp_path / "plain" / "report.json"
    private = audit(**sources, features=space, private=True, against=against)
    assert "clinic" in plain.to_json()
    assert "clinic" not in private.to_json()
    assert private.against is not None
    assert private.against.same == len(private.metrics) == len(plain.metrics)
    labels.clear()
    audit(**sources, features=space, private=True, cache=tmp_path / "cache")
    assert any("--real" in label for label in labels)
    assert any("--generated" in label for label in labels)
    assert not any(word in label for label in labels for word in ("clinic", "model", "/tmp"))


def test_a_salt_of_ones_own_finds_names_again(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sources: dict[str, Any] = dict(folders)
    drawn = [audit(**sources, private=True).identical[0].real for _ in range(2)]
    assert drawn[0] != drawn[1]
    monkeypatch.setenv(SALT, "a phrase of some length")
    one, other = (audit(**sources, private=True) for _ in range(2))
    assert one.identical == other.identical
    assert one.sets == other.sets
    assert one.missed_by_class == other.missed_by_class
    assert len(one.missed_by_class) == 3
    monkeypatch.setenv(SALT, "short")
    with pytest.raises(UserError, match=SALT):
        audit(**sources, private=True)


def test_an_earlier_report_does_not_tell_either(folders: dict[str, Path], tmp_path: Path) -> None:
    sources: dict[str, Any] = dict(folders)
    plain = audit(**sources, out=tmp_path / "plain")
    sources["generated"] = folders["real"] / "ward_0"
    against = tmp_path / "plain" / "report.json"
    private = audit(**sources, private=True, against=against)
    text = private.to_json()
    assert private.against is not None
    changed = {change.name for change in private.against.sets}
    assert "generated sha256" in changed
    assert "real sha256" not in changed
    assert not any(facts.sha256 in text for facts in plain.sets.values())
    assert json.loads(text)["command"] is None


def test_a_digest_of_the_groups_stays_here(folders: dict[str, Path], tmp_path: Path) -> None:
    """Of an earlier report that was not private, too; nor can the settings' hash be guessed."""
    sources: dict[str, Any] = dict(folders)
    rule = r"patient_(\d)"
    plain = audit(**sources, group_by=rule, out=tmp_path / "plain")
    earlier = tmp_path / "plain" / "report.json"
    report = audit(**sources, group_by=rule, private=True, against=earlier, out=tmp_path / "out")
    assert plain.settings["group_by"] not in texts(tmp_path / "out")
    assert report.settings_sha256 != plain.settings_sha256
