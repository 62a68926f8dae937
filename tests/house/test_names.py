"""Names say what is inside. A file named for nothing collects everything."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path

from scripts.imports import Source
from tests.house.trees import everything, planted

NOTHING_NAMES = {"util", "utils", "helper", "helpers", "common", "manager", "handler", "processor", "misc"}
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def empty_names(sources: Iterable[Source]) -> list[str]:
    found = []
    for source in sources:
        for part in Path(source.path).with_suffix("").parts:
            if _says_nothing(part):
                found.append(f"{source.path}: the name {part!r} says nothing")
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ClassDef) and _says_nothing(node.name):
                found.append(f"{source.path}:{node.lineno}: the name {node.name!r} says nothing")
    return found


def _says_nothing(name: str) -> bool:
    return not NOTHING_NAMES.isdisjoint(word.lower() for word in WORD.findall(name))


def test_names() -> None:
    assert empty_names(everything()) == []


def test_an_empty_name_is_found(tmp_path: Path) -> None:
    assert empty_names(planted(tmp_path / "1", "penstock/wire/http_utils.py", ""))
    assert empty_names(planted(tmp_path / "2", "penstock/helpers/a.py", ""))
    assert empty_names(planted(tmp_path / "3", "penstock/a.py", "class HTTPHandler: ..."))
    assert not empty_names(planted(tmp_path / "4", "penstock/a.py", "class Commonwealth: ..."))
