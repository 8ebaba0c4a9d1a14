import json
import shutil
import signal
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wandb
from filelock import FileLock

from ganstoch.callbacks.evaluation import Evaluation
from ganstoch.callbacks.run_folder import RecordWriter
from ganstoch.objectives import NonSaturating
from ganstoch.records import RUN_LOCK, SCHEMA, Record, read_record
from ganstoch.runs.fit import RunFolder, SteadyLogger
from ganstoch.training.gan import GAN

Command = Callable[..., Any]
Patch = pytest.MonkeyPatch


def record_of(folder: Path) -> Record:
    return read_record(folder / "record.json")


def checkpoints(folder: Path) -> list[str]:
    """Names of the files of checkpoints."""
    return sorted(path.name for path in folder.glob("checkpoints/*"))


@pytest.fixture
def made(reference: Path) -> Path:
    """A checkpoint of the reference after 2 iterations."""
    return reference / "checkpoints" / "step=2.ckpt"


@pytest.fixture
def run(here: Path, reference: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(reference, here / "run"))


@pytest.fixture
def unfinished(run: Path) -> Path:
    """A copy of it as it was between its last checkpoint and its record."""
    (run / "record.json").unlink()
    return run


def test_what_a_run_leaves(reference: Path) -> None:
    record = record_of(reference)
    assert (record.seed, record.preset, record.dataset) == (0, "mini", "digits")
    assert (record.n, record.m, record.bank, record.noise) == (64, 16, 64, 0.0)
    assert (record.iterations, record.images_seen, record.converged) == (4, 64, False)
    assert record.threads == torch.get_num_threads()
    first, last = record.history
    assert [(m.iteration, m.images_seen) for m in (first, last)] == [(2, 32), (4, 64)]
    assert last.metrics == record.metrics
    assert set(last.digests) == {*("generator", "discriminator", "average", "optimizers", "images")}
    assert all(first.digests[part] != last.digests[part] for part in first.digests)
    assert {path.name for path in reference.iterdir()} == {
        *("record.json", "run.json", "running.lock", "progress.json"),
        *("samples.npz", "panels.npz", "checkpoints"),
    }
    assert checkpoints(reference) == ["step=2.ckpt", "step=4.ckpt"]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_finished_run_is_left_alone_or_refused(here: Path, run: Path, fit: Command) -> None:
    before = contents(here)
    assert fit("--model.micro_batch=8", "--data.root=elsewhere").status == 0
    complaint = fit("--model.optimizer.lr=0.1", "--data.m=8", "--quiet=false").complaint
    assert "data.m, model.optimizer.lr" in complaint
    assert contents(here) == before
    record = json.loads((run / "record.json").read_bytes())
    (run / "record.json").write_text(json.dumps({**record, "schema": SCHEMA + 1}))
    assert "run/record.json" in fit().complaint


@pytest.mark.parametrize(
    ("words", "file"),
    [
        ("--probe.every=3 --probe.images=40", "probe.json"),
        ("--gradient_noise.every=2", "gradient_noise.json"),
        ("--diagnosis.every=2 --diagnosis.images=8", "diagnosis.json"),
    ],
)
def test_a_measured_run_is_another_one_with_the_same_numbers(
    words: str, file: str, here: Path, reference: Path, fit: Command
) -> None:
    assert fit(*words.split()).status == 0
    ours, theirs = record_of(here / "run"), record_of(reference)
    assert ours.history == theirs.history
    assert ours.config_hash != theirs.config_hash
    assert not (reference / file).exists()
    assert file.removesuffix(".json") in fit().complaint
    assert (here / "run" / file).exists()


def interrupt(patch: Patch, owner: type, name: str, call: int, *, signalled: bool = False) -> None:
    """Ctrl-C in the ``call``-th call of a method, counted from 1, before it does anything."""
    original, calls = getattr(owner, name), []

    def method(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == call and signalled:
            signal.raise_signal(signal.SIGINT)  # the iteration is finished first
        elif len(calls) == call:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    patch.setattr(owner, name, method)


@pytest.mark.parametrize(
    ("where", "left"),
    [
        # After the discriminator's step: its checkpoint would be of no iteration.
        ((NonSaturating, "generator", 4), ["step=2.ckpt"]),
        ((NonSaturating, "generator", 2), []),
        ((Evaluation, "measure", 2), ["step=2.ckpt"]),
        ((RecordWriter, "on_fit_end", 1), ["step=2.ckpt", "step=4.ckpt"]),
        ((GAN, "train_iteration", 3), ["step=2.ckpt", "step=3.ckpt"]),
    ],
    ids=["step", "start", "measurement", "record", "signal"],
)
def test_an_interrupted_run_ends_with_the_same_bits(
    where: Any, left: list[str], here: Path, reference: Path, fit: Command, monkeypatch: Patch
) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, *where, signalled=where[0] is GAN)
        answer = fit()
    assert answer.status == 130
    assert answer.err.splitlines()[-1].startswith("ganstoch: ")
    assert not (here / "run" / "record.json").exists()
    assert checkpoints(here / "run") == left
    answer = fit()
    assert answer.status == 0, answer
    assert ("run/checkpoints/" in answer.err) == bool(left)
    ours, theirs = record_of(here / "run"), record_of(reference)
    assert (ours.history, ours.baseline) == (theirs.history, theirs.baseline)
    for name in ("samples.npz", "panels.npz"):
        with np.load(here / "run" / name) as one, np.load(reference / name) as other:
            assert all(np.array_equal(one[key], other[key]) for key in other)
    assert_same_state(*(f / "checkpoints" / "step=4.ckpt" for f in (here / "run", reference)))


@pytest.mark.parametrize("precision", ["64-true", "bf16-true"])
def test_a_resumed_run_in_another_precision_ends_with_the_same_bits(
    precision: str, here: Path, fit: Command, monkeypatch: Patch
) -> None:
    words = (f"--trainer.precision={precision}", "--trainer.max_steps=3")
    assert fit("--out=straight", *words).status == 0
    with monkeypatch.context() as patch:
        interrupt(patch, NonSaturating, "generator", 3)
        assert fit(*words).status == 130
    assert "step=2.ckpt" in fit(*words).err
    assert record_of(here / "run").history == record_of(here / "straight").history


def assert_same_state(one: Path, other: Path) -> None:
    """Weights, the average and Adam's moments, bit by bit."""
    ours, theirs = (torch.load(path, weights_only=True) for path in (one, other))
    assert ours["global_step"] == theirs["global_step"]
    assert ours["state_dict"].keys() == theirs["state_dict"].keys()
    for name, value in theirs["state_dict"].items():
        assert torch.equal(ours["state_dict"][name], value), name
    for mine, yours in zip(ours["optimizer_states"], theirs["optimizer_states"], strict=True):
        for i, moments in yours["state"].items():
            for name, value in moments.items():
                assert torch.equal(mine["state"][i][name], value), (i, name)


def test_a_longer_run_goes_on_from_a_shorter_one_s_checkpoint(
    here: Path, made: Path, fit: Command, monkeypatch: Patch
) -> None:
    assert fit("--trainer.max_steps=6", "--out=straight").status == 0
    words = (f"--ckpt_path={made}", "--trainer.max_steps=6")
    with monkeypatch.context() as patch:
        interrupt(patch, RecordWriter, "on_fit_end", 1)
        assert fit(*words).status == 130
    assert "run/checkpoints/step=6.ckpt" in fit(*words).err
    assert record_of(here / "run").history == record_of(here / "straight").history
    assert_same_state(*(here / name / "checkpoints/step=6.ckpt" for name in ("run", "straight")))


def test_the_refusal_of_a_longer_run_names_the_way_on(here: Path, run: Path, fit: Command) -> None:
    complaint = fit("--trainer.max_steps=6").complaint
    (way,) = [word for word in complaint.split() if word.startswith("--ckpt_path=")]
    assert fit(way, "--trainer.max_steps=6", "--out=longer").status == 0
    assert [m.iteration for m in record_of(here / "longer").history] == [2, 4, 6]
    assert "--ckpt_path" in fit("--probe.every=2", "--probe.images=40").complaint
    for other in ("--trainer.max_steps=3", "--data.m=8"):  # no checkpoint would be taken
        assert "--ckpt_path" not in fit(other).complaint


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def with_a_bit_flipped(path: Path) -> None:
    """In the largest of its tensors; between them lies padding that carries nothing."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        tensor = max(map(archive.read, archive.namelist()), key=len)
    content[content.index(tensor) + len(tensor) // 2] ^= 4
    path.write_bytes(content)


def of_another_run(path: Path) -> None:
    content = torch.load(path, weights_only=True)
    torch.save({**content, "ganstoch_run": "another"}, path)


@pytest.mark.parametrize("damage", [cut_short, with_a_bit_flipped, of_another_run])
def test_the_checkpoint_before_a_damaged_one_is_used(
    damage: Callable[[Path], None], unfinished: Path, reference: Path, fit: Command
) -> None:
    damage(unfinished / "checkpoints" / "step=4.ckpt")
    answer = fit()
    assert answer.status == 0, answer
    lines = answer.err.splitlines()
    assert any(line.startswith("run/checkpoints/step=4.ckpt ") for line in lines)
    assert any(line.endswith("run/checkpoints/step=2.ckpt") for line in lines)
    assert record_of(unfinished).history == record_of(reference).history
    assert_same_state(*(f / "checkpoints" / "step=4.ckpt" for f in (unfinished, reference)))
    assert checkpoints(unfinished) == ["step=2.ckpt", "step=4.ckpt"]


def test_a_checkpoint_of_0_5_0_is_resumed_with_its_callbacks_states(
    here: Path, reference: Path, fit: Command
) -> None:
    content = torch.load(reference / "checkpoints" / "step=2.ckpt", weights_only=True)
    states = content["callbacks"]
    states["Recorder"], states["Trail"] = states.pop("RecordWriter"), states.pop("SampleHistory")
    del content["ganstoch_run"], states["Recorder"]["config"]
    old = here / "old" / "checkpoints" / "step=2.ckpt"
    old.parent.mkdir(parents=True)
    torch.save(content, old)
    old.with_name("step=2.ckpt.seal").write_text("{}")
    settings = json.loads((reference / "run.json").read_bytes())
    settings["config"]["model"]["forms"] = "rule"
    (here / "old" / "run.json").write_text(json.dumps(settings))
    assert "data.m" in fit(f"--ckpt_path={old}", "--data.m=8").complaint
    assert fit(f"--ckpt_path={old}").status == 0
    assert record_of(here / "run").history == record_of(reference).history


def without(callback: str, key: str) -> Callable[[Path], None]:
    """As another version might save."""

    def damage(path: Path) -> None:
        content = torch.load(path, weights_only=True)
        del content["callbacks"][callback][key]
        torch.save(content, path)

    return damage


@pytest.mark.parametrize(
    "damage",
    [without("RecordWriter", "config"), without("Evaluation", "history"), with_a_bit_flipped],
)
def test_a_checkpoint_that_is_named_is_no_other(
    damage: Callable[[Path], None], here: Path, made: Path, fit: Command
) -> None:
    damage(Path(shutil.copy(made, here / "given.ckpt")))
    assert "given.ckpt" in fit("--ckpt_path=given.ckpt").complaint
    assert not (here / "run").exists()


@pytest.mark.parametrize("at_once", [None, 12])
def test_a_full_gpu_gets_half_as_many_images_at_once_and_the_same_result(
    at_once: int | None, here: Path, reference: Path, fit: Command, monkeypatch: Patch
) -> None:
    original = GAN.train_iteration

    def play(self: GAN, draws: Any, *steps: Any, iteration: int, **options: Any) -> None:
        original(self, draws, *steps, iteration=iteration, **options)
        if iteration == 2 and max(len(part.pixels) for part in draws[0]) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(GAN, "train_iteration", play)
    answer = fit(f"--model.micro_batch={at_once or 'null'}")
    assert answer.status == 0, answer
    assert "run/checkpoints/step=2.ckpt" in answer.err
    ours, theirs = record_of(here / "run"), record_of(reference)
    assert ours.metrics == pytest.approx(theirs.metrics, rel=1e-5)
    assert ours.config["model"]["micro_batch"] == (at_once or 16) // 2


def test_a_gpu_too_small_for_any_micro_batch_is_told(fit: Command, monkeypatch: Patch) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(GAN, "train_iteration", full)
    answer = fit("--model.micro_batch=auto")
    assert "model.micro_batch" in answer.last
    assert "Traceback" not in answer.err


def test_a_run_at_work_elsewhere_is_left_alone(here: Path, fit: Command) -> None:
    (here / "run").mkdir()
    with FileLock(here / "run" / RUN_LOCK):
        answer = fit()
    assert answer.status == 75
    assert answer.err.startswith("ganstoch: ")
    assert [path.name for path in (here / "run").iterdir()] == ["running.lock"]
    assert fit().status == 0


def test_what_another_process_did_is_kept(here: Path, fit: Command, monkeypatch: Patch) -> None:
    original = RunFolder.setup

    def setup(self: RunFolder, *arguments: Any, **options: Any) -> None:
        monkeypatch.setattr(RunFolder, "setup", original)
        assert fit().status == 0
        original(self, *arguments, **options)

    monkeypatch.setattr(RunFolder, "setup", setup)
    assert fit().status == 75
    before = contents(here)
    assert fit().status == 0
    assert contents(here) == before


def test_wandb_offline(here: Path, fit: Command, monkeypatch: Patch) -> None:
    monkeypatch.setattr(SteadyLogger, "finalize", lambda *_: None)  # left open, to be looked into
    try:
        answer = fit("--wandb.mode=auto")
        assert wandb.run is not None
        config, summary = dict(wandb.run.config), dict(wandb.run.summary)
        run_id = wandb.run.id
    finally:
        wandb.finish()
    (folder,) = (here / "run" / "wandb").glob("offline-run-*")
    (line,) = [line for line in answer.err.splitlines() if "wandb" in line]
    assert line.endswith(f"wandb sync run/wandb/{folder.name}")
    record = record_of(here / "run")
    assert run_id == record.config_hash[:16]
    assert (config["config_hash"], config["data"]) == (record.config_hash, record.config["data"])
    assert {name: summary[name] for name in record.metrics} == pytest.approx(record.metrics)


GAME = [
    *("model.optimizer.lr=1e-4", "model.optimizer.beta1=0.3", "model.ema_decay=0.5"),
    *("model.init_std=0.1", "model.latents.bank=128", "model.latents.noise=0.5"),
    *("model.objective=Hinge", "model.remedies=[{class_path: R1}]"),
    *("model.generator.init_args.width=32", "data.m=8", "data.n=96"),
    *("data.sampling=without_replacement", "data.subset_seed=3", "seed_everything=7"),
    *("trainer.precision=64-true", "trainer.max_steps=1", "evaluation.queries=4"),
]
"""What makes up a game, or what a checkpoint has measured of it, each with another value."""


@pytest.mark.parametrize("setting", GAME)
def test_what_a_checkpoint_would_impose_is_refused_by_name(
    setting: str, here: Path, made: Path, fit: Command
) -> None:
    assert setting.partition("=")[0] in fit(f"--ckpt_path={made}", f"--{setting}").complaint
    assert list(here.iterdir()) == []


FREE = [
    *("trainer.max_steps=5", "trainer.log_every_n_steps=1", "checkpoint_every=1"),
    *("evaluation.every=1", "evaluation.held_out=true", "stop_rule.threshold=0.5"),
    *("stop_rule.window=3", "diagnosis={every: 1, images: 8}", "probe={every: 2, images: 40}"),
    *("model.micro_batch=8", "preset=another", "deterministic=false"),
    *("data.m=16", "trainer.precision=32"),  # other words for the same settings
]


def test_what_may_change_when_going_on_holds(here: Path, made: Path, fit: Command) -> None:
    answer = fit(f"--ckpt_path={made}", *(f"--{setting}" for setting in FREE))
    assert answer.status == 0, answer
    record = record_of(here / "run")
    assert [m.iteration for m in record.history] == [2, 3, 4, 5]
    assert "held_out_drop/pixel_l1/mean" in record.metrics
    assert (record.preset, record.config["model"]["micro_batch"]) == ("another", 8)
    assert record.config["stop_rule"]["window"] == 3
    signals = json.loads((here / "run" / "diagnosis.json").read_bytes())["signals"]
    assert "data:image/png" in (here / "run" / "diagnosis.html").read_text()
    assert signals["iteration"] == [3, 4, 5]
    assert checkpoints(here / "run") == ["step=4.ckpt", "step=5.ckpt"]


def test_a_logger_of_lightning_s_is_written_to(here: Path, fit: Command) -> None:
    words = ["--trainer.logger=CSVLogger", "--trainer.logger.save_dir=log"]
    assert fit(*words, "--trainer.log_every_n_steps=1").status == 0
    (written,) = (here / "log").rglob("metrics.csv")
    head, *rows = written.read_text().splitlines()
    assert {"step", "loss/generator", "overfitting/pixel_l1/mean"} <= set(head.split(","))
    assert rows
