"""What is older than the ledger keeps goes in small steps; sums of days, open windows and the check of it all stay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from penstock.cli.db import command
from penstock.config.load import load_config
from penstock.errors import ConfigError, InvalidRequest, PenstockError
from penstock.gateway.books import open_books
from penstock.stores.attribution import Question, usage_of
from penstock.stores.bookings import DAY_SECONDS
from penstock.stores.posting import post
from penstock.stores.recompute import differences
from penstock.stores.retention import forget, horizon_of, move_horizon
from penstock.stores.sqlite import Database
from penstock.stores.upkeep import condition_of
from penstock.testing import SimLoop
from penstock.testing.clock import SeededRandom
from penstock.testing.fleet import Fleet
from penstock.testing.simloop import run
from tests.stores.journals import DAY, HOUR, closed, hold, opened

DAYS = 130
KEPT = 60
HORIZON = DAY + (DAYS - KEPT) * DAY_SECONDS


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Days with four attempts each: two users, two models."""
    found = Database(tmp_path / "p.db", inline=True)
    found.run_here(fill)
    yield found
    found.close()


def fill(connection: Any) -> None:
    ended = []
    for day in range(DAYS):
        began = DAY + day * DAY_SECONDS
        for number in range(4):
            at, user = began + (number * 5 + 1) * HOUR, f"u{number % 2}"
            holds = (hold(900, window=began), hold(900, rule="month", window=began - (day % 30) * DAY_SECONDS))
            one = opened(f"{day}-{number}", at=at, user=user, model=f"m{number // 2}", holds=holds)
            ended.append((one, closed(f"{day}-{number}", at=at + 1, settled=(100, 100))))
    post(connection, ended)


def asked(database: Database, **more: Any) -> dict[Any, int]:
    question = Question(**more)
    return {
        (*tally.values, tally.at): tally.measures.cost
        for tally in database.run_here(lambda connection: usage_of(connection, question))
    }


def let_go(database: Database, at: float = DAY + DAYS * DAY_SECONDS) -> int:
    """Forget all that is too old; how many steps that took."""
    database.run_here(lambda connection: move_horizon(connection, at - KEPT * DAY_SECONDS))
    steps = 0
    while database.run_here(lambda connection: forget(connection, 400)):
        steps += 1
        assert database.run_here(differences) == []
    return steps


def test_rows_go_and_sums_of_days_stay(database: Database) -> None:
    by: list[dict[str, Any]] = [{}, {"by": ("user",)}, {"by": ("model",)}, {"by": ("user",), "step": DAY_SECONDS}]
    before = [asked(database, **one) for one in by]
    count = "SELECT count(*), min(opened) / 1000000000 FROM attempts"
    assert let_go(database) > 5
    assert [asked(database, **one) for one in by] == before
    ((rows, first),) = database.run_here(lambda connection: connection.execute(count).fetchall())
    assert (rows, first) == (KEPT * 4, HORIZON + HOUR)
    quarters = "SELECT count(*) FROM rollups WHERE dimension NOT LIKE 'day:%' AND bucket < ?"
    assert database.run_here(lambda connection: connection.execute(quarters, (HORIZON,)).fetchone()) == (0,)
    told = condition_of(database.path)
    assert (told.kept_since, told.attempts) == (HORIZON, DAYS * 4)
    assert told.free > 0
    shown = CliRunner().invoke(command, ["status", "--verify", "--store", str(database.path)])
    assert shown.exit_code == 0
    assert "kept       each attempt since 2026-02-04, and the sums of the days before it" in shown.output
    assert "MB of it free" in shown.output


def test_what_only_rows_could_tell_is_refused_and_never_a_part(database: Database) -> None:
    two: dict[str, Any] = {"by": ("user", "model"), "since": HORIZON - 5 * DAY_SECONDS}
    whole = asked(database, **two)
    let_go(database)
    for more in (two, {"step": HOUR, "since": HORIZON - 1}, {"by": ("user",), "where": {"model": "m0"}}):
        with pytest.raises(InvalidRequest, match="each attempt is kept since 2026-02-04"):
            asked(database, **more)
    since = two | {"since": HORIZON}
    assert sum(asked(database, **since).values()) == KEPT * 4 * 100
    assert sum(whole.values()) == (KEPT + 5) * 4 * 100
    # From the middle of a day that is gone: the whole of it.
    assert asked(database, since=HORIZON - 30 * HOUR, until=HORIZON - 2 * HOUR) == {(0,): 2 * 400}


def test_while_it_goes_on_a_day_is_told_whole(database: Database) -> None:
    database.run_here(lambda connection: move_horizon(connection, HORIZON))
    for _ in range(2):
        database.run_here(lambda connection: forget(connection, 400))
        for day in (0, 30, 66, 68, 69, 70, 71, DAYS - 1):
            since = DAY + day * DAY_SECONDS
            assert asked(database, since=since + 2 * HOUR, until=since + DAY_SECONDS) == {
                (0,): 400 if since < HORIZON else 300
            }


def test_accounts_of_open_windows_are_never_touched(database: Database) -> None:
    accounts = 'SELECT rule, "window", settled FROM accounts ORDER BY rule, "window"'
    before = database.run_here(lambda connection: connection.execute(accounts).fetchall())
    let_go(database)
    after = database.run_here(lambda connection: connection.execute(accounts).fetchall())
    assert set(after) < set(before)
    assert [each for each in before if each[1] >= HORIZON] == [each for each in after if each[1] >= HORIZON]


def test_what_is_posted_late_goes_with_the_next_round(database: Database) -> None:
    let_go(database)
    at = DAY + 3 * DAY_SECONDS
    late = [(opened("late", at=at, holds=(hold(900, window=DAY),)), closed("late", at=at, settled=(100,)))]
    database.run_here(lambda connection: post(connection, late))
    assert database.run_here(differences) == []
    assert sum(asked(database).values()) == (DAYS * 4 + 1) * 100
    let_go(database)
    assert sum(asked(database).values()) == (DAYS * 4 + 1) * 100
    found = "SELECT count(*) FROM attempts WHERE request = 'late'"
    assert database.run_here(lambda connection: connection.execute(found).fetchone()) == (0,)


def test_the_horizon_never_moves_back(database: Database) -> None:
    let_go(database)
    assert database.run_here(lambda connection: move_horizon(connection, DAY)) == HORIZON
    assert database.run_here(horizon_of) == HORIZON


def test_a_change_that_takes_a_row_too_many_is_found(database: Database) -> None:
    let_go(database)
    database.run_here(lambda connection: connection.execute("DELETE FROM attempts WHERE request = '90-1'"))
    assert len(database.run_here(differences)) > 10


def test_a_gateway_forgets_by_itself(tmp_path: Path) -> None:
    async def serve(loop: SimLoop) -> None:
        written = {"auth": "open", "providers": {"sim": {}}, "state": f"sqlite:///{tmp_path}/p.db"}
        config = load_config({**written, "retention": "60d"}, {})
        books = open_books(config, loop.clock, SeededRandom(1), inline=True)
        assert books is not None
        books.database.run_here(fill)
        await books.open()
        # So many days later as if they had passed.
        assert config.retention == KEPT * DAY_SECONDS
        books.retain(config.retention - 100 * DAY_SECONDS)
        await loop.clock.sleep(20.0)
        horizon = books.database.run_here(horizon_of)
        assert horizon == (int(loop.clock.wall()) + 40 * DAY_SECONDS) // DAY_SECONDS * DAY_SECONDS
        oldest = "SELECT min(opened) FROM attempts"
        (first,) = books.database.run_here(lambda connection: connection.execute(oldest).fetchone())
        assert horizon * 10**9 <= first < (horizon + DAY_SECONDS) * 10**9
        await books.aclose()

    run(serve, leak_free=True)


def test_a_configuration_that_is_refused_deletes_nothing(tmp_path: Path) -> None:
    async def serve(loop: SimLoop) -> None:
        written = {"auth": "open", "providers": {"sim": {}}, "state": f"sqlite:///{tmp_path}/p.db"}
        books = open_books(load_config(written, {}), loop.clock, SeededRandom(1), inline=True)
        assert books is not None
        async with Fleet(loop, load_config(written, {}), books=books) as fleet:
            nowhere = {"kind": "openai", "base_url": "https://a.example/v1", "api_key": "none", "ca_file": "/nowhere"}
            wrong = {**written, "providers": {"up": nowhere}, "retention": "60d"}
            with pytest.raises(PenstockError):
                await fleet.supervisor.adopt(load_config(wrong, {}, check_files=False))
            await loop.clock.sleep(1.0)
            assert books.database.run_here(horizon_of) == 0
            await fleet.supervisor.adopt(load_config({**written, "retention": "60d"}, {}))
            await loop.clock.sleep(1.0)
            assert books.database.run_here(horizon_of) > 0

    run(serve)


@pytest.mark.parametrize("written", ["59d", "1h", "0s", -1, "soon", "400"])
def test_what_would_take_from_open_budgets_is_refused(written: Any) -> None:
    with pytest.raises(ConfigError, match=r"60d|duration|off|more than nothing"):
        load_config({"auth": "open", "providers": {"sim": {}}, "retention": written}, {})
