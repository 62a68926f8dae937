"""Small rooms, short functions: the limits of limits.toml on the largest."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

from scripts.imports import Source
from tests.house.trees import everything, in_room, limits, planted, src

Function = ast.FunctionDef | ast.AsyncFunctionDef
NOT_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
OPEN_ENDED = {"generate", "stream", "embed"}  # the library's face takes what /v1/generate takes, by keyword


def long_files(sources: Iterable[Source]) -> list[str]:
    cap = limits()["file"]
    found = []
    for source in sources:
        most = cap["wire_lines"] if in_room(source, "wire") else cap["lines"]
        lines = source.text.count("\n")
        if lines > most:
            found.append(f"{source.path}: {lines} lines, at most {most}")
    return found


def functions(source: Source) -> Iterator[tuple[Function, str]]:
    """Every function with its qualified name, nested ones too."""

    def walk(node: ast.AST, name: str) -> Iterator[tuple[Function, str]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function | ast.ClassDef):
                inner = f"{name}.{child.name}".lstrip(".")
                if not isinstance(child, ast.ClassDef):
                    yield child, inner
                yield from walk(child, inner)
            else:
                yield from walk(child, name)

    yield from walk(source.tree, "")


def code_rows(source: Source) -> set[int]:
    """The lines of a file that hold code."""
    rows: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type not in NOT_CODE:
            rows.update(range(token.start[0], token.end[0] + 1))
    return rows


def code_lines(node: Function, rows: set[int]) -> int:
    """Lines of code of a function from its `def` on, without its docstring."""
    own = {row for row in rows if node.lineno <= row <= (node.end_lineno or node.lineno)}
    if ast.get_docstring(node, clean=False) is not None:
        own -= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return len(own)


def lengths(sources: Iterable[Source]) -> list[tuple[int, str]]:
    """Length and place of every function, longest first."""
    found = []
    for source in sources:
        rows = code_rows(source)
        found += [(code_lines(node, rows), f"{source.path}:{node.lineno} {name}") for node, name in functions(source)]
    return sorted(found, reverse=True)


def long_functions(sources: Iterable[Source]) -> list[str]:
    most = limits()["function"]["lines"]
    return [f"{place}: {length} lines of code, at most {most}" for length, place in lengths(sources) if length > most]


def too_many_long(sources: Iterable[Source]) -> list[str]:
    cap = limits()["function"]
    measured = lengths(sources)
    over = [f"{place}: {length} lines of code" for length, place in measured if length >= cap["long_lines"]]
    return over if len(over) * 100 > cap["long_percent"] * len(measured) else []


def parameters(node: Function, name: str) -> int:
    """How many parameters a caller may give."""
    given = [*node.args.posonlyargs, *node.args.args]
    bound = "." in name and bool(given) and given[0].arg in {"self", "cls"}
    count = len(given) - bound + (node.args.vararg is not None)
    return count if node.name in OPEN_ENDED else count + len(node.args.kwonlyargs) + (node.args.kwarg is not None)


def wide_functions(sources: Iterable[Source]) -> list[str]:
    most = limits()["function"]["parameters"]
    return [
        f"{source.path}:{node.lineno} {name}: {parameters(node, name)} parameters, at most {most}"
        for source in sources
        for node, name in functions(source)
        if parameters(node, name) > most
    ]


def wide_classes(sources: Iterable[Source]) -> list[str]:
    most = limits()["class"]["methods"]
    found = []
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ClassDef):
                methods = {child.name for child in node.body if isinstance(child, Function)}
                if len(methods) > most:
                    found.append(f"{source.path}:{node.lineno} {node.name}: {len(methods)} methods, at most {most}")
    return found


def test_files() -> None:
    assert long_files(everything()) == []


def test_functions() -> None:
    assert long_functions(everything()) == []


def test_most_functions_are_short() -> None:
    assert too_many_long(src()) == []


def test_parameters() -> None:
    assert wide_functions(src()) == []


def test_methods() -> None:
    assert wide_classes(everything()) == []


def test_a_long_file_is_found(tmp_path: Path) -> None:
    cap = limits()["file"]
    assert not long_files(planted(tmp_path / "1", "penstock/wire/a.py", "x = 1\n" * cap["wire_lines"]))
    assert long_files(planted(tmp_path / "2", "penstock/wire/a.py", "x = 1\n" * (cap["wire_lines"] + 1)))
    assert long_files(planted(tmp_path / "3", "penstock/layers/a.py", "x = 1\n" * (cap["lines"] + 1)))


def test_a_long_function_is_found(tmp_path: Path) -> None:
    def body(lines: int) -> str:
        return "def f():\n    '''Says\n    what.'''\n" + "    x = 1\n\n    # why\n" * (lines - 1)

    most = limits()["function"]["lines"]
    assert not long_functions(planted(tmp_path / "1", "penstock/a.py", body(most)))
    assert long_functions(planted(tmp_path / "2", "penstock/a.py", body(most + 1)))


def test_too_many_long_functions_are_found(tmp_path: Path) -> None:
    cap = limits()["function"]
    long = "def g():\n" + "    x = 1\n" * (cap["long_lines"] - 1)
    short = "def f():\n    x = 1\n"
    assert not too_many_long(planted(tmp_path / "1", "penstock/a.py", long + short * 99))
    assert too_many_long(planted(tmp_path / "2", "penstock/a.py", long * 9 + short * 91))


def test_a_wide_function_is_found(tmp_path: Path) -> None:
    bad = "def f(a, b, /, c, *d, e, f, **g): ...\n"
    good = "class A:\n    def f(self, a, b, c, *, d, e, f): ...\n    def generate(self, a, *, b, c, d, e, f, g): ...\n"
    assert wide_functions(planted(tmp_path / "1", "penstock/a.py", bad))
    assert not wide_functions(planted(tmp_path / "2", "penstock/a.py", good))


def test_a_wide_class_is_found(tmp_path: Path) -> None:
    methods = "".join(f"    def f{n}(self): ...\n" for n in range(limits()["class"]["methods"] + 1))
    assert wide_classes(planted(tmp_path, "penstock/a.py", f"class A:\n{methods}"))
