"""Command lines that nobody should type."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

SURE = ("--ckpt_path=nowhere.ckpt", "--data.n=1798", "--model.latents.bank=3", "--data.source=Ring")
"""Mistakes that are refused at different moments, the last of them just before training."""

NASTY = st.sampled_from(
    [
        *("", " ", "\t", ".", "..", "-", "--", "~nobody/x", "null", "true", "%s%n"),
        "$(touch pwned)",
        *("\x1b[2J", "\x1b]0;title\x07", "a\nb", "\u202egpj.exe", "\u2028", "\udcff", "²", "٣"),
        *("nan", "-inf", "1e400", "-1", "0", "1.5", str(10**30), "-" + "9" * 40, "9" * 5000),
        *("a" * 5000, "../" * 60, "/dev/zero", "/dev/null", "/proc/self/mem", "fifo", "run"),
        *("[[[[", "{a: [1", "[" * 2000 + "]" * 2000, "&a [*a]", "{a: 1, a: 2}", "*a", "? [a]"),
        *("!!python/object/apply:os.system [touch pwned]", "!!binary x", "2001-99-99"),
        *("os.system", "subprocess.Popen", "builtins.eval", "ganstoch.cli.main", "pathlib.Path"),
        "{class_path: os.system, init_args: {command: touch pwned}}",
        "[" + ",".join(f"&{c} [{','.join([f'*{p}'] * 9)}]" for p, c in ("ab", "bc", "cd")) + "]",
    ]
) | st.text(min_size=1, max_size=20).filter(lambda text: "\0" not in text)
"""The system lets no null byte into a command line."""

FIT_KEYS = st.sampled_from(
    [
        *("seed_everything", "preset", "remedy", "equal", "seeds", "checkpoint_every", "out"),
        *("ckpt_path", "iterations_of", "quiet", "wandb.mode", "wandb", "config", "probe"),
        *("data", "data.source", "data.root", "data.n", "data.m", "data.sampling"),
        "data.subset_seed",
        *("model", "model.generator", "model.generator.init_args.width", "model.discriminator"),
        *("model.objective", "model.remedies", "model.latents.bank", "model.latents.noise"),
        *("model.optimizer.lr", "model.optimizer.beta1", "model.ema_decay", "model.micro_batch"),
        *("model.shape", "trainer", "trainer.max_steps", "trainer.precision"),
        *("trainer.accelerator", "trainer.devices", "trainer.callbacks", "trainer.plugins"),
        *("trainer.strategy", "trainer.max_time", "trainer.profiler", "trainer.logger"),
        *("evaluation.every", "evaluation.queries", "evaluation.semantic", "evaluation.weights"),
        *("stop_rule.threshold", "stop_rule.stop", "data.source.init_args", "nowhere.at.all"),
    ]
)
FIT = st.tuples(FIT_KEYS, NASTY, st.sampled_from(SURE), st.booleans()).map(
    lambda case: [
        *([f"--{case[0]}={case[1]}"] if case[3] else [f"--{case[0]}", case[1]]),
        case[2],
    ]
)
MINI = ["table1", "--preset", "mini"]
OTHERS = st.one_of(
    st.tuples(NASTY).map(list),
    st.tuples(st.sampled_from(["--data", "--sweep", "--seeds", "--root"]), NASTY).map(
        lambda words: [*MINI, *words, "--set", "data.n=1798"]
    ),
    st.tuples(st.sampled_from(["--preset", "--jobs"]), NASTY).map(
        lambda words: ["table1", *words, "--set", "data.n=1798"]
    ),
    st.tuples(FIT_KEYS, NASTY).map(
        lambda s: [*MINI, "--set", f"{s[0]}={s[1]}", "--set", "data.m=300"]
    ),
    NASTY.map(lambda word: [*MINI, "--set", word, "--set", "data.m=300"]),
    st.tuples(st.sampled_from(["--synthetic", "--remedies"]), NASTY).map(
        lambda words: ["remedies", "--preset", "mini", *words, "--set", "data.m=300"]
    ),
    st.tuples(st.sampled_from(["table1", "remedies"]), NASTY).map(
        lambda words: [words[0], "--preset", "mini", "--report", "--out", words[1]]
    ),
    st.tuples(
        st.sampled_from(
            ["--real", "--held-out", "--features", "--memory", "--resize", "--seed", "--out"]
        ),
        NASTY,
    ).map(lambda words: ["audit", "--real", "run", "--generated", "nowhere", *words]),
    NASTY.map(lambda word: ["audit", "--checkpoint", word]),
    NASTY.map(lambda word: ["prepare", word]),
    st.tuples(st.sampled_from(["cifar10", "svhn", "ffhq", "folder"]), NASTY).map(
        lambda words: ["prepare", words[0], "--root", "run/record.json", "--subset_seed", words[1]]
    ),
    NASTY.map(lambda word: ["prepare", "digits", "--n", word, "--n", "0"]),
    st.tuples(st.sampled_from(["--preset", "--estimate"]), NASTY).map(
        lambda words: ["bench", *words, "--preset", "none"]
    ),
    NASTY.map(lambda word: ["cases", "--seeds", word, "--jobs", "-1"]),
    NASTY.map(lambda word: ["cases", "--report", "--out", word]),
    NASTY.map(lambda word: ["doctor", "--preset", word]),
    NASTY.map(lambda word: ["verify", word]),
)


@settings(settings.get_profile("hostile"), max_examples=60)
@given(words=FIT)
def test_fit(words: list[str], counted: Any) -> None:
    counted.refuses(*counted.fit, "--out=out", *words)


@settings(settings.get_profile("hostile"), max_examples=120)
@given(words=OTHERS)
def test_every_other_command(words: list[str], counted: Any) -> None:
    counted.refuses(*words)
