"""How long `usage --since 30d --by model` takes on a million attempts and on ten, read from the disk."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from penstock.admin.usage import read_asked
from penstock.clock import SystemClock
from penstock.stores.attribution import usage_of
from penstock.stores.sqlite import open_reader
from tests.soak.figures import tell
from tests.soak.millions import forget, make_millions

pytestmark = pytest.mark.soak

UNTIL = 1_764_201_234.5
TURNS = 7
MOST_SECONDS = 0.2
WITHIN = 1.2


def _took(path: Path, by: str) -> float:
    """The median of some, in seconds, each with nothing of the file in memory."""
    took, now = [], SystemClock().monotonic
    question = read_asked({"by": by, "since": "30d"}, UNTIL).question
    for _ in range(TURNS):
        forget(path)
        gc.collect()
        began = now()
        connection = open_reader(path)
        found = usage_of(connection, question)
        connection.close()
        took.append(now() - began)
        assert sum(tally.measures.attempts for tally in found) > 0.9 * 10**6
    return sorted(took)[TURNS // 2]


def _read(path: Path, by: str) -> int:
    """How many bytes of the file it reads; what a machine's other work does not change."""
    question = read_asked({"by": by, "since": "30d"}, UNTIL).question
    connection = open_reader(path)
    before = _bytes_read()
    usage_of(connection, question)
    read = _bytes_read() - before
    connection.close()
    return read


def _bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().split("rchar:")[1].split()[0])


def test_a_month_by_model(tmp_path: Path) -> None:
    medians, read = {}, {}
    for millions in (1, 10):
        path = tmp_path / f"{millions}.db"
        make_millions(path, millions * 10**6, UNTIL, ("", "model", "tenant"))
        medians[millions] = _took(path, "model")
        read[millions] = _read(path, "model")
        size = path.stat().st_size / 1e6
        took = f"{medians[millions] * 1000:.1f} ms, {read[millions] / 1e3:.0f} kB read"
        tell(f"usage --since 30d --by model, {millions} M attempts ({size:,.0f} MB): {took}")
        path.unlink()
    assert medians[1] < MOST_SECONDS
    assert read[10] < WITHIN * read[1]
    # Of so few milliseconds a fifth is noise: what must not be is that it grows with the attempts.
    assert medians[10] < max(WITHIN * medians[1], MOST_SECONDS / 4)
