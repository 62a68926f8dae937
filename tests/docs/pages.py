"""A page of the docs as its reader would follow it: files written, commands typed, output compared, in one folder.

Of a page's fences these are acted on, in their order:

- ```yaml title="penstock.yaml"``` (or of any other language) is written to the file of that name;
- ```console run``` holds commands behind `$ ` and what they say: `...` stands for anything, `[exit 2]` at the end for
  an exit code that is not 0. `export` lasts to the end of the page, and `penstock serve` goes on until the next one;
- ```yaml scenario``` is one of `penstock simulate`, and no configuration;
- ```python served``` is run while that gateway runs.

`fresh` begins anew in an empty folder. 127.0.0.1:8484 and :8485 stand for whatever ports the gateway got.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.end_to_end.process import SECONDS, Served, environment
from tests.house.trees import ROOT

__all__ = ["Fence", "Reader", "documents", "fences", "is_followed", "mismatch", "steps_in"]

FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w+-]+)(?P<marks>[^\n]*)\n(?P<code>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL
)
TITLE = re.compile(r'title="([\w./-]+)"')
EXIT = re.compile(r"\n?\[exit (\d+)\]$")
EXPORT = re.compile(r"export ((?:\w+=\S+ ?)+)$")
MOST_TRIES = 20
PYTHON = """
import ast, asyncio, inspect, sys
code = compile(sys.stdin.read(), "<example>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
outcome = eval(code, {"__name__": "__main__"})
if inspect.iscoroutine(outcome):
    asyncio.run(outcome)
"""


@dataclass(frozen=True)
class Fence:
    """A fenced block: where it opens, and what stands behind its language."""

    place: str
    language: str
    marks: str
    code: str

    @property
    def title(self) -> str:
        """The file it stands for, "" for none."""
        found = TITLE.search(self.marks)
        return found[1] if found else ""

    @property
    def words(self) -> list[str]:
        return TITLE.sub("", self.marks).split()


def documents() -> list[Path]:
    """Every page that a reader may come upon."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")])


def fences(name: str, text: str) -> list[Fence]:
    """Those of one page."""
    found = []
    for match in FENCE.finditer(text):
        indent = len(match["indent"])
        code = "\n".join(row[indent:] for row in match["code"].splitlines())
        place = f"{name}:{text.count(chr(10), 0, match.start()) + 1}"
        found.append(Fence(place, match["language"], match["marks"].strip(), code))
    return found


def is_followed(fence: Fence) -> bool:
    """Whether a reader acts on it."""
    return bool(
        (fence.language == "console" and "run" in fence.words)
        or (fence.language == "python" and "served" in fence.words)
        or fence.title
    )


def steps_in(code: str) -> Iterator[tuple[str, str]]:
    """The commands of a console block, each with what it says. A backslash carries a command on."""
    command, said, goes_on = "", [""], False
    for line in code.splitlines():
        if goes_on or line.startswith("> "):
            command += f"\n{line.removeprefix('> ')}"
        elif line.startswith("$ "):
            if command:
                yield command, "\n".join(said[1:])
            command, said = line.removeprefix("$ "), [""]
        else:
            said.append(line)
            continue
        goes_on = line.endswith("\\")
    if command:
        yield command, "\n".join(said[1:])


def mismatch(expected: str, said: str) -> str:
    """What differs; an empty text where what was said is as written.

    `...` stands for anything within a line or across several; alone on its line for any number of lines, none too.
    """
    plain = "".join(f"{line.rstrip()}\n" for line in said.strip().splitlines())
    wanted = "".join(map(_expression, expected.strip().splitlines()))
    return "" if re.fullmatch(wanted, plain, re.DOTALL) else f"expected:\n{expected}\nsaid:\n{plain}"


def _expression(line: str) -> str:
    if line.strip() == "...":
        return "(?:[^\n]*\n)*?"
    return "".join(".*?" if part == "..." else re.escape(part) for part in re.split(r"(\.\.\.)", line.rstrip())) + "\n"


@dataclass
class Reader:
    """Follows one page in an empty folder, and ends what it started."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    served: Served | None = None

    def __post_init__(self) -> None:
        self._home = self.folder
        self._begun = 0
        self._begin()

    def _begin(self) -> None:
        self.close()
        self._begun += 1
        self.folder = self._home / str(self._begun)
        self.folder.mkdir()
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.env = {"PATH": path, "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT / "src")}

    def _write(self, name: str, text: str) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def follow(self, fence: Fence) -> str:
        """Do what one fence says; what went wrong, or an empty text."""
        if "fresh" in fence.words:
            self._begin()
        if fence.title:
            self._write(fence.title, fence.code + "\n")
            return ""
        if fence.language == "python":
            return self._told(fence, self._run([sys.executable, "-W", "error", "-c", PYTHON], self._here(fence.code)))
        for command, expected in steps_in(fence.code):
            wrong = self._type(command, expected)
            if wrong:
                return f"{fence.place}: $ {command}\n{wrong}"
        return ""

    def _type(self, command: str, expected: str) -> str:
        exported = EXPORT.match(command)
        if exported:
            self.env |= dict(pair.split("=", 1) for pair in exported[1].split())
            return ""
        code = EXIT.search(expected)
        if command.split()[:2] == ["penstock", "serve"] and not code:
            self.close()
            self.served = Served(self.folder, *command.split()[2:], env=self.env)
            return mismatch(expected, self._there(self.served.told.text)) if expected else ""
        done = self._run(["bash", "-c", self._here(command)])
        for _ in range(MOST_TRIES):
            # The ports that a page names may be somebody else's for a moment, on a machine where much runs.
            if "in use by another program" not in done.stdout:
                break
            done = self._run(["bash", "-c", self._here(command)])
        wanted = int(code[1]) if code else 0
        if done.returncode != wanted:
            return f"ended with {done.returncode}, not {wanted}; said:\n{done.stdout}"
        return mismatch(EXIT.sub("", expected), self._there(done.stdout))

    def _run(self, command: list[str], text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            input=text,
            cwd=self.folder,
            env=environment(**self.env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            timeout=2 * SECONDS,
        )

    def _told(self, fence: Fence, done: subprocess.CompletedProcess[str]) -> str:
        return f"{fence.place}: ended with {done.returncode}:\n{done.stdout}" if done.returncode else ""

    def _here(self, text: str) -> str:
        """With the ports that the gateway got."""
        if self.served is None:
            return text
        admin = self.served.admin_url.rpartition(":")[2]
        return text.replace("127.0.0.1:8484", f"127.0.0.1:{self.served.port}").replace(
            "127.0.0.1:8485", f"127.0.0.1:{admin}"
        )

    def _there(self, text: str) -> str:
        """With the ports that the page names."""
        if self.served is None:
            return text
        admin = self.served.admin_url.rpartition(":")[2]
        return text.replace(f"127.0.0.1:{self.served.port}", "127.0.0.1:8484").replace(
            f"127.0.0.1:{admin}", "127.0.0.1:8485"
        )

    def close(self) -> None:
        """End the gateway."""
        if self.served is not None:
            self.served.kill()
            self.served = None
