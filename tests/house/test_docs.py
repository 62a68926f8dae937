"""What the docs show is true: Python examples compile, those marked to run do run, and the picture is current.

A fence that opens with ```python is compiled (top-level `await` is fine, as in a notebook). One that opens with
```python run is also run, as its reader would: alone, in an empty folder, with no key in the environment, so that
the simulated provider answers. It must end by itself, without a word on stderr, and leave no file behind.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts import house
from tests.house.trees import ROOT

FENCE = re.compile(r"^(?P<indent> *)```python(?P<mark>[^\n]*)\n(?P<code>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL)
SECONDS = 30
RUNNER = """
import ast, asyncio, inspect, sys
source = sys.stdin.read()
code = compile(source, "<example>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
outcome = eval(code, {"__name__": "__main__"})
if inspect.iscoroutine(outcome):
    asyncio.run(outcome)
"""


@dataclass(frozen=True)
class Example:
    """A Python example in a document: where it stands, its text, and whether it is to be run."""

    place: str
    code: str
    runs: bool


def documents() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")])


def examples(name: str, text: str) -> list[Example]:
    found = []
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        indent = len(match["indent"])
        code = "\n".join(row[indent:] for row in match["code"].splitlines())
        found.append(Example(f"{name}:{line}", code, match["mark"].strip() == "run"))
    return found


def uncompilable(wanted: Iterable[Example]) -> list[str]:
    found = []
    for example in wanted:
        try:
            compile(example.code, example.place, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        except SyntaxError as error:
            found.append(f"{example.place}: {error}")
    return found


def trouble_of(example: Example, folder: Path) -> str:
    """What went wrong when the example ran; an empty text if nothing did."""
    try:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", RUNNER],
            input=example.code,
            cwd=folder,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT / "src")},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{example.place}: still running after {SECONDS} s"
    left = sorted(path.name for path in folder.iterdir())
    if done.returncode or done.stderr or left:
        return f"{example.place}: ended with {done.returncode}, left {left}, said:\n{done.stderr}"
    return ""


def every_example() -> list[Example]:
    return [e for path in documents() for e in examples(path.relative_to(ROOT).as_posix(), path.read_text())]


RUNNABLE = [example for example in every_example() if example.runs]


def test_examples_compile() -> None:
    assert uncompilable(every_example()) == []


def test_the_readme_has_an_example_that_runs() -> None:
    assert [example for example in RUNNABLE if example.place.startswith("README.md:")]


@pytest.mark.parametrize("example", RUNNABLE, ids=lambda example: str(example.place))
def test_example_runs(example: Example, tmp_path: Path) -> None:
    assert trouble_of(example, tmp_path) == ""


def test_examples_are_found_and_told_apart() -> None:
    text = "a\n```python\nx = 1\n```\n- b\n  ```python run\n  for x in y:\n      await x\n  ```\n```json\n{}\n```\n"
    assert examples("a.md", text) == [
        Example("a.md:2", "x = 1", False),
        Example("a.md:6", "for x in y:\n    await x", True),
    ]


def test_an_example_that_cannot_compile_is_found() -> None:
    assert uncompilable([Example("a.md:1", "def", False)])
    assert not uncompilable([Example("a.md:1", "await x", False)])


@pytest.mark.parametrize(
    "code", ["raise SystemExit(3)", "open('left', 'w').close()", "import sys; sys.stderr.write('no')", "await x"]
)
def test_an_example_that_fails_is_found(code: str, tmp_path: Path) -> None:
    assert trouble_of(Example("a.md:1", code, True), tmp_path)


def test_a_good_example_passes(tmp_path: Path) -> None:
    code = "import asyncio, os\nawait asyncio.sleep(0)\nassert 'OPENAI_API_KEY' not in os.environ"
    assert trouble_of(Example("a.md:1", code, True), tmp_path) == ""


@pytest.mark.parametrize("name", ["house.svg", "house.md"])
def test_the_picture_is_current(name: str) -> None:
    drawn = house.draw(ROOT)
    assert (ROOT / "docs" / name).read_text() == drawn[name], "run `make picture`"


def test_a_new_import_changes_the_picture(tmp_path: Path) -> None:
    for name in ("wire", "config", "client"):
        (tmp_path / f"src/penstock/{name}").mkdir(parents=True)
        (tmp_path / f"src/penstock/{name}/__init__.py").write_text('"""A room."""\n')
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    before = house.draw(tmp_path)
    (tmp_path / "src/penstock/client/a.py").write_text("from penstock import config\n")
    after = house.draw(tmp_path)
    assert before["house.svg"] != after["house.svg"]
    assert before["house.md"] != after["house.md"]
