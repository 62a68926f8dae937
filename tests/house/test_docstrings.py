"""Every module says what the room is for; every public function and class says what it promises."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from scripts.imports import Source
from tests.house.trees import everything, planted, src

Public = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def silent_modules(sources: Iterable[Source]) -> list[str]:
    return [f"{source.path}:1: no module docstring" for source in sources if not ast.get_docstring(source.tree)]


def silent_names(sources: Iterable[Source]) -> list[str]:
    return [
        f"{source.path}:{node.lineno}: {node.name} has no docstring"
        for source in sources
        for node in _public(source.tree)
        if not ast.get_docstring(node)
    ]


def _public(tree: ast.Module) -> Iterator[Public]:
    """Top-level functions and classes. Methods are left to judgement: many only keep a protocol's promise."""
    return (node for node in tree.body if isinstance(node, Public) and not node.name.startswith("_"))


def test_modules() -> None:
    assert silent_modules(everything()) == []


def test_public_names() -> None:
    assert silent_names(src()) == []


@pytest.mark.parametrize("text", ["", "x = 1", "# only a comment\n"])
def test_a_silent_module_is_found(tmp_path: Path, text: str) -> None:
    assert silent_modules(planted(tmp_path, "penstock/wire/__init__.py", text))


@pytest.mark.parametrize("text", ["def f(): ...", "async def f(): ...", "class A:\n    x = 1"])
def test_a_silent_name_is_found(tmp_path: Path, text: str) -> None:
    assert silent_names(planted(tmp_path, "penstock/a.py", text))


def test_private_names_may_be_silent(tmp_path: Path) -> None:
    assert not silent_names(planted(tmp_path, "penstock/a.py", "def _f(): ...\nclass _A: ..."))
