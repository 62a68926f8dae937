"""Who imports whom, read from the source without running it.

The picture of the house and the house tests both look through this one reader. Imports inside functions and under
`TYPE_CHECKING` count too: a dependency that is only sometimes paid for is still one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Import", "Source", "cycles", "imports_of", "read_tree"]


@dataclass(frozen=True)
class Source:
    """One Python file.

    Attributes:
        path: relative to the folder that was read, with forward slashes.
        module: its dotted name, such as `penstock.wire.h1`; a package's `__init__` has the package's name.
        text: the file as it is.
        tree: the parsed file.
    """

    path: str
    module: str
    text: str
    tree: ast.Module

    @property
    def package(self) -> str:
        """The package it lies in (its own name for an `__init__`)."""
        return self.module if self.path.endswith("__init__.py") else self.module.rpartition(".")[0]


@dataclass(frozen=True)
class Import:
    """One imported module.

    Attributes:
        target: dotted name of the module, resolved as far as the tree that was read knows it.
        name: the name taken from it by `from target import name`, or an empty string.
        line: where.
        inside: whether it stands in a function.
    """

    target: str
    name: str
    line: int
    inside: bool


def read_tree(root: Path) -> list[Source]:
    """Every Python file under `root`, sorted by path. `root` is the folder that holds the top package."""
    sources = []
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if any(part.startswith(".") or part == "__pycache__" for part in relative.parts):
            continue
        text = path.read_text(encoding="utf-8")
        module = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
        sources.append(Source(relative.as_posix(), module, text, ast.parse(text, str(path))))
    return sources


def imports_of(source: Source, known: frozenset[str] = frozenset()) -> Iterator[Import]:
    """Every import of a file, in order. With `known` modules, `from package import module` resolves to the module."""
    yield from _imports(source, source.tree, False, known)


def _imports(source: Source, node: ast.AST, inside: bool, known: frozenset[str]) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, "", child.lineno, inside)
        elif isinstance(child, ast.ImportFrom):
            base = _base(source, child)
            for alias in child.names:
                full = f"{base}.{alias.name}"
                target, name = (full, "") if full in known else (base, alias.name)
                yield Import(target, name, child.lineno, inside)
        else:
            deeper = inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(source, child, deeper, known)


def _base(source: Source, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = source.package.split(".")
    kept = parts[: len(parts) - node.level + 1]
    return ".".join([*kept, node.module] if node.module else kept)


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The knots of a graph: each group of names that all reach each other, sorted (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(graph.get(name, ())):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            cut = stack.index(name)
            group = sorted(stack[cut:])
            del stack[cut:]
            if len(group) > 1 or name in graph.get(name, ()):
                found.append(group)

    for name in sorted(graph):
        if name not in index:
            visit(name)
    return found
