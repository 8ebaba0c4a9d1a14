"""Configs and sweep files that anybody may have written."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ganstoch.runs.configs import config_path, sweep_path

HOSTILE = settings(settings.get_profile("hostile"), max_examples=50)

DOUBLING = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(20)
)
"""Nine to the 21st words, if the aliases were written out."""

SCALARS = [
    *("nan", ".nan", "-.inf", "1e400", "-1", "9" * 40, "9" * 5000, "0x_", "0b_", "1:1:1", "~"),
    *("2001-99-99", "2001-12-14t21:59:43.10-05:00", "!!timestamp x", "!!binary é", "!!int abc"),
    *("!!float {}", "!!set {a, b}", "!!omap [a: 1]", "!!null x", "!!str [a]", "! x", "!<!> x"),
    "!!python/object/apply:os.system [touch pwned]",
    "!!python/object/new:subprocess.Popen [[touch, pwned]]",
    *("!!python/name:os.system", "!!python/module:os", "!!js/function x", "!pwned x"),
    *('"a\\0b"', '"\\e[2J"', '"a\\nb"', '"\\ud800"', '"\\U00110000"', "'\u202egpj.exe'"),
    *("&a [*a]", "&a {b: *a}", "*nowhere", "[" * 3000 + "]" * 3000, "{a: " * 500 + "}" * 500),
    *("{a: 1, a: 2}", "{[1]: 2}", "? {a: 1} : 2", "{null: 1, 1.5: 2, true: 3}"),
    *("/dev/zero", "fifo"),
    *("os.system", "{class_path: os.system}", "{class_path: os.system, init_args: {command: ls}}"),
    "{class_path: subprocess.Popen, init_args: {args: [touch, pwned]}}",
    *("{class_path: Digits, init_args: {x: 1}}", "{class_path: 3}", "{init_args: 3}", "[{}]", "''"),
]
SCALAR = st.sampled_from(SCALARS) | st.text(max_size=30)

KEYS = [
    *("seed_everything", "equal", "checkpoint_every", "quiet", "wandb", "wandb.mode", "config"),
    *("data", "data.source", "data.n", "data.m", "data.sampling", "data.subset_seed", "data.seed"),
    *("model", "model.generator", "model.discriminator", "model.objective", "model.remedies"),
    *("model.latents", "model.latents.bank", "model.optimizer", "model.optimizer.lr"),
    *("model.ema_decay", "model.micro_batch", "model.shape", "trainer", "trainer.max_steps"),
    *("trainer.precision", "trainer.callbacks", "trainer.plugins", "trainer.devices", "evaluation"),
    *("evaluation.queries", "stop_rule", "stop_rule.threshold", "probe", "nowhere"),
    *("", "__class__"),
]


def nested(key: str, value: str) -> str:
    """A value under a dotted key, as YAML."""
    return "".join(f"{'  ' * i}{part}:\n" for i, part in enumerate(key.split("."))) + (
        "  " * (key.count(".") + 1) + value + "\n"
    )


def damaged(text: str) -> st.SearchStrategy[bytes]:
    """A file with some of its bytes changed, left out or brought in."""
    content = text.encode()

    def damage(edits: list[tuple[int, int, bytes]]) -> bytes:
        changed = content
        for at, length, insert in edits:
            place = at % (len(changed) + 1)
            changed = changed[:place] + insert + changed[place + length :]
        return changed

    edit = st.tuples(st.integers(0, len(content)), st.integers(0, 40), st.binary(max_size=6))
    return st.lists(edit, min_size=1, max_size=4).map(damage)


WHOLE = [
    *(b"", b"\0", b"\xff\xfe\0d", b"- 1\n- 2\n", b"a: 1\n---\nb: 2\n", b"%YAML 9.9\n---\na: 1\n"),
    *(DOUBLING.encode(), b"\t- a", b"a: 'open", b"# " + b"x" * 200_000, b"a: {<<: *a}\n"),
    *(b"config: hostile.yaml\n", b"data: hostile.yaml", b"model: fifo\n"),
    b"data: {source: fifo}\n",
]
CONFIG = st.one_of(
    st.tuples(st.sampled_from(KEYS), SCALAR).map(lambda p: nested(*p).encode("utf-8", "replace")),
    st.sampled_from(WHOLE),
    damaged(config_path("mini").read_text()),
    st.binary(max_size=60),
)


@settings(HOSTILE, max_examples=100)
@given(content=CONFIG, key=st.sampled_from(["config", "data", "model", "trainer", "data.source"]))
def test_settings_from_a_file(content: bytes, key: str, counted: Any) -> None:
    file = counted.folder / "hostile.yaml"
    file.write_bytes(content)
    words = ["--config=mini", f"--{key}={file.name}", "--out=out", "--data.m=1798"]
    counted.refuses("fit", *words)


COMMAND = 'command: ["${env}", ganstoch, fit, --config, mini, "${args}"]\n'
ONE = "parameters: {data.m: {value: 4}}\n"
GRID = "method: grid\n" + COMMAND
PLACES = [
    *(f"name: *\n{GRID}{ONE}", f"method: *\n{COMMAND}{ONE}", f"method: grid\ncommand: *\n{ONE}"),
    f"{GRID}parameters: *\n",
    *(f"{GRID}parameters:\n  {key}: {{value: *}}\n" for key in (*KEYS[:-2], "help", "out")),
    *(f"{GRID}parameters:\n  data.m: {{{key}: *}}\n" for key in ("values", "min")),
]
"""Sweeps; a star is where something nasty stands."""

MANY = GRID + "parameters:\n" + "".join(f"  k{i}: {{values: {[*range(9)]}}}\n" for i in range(40))
SWEEP = st.one_of(
    st.tuples(st.sampled_from(PLACES), SCALAR).map(
        lambda pair: pair[0].replace("*", pair[1]).encode("utf-8", "replace")
    ),
    st.sampled_from([MANY.encode(), *WHOLE]).filter(lambda content: b"config:" not in content),
    damaged(sweep_path("table1").read_text()),
    st.binary(max_size=60),
)


@settings(HOSTILE, max_examples=100)
@given(content=SWEEP)
def test_sweeps(content: bytes, counted: Any) -> None:
    file = counted.folder / "hostile.yaml"
    file.write_bytes(content)
    counted.refuses("table1", "--preset", "mini", "--sweep", file.name, "--set", "data.m=1798")
