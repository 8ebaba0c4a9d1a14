"""Runs small enough for a test, and the command line as a user sees it."""

import base64
import contextlib
import io
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from ganstoch.cli import main
from ganstoch.data import Digits
from ganstoch.records import Record
from ganstoch.runs.fit import fit as run_fit
from ganstoch.runs.pool import Row

TINY = {
    **{"trainer.max_steps": "4", "checkpoint_every": "2", "wandb.mode": "disabled"},
    **{"evaluation.every": "2", "evaluation.queries": "8", "evaluation.semantic": "null"},
    **{"model.generator.init_args.width": "16", "model.discriminator.init_args.width": "16"},
    "model.generator.init_args.latent_dim": "8",
}

# What takes a report its time.
DRAWN = (
    *(f"reports.draw_{name}" for name in ("neighbors", "curves", "heatmap")),
    *(f"synthetic_figures.{n}" for n in ("draw_synthetic_curves", "draw_modes", "animate_modes")),
)


class Answer(NamedTuple):
    """What a command said."""

    status: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """The last line that a user sees of a mistake."""
        assert self.status == 2, self
        line = self.err.splitlines()[-1]
        assert line.startswith("ganstoch: "), self
        return line

    @property
    def complaint(self) -> str:
        """The same; fails if there is any other."""
        assert self.err.count("\n") == 1, self
        return self.last


PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
"""The smallest PNG file there is."""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory and a home of the test's own, and Ctrl-C as it was."""
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_RUN_ID", "WANDB_SWEEP_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    # A process that a script has put in the background ignores Ctrl-C, and so would its tests.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield tmp_path
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module", autouse=True)
def digits_once() -> Iterator[None]:
    """Reads the digits once a module: enlarging them takes as long as training on them."""
    images = Digits().open(Path(), "train")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Digits, "open", lambda _, root, split: images if split == "train" else None)
        yield


@pytest.fixture
def ganstoch(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Runs a command in this process."""

    def ganstoch(*words: object) -> Answer:
        capsys.readouterr()
        handler = logging.StreamHandler(sys.stderr)  # as outside pytest, which has its own
        logging.getLogger("ganstoch").addHandler(handler)
        try:
            status: object = main([str(word) for word in words])
        except SystemExit as error:
            status = error.code
        finally:
            logging.getLogger("ganstoch").removeHandler(handler)
        assert isinstance(status, int)
        return Answer(status, *capsys.readouterr())

    return ganstoch


@pytest.fixture(scope="session")
def tiny() -> tuple[str, ...]:
    """Words of `ganstoch fit` for a run of four iterations on 64 digits."""
    return ("--config", "mini", *(f"--{k}={v}" for k, v in TINY.items()), "--data.n=64")


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory, tiny: tuple[str, ...]) -> Path:
    """The folder of that run, which nothing interrupted; do not touch."""
    return run_fit([*tiny, "--quiet=true", f"--out={tmp_path_factory.mktemp('reference') / 'run'}"])


@pytest.fixture(scope="session")
def make_record() -> Callable[..., Record]:
    """A record of nothing in particular, with changes."""

    def make_record(**changes: Any) -> Record:
        texts = ("config_hash", "preset", "dataset", "subset_sha256", "hardware")
        fields: dict[str, Any] = dict.fromkeys(texts, "c")
        fields |= dict.fromkeys(("seed", "n", "m", "bank", "images_seen", "iterations"), 1)
        fields |= {key: {} for key in ("baseline", "config", "versions", "metrics")}
        fields |= {"noise": 0.0, "converged": False, "seconds": 61.0, "history": ()}
        return Record(**(fields | changes))

    return make_record


@pytest.fixture
def fit(ganstoch: Callable[..., Answer], tiny: tuple[str, ...]) -> Callable[..., Answer]:
    """A tiny `ganstoch fit` with further words, quiet and into a folder `run`."""

    def fit(*words: object) -> Answer:
        return ganstoch("fit", *tiny, "--quiet=true", "--out=run", *words)

    return fit


@pytest.fixture(scope="session")
def tiny_rows() -> tuple[str, ...]:
    """The same settings for `ganstoch table1`; 256 images, so that n/256 is one."""
    return tuple(word for k, v in TINY.items() for word in ("--set", f"{k}={v}"))


@contextlib.contextmanager
def rows_here(started: list[str]) -> Iterator[None]:
    """Runs a table's rows in this process, one after the other, which saves their start-up."""

    def start(row: Row, environment: object) -> SimpleNamespace:
        started.append(row.label)
        row.folder.mkdir(parents=True, exist_ok=True)
        log = (row.folder / "log.txt").open("a")
        with log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            status = main(["fit", *row.arguments, f"--out={row.folder}", "--quiet=true"])
        return SimpleNamespace(poll=lambda: status)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ganstoch.runs.pool.launch", start)
        yield


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Labels of the rows that were started, all of them in this process; figures stay empty."""
    for name in DRAWN:
        monkeypatch.setattr(f"ganstoch.report.{name}", lambda *_, **__: PIXEL)
    labels: list[str] = []
    with rows_here(labels):
        yield labels


@pytest.fixture(scope="session")
def first_time() -> Callable[..., tuple[int, str, list[str]]]:
    """Carries out a whole sweep: the status, what was printed, the rows that were started."""

    def first_time(*words: str) -> tuple[int, str, list[str]]:
        labels: list[str] = []
        output = io.StringIO()
        with rows_here(labels), contextlib.redirect_stdout(output):
            status = main(list(words))
        return status, output.getvalue(), labels

    return first_time


@pytest.fixture(scope="session")
def finished_table(
    tmp_path_factory: pytest.TempPathFactory, tiny_rows: Any, first_time: Any
) -> tuple[Path, list[str]]:
    """A folder with the whole table on 256 digits, and the rows that were started; do not touch."""
    out = tmp_path_factory.mktemp("table1") / "out"
    status, _, labels = first_time("table1", "--preset", "mini", *tiny_rows, "--out", str(out))
    assert status == 0
    return out, labels


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 12 images; do not touch."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(12):
        pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
    return folder
