"""What can be held of the image without an engine to build it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docker/Dockerfile").read_text().replace("\\\n", " ")
LINES = [line.strip() for line in TEXT.splitlines() if line.strip() and line[0] != "#"]
LAST = LINES[max(i for i, line in enumerate(LINES) if line.startswith("FROM ")) :]
"""The stage that is shipped."""


def words(instruction: str, lines: list[str]) -> list[str]:
    """What stands behind an instruction, wherever it comes."""
    pairs = [line.split(" ", 1) for line in lines]
    return [rest for first, rest in pairs if first == instruction]


def environment(lines: list[str]) -> dict[str, str]:
    pairs = [pair.partition("=") for text in words("ENV", lines) for pair in text.split()]
    return {name: value for name, _, value in pairs}


def test_it_does_not_run_as_root() -> None:
    assert words("USER", LAST) == ["app"]
    before = LAST.index("USER app")
    assert any("useradd" in line for line in LAST[:before])
    assert not any(line.startswith(("RUN", "COPY", "ADD")) for line in LAST[before:])


def test_it_holds_the_locked_versions_and_their_byte_code() -> None:
    (install,) = [text for text in words("RUN", LINES) if "pip install" in text]
    for variable in ("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT"):
        assert f"{variable}=requirements.lock" in install.split()
    assert "--no-compile" not in install
    assert not {"PYTHONDONTWRITEBYTECODE", "PIP_NO_COMPILE"} & environment(LINES).keys()
    assert any("ganstoch fit --help" in text for text in words("RUN", LAST))


def test_one_volume_holds_everything_that_is_written() -> None:
    assert words("VOLUME", LAST) == words("WORKDIR", LAST) == ["/ganstoch"]
    variables = environment(LAST)
    places = {k: v for k, v in variables.items() if v.startswith("/") and k != "PATH"}
    assert {"HOME", "XDG_CACHE_HOME", "TORCH_HOME", "MPLCONFIGDIR"} <= set(places)
    for name, place in places.items():
        assert (place + "/").startswith("/ganstoch/"), name


def test_nothing_secret_is_asked_for_or_copied() -> None:
    secret = re.compile(r"key|token|secret|passw|netrc|credential|auth", re.IGNORECASE)
    for instruction in ("ARG", "ENV", "LABEL"):
        assert not [text for text in words(instruction, LINES) if secret.search(text)]
    assert not words("ADD", LINES)
    copied = [text.split() for text in words("COPY", LINES)]
    sources = {word for text in copied if not text[0].startswith("--from") for word in text[:-1]}
    # Each by its name: a secret beside them stays outside.
    assert "." not in sources
    assert not [source for source in sources if secret.search(source)]
    assert all((ROOT / source).exists() for source in sources)
