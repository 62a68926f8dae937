"""Calls that turn data into code or commands have no place in the package."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

import pytest

from scripts.imports import Source, imports_of
from tests.house.trees import dotted, planted, src

BANNED_MODULES = {"pickle", "marshal", "shelve", "dill", "subprocess", "pty", "commands"}
BANNED_CALLS = {
    "eval", "exec", "compile", "__import__", "builtins.eval", "builtins.exec",
    "yaml.load", "yaml.unsafe_load", "os.system", "os.popen",
}  # fmt: skip
BANNED_NAMES = {"os": {"system", "popen"}, "yaml": {"load", "unsafe_load"}, "builtins": {"eval", "exec"}}
SQL_CALLS = {"execute", "executemany", "executescript"}


def dangerous(sources: Iterable[Source]) -> list[str]:
    """Code from data, commands from data, SQL put together from strings."""
    found = []
    for source in sources:
        for item in imports_of(source):
            top = item.target.partition(".")[0]
            if top in BANNED_MODULES or item.name in BANNED_NAMES.get(item.target, ()):
                found.append(f"{source.path}:{item.line}: {item.target} {item.name} is banned")
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call):
                name = dotted(node.func)
                if name in BANNED_CALLS or name.startswith(("os.exec", "os.spawn")):
                    found.append(f"{source.path}:{node.lineno}: {name}() is banned")
                if name.rpartition(".")[2] in SQL_CALLS and node.args and _put_together(node.args[0]):
                    found.append(f"{source.path}:{node.lineno}: SQL is a constant; values go in as parameters")
    return found


def _put_together(node: ast.expr) -> bool:
    """Whether a text is made on the spot from parts that are not all constants."""
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.FormattedValue) for part in node.values)
    if isinstance(node, ast.BinOp):
        return not (isinstance(node.left, ast.Constant) and isinstance(node.right, ast.Constant))
    return isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] in {"format", "join"}


def test_nothing_dangerous() -> None:
    assert dangerous(src()) == []


@pytest.mark.parametrize(
    "text",
    [
        "eval('1')",
        "exec(text)",
        "import pickle",
        "from subprocess import run",
        "import asyncio, subprocess",
        "yaml.load(text)",
        "from yaml import load",
        "import os\nos.system('ls')",
        "os.execv(a, b)",
        "cursor.execute(f'select {name}')",
        "self.db.execute('select ' + name)",
        "db.executemany('select %s' % name, rows)",
        "db.execute('select {}'.format(name))",
    ],
)
def test_a_dangerous_call_is_found(tmp_path: Path, text: str) -> None:
    assert dangerous(planted(tmp_path, "penstock/stores/a.py", text))


def test_constant_sql_passes(tmp_path: Path) -> None:
    assert not dangerous(planted(tmp_path, "penstock/stores/a.py", "db.execute('select a ' 'from b', (x,))"))
