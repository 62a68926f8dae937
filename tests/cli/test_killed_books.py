"""A gateway whose processes are killed under load: afterwards books and provider agree; 50 kills in `make soak`."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.cli.billed import KINDS, Billed, provider


@pytest.mark.parametrize("kind", KINDS)
def test_books_and_provider_agree_after_a_kill(tmp_path: Path, kind: str) -> None:
    with provider() as (url, simulated):
        billed = Billed(tmp_path, url)
        billed.more(30)
        billed.kill(kind)
        billed.more(30)
        billed.end()
        faults, figures = billed.compare(simulated)
    assert faults == []
    assert figures.ok > 60


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("DELETE FROM attempts WHERE id = (SELECT max(id) FROM attempts WHERE outcome = 'ok')", "asked, 0 rows"),
        ("UPDATE attempts SET output_tokens = output_tokens + 1 WHERE id = 9", "the provider says"),
        ("UPDATE attempts SET cost = cost + 1 WHERE id = 9", "tokens cost"),
        ("INSERT INTO open_attempts SELECT name, 'r', 1, x'90', NULL FROM journals", "open_attempts: 1"),
    ],
)
def test_books_that_are_wrong_are_found(tmp_path: Path, statement: str, told: str) -> None:
    with provider() as (url, simulated):
        billed = Billed(tmp_path, url, callers=2)
        billed.more(12)
        billed.end()
        assert billed.compare(simulated)[0] == []
        connection = sqlite3.connect(tmp_path / "penstock.db")
        connection.execute("INSERT INTO journals VALUES ('w9-x', 1, 0)")
        connection.execute(statement)
        connection.commit()
        connection.close()
        faults, _ = billed.compare(simulated)
    assert told in "\n".join(faults)
