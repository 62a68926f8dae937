"""Runs the tests as two processes side by side, and tells what came of both as pytest does: `make test`.

Whatever starts processes of its own, and may want the usual ports, is in the first one; so those never meet.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import IO

TESTS = Path(__file__).parent.parent / "tests"
# By how long they take, about the same as all the others together.
FIRST = ("admin", "benchmarks", "cli", "docs", "end_to_end", "examples")
# But for these, which start nothing.
SECOND = ("end_to_end/test_corpus_replay.py",)
COUNT = re.compile(r"(\d+) (passed|failed|skipped|deselected|xfailed|xpassed|error|warning)s?\b")
CLOSING = re.compile(r"^=* ?((?:\d+ \w+,? ?)+) in [\d.]+s.*$", re.MULTILINE)


def split() -> tuple[list[str], list[str]]:
    """What pytest is told to run in each of the two: every folder and file of tests is in one of them."""
    there = sorted(path for path in TESTS.iterdir() if path.is_dir() or path.name.startswith("test_"))
    found = [path for path in there if not path.name.startswith(("__", "."))]
    others = [TESTS / name for name in SECOND]
    first = [str(path) for path in found if path.name in FIRST] + [f"--ignore={path}" for path in others]
    return first, [str(path) for path in (*found, *others) if path.name not in FIRST]


def start(paths: list[str], arguments: list[str], out: IO[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pytest", *arguments, *paths]
    return subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)


def main(arguments: list[str]) -> int:
    """Returns the exit code: that of the half that went worse."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("first", "second")]
        running = []
        for paths, file in zip(split(), files, strict=True):
            with file.open("w") as out:
                running.append(start(paths, arguments, out))
        codes = []
        for half, file in zip(running, files, strict=True):
            codes.append(show(half, file))
        told = [file.read_text("utf-8", "replace") for file in files]
    print(f"{summed(told)} in {time.monotonic() - began:.2f}s")
    # 5: nothing was collected there, as where somebody asked for one test.
    worse = [code for code in codes if code != 5]
    return max(worse, default=5)


def show(half: subprocess.Popen[bytes], file: Path) -> int:
    """Pass on what it writes as it comes, to its end."""
    with file.open("r", encoding="utf-8", errors="replace") as written:
        while True:
            over = half.poll() is not None
            text = written.read()
            if text:
                sys.stdout.write(text)
                sys.stdout.flush()
            if over:
                return half.returncode
            time.sleep(0.2)


def summed(told: list[str]) -> str:
    """The counts of both closing lines, as one says it."""
    counts: Counter[str] = Counter()
    for text in told:
        closings = CLOSING.findall(text)
        for count, what in COUNT.findall(closings[-1]) if closings else ():
            counts[what] += int(count)
    order = ("failed", "passed", "skipped", "deselected", "xfailed", "xpassed", "warning", "error")
    return ", ".join(f"{counts[what]} {what}" for what in order if counts[what]) or "no tests ran"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
