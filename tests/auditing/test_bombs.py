"""Names that are programs, and memory without end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ganstoch.auditing.audit import audit
from ganstoch.cli import main


def test_names_that_are_programs(split: Any, folder: Callable[..., Path], tmp_path: Path) -> None:
    digits = split(train=60, fresh=40, held_out=40)
    train = folder("train", digits.train, digits.labels)
    for i, label in enumerate(sorted(p for p in train.iterdir())):
        label.rename(train / f"<script>alert({i})<&script>")
    made = folder("<img src=x onerror=alert(1)>", digits.fresh)
    audit(train, made, out=tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "&lt;script&gt;alert(" in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "<script" not in page
    assert "<img src=x" not in page


def test_memory_without_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--memory", "9" * 400]) == 2
    assert "--memory" in capsys.readouterr().err
