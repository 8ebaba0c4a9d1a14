"""Short names of configs, and YAML that would construct, grow or hide something: refused."""

import os
import time
from pathlib import Path

import pytest
import yaml
from jsonargparse import ArgumentParser, get_loader

from ganstoch.errors import UserError
from ganstoch.runs import configs
from ganstoch.runs.configs import config_path, load_yaml, remedy_names, sweep_path, with_paths


def test_short_names_win_over_files_and_home_is_known(here: Path) -> None:
    (here / "home").mkdir()
    own = here / "home" / "own.yaml"
    for path in (own, here / "own.yaml", here / "mini"):
        path.write_text("data: {n: 3}\n")
    assert config_path("own.yaml") == Path("own.yaml")
    assert config_path(str(own)) == config_path("~/own.yaml") == own
    assert config_path("mini").name == "mini.yaml"
    assert config_path("./mini") == Path("mini")
    assert sweep_path("table1").name == "table1.yaml"


def test_remedies_lie_behind_names_of_their_own() -> None:
    names = remedy_names()
    assert names[0] == "plain"
    assert names[1:] == sorted(names[1:])
    assert len(set(names)) == len(names) > 30
    assert not set(names) & set(configs.packaged_names())
    with pytest.raises(UserError, match="'hinge'"):
        config_path("hinge")


@pytest.mark.parametrize("words", [["--remedy", "packing2+hinge"], ["--remedy=packing2+hinge"]])
def test_names_become_paths_in_their_order_and_joined_remedies_several(words: list[str]) -> None:
    mini = config_path("mini")
    remedies = [mini.parent / "remedies" / f"{name}.yaml" for name in ("packing2", "hinge")]
    assert with_paths(["--config", "mini", "--config=mini", "--out", "mini", *words, "--n=3"]) == [
        *(f"--config={mini}", f"--config={mini}", "--out", "mini"),
        *(f"--config={path}" for path in remedies),
        *("--remedy=packing2+hinge", "--n=3"),  # behind configs that may name one
    ]


@pytest.mark.parametrize("names", ["wgan_gp+weight_clipping", "wasserstein+wgan_gp", "hinge+plain"])
def test_remedies_may_bring_the_same_objective(names: str) -> None:
    assert len(with_paths([f"--remedy={names}"])) == 3


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["--config", "."], r"'\.'"),
        (["--config="], "''"),
        (["--remedy"], "''"),
        (["--remedy=hinge+"], "''"),
        (["--remedy=mini"], "'mini'"),
        (["--remedy=hinge+r1+saturating"], "hinge and saturating"),
    ],
)
def test_no_such_config(words: list[str], name: str) -> None:
    with pytest.raises(UserError, match=name):
        with_paths(words)


REFUSED = {
    "an object": b"!!python/object/apply:os.system [touch pwned]",
    "another tag": b"a: !!binary eA==",
    "a doubling": b"a0: &a0 [x, x, x, x]\n"
    + b"".join(b"a%d: &a%d [*a%d, *a%d, *a%d]\n" % (i + 1, i + 1, i, i, i) for i in range(30)),
    "a circle": b"&a [*a]",
    "depth": b"[" * 3000 + b"]" * 3000,
    "length": b"# " + b"x" * 100_000,
    "a key twice": b"data: {n: 1}\ndata: {m: 2}",
    "a null byte": b'out: "a\\0b"',
    "a number without end": b"n: " + b"9" * 5000,
    "half a list": b"data: [\n",
}
"""Some of these PyYAML refuses by itself, other ones in every version, and in words of its own."""
NO_SETTINGS = {"nothing": b"", "a list": b"- 3\n", "a word": b"data\n", "bytes": b"\xff\xfe\x00"}


@pytest.mark.parametrize("kind", REFUSED | NO_SETTINGS)
def test_refuses(kind: str, here: Path) -> None:
    text = (REFUSED | NO_SETTINGS)[kind]
    started = time.monotonic()
    if kind in REFUSED:
        with pytest.raises(yaml.YAMLError):
            load_yaml(text.decode())
    Path("own.yaml").write_bytes(text)
    with pytest.raises(UserError, match=r"own\.yaml"):
        config_path("own.yaml")
    assert time.monotonic() - started < 4
    assert list(here.iterdir()) == [here / "own.yaml"]


@pytest.mark.parametrize(
    "text",
    [
        *("a: &x {b: [1, 2]}\nc: *x", "a: 1e-4", "{a: null, b: [true, 'x']}", "- 2001-12-14"),
        "a: [a, a]",
    ],
)
def test_leaves_alone_what_is_plain(text: str) -> None:
    assert load_yaml(text) is not None


def test_every_parser_reads_by_it() -> None:
    assert get_loader("yaml") is load_yaml
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--x", type=list[int])
    with pytest.raises(Exception, match="'x'"):
        parser.parse_string("{x: [1], x: [2]}")


def test_a_setting_that_names_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    with pytest.raises(yaml.YAMLError, match="pipe"):
        load_yaml(f"model: [a, {{b: {pipe}}}]")
    with pytest.raises(UserError, match="pipe"):
        with_paths(["--config=mini", f"--model={pipe}"])
