"""The gate of a release: every status, both ends of every bound, and what a server reads of it."""

import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import Tensor

from ganstoch.auditing.audit import audit
from ganstoch.auditing.gate import Gate, exit_status, github_annotations, junit
from ganstoch.auditing.judging import judge
from ganstoch.auditing.report import AuditReport, Check, Outcome
from ganstoch.cli import main
from ganstoch.errors import UserError
from ganstoch.metrics.excess import Excess

Judge = Callable[..., AuditReport]


@pytest.fixture
def judged(split: Any) -> Judge:
    """A report on so many generated images, a share of them exact copies, under a gate."""

    def judged(
        copies: float = 0.0, *, generated: int = 400, gate: Gate, **sizes: int
    ) -> AuditReport:
        digits = split(**({"train": 800, "fresh": generated, "held_out": 497} | sizes))
        made = digits.fresh.clone()
        count = round(copies * generated)
        made[:count] = digits.train[:count]
        return audit(digits.train, made, held_out=digits.held_out, gate=gate)

    return judged


def outcomes(report: AuditReport) -> dict[str, Outcome]:
    return {check.name: check.outcome for check in report.checks}


def test_a_clean_generator_passes_and_a_copying_one_fails(judged: Judge) -> None:
    gate = Gate(("memorization", "mode_collapse"), max_copied=0.05, max_missed=0.05)
    clean = judged(gate=gate)
    assert set(outcomes(clean).values()) == {"passed"}
    assert exit_status(clean.checks) == 0
    copying = judged(0.1, gate=gate)
    assert outcomes(copying) == {
        "fail_on=memorization": "failed",
        "fail_on=mode_collapse": "passed",
        "max_copied": "failed",
        "max_missed": "passed",
    }
    assert exit_status(copying.checks) == 1


def test_a_bound_inside_the_interval_is_inconclusive(judged: Judge) -> None:
    report = judged(0.1, gate=Gate(max_copied=0.1))
    assert outcomes(report) == {"max_copied": "inconclusive"}
    assert exit_status(report.checks) == 3


def test_too_few_images_say_how_many_it_takes() -> None:
    """Of n images none is a copy: the interval ends at 1 - 0.025^(1/n), below 3 % from 122 on."""
    space = SimpleNamespace(copied=SimpleNamespace(excess=Excess(0, 50, 0, 80)))
    sets = {"generated": SimpleNamespace(images=50), "held_out": SimpleNamespace(images=80)}
    none = SimpleNamespace(identical=[], identical_p=1.0)
    facts = SimpleNamespace(sets=sets, generated=none, repeating=Excess(0, 50, 0, 80))
    evidence: Any = SimpleNamespace(spaces=[space], facts=facts, hiding=[])
    (check,) = judge(Gate(max_copied=0.03), evidence, [])
    assert check.outcome == "inconclusive"
    told = re.findall(r"([\d,]+) (?:generated|held-out)", check.sentence)
    assert told[-2:] == ["130", "208"]
    (check,) = judge(Gate(max_copied=1 - 0.025 ** (1 / 50) + 1e-9), evidence, [])
    assert check.outcome == "passed"


def test_identical_images_need_no_comparison_with_unseen_ones() -> None:
    """9 of 400 are surely more than 1 %, even where every tenth unseen image is flagged too."""
    space = SimpleNamespace(copied=SimpleNamespace(excess=Excess(40, 400, 40, 400)))
    facts = SimpleNamespace(
        sets={"generated": SimpleNamespace(images=400), "real": SimpleNamespace(images=900)},
        generated=SimpleNamespace(identical=list(range(9)), identical_p=1e-4),
        repeating=Excess(0, 400, 0, 900),
    )
    evidence: Any = SimpleNamespace(spaces=[space], facts=facts, hiding=[])
    (check,) = judge(Gate(max_copied=0.01), evidence, [])
    assert check.outcome == "failed"
    facts.generated.identical_p = 0.5  # by the data's own repeats
    (check,) = judge(Gate(max_copied=0.01), evidence, [])
    assert check.outcome == "inconclusive"


def test_a_rule_without_power_does_not_pass(judged: Judge) -> None:
    gate = Gate(("mode_drop",))
    report = judged(generated=20, gate=gate, train=40, held_out=20)
    assert outcomes(report) == {"fail_on=mode_drop": "inconclusive"}


def test_signals_are_inconclusive_for_their_verdict_alone(split: Any) -> None:
    digits = split(train=140, fresh=60, held_out=60)
    made = digits.fresh.clone()
    made[0] = digits.train[0]
    gate = Gate(("memorization", "distribution_shift", "undecided"))
    report = audit(digits.train, made, held_out=digits.held_out, gate=gate)
    assert report.verdict == "undecided"
    assert outcomes(report) == {
        "fail_on=memorization": "inconclusive",
        "fail_on=distribution_shift": "passed",
        "fail_on=undecided": "failed",
    }


def test_missed_images_fail(split: Any) -> None:
    digits = split(train=800, fresh=500, held_out=497)
    made = digits.fresh[digits.fresh_labels < 6]
    report = audit(digits.train, made, held_out=digits.held_out, gate=Gate(max_missed=0.05))
    assert outcomes(report) == {"max_missed": "failed"}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"fail_on": ("memorisation",)}, "--fail-on"),
        ({"fail_on": ("no_issue",)}, "--fail-on"),
        ({"max_copied": 1.0}, "--max-copied"),
        ({"max_copied": math.nan}, "--max-copied"),
        ({"max_missed": -0.1}, "--max-missed"),
    ],
)
def test_impossible_conditions_are_refused(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        Gate(**arguments)


CHECKS = (
    Check(name="max_copied", outcome="failed", sentence="12 % :: are\ncopies, <most>"),
    Check(name="fail_on=mode_drop", outcome="inconclusive", sentence="Too few."),
    Check(name="max_missed", outcome="passed", sentence="None."),
)


def test_junit_counts_and_names_every_check(judged: Judge) -> None:
    report = judged(gate=Gate()).model_copy(update={"checks": CHECKS})
    suite = ElementTree.fromstring(junit(report))
    cases = {case.get("name"): [child.tag for child in case] for case in suite}
    assert cases.pop("max_copied") == ["failure"]
    assert cases.pop("fail_on=mode_drop") == ["error"]
    assert cases.pop("max_missed") == ["system-out"]
    assert list(cases.values()) == [["skipped"]] * len(report.not_checked)
    totals = [int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")]
    assert totals == [3 + len(report.not_checked), 1, 1, len(report.not_checked)]


def test_annotations_are_one_line_each_and_of_what_did_not_pass() -> None:
    lines = list(github_annotations(CHECKS))
    assert [line.split(" ")[0] for line in lines] == ["::error", "::warning"]
    assert all("\n" not in line for line in lines)
    assert lines[0].count("::") == 3  # the command's two, and one in its text
    assert "12 %25" in lines[0]


@pytest.fixture
def files(judged: Judge, split: Any, tmp_path: Path, monkeypatch: Any) -> Path:
    """A folder with train.npy, clean.npy and copied.npy."""
    digits = split(train=200, fresh=100, held_out=100)
    copied = torch.cat([digits.train[:30], digits.fresh[30:]])
    sets: dict[str, Tensor] = {"train": digits.train, "clean": digits.fresh, "copied": copied}
    for name, pixels in sets.items():
        np.save(tmp_path / f"{name}.npy", pixels.numpy())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    return tmp_path


def run(*words: str) -> int:
    return main(["audit", "--real", "train.npy", "--out", "out", "--quiet", *words])


def test_status_of_the_command(files: Path) -> None:
    assert run("--generated", "copied.npy") == 0
    assert run("--generated", "copied.npy", "--fail-on", "memorization") == 1
    assert run("--generated", "clean.npy", "--fail-on", "memorization,mode_collapse") == 0
    assert run("--generated", "clean.npy", "--max-copied", "0.001") == 3
    assert run("--generated", "clean.npy", "--fail-on", "nonsense") == 2
    assert run("--generated", "clean.npy", "--junit", "checks.xml") == 2
    assert not Path("checks.xml").exists()


def test_the_command_writes_junit_and_annotations(
    files: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    words = [
        "--generated",
        "copied.npy",
        "--max-copied",
        "0.01",
        "--junit",
        "a/checks.xml",
        "--json",
    ]
    assert run(*words) == 1
    suite = ElementTree.parse("a/checks.xml").getroot()
    assert suite.attrib["failures"] == "1"
    out, err = capsys.readouterr()
    assert [check["name"] for check in json.loads(out)["checks"]] == ["max_copied"]
    assert err.startswith("::error ")


@pytest.mark.parametrize("verdicts", [",", " ", " , "])
def test_conditions_that_name_nothing_are_refused(files: Path, verdicts: str) -> None:
    assert run("--generated", "copied.npy", "--fail-on", verdicts) == 2


def test_junit_overwrites_no_other_file(files: Path) -> None:
    words = ["--generated", "clean.npy", "--fail-on", "memorization", "--junit"]
    assert run(*words, "checks.xml") == 0
    assert run(*words, "checks.xml") == 0
    before = Path("train.npy").read_bytes()
    os.mkfifo("pipe")
    for place in ("train.npy", "out", "out/report.json", "train.npy/checks.xml", "pipe"):
        assert run(*words, place) == 2
    for place in ("new", "new/report.html"):
        assert run(*words, place, "--out", "new") == 2
    assert not Path("new").exists()
    Path("out/report.html").unlink()
    Path("out/report.html").mkdir()
    kept = Path("out/generated.csv").read_bytes()
    assert run("--generated", "copied.npy") == 2
    assert Path("out/generated.csv").read_bytes() == kept
    assert Path("train.npy").read_bytes() == before
    assert json.loads(Path("out/report.json").read_text())["checks"]


def test_generated_images_are_not_held_out(files: Path) -> None:
    """Else whatever copies hides behind them."""
    rng = np.random.default_rng(0)
    train = np.load("train.npy").astype(int)
    noisy = (train[:100] + rng.integers(-6, 7, train[:100].shape)).clip(0, 255).astype(np.uint8)
    np.save("noisy.npy", noisy)
    np.save("mixed.npy", np.concatenate([noisy[:50], np.load("clean.npy")[50:]]))
    words = ["--generated", "noisy.npy", "--fail-on", "memorization"]
    assert run(*words) == 1
    assert run(*words, "--held-out", "noisy.npy") == 2
    assert run(*words, "--held-out", "mixed.npy") == 2


@pytest.mark.parametrize(
    "body",
    ["raise SystemExit(0)", "return x.float().flatten(1).to_sparse()", "return x.to('meta')"],
)
def test_features_that_are_none_pass_nothing(files: Path, monkeypatch: Any, body: str) -> None:
    name = f"odd_features_{abs(hash(body))}"
    Path(f"{name}.py").write_text(f"def f(x):\n    {body}\n")
    words = ["--generated", "copied.npy", "--fail-on", "memorization"]
    assert run(*words, "--features", f"{name}:f") == 2


@pytest.mark.parametrize("held_out", [False, True])
def test_copies_of_images_that_repeat_do_not_pass(split: Any, held_out: bool) -> None:
    """A training set that holds an image twice is where copies come from."""
    digits = split(train=150, fresh=100, held_out=150)
    real = torch.cat([digits.train, digits.train[:60]])
    made = torch.cat([digits.train[:60], digits.fresh[60:]])
    gate = Gate(("memorization",), max_copied=0.05)
    unseen = {"held_out": digits.held_out} if held_out else {}
    told = outcomes(audit(real, made, gate=gate, **unseen))
    assert told["fail_on=memorization"] != "passed"
    assert told["max_copied"] == ("failed" if held_out else "inconclusive")


def test_blank_images_that_are_held_out_as_often_pass(split: Any) -> None:
    digits = split(train=300, fresh=200, held_out=200)
    for images in (digits.train, digits.fresh, digits.held_out):
        images[:30] = 0
    gate = Gate(("memorization",), max_copied=0.3)
    told = outcomes(audit(digits.train, digits.fresh, held_out=digits.held_out, gate=gate))
    assert told["max_copied"] == "passed"
    assert told["fail_on=memorization"] == "passed"


def test_altered_copies_of_near_duplicates_do_not_pass(split: Any) -> None:
    """Where most training images have a twin, to be near one is natural, unless it is not."""
    digits = split(train=200, fresh=200, held_out=200)
    rng = torch.Generator().manual_seed(0)

    def altered(images: Tensor) -> Tensor:
        noise = torch.randint(-6, 7, images.shape, generator=rng)
        return (images.int() + noise).clamp(0, 255).byte()

    real = torch.cat([digits.train, altered(digits.train)])
    gate = Gate(("memorization",), max_copied=0.1)
    copies = altered(digits.train)
    report = audit(real, copies, gate=gate)
    assert set(outcomes(report).values()) == {"inconclusive"}
    assert any("--group-by" in item.fix for item in report.not_checked)
    report = audit(real, copies, held_out=digits.held_out, gate=gate)
    assert set(outcomes(report).values()) == {"failed"}
    fresh = outcomes(audit(real, digits.fresh, gate=Gate(max_copied=0.15)))
    assert fresh["max_copied"] == "passed"
