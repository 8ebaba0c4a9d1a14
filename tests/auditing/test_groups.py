"""Groups of images: rules that name them, splits that keep them together, copies told by them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ganstoch.auditing.audit import audit
from ganstoch.auditing.evidence import gather
from ganstoch.auditing.findings import find
from ganstoch.auditing.groups import Grouping
from ganstoch.auditing.inputs import Images, Role, open_images
from ganstoch.auditing.measures import measures_of
from ganstoch.auditing.report import AuditReport
from ganstoch.cli import main
from ganstoch.errors import UserError
from ganstoch.metrics.copy_score import CopyScores, left_out_scores
from ganstoch.metrics.excess import intraclass
from ganstoch.metrics.features import Pixels
from ganstoch.metrics.train_vs_held_out import train_vs_held_out

PER_PERSON = 8


def people(count: int, *, seed: int, each: int = PER_PERSON) -> Tensor:
    """Images of so many people, person after person: one face, slightly changed."""
    rng = torch.Generator().manual_seed(seed)
    faces = torch.rand(count, 1, 3, 3, generator=rng).repeat_interleave(each, 0)
    faces = torch.nn.functional.interpolate(faces, size=(8, 8), mode="bilinear")
    return (255 * (faces + 0.02 * torch.randn(faces.shape, generator=rng))).clamp(0, 255).byte()


def names_of(images: Tensor, kind: str) -> tuple[str, ...]:
    return tuple(f"{kind}{i // PER_PERSON}" for i in range(len(images)))


def sets_of(seed: int, *, held_out: bool, grouped: bool = True) -> dict[Role, Images]:
    arrays: dict[Role, Tensor] = {"real": people(60, seed=3 * seed)}
    arrays["generated"] = people(300, seed=3 * seed + 1, each=1)
    if held_out:
        arrays["held_out"] = people(40, seed=3 * seed + 2)
    sets = {role: open_images(array, role=role) for role, array in arrays.items()}
    for role in sets if grouped else ():
        if role != "generated":
            sets[role].groups = names_of(arrays[role], role)
    return sets


@pytest.mark.parametrize("held_out", [True, False])
def test_clustered_data_make_no_finding(held_out: bool) -> None:
    for seed in range(8):
        evidence = gather(sets_of(seed, held_out=held_out), [Pixels()], seed=0)
        assert not find(evidence), seed
        (space,) = evidence.spaces
        assert 0.8 * PER_PERSON < space.searches.design <= PER_PERSON
        measures = measures_of(space)
        assert measures["median_ratio/pixel_l1"].value == pytest.approx(1, abs=0.1)
        assert ("membership/pixel_l1/auc" in measures) == held_out
        if held_out:
            assert (measures["membership/pixel_l1/auc"].p_value or 0) > 0.002
    # Taken one by one, images of one person pass for the natural distance to unseen ones.
    alone = gather(sets_of(0, held_out=False, grouped=False), [Pixels()], seed=0)
    assert {finding.verdict for finding in find(alone)} >= {"distribution_shift"}


def report_of(folder: Callable[..., Path], made: Tensor, **options: Any) -> AuditReport:
    """An audit of folders that hold a person a folder."""
    real, unseen = people(60, seed=0), people(40, seed=2)
    sets = [("real", real, 0), ("held_out", unseen, 100)]
    paths: dict[str, Any] = {
        name: folder(name, rows, torch.arange(len(rows)) // PER_PERSON + first)
        for name, rows, first in sets
    }
    group_by = r"class (\d+)/"
    return audit(generated=made, **paths, group_by=group_by, **options)


def test_copies_are_told_by_group(folder: Callable[..., Path]) -> None:
    real, made = people(60, seed=0).clamp(max=254), people(300, seed=1, each=1)
    made[:30] = 1 + real[torch.arange(30) % 3 + 7 * PER_PERSON]  # three images of person 7
    made[30:40] = 1 + real[9 * PER_PERSON]
    report = report_of(folder, made)
    assert report.verdict == "memorization"
    first, second = report.copied_groups[:2]
    assert (first.name, first.copies, first.copied, first.images) == ("7", 30, 3, PER_PERSON)
    assert (second.name, second.copies, second.copied) == ("9", 10, 1)
    assert sum(group.copies for group in report.copied_groups) < 45
    assert report.settings["group_by"]
    private = report_of(folder, made, private=True)
    assert private.settings["group_by"] != report.settings["group_by"]
    names = {group.name for group in private.copied_groups}
    assert len(names) == len(report.copied_groups)
    assert not names & {group.name for group in report.copied_groups}


@pytest.mark.parametrize("copies", [0, 40])
def test_groups_that_are_no_more_alike_than_others_cost_nothing(copies: int, split: Any) -> None:
    digits = split()
    made = digits.fresh.clone()
    made[:copies] = digits.train[:copies].clamp(max=254) + 1
    arrays: dict[Role, Tensor] = {"real": digits.train, "generated": made}
    sets = {role: open_images(array, role=role) for role, array in arrays.items()}
    sets["real"].groups = tuple(f"site {i % 5}" for i in range(800))
    evidence = gather(sets, [Pixels()], seed=0)
    assert evidence.spaces[0].searches.design < 6  # of 160
    assert [finding.verdict for finding in find(evidence)] == ["memorization"] * (copies > 0)


def test_how_alike_groups_are() -> None:
    rng = torch.Generator().manual_seed(0)
    groups = torch.arange(2000) // 4
    for share in (0.0, 0.3, 0.9):
        own, common = torch.randn(2, 2000, 3, generator=rng).double()
        mixed = (1 - share) ** 0.5 * own + share**0.5 * common[groups]
        assert intraclass(mixed, groups) == pytest.approx(share, abs=0.05)
    assert intraclass(groups[:, None], groups) == 1
    assert intraclass(own, torch.arange(2000)) == 1


def test_held_out_images_of_known_groups_are_left_out() -> None:
    sets = sets_of(0, held_out=True)
    held_out = sets["held_out"].groups or ()
    sets["held_out"].groups = ("real3",) * 2 * PER_PERSON + held_out[2 * PER_PERSON :]
    evidence = gather(sets, [Pixels()], seed=0)
    space = evidence.spaces[0].space
    assert space.held_out is not None
    assert len(space.held_out) == 38 * PER_PERSON
    assert any("16 of the 320" in note for note in evidence.notes)
    sets["held_out"].groups = ("real3",) * 21 * PER_PERSON + held_out[21 * PER_PERSON :]
    with pytest.raises(UserError, match="--group-by"):
        gather(sets, [Pixels()], seed=0)
    sets["real"].groups = tuple("abc"[i % 3] for i in range(480))
    with pytest.raises(UserError, match="3 groups"):
        gather(sets, [Pixels()], seed=0)


@pytest.mark.parametrize("largest", [1, 40])
def test_left_out_members_are_compared_with_other_groups(largest: int) -> None:
    rng = torch.Generator().manual_seed(4)
    rows = torch.randn(90, 6, generator=rng).double()
    groups = torch.arange(90) // 3
    groups[:largest] = 0
    rows = rows[groups] + 0.1 * rows
    rows[5:7], rows[80] = rows[4], rows[1]  # repeats within a group and between groups
    scores: CopyScores = left_out_scores(rows, norm="l2", groups=groups)
    apart = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    apart[groups[:, None] == groups] = torch.inf
    assert torch.allclose(scores.neighbours.distances, apart.amin(1))
    assert (groups[scores.neighbours.ids] != groups).all()
    assert scores.scores[80] == scores.scores[1] == 0
    # Groups of one are the members themselves.
    some = torch.randn(40, 6, generator=rng).double()
    single = left_out_scores(some, norm="l2", groups=torch.arange(40))
    alone = left_out_scores(some, norm="l2")
    assert torch.equal(single.neighbours.distances, alone.neighbours.distances)
    assert torch.equal(single.parts, alone.parts)


def test_groups_are_permuted_whole() -> None:
    low = 0
    for seed in range(60):
        real, made = people(24, seed=200 + seed), people(40, seed=900 + seed, each=1)
        rows, groups = real.flatten(1), torch.arange(192) // PER_PERSON
        sets = made.flatten(1), rows[:96], rows[96:]
        score = train_vs_held_out(*sets, norm="l1", groups=groups, seed=seed)
        low += score.p_value <= 0.05
    assert low <= 8  # 5 % of 60, and 3 standard errors


def test_rules(tmp_path: Path) -> None:
    assert Grouping(r"p\d+")(("p1/a.png", "x/p22.png"), where="x") == ("p1", "p22")
    assert Grouping(r"p(\d+)_")(("p1_a.png", "p22_b.png"), where="x") == ("1", "22")
    path = tmp_path / "people.csv"
    path.write_text('\ufeffname,age,group\n"a,\x0b1.png",3,anna\nb.png,4,ben\n')
    rule = Grouping(path)
    assert rule(("b.png", "a,\x0b1.png"), where="x") == ("ben", "anna")
    assert rule.digest == Grouping(str(path)).digest != Grouping("p").digest
    with pytest.raises(UserError, match=r"2 of the 3 images in train .* c\.png"):
        rule(("c.png", "b.png", "d.png"), where="train")
    with pytest.raises(UserError, match="1 of the 2"):
        Grouping(r"p(\d*)")(("p", "p1"), where="x")


BAD = {
    "columns": b"name,person\na,b\n",
    "empty": b"",
    "two groups": b"name,group\na,b\na,c\n",
    "bytes": b"name,group\n\xff\xfe,b\n",
    "quotes": b'name,group\n"a,b\n',
}


@pytest.mark.parametrize("case", [*BAD, "no file", "pattern", "nothing"])
def test_no_rule_is_refused_before_anything_is_read(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "people.csv"
    if case in BAD:
        path.write_bytes(BAD[case])
    rule = {"pattern": "p(", "nothing": ""}.get(case, str(path))
    sets = [f"--{name}={tmp_path}" for name in ("real", "generated")]
    assert main(["audit", *sets, f"--group-by={rule}", f"--out={tmp_path / 'out'}"]) == 2
    assert "--group-by" in capsys.readouterr().err or case == "two groups"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("rule", ["a{99999999999999999999}", "(" * 5000 + ")" * 5000, "("])
def test_expressions_that_are_none(rule: str) -> None:
    with pytest.raises(UserError, match="--group-by"):
        Grouping(rule)
