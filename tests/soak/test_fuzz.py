"""Millions of made-up inputs for what reads a stranger's bytes: no crash, no answer that is wrong, none over 100 ms."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.end_to_end.process import environment
from tests.soak.figures import tell

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not there for this Python or system"),
]

ROOT = Path(__file__).parents[2]


class Run(NamedTuple):
    """A target's cases.

    Attributes:
        learned: under atheris, which learns what gets further.
        more: like those that did, without it.
    """

    target: str
    learned: int
    more: int = 0
    seed: int = 1


# The three that the wire consists of, and what stands on them. A stream's case costs twenty times as much, and four
# times that while it is watched: so they are runs of their own side by side, and most of them are not watched.
STREAM_PARTS = 4
RUNS = {
    "requests": Run("requests", 1_000_000),
    "response": Run("response", 1_000_000),
    "events": Run("events", 1_000_000),
    "fields": Run("fields", 1_000_000),
    "translation": Run("translation", 300_000),
    **{f"streams-{part}": Run("streams", 25_000, 225_000, part) for part in range(1, STREAM_PARTS + 1)},
}


@pytest.mark.parametrize("name", RUNS)
def test_a_million_cases(tmp_path: Path, name: str) -> None:
    run, began = RUNS[name], time.monotonic()
    learned = _cases("fuzz.py", run.target, run.learned, run.seed, tmp_path)
    got_further = len(list((tmp_path / "corpus").iterdir()))
    more = _cases("fuzz_on.py", run.target, run.more, run.seed, tmp_path) if run.more else 0
    tell(
        f"fuzz {run.target}: {learned + more:,} cases in {time.monotonic() - began:.0f} s, {got_further} of which led"
        f" somewhere new; seed {run.seed}: none crashed, hung or was answered wrongly"
    )


def _cases(program: str, target: str, count: int, seed: int, folder: Path) -> int:
    """So many cases, of which none may be wrong; how many there were."""
    command = [sys.executable, str(Path(__file__).with_name(program)), target, str(count), str(seed), str(folder)]
    path = f"{ROOT}:{ROOT / 'src'}"
    done = subprocess.run(command, env=environment(PYTHONPATH=path), cwd=folder, capture_output=True, text=True)
    kept = [file.name for file in folder.iterdir() if file.is_file()]
    assert done.returncode == 0, f"{kept} in {folder}: {done.stdout[-3000:]} {done.stderr[-3000:]}"
    found = re.search(r"number_of_executed_units: *(\d+)", done.stdout + done.stderr)
    assert found is not None
    assert int(found[1]) >= count
    return int(found[1])
