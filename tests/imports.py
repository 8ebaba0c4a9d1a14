"""Imports all that ganstoch imports, wherever in its files, so that Python keeps the byte code.

`make install` runs it. Left to itself pip would compile all of torch, which takes a minute; and
where Python is told to keep nothing, as in many containers, every start compiles what it imports.
"""

import ast
import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "ganstoch"


def modules() -> Iterator[str]:
    """Dotted names of ours and of what they import, some more than once."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
                yield from (word.value for word in node.args if isinstance(word, ast.Constant))


if __name__ == "__main__":
    for name in sorted(set(modules())):
        with contextlib.suppress(ImportError):  # what is not installed is not imported later either
            importlib.import_module(name)
