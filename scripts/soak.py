"""Runs the soak tests, each in a process of its own: two side by side, then one by one those that measure times.

`make soak`. What has passed on a commit is kept in `tests/soak/passed.json`, so a run that was broken off, or in which
something failed, is gone on with; once all have passed the next run begins anew. Arguments are pytest's: with `-k fuzz`
those are run, whether they have passed or not.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

TESTS = Path(__file__).parent.parent / "tests" / "soak"
PASSED = TESTS / "passed.json"
# What must have the machine for itself, for it is about time.
ALONE = ("test_disconnects", "test_ledger_queries", "test_overload", "test_slow_crowd", "test_sixteen_faults")
# Each set of arguments of these is a run of its own; of others all together are.
APART = ("test_fuzz.py", "test_booked", "test_a_thousand_trials", "test_the_p99", "test_five_thousand")
# What takes longest begins first, so that the two sides end together.
LONGEST = ("million_requests", "planted", "[events]", "streams", "booked", "fuzz", "trials")
AT_ONCE = int(os.environ.get("PENSTOCK_AT_ONCE", "2"))
NONE_COLLECTED = 5
FIGURES = re.compile(r"^=+ figures =+\n(.*?)^(?:=|\d+ \w+(?:, \d+ \w+)* in )", re.MULTILINE | re.DOTALL)


class Unit(NamedTuple):
    """Tests that are run together, by the name of the first."""

    name: str
    tests: tuple[str, ...]

    @property
    def alone(self) -> bool:
        return any(f"{file}.py" in self.name for file in ALONE)


class Running(NamedTuple):
    """A unit at work."""

    unit: Unit
    process: subprocess.Popen[bytes]
    out: IO[str]
    began: float


def collect(arguments: list[str]) -> list[Unit]:
    """What there is to run, the longest first and those alone last."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "soak", str(TESTS), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, NONE_COLLECTED):
        sys.exit(done.stdout + done.stderr)
    return units(line for line in done.stdout.splitlines() if "::" in line)


def units(tests: Iterable[str]) -> list[Unit]:
    """Tests, as pytest names them, as they are run together."""
    found: dict[str, list[str]] = {}
    for test in tests:
        name = test if any(each in test for each in APART) else test.partition("[")[0]
        found.setdefault(name, []).append(test)
    every = [Unit(name, tuple(several)) for name, several in found.items()]
    return sorted(every, key=lambda unit: (unit.alone, _turn(unit.name)))


def _turn(name: str) -> int:
    return next((turn for turn, part in enumerate(LONGEST) if part in name), len(LONGEST))


def state() -> str:
    """The commit, or "" where something was changed since."""
    git = ["git", "-C", str(TESTS)]
    changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=False)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return "" if changed.stdout or commit.returncode else commit.stdout.strip()


def load_passed(commit: str) -> dict[str, Any]:
    """What passed on that commit in a run that did not get to its end: seconds and figures by unit."""
    if not commit or not PASSED.exists():
        return {}
    known = json.loads(PASSED.read_bytes())
    return dict(known["passed"]) if known["commit"] == commit and not known["whole"] else {}


def save_passed(commit: str, passed: Mapping[str, Any], *, whole: bool) -> None:
    PASSED.write_text(json.dumps({"commit": commit, "whole": whole, "passed": passed}, indent=1) + "\n")


def start(unit: Unit, arguments: list[str]) -> Running:
    # pytest takes paths from where it runs, and writes them from its root.
    command = [sys.executable, "-m", "pytest", "-q", "-m", "soak", *arguments, *unit.tests]
    out = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 -- closed once it was read
    env = os.environ | {"PENSTOCK_SOAK": str(os.getpid())}
    process = subprocess.Popen(
        command, stdout=out, stderr=subprocess.STDOUT, cwd=TESTS.parents[1], env=env, start_new_session=True
    )
    return Running(unit, process, out, time.monotonic())


def ended(running: Running) -> tuple[bool, dict[str, Any]]:
    """Whether it passed, and what is known of it; tells it, and all that it wrote where it failed."""
    seconds = round(time.monotonic() - running.began)
    running.out.seek(0)
    with running.out as out:
        written = out.read()
    figures = figures_in(written)
    good = running.process.returncode == 0
    print(f"{'passed' if good else 'FAILED'} {running.unit.name.rpartition('/')[2]}: {seconds} s", flush=True)
    print("\n".join(f"    {figure}" for figure in figures) if good else written, flush=True)
    return good, {"seconds": seconds, "figures": figures}


def figures_in(written: str) -> list[str]:
    """The lines of figures in what pytest wrote."""
    return "".join(FIGURES.findall(written)).splitlines()


def main(arguments: list[str]) -> int:
    """Returns the exit code: 1 where something failed."""
    began, commit = time.monotonic(), state()
    every = collect(arguments)
    passed = load_passed(commit)
    waiting = [unit for unit in every if arguments or unit.name not in passed]
    if len(waiting) < len(every):
        print(f"{len(every) - len(waiting)} of {len(every)} passed before on this commit: {PASSED}", flush=True)
    at_work: list[Running] = []
    failed: list[str] = []
    try:
        while waiting or at_work:
            while waiting and len(at_work) < (1 if waiting[0].alone else AT_ONCE) and not _has_alone(at_work):
                at_work.append(start(waiting.pop(0), arguments))
            time.sleep(0.2)
            for running in [each for each in at_work if each.process.poll() is not None]:
                at_work.remove(running)
                good, known = ended(running)
                if good:
                    passed[running.unit.name] = known
                else:
                    failed.append(running.unit.name)
                save_passed(commit, passed, whole=False)
    finally:
        for running in at_work:  # and what it has started
            os.killpg(running.process.pid, signal.SIGTERM)
            running.process.wait()
    save_passed(commit, passed, whole=not failed and not arguments)
    print(f"{len(failed)} of {len(every)} failed{''.join(f'{chr(10)}    {name}' for name in failed)}")
    print(f"in {(time.monotonic() - began) / 60:.0f} minutes")
    return 1 if failed else 0 if every else NONE_COLLECTED


def _has_alone(at_work: list[Running]) -> bool:
    return any(running.unit.alone for running in at_work)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
