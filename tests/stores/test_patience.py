"""One question may cost the store so much and no more."""

from __future__ import annotations

import sqlite3

import pytest

from penstock.errors import Overloaded
from penstock.stores.patience import MOST_STEPS, patiently

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
LONG = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 20000) SELECT count(*) FROM n"


def test_a_question_without_end_is_ended() -> None:
    connection = sqlite3.connect(":memory:")
    with pytest.raises(Overloaded):
        patiently(connection, lambda c: c.execute(ENDLESS).fetchall(), 2_000_000)
    # The next one has its own patience, and none is left behind.
    assert patiently(connection, lambda c: c.execute(LONG).fetchone(), 2_000_000) == (20_000,)
    assert connection.execute(LONG.replace("20000", "2000000")).fetchone() == (2_000_000,)
    connection.close()


def test_other_errors_are_what_they_are() -> None:
    connection = sqlite3.connect(":memory:")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        patiently(connection, lambda c: c.execute("SELECT * FROM absent"), MOST_STEPS)
    connection.close()
