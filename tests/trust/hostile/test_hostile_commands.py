"""Command lines that nobody should type."""

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

FIT_KEYS = [
    *("seed_everything", "preset", "remedy", "equal", "seeds", "checkpoint_every", "out"),
    *("ckpt_path", "iterations_of", "quiet", "wandb.mode", "wandb", "config", "probe"),
    *("data", "data.source", "data.root", "data.n", "data.m", "data.sampling", "data.subset_seed"),
    *("model", "model.generator", "model.generator.init_args.width", "model.discriminator"),
    *("model.objective", "model.remedies", "model.latents.bank", "model.latents.noise"),
    *("model.optimizer.lr", "model.optimizer.beta1", "model.ema_decay", "model.micro_batch"),
    *("model.shape", "trainer", "trainer.max_steps", "trainer.precision", "trainer.accelerator"),
    *("trainer.devices", "trainer.callbacks", "trainer.plugins", "trainer.strategy"),
    *("trainer.max_time", "trainer.profiler", "trainer.logger", "evaluation.every"),
    *("evaluation.queries", "evaluation.semantic", "evaluation.weights", "stop_rule.threshold"),
    *("stop_rule.stop", "data.source.init_args", "nowhere.at.all"),
]
OTHERS = [
    "*",
    *(f"table1 --preset mini {each} * --set data.n=1798" for each in ("--data", "--sweep")),
    *(f"table1 --preset mini {each} * --set data.n=1798" for each in ("--seeds", "--root")),
    *(f"table1 {each} * --set data.n=1798" for each in ("--preset", "--jobs")),
    *(f"table1 --preset mini --set {key}=* --set data.m=300" for key in FIT_KEYS),
    "table1 --preset mini --set * --set data.m=300",
    "remedies --preset mini --synthetic * --set data.m=300",
    "remedies --preset mini --remedies * --set data.m=300",
    *(f"{each} --preset mini --report --out *" for each in ("table1", "remedies")),
    *(
        f"audit --real run --generated nowhere --{each} *"
        for each in ("real", "held-out", "features", "memory", "resize", "seed", "out")
    ),
    *("audit --checkpoint *", "prepare *", "prepare digits --n * --n 0", "verify *"),
    *(
        f"prepare {each} --root run/record.json --subset_seed *"
        for each in ("cifar10", "svhn", "ffhq", "folder")
    ),
    *(f"bench {each} * --preset none" for each in ("--preset", "--estimate")),
    *("cases --seeds * --jobs -1", "cases --report --out *", "doctor --preset *"),
]
"""The other commands; a star is where something nasty stands."""


@settings(settings.get_profile("hostile"), max_examples=60)
@given(key=st.sampled_from(FIT_KEYS), value=NASTY, sure=st.sampled_from(SURE), joined=st.booleans())
def test_fit(key: str, value: str, sure: str, joined: bool, counted: Any) -> None:
    words = [f"--{key}={value}"] if joined else [f"--{key}", value]
    counted.refuses(*counted.fit, "--out=out", *words, sure)


@settings(settings.get_profile("hostile"), max_examples=120)
@given(line=st.sampled_from(OTHERS), value=NASTY)
def test_every_other_command(line: str, value: str, counted: Any) -> None:
    counted.refuses(*(word.replace("*", value) for word in line.split()))
