"""What the house tests share: where the repository is, its trees, and a way to plant a bad file.

A check is a function from sources to findings (`path:line: what is wrong`). Each is run on the real tree, where it
must find nothing, and on a planted file, where it must find something: a check that cannot fail guards nothing.
"""

from __future__ import annotations

import ast
import textwrap
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from scripts.imports import Source, read_tree

__all__ = ["ROOT", "dotted", "everything", "in_room", "limits", "planted", "project", "src", "suite"]

ROOT = Path(__file__).resolve().parents[2]


@cache
def src() -> tuple[Source, ...]:
    """The package's files; paths begin with `penstock/`."""
    return tuple(read_tree(ROOT / "src"))


@cache
def suite() -> tuple[Source, ...]:
    """The tests' files; paths are relative to `tests/`."""
    return tuple(read_tree(ROOT / "tests"))


@cache
def everything() -> tuple[Source, ...]:
    """Every Python file of the repository that is kept in it."""
    rest = [source for name in ("scripts", "examples", "benchmarks") for source in read_tree(ROOT / name)]
    return (*src(), *suite(), *rest)


@cache
def project() -> dict[str, Any]:
    """pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@cache
def limits() -> dict[str, dict[str, int]]:
    """limits.toml."""
    return tomllib.loads((ROOT / "tests/house/limits.toml").read_text())


def planted(tmp_path: Path, path: str, text: str) -> list[Source]:
    """A tree that holds one file, such as `penstock/wire/bad.py`."""
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(textwrap.dedent(text))
    return read_tree(tmp_path)


def in_room(source: Source, *rooms: str) -> bool:
    """Whether a file of the package is one of these rooms (`clock`) or lies in one (`wire`, `transport.memory`)."""
    return any(f"{source.module}.".startswith(f"penstock.{room}.") for room in rooms)


def dotted(node: ast.AST) -> str:
    """`a.b.c` of an attribute chain; what is not a name in it becomes `()`."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else f"{dotted(node.func)}()" if isinstance(node, ast.Call) else "()"
