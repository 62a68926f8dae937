"""Runs the tests in parts, side by side, and tells what came of all as pytest does: `make test`.

Whatever starts processes of its own, and may want the usual ports, is in parts that never meet. These wait for much, so
there are two others beside one of them, which come after it wherever a core is wanted; whoever is done takes the next.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent / "tests"
# Never two of these at once. Both begin with what takes longest. Programs of one's own are among the client's, too.
APART = (("cli",), ("end_to_end",), ("docs", "examples/test_examples.py", "client"))
# The rest is in the last of these.
OTHERS = (
    ("simulation",),
    ("examples/test_scenarios.py", "end_to_end/test_corpus_replay.py", "server"),
    ("wire",),
    ("admin", "security", "stores"),
)
COUNT = re.compile(r"(\d+) (passed|failed|skipped|deselected|xfailed|xpassed|error|warning)s?\b")
CLOSING = re.compile(r"^=* ?((?:\d+ \w+,? ?)+) in [\d.]+s.*$", re.MULTILINE)
IGNORE = "--ignore="
CORES = 2
NICE = ("nice", "-n", "10")
LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Part:
    """What one pytest runs."""

    paths: tuple[str, ...]
    apart: bool


def split() -> list[Part]:
    """The parts, in the order in which they are begun: every folder and file of tests is in one of them."""
    there = sorted(path for path in TESTS.iterdir() if path.is_dir() or path.name.startswith("test_"))
    found = [path for path in there if not path.name.startswith(("__", "."))]
    named = [TESTS / name for names in (*APART, *OTHERS) for name in names]
    within = [path for path in named if path.parent != TESTS]
    apart, others = ([_part(names, within) for names in lists] for lists in (APART, OTHERS))
    taken = {*named, *(path.parent for path in within)}
    left = [path for path in found if path not in taken]
    # What else is in a folder of which a file was named.
    left += [
        file
        for folder in sorted({path.parent for path in within} - set(named))
        for file in sorted(folder.glob("test_*.py"))
        if file not in named
    ]
    return [
        *(Part(paths, apart=True) for paths in apart),
        *(Part(paths, apart=False) for paths in (*others, tuple(map(str, left)))),
    ]


def _part(names: Sequence[str], within: Sequence[Path]) -> tuple[str, ...]:
    paths = [TESTS / name for name in names]
    ignored = [f"--ignore={file}" for file in within if file.parent in paths]
    return (*map(str, paths), *ignored)


def without(parts: Sequence[Part], ignored: Sequence[str]) -> list[Part]:
    """The same less what is to be ignored, which pytest runs nevertheless where it is named."""
    left_out = {str(Path(name).resolve()) for name in ignored}
    less = [Part(tuple(path for path in part.paths if path not in left_out), part.apart) for part in parts]
    return [part for part in less if any(not path.startswith("-") for path in part.paths)]


class Run:
    """A part under way."""

    def __init__(self, part: Part, arguments: Sequence[str], file: Path) -> None:
        self.part = part
        self._file = file
        command = [*(() if part.apart else NICE), sys.executable, "-m", "pytest", *arguments, *part.paths]
        with file.open("w") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)

    @property
    def told(self) -> str:
        return self._file.read_text("utf-8", "replace")


def main(arguments: list[str]) -> int:
    """Returns the exit code: that of the part that went worst."""
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    waiting = without(split(), [each.removeprefix(IGNORE) for each in arguments if each.startswith(IGNORE)])
    running: list[Run] = []
    codes, told = [], []
    with tempfile.TemporaryDirectory() as folder:
        try:
            while waiting or running:
                while part := following(waiting, running):
                    waiting.remove(part)
                    running.append(Run(part, arguments, Path(folder) / str(len(waiting))))
                time.sleep(LOOK_SECONDS)
                for run in [run for run in running if run.process.poll() is not None]:
                    running.remove(run)
                    codes.append(run.process.returncode)
                    told.append(run.told)
                    print(run.told, end="", flush=True)
        finally:
            # Stopped in the middle: what they had come to.
            for run in running:
                run.process.terminate()
                print(run.told, flush=True)
    print(f"{summed(told)} in {time.monotonic() - began:.2f}s")
    # 5: nothing was collected there, as where somebody asked for one test.
    return max((code for code in codes if code != 5), default=5)


def following(waiting: Sequence[Part], running: Sequence[Run]) -> Part | None:
    """The first that may run now."""
    apart = sum(run.part.apart for run in running)
    room = {True: 1 - apart, False: CORES - (len(running) - apart)}
    return next((part for part in waiting if room[part.apart] > 0), None)


def summed(told: list[str]) -> str:
    """The counts of all closing lines, as one says it."""
    counts: Counter[str] = Counter()
    for text in told:
        closings = CLOSING.findall(text)
        for count, what in COUNT.findall(closings[-1]) if closings else ():
            counts[what] += int(count)
    order = ("failed", "passed", "skipped", "deselected", "xfailed", "xpassed", "warning", "error")
    return ", ".join(f"{counts[what]} {what}" for what in order if counts[what]) or "no tests ran"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
