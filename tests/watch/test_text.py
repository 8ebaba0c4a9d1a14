"""Readers of text, tables and JSON, on lines as the projects write them."""

import json
import time
from pathlib import Path

import pytest

from ganstoch.errors import UserError
from ganstoch.watch.columns import columns_of, parse_map, role_of
from ganstoch.watch.series import Log
from ganstoch.watch.sources import sources
from ganstoch.watch.text import pairs_of

STUDIOGAN = (
    "[INFO] 2020-09-15 13:24:04 > Step:     100 Progress: 0.1% Elapsed: 0:00:05 temperature: no "
    "ada_p: No Discriminator_loss: 0.5 Generator_loss: 5.0 \n"
    "[INFO] 2020-09-15 13:27:01 > FID score (Step: 100, Using test moments): 114.9\n"
    "[INFO] 2020-09-15 13:27:01 > Inception score (Step: 100, 10000 generated images): 3.4\n"
    "[INFO] 2020-09-15 13:27:01 > Best FID score (Step: 100, Using test moments): 114.9\n"
)
PIX2PIX = """================ Training Loss (Mon) ================
(epoch: 1, iters: 100, time: 0.1, data: 0.2) G_GAN: 0.9 G_L1: 12.1 D_real: 0.7 D_fake: 0.6
(epoch: 1, iters: 400, time: 0.1, data: 0.2) G_GAN: 0.9 G_L1: 12.1 D_real: 0.7 D_fake: 0.6
(epoch: 2, iters: 100, time: 0.1, data: 0.2) G_GAN: 0.8 G_L1: 12.1 D_real: 0.7 D_fake: 0.6
"""
DCGAN = "[1/25][10/1583]\tLoss_D: 0.5\tLoss_G: 5.0\tD(x): 0.9\tD(G(z)): 0.1 / 0.05\n"
PYTORCH_GAN = "[Epoch 1/200] [Batch 3/938] [D loss: 0.5] [G loss: 5.0]\n"
KERAS_GAN = "7 [D loss: 0.5, acc.: 75.00%] [G loss: 5.0]\n"
TQDM = "  1%|#| 7/700 [00:01<02:00, D_loss=0.5, G_loss=5.0]\r 2%|#| 9/700 [D_loss=0.4, G_loss=5]\n"
CTGAN = "Gen. (5.00) | Discrim. (0.50):   0%|          | 1/300 [00:00<02:00,  5.0it/s]\n"
GROUPED = (
    "step: 12,600 d_loss: 0.5, g_loss: 5.0\n",
    'step,d_loss,g_loss\n"12,600",0.5,5.0\n',
    "step;d_loss;g_loss\n12600;0,5;5,0\n",
    '{"step": "12,600", "d_loss": 0.5, "g_loss": "5.0"}\n',
)
RVC = (
    "INFO:voice:Train Epoch: 3 [27%]\nINFO:voice:[600, 0.0001]\n"
    "INFO:voice:loss_disc=0.5, loss_gen=5.0, loss_fm=9.1,loss_mel=18.2, loss_kl=1.2\n"
)
KERAS = "Epoch 2/30\n\r100/100 [====] - 12s 120ms/step - d_loss: 0.5000 - g_loss: 5.0000\n"
BASICSR = "[epoch:  2, iter:  12,000, lr:(1.0e-04,)] l_g_pix: 2e-2 l_g_gan: 5e+0 loss_d: 5.0e-01\n"
STYLEGAN = json.dumps(
    {"Loss/D/loss": {"num": 9, "mean": 0.5, "std": 1}, "Loss/G/loss": {"num": 9, "mean": 5.0}}
    | {"Loss/scores/real": {"mean": 1.0}, "Loss/signs/real": {"mean": 0.4}}
    | {"Progress/kimg": {"num": 1, "mean": 4.0, "std": 0}, "timestamp": 1.6e9}
)


def read(path: Path, text: str) -> Log:
    path.write_text(text)
    (source,) = sources(path)
    source.read()
    return source.log


def points(log: Log, role: str) -> list[tuple[float, float]]:
    """Steps and values of the column of a role."""
    steps, values = log.series[columns_of(log.series, {})[role]].arrays()
    return list(zip(steps.tolist(), values.tolist(), strict=True))


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-be", "utf-8-sig"])
@pytest.mark.parametrize("text", [STUDIOGAN, "step,d_loss,g_loss\n100,0.5,5.0\n"])
def test_what_another_shell_wrote_is_text(text: str, codec: str, tmp_path: Path) -> None:
    bom = "\ufeff" if codec == "utf-16-be" else ""
    path = tmp_path / "log.txt"
    path.write_bytes((bom + text).replace("\n", "\r\n").encode(codec))
    (source,) = sources(path)
    source.read()
    assert points(source.log, "loss_d") == [(100, 0.5)]
    assert points(source.log, "loss_g") == [(100, 5.0)]


@pytest.mark.parametrize(
    ("text", "step"),
    [
        *((STUDIOGAN, 100), (DCGAN, 1593), (PYTORCH_GAN, 941), (KERAS_GAN, 7), (STYLEGAN, 4)),
        *((CTGAN, 1), *((text, 12600) for text in GROUPED)),
        *((RVC, 3), (KERAS, 2), (BASICSR, 12000)),
        ("\x1b[32mstep\x1b[0m=7 \x1b[1md_loss\x1b[0m=\x1b[31m0.5\x1b[0m g_loss: 5.0\n", 7),
        ("{'step': 7, 'd_loss': 0.5, 'g_loss': np.float64(5.0)}\n", 7),
        ('INFO | {"num_updates": "9", "step": "7", "d_loss": "0.5", "g_loss": "5.0"}\n', 7),
        ("Step 1,000 | D loss: tensor(0.5, device='cuda:0') | G loss: 5\n", 1000),
        ("step: 1,234, d_loss: 0,5 g_loss: 5,0\n", 1234),
        ("step 7 D loss 0.5 G loss 5.0\n", 7),
        ("iter 7, d_loss 5e-1, g_loss 5.0 (lower is better)\n", 7),
        ("| step: 7 | |\n| d_loss      | 0.5 |\n| g_loss      | 5.0  |\n", 7),
    ],
)
def test_a_line_of_each_project(tmp_path: Path, text: str, step: float) -> None:
    log = read(tmp_path / "log.txt", text)
    assert points(log, "loss_d") == [(step, 0.5)]
    assert points(log, "loss_g") == [(step, 5.0)]


def test_evaluations_of_studiogan(tmp_path: Path) -> None:
    log = read(tmp_path / "a.log", STUDIOGAN)
    assert points(log, "fid") == [(100, 114.9)]
    assert points(log, "is") == [(100, 3.4)]


def test_iterations_that_begin_anew_each_epoch_are_counted_on(tmp_path: Path) -> None:
    log = read(tmp_path / "loss_log.txt", PIX2PIX)
    assert points(log, "loss_g") == [(100, 0.9), (400, 0.9), (500, 0.8)]
    assert points(log, "loss_d_real") == [(100, 0.7), (400, 0.7), (500, 0.7)]


def test_epochs_of_a_run_that_is_taken_up_again(tmp_path: Path) -> None:
    line = "(epoch: {}, iters: {}, time: 0.1) D_A: 0.5 G_A: 0.3 cycle_A: 1.2 D_B: 0.4 G_B: 0.2\n"
    ends = [(e, i) for e in (1, 2, 3, 2, 3) for i in (100, 400)]
    log = read(tmp_path / "loss_log.txt", "".join(line.format(*end) for end in ends))
    assert points(log, "loss_d") == [(s, 0.5) for s in (100, 400, 500, 800, 900, 1200)]
    assert points(log, "loss_g")[-1] == (1200, 0.3)


@pytest.mark.parametrize(
    "line", ["Epoch: {} | Iter: {} | D: 0.5", "Epoch {}\nStep {}: d_loss: 0.5"]
)
def test_steps_that_begin_anew_each_epoch_are_counted_on(tmp_path: Path, line: str) -> None:
    text = "\n".join(line.format(e, i) for e in (1, 2) for i in (10, 20))
    log = read(tmp_path / "a.log", text)
    assert points(log, "loss_d") == [(10, 0.5), (20, 0.5), (30, 0.5), (40, 0.5)]


@pytest.mark.parametrize("part", [":", "a.", "a", " a", " loss", "loss", "|", "a |", " ("])
def test_no_line_takes_long(part: str) -> None:
    def cost(line: str) -> float:
        start = time.process_time()
        pairs_of(line)
        return time.process_time() - start

    usual = cost("d_loss: 0.5, " * 1_500)
    assert pairs_of(part * (20_000 // len(part))) == {}
    assert cost(" (" + part * (20_000 // len(part))) < 100 * usual


def test_lines_that_a_progress_bar_overwrote(tmp_path: Path) -> None:
    log = read(tmp_path / "out.txt", TQDM)
    assert [value for _, value in points(log, "loss_d")] == [0.5, 0.4]


def test_the_other_answers_of_a_discriminator(tmp_path: Path) -> None:
    log = read(tmp_path / "log.txt", DCGAN)
    assert points(log, "d_real") == [(1593, 0.9)]
    assert points(log, "d_fake") == [(1593, 0.1)]


def test_metrics_of_stylegan_lie_beside_its_losses(tmp_path: Path) -> None:
    line = {"results": {"fid50k_full": 12.5}, "metric": "fid50k_full"}
    line |= {"snapshot_pkl": "network-snapshot-000200.pkl", "timestamp": 1.6e9}
    (tmp_path / "metric-fid50k_full.jsonl").write_text(json.dumps(line) + "\n")
    log = read(tmp_path / "stats.jsonl", STYLEGAN + "\n")
    assert points(log, "fid") == [(200, 12.5)]
    assert points(log, "sign_real") == [(4, 0.4)]
    assert log.unit == "kimg"


def test_lines_without_a_step_stand_at_the_last_one(tmp_path: Path) -> None:
    text = "".join(f"step: {i}000 d_loss: 0.5\nFID: {50 - i}\n" for i in range(1, 4))
    log = read(tmp_path / "a.log", "epochs: 900\n" + text)
    assert points(log, "fid") == [(1000, 49.0), (2000, 48.0), (3000, 47.0)]
    assert not log.series["FID"].began_again
    lone = read(tmp_path / "b.log", "epochs: 900\nd_loss: 0.5\nd_loss: 0.4\n")
    assert points(lone, "loss_d") == [(1, 0.5), (2, 0.4)]


def test_columns_that_change_within_a_table(tmp_path: Path) -> None:
    text = "step,d_loss,g_loss\n1,0.5,5.0\nstep,fid,g_loss,d_loss\n2,30,4.0,0.4\n"
    log = read(tmp_path / "metrics.csv", text)
    assert points(log, "loss_d") == [(1, 0.5), (2, 0.4)]
    assert points(log, "fid") == [(2, 30.0)]
    assert log.notes == []


def test_a_table_that_is_written_anew_with_a_late_column_more(tmp_path: Path) -> None:
    path, many = tmp_path / "metrics.csv", [f"a_long_name_{i}" for i in range(40)]
    names, cells = ",".join(["d_loss", *many]), ",".join(["0.5", *["1"] * 40])
    path.write_text(f"{names},step\n{cells},1\n")
    (source,) = sources(path)
    source.read()
    path.write_text(f"{names},extra,step\n{cells},,1\n{cells},9,2\n")
    source.read()
    assert points(source.log, "loss_d") == [(1, 0.5), (2, 0.5)]
    assert source.log.series["extra"].values == [9.0]


def test_tables_with_holes_words_and_a_line_that_is_cut_off(tmp_path: Path) -> None:
    text = "epoch,step,d_loss,g_loss,n\n0,10,0.5,,a\n0,10,,5.0,b\n0,20,0.4,oops,\n0,30,0.3,4\n"
    log = read(tmp_path / "metrics.csv", text)
    assert points(log, "loss_d") == [(10, 0.5), (20, 0.4), (30, 0.3)]
    assert points(log, "loss_g") == [(10, 5.0), (30, 4.0)]
    assert log.notes


def test_a_table_by_epochs_as_of_ctgan(tmp_path: Path) -> None:
    log = read(
        tmp_path / "losses.csv", "\ufeffEpoch,Generator Loss,Discriminator Loss\n0,5.0,0.5\n"
    )
    assert points(log, "loss_g") == [(0, 5.0)]
    assert points(log, "loss_d") == [(0, 0.5)]


def test_documents_of_rows_of_columns_and_of_our_own_signals(tmp_path: Path) -> None:
    rows = [{"step": 1, "d_loss": 0.5}, {"step": 2, "d_loss": 0.4}]
    assert points(read(tmp_path / "a.json", json.dumps(rows)), "loss_d") == [(1, 0.5), (2, 0.4)]
    columns = json.dumps({"d_loss": [0.5, 0.4]}, indent=1)
    assert points(read(tmp_path / "b.json", columns), "loss_d") == [(1, 0.5), (2, 0.4)]
    ours = {"verdict": "healthy", "signals": {"iteration": [25], "diversity": [1.0]}}
    log = read(tmp_path / "diagnosis.json", json.dumps(ours) + "\n")
    series = log.series["diagnosis/diversity"]
    assert (series.steps, series.values) == ([25.0], [1.0])


FOREIGN = {
    "empty": b"",
    "binary": b"\0\1\2" * 50,
    "prose": b"hello\nworld\n",
    "cut-off": b'{"a": \n',
    "no-json": b"[1, 2",
    "no-utf8": b"a,b\n\xff\xfe,\n",
    "blank": b"\r\n" * 9,
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN.keys())
@pytest.mark.parametrize("name", ["x.log", "x.csv", "x.jsonl", "x.json", "x.wandb", "x.db"])
def test_foreign_files_give_no_numbers_and_no_exception(
    tmp_path: Path, content: bytes, name: str
) -> None:
    (tmp_path / name).write_bytes(content)
    for source in sources(tmp_path):
        source.read()
        assert not source.log.series


NAMES = {
    "loss_d": "d_loss D_loss loss/discriminator Losses/discriminator loss/d/total Loss_D errD D "
    "loss_disc discriminator_loss_step Loss/D/loss train/loss_D critic_loss D_A",
    "loss_g": "g_loss loss/generator loss/g/total Loss_G errG loss_gen G G_GAN Loss/G/loss l_g_gan",
    "fid": "FID fid fid50k_full metrics/fid FID_score fid/inception val/FID frechet_distance",
    "kid": "kid50k_full KID",
    "is": "IS is50k_mean inception_score IS_mean",
    "recall": "pr50k3_full_recall recall",
    "mode_drop": "mode_drop/pixel_l1/mean mode_drop",
    "accuracy_real": "acc_real D_accuracy_real",
    "logit_fake": "Loss/scores/fake logits_fake fake_logit",
    "sign_real": "Loss/signs/real r_t",
}
OTHERS = "loss/g/fm loss/d/grad_norm Best_FID G_L1 lr_g time loss is50k_std D_gp kl step gpu_g"


@pytest.mark.parametrize(("role", "name"), [(r, n) for r, s in NAMES.items() for n in s.split()])
def test_names_that_projects_use(role: str, name: str) -> None:
    assert role_of(name) == role


@pytest.mark.parametrize("name", OTHERS.split())
def test_names_of_other_things(name: str) -> None:
    assert role_of(name) is None


def test_totals_come_before_parts_and_what_is_stated_before_all() -> None:
    names = ["loss/d/0", "loss/d/1", "loss/d/total", "d_loss_epoch", "mine"]
    assert columns_of(names, {})["loss_d"] == "loss/d/total"
    assert columns_of(names, {"loss_d": "mine"})["loss_d"] == "mine"


@pytest.mark.parametrize("pair", ["d_loss", "nothing=x", "d_loss=", "=x"])
def test_a_map_that_says_nothing(pair: str) -> None:
    with pytest.raises(UserError, match="--map"):
        parse_map([pair])
