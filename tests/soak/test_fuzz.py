"""Millions of made-up inputs for what reads a stranger's bytes: no crash, no answer that is wrong, none over 100 ms."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.end_to_end.process import environment
from tests.soak.figures import tell

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not there for this Python or system"),
]

ROOT = Path(__file__).parents[2]
# The three that the wire consists of, and what stands on them: there a case costs a hundred times as much.
RUNS = {
    "requests": 1_000_000, "response": 1_000_000, "events": 1_000_000, "fields": 1_000_000,
    "translation": 300_000, "streams": 30_000,
}  # fmt: skip


@pytest.mark.parametrize("target", RUNS)
def test_a_million_cases(tmp_path: Path, target: str) -> None:
    command = [sys.executable, str(Path(__file__).with_name("fuzz.py")), target, str(RUNS[target]), str(tmp_path)]
    path = f"{ROOT}:{ROOT / 'src'}"
    done = subprocess.run(command, env=environment(PYTHONPATH=path), cwd=tmp_path, capture_output=True, text=True)
    kept = [file.name for file in tmp_path.iterdir() if file.is_file()]
    assert done.returncode == 0, f"{kept} in {tmp_path}: {done.stdout[-3000:]} {done.stderr[-3000:]}"
    found = re.search(r"number_of_executed_units: *(\d+)", done.stdout + done.stderr)
    assert found is not None
    assert int(found[1]) >= RUNS[target]
    tell(f"fuzz {target}: {int(found[1]):,} cases, none crashed, hung or answered wrongly")
