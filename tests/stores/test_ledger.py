"""Folding journals into the ledger: each attempt once, whatever happens in between."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from penstock.stores.journal import segment_path
from penstock.stores.journal_reader import journals_in
from penstock.stores.ledger import Ledger, journals_of
from penstock.stores.rows import ABSURD, AMBIGUOUS, ESTIMATED, LOST, OVERRUN, UNPRICED, Heard
from penstock.stores.sqlite import Database, StoreFailed
from tests.stores.journals import DAY, HOUR, Story, closed, hold, ledger_of, opened, run, table

ATTEMPTS = "SELECT request, number, cost, outcome FROM attempts ORDER BY id"
TOTAL = "SELECT attempts, requests, failed, cost, charge, unpriced, lost FROM rollups WHERE dimension = ''"
ACCOUNTS = 'SELECT rule, value, "window", settled FROM accounts ORDER BY rule, value, "window"'


def flags_of(ledger: Ledger) -> int:
    (flags,) = table(ledger, "SELECT flags FROM attempts")
    return int(flags)


def test_an_attempt_is_booked_once_it_is_over(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    story.journal.open(opened("a"))
    assert run(ledger.fold()).posted == 0
    assert table(ledger, ATTEMPTS) == []
    story.journal.close(closed("a"))
    assert run(ledger.fold()).posted == 1
    assert run(ledger.fold()).posted == 0
    assert table(ledger, ATTEMPTS) == [("a", 1, 100, "ok")]
    assert table(ledger, TOTAL) == [(1, 1, 0, 100, 100, 0, 0)]
    assert table(ledger, "SELECT count(*) FROM open_attempts") == [0]


def test_everything_that_is_said_of_it_is_kept(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    more: dict[str, Any] = {"project": "web", "user": "u1", "task": "chat", "prompt": "p@3", "tags": (("b", "1"),)}
    story.journal.open(opened("a", 2, kind="fallback", bound=500, **more))
    used = {"cache_read_tokens": 3, "cache_write_tokens": 2, "reasoning_tokens": 1}
    story.journal.close(closed("a", 2, price_table="hash", flags=ESTIMATED, **used))
    run(ledger.fold())
    columns = (
        "SELECT tenant, project, key, user, task, prompt, tags, model, deployment, provider, kind, status, answered,"
        " input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, bound, price_table,"
        " flags, opened, closed FROM attempts"
    )
    assert table(ledger, columns) == [
        (
            *("acme", "web", "app", "u1", "chat", "p@3", '{"b":"1"}', "fast", "sim/small", "sim", "fallback", 200, 1),
            *(10, 5, 3, 2, 1, 500, "hash", ESTIMATED, (DAY + HOUR) * 10**9, (DAY + HOUR + 1) * 10**9),
        )
    ]


def test_sums_are_kept_by_every_dimension_and_quarter_of_an_hour(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    more: dict[str, Any] = {"user": "u1", "tags": (("feature", "search"), ("team", "x"))}
    story.attempt("a", 100, at=DAY + 899, **more)
    story.attempt("b", 200, at=DAY + 900, **more)
    story.attempt("c", 400, at=DAY + 901, user="u2", tenant="bigco", model="smart")
    run(ledger.fold())

    def costs(dimension: str) -> list[Any]:
        rows = table(ledger, "SELECT dimension, value, bucket, cost FROM rollups ORDER BY value, bucket")
        return [(value, bucket - DAY, cost) for name, value, bucket, cost in rows if name == dimension]

    assert costs("") == [("", 0, 100), ("", 900, 600)]
    assert costs("day:") == [("", 0, 700)]
    assert costs("day:tenant") == [("acme", 0, 300), ("bigco", 0, 400)]
    assert costs("tenant") == [("acme", 0, 100), ("acme", 900, 200), ("bigco", 900, 400)]
    assert costs("user") == [("acme/u1", 0, 100), ("acme/u1", 900, 200), ("bigco/u2", 900, 400)]
    assert costs("project") == [("acme/-", 0, 100), ("acme/-", 900, 200), ("bigco/-", 900, 400)]
    assert costs("model") == [("fast", 0, 100), ("fast", 900, 200), ("smart", 900, 400)]
    assert costs("tenant+model") == [("acme/fast", 0, 100), ("acme/fast", 900, 200), ("bigco/smart", 900, 400)]
    assert costs("tag") == [
        *(("acme/feature=search", 0, 100), ("acme/feature=search", 900, 200)),
        *(("acme/team=x", 0, 100), ("acme/team=x", 900, 200)),
    ]
    for dimension in ("key", "task", "prompt", "deployment", "provider"):
        assert sum(cost for _, _, cost in costs(dimension)) == 700


def test_a_call_without_any_of_them_counts_under_a_dash(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    story.attempt("a", tenant=None, key=None)
    run(ledger.fold())
    found = dict(table(ledger, "SELECT dimension, value FROM rollups WHERE dimension NOT LIKE 'day:%'"))
    assert found == {
        "": "",
        "tenant": "-",
        "key": "-",
        "prompt": "-",
        "model": "fast",
        "deployment": "sim/small",
        "provider": "sim",
        "tenant+key": "-/-",
        "tenant+prompt": "-/-",
        "tenant+model": "-/fast",
        "tenant+deployment": "-/sim/small",
        "tenant+provider": "-/sim",
        "project": "-/-",
        "user": "-/-",
        "task": "-/-",
    }


# --- money


@pytest.mark.parametrize(
    ("winner_pays", "charges"), [(False, [100, 100]), (True, [0, 100])], ids=["attempts", "winner"]
)
def test_charge_is_by_its_rule_and_cost_is_all(tmp_path: Path, winner_pays: bool, charges: list[int]) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    story.journal.open(opened("a", 1, winner_pays=winner_pays))
    story.journal.close(closed("a", 1, answered=False, outcome="upstream_timeout", status=504))
    story.journal.open(opened("a", 2, winner_pays=winner_pays))
    story.journal.close(closed("a", 2))
    run(ledger.fold())
    assert table(ledger, "SELECT charge FROM attempts ORDER BY number") == charges
    assert table(ledger, TOTAL) == [(2, 1, 1, 200, sum(charges), 0, 0)]


def test_an_unknown_price_is_no_cost_and_is_never_nothing(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    story.journal.open(opened("a"))
    story.journal.close(closed("a", cost=None))
    run(ledger.fold())
    assert table(ledger, "SELECT cost, charge FROM attempts") == [(None, None)]
    assert flags_of(ledger) == UNPRICED
    assert table(ledger, TOTAL) == [(1, 1, 0, 0, 0, 1, 0)]


@pytest.mark.parametrize(
    ("told", "booked"),
    [
        ({"output_tokens": -3}, (10, 0, 100)),
        ({"input_tokens": 2**63}, (10**12, 5, 100)),
        ({"cost": -1}, (10, 5, 0)),
        ({"cost": 2**63 - 1}, (10, 5, 10**15)),
    ],
)
def test_what_cannot_be_is_cut_and_flagged(tmp_path: Path, told: dict[str, int], booked: tuple[int, ...]) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    story.journal.open(opened("a"))
    story.journal.close(closed("a", **told))
    run(ledger.fold())
    assert table(ledger, "SELECT input_tokens, output_tokens, cost FROM attempts") == [booked]
    assert flags_of(ledger) == ABSURD
    assert table(ledger, "SELECT absurd FROM rollups WHERE dimension = ''") == [1]


def test_accounts_have_what_was_settled_in_the_window_it_was_reserved_in(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    for request, settled in (("a", 60), ("b", 40)):
        story.journal.open(opened(request, holds=(hold(100), hold(100, "acme/u1", "user"))))
        story.journal.close(closed(request, settled=(settled, settled + 1)))
    story.journal.open(opened("c", holds=(hold(100, window=DAY + 86400),)))
    story.journal.close(closed("c", settled=(7,)))
    run(ledger.fold())
    assert table(ledger, ACCOUNTS) == [
        ("day", "acme", DAY, 100),
        ("day", "acme", DAY + 86400, 7),
        ("user", "acme/u1", DAY, 102),
    ]


def test_rates_are_nobody_s_account(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    story.journal.open(opened("a", holds=(hold(100, rule="rate", window=0), hold(50))))
    story.journal.close(closed("a", settled=(1, 2)))
    folded = run(ledger.fold())
    assert table(ledger, ACCOUNTS) == [("day", "acme", DAY, 2)]
    assert [(one.rule, one.reserved, one.settled) for one in folded.settled["w0"]] == [("rate", 100, 1), ("day", 50, 2)]


def test_more_than_reserved_is_booked_and_flagged(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    story.journal.open(opened("a", holds=(hold(50),)))
    story.journal.close(closed("a", settled=(51,)))
    run(ledger.fold())
    assert table(ledger, ACCOUNTS) == [("day", "acme", DAY, 51)]
    assert flags_of(ledger) == OVERRUN


def test_amounts_that_cannot_be_do_not_spoil_an_account(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    for request, settled in (("a", -5), ("b", 2**63)):
        story.journal.open(opened(request, holds=(hold(50),)))
        story.journal.close(closed(request, settled=(settled,)))
    run(ledger.fold())
    assert table(ledger, ACCOUNTS) == [("day", "acme", DAY, 10**15)]
    assert run(ledger.recompute()) == []


def test_a_hold_that_an_end_does_not_speak_of_is_taken_whole(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    story.journal.open(opened("a", holds=(hold(50), hold(70, "x"))))
    story.journal.close(closed("a", settled=(1,)))
    run(ledger.fold())
    assert table(ledger, ACCOUNTS) == [("day", "acme", DAY, 1), ("day", "x", DAY, 70)]


# --- a dead worker


def test_what_a_dead_worker_left_open_is_posted_by_what_is_known(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    holds = (
        hold(500),
        hold(500, "acme", "tokens")._replace(unit="tokens"),
        hold(1, rule="n")._replace(unit="requests"),
    )
    story.journal.open(opened("a", holds=holds, input_tokens=30, input_cost=70, bound=500))
    run(ledger.fold())
    buried = run(ledger.bury("w0"))
    assert (buried.posted, buried.lost) == (1, 1)
    assert buried.spent == {("day|acme", DAY): 70, ("tokens|acme", DAY): 30, ("n|acme", DAY): 1}
    assert table(ledger, ATTEMPTS) == [("a", 1, 70, "lost")]
    assert flags_of(ledger) == LOST | ESTIMATED | AMBIGUOUS
    assert table(ledger, TOTAL) == [(1, 1, 1, 70, 70, 0, 1)]
    assert table(ledger, "SELECT count(*) FROM open_attempts") == [0]
    assert table(ledger, "SELECT count(*) FROM journals") == [0]
    assert journals_in(ledger.folder) == {}


def test_what_was_heard_of_its_output_counts_too(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    story.journal.open(opened("a", holds=(hold(500),), input_tokens=30, input_cost=70, bound=500))
    run(ledger.fold())
    for tokens, cost in ((10, 90), (20, 110)):
        story.journal.heard(Heard("a", 1, (DAY + HOUR + tokens) * 10**9, tokens, cost))
        run(ledger.fold())
    run(ledger.bury("w0"))
    assert table(ledger, "SELECT cost, input_tokens, output_tokens, closed FROM attempts") == [
        (110, 30, 20, (DAY + HOUR + 20) * 10**9)
    ]
    assert table(ledger, ACCOUNTS) == [("day", "acme", DAY, 110)]


def test_never_more_than_was_reserved_is_posted(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    story.journal.open(opened("a", holds=(hold(60),), input_cost=70, bound=65))
    story.journal.heard(Heard("a", 1, 7, 10, 900))
    run(ledger.bury("w0"))
    assert table(ledger, "SELECT cost FROM attempts") == [65]
    assert table(ledger, ACCOUNTS) == [("day", "acme", DAY, 60)]


def test_without_a_price_all_that_was_reserved_is_taken(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    story.journal.open(opened("a", holds=(hold(60),)))
    run(ledger.bury("w0"))
    assert table(ledger, "SELECT cost FROM attempts") == [None]
    assert flags_of(ledger) == LOST | ESTIMATED | AMBIGUOUS | UNPRICED
    assert table(ledger, ACCOUNTS) == [("day", "acme", DAY, 60)]


def test_a_worker_s_whole_life_is_told_when_it_is_buried(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    for number in range(5):
        story.journal.open(opened(str(number), holds=(hold(100, window=DAY + 60 * (number // 2)),)))
        story.journal.close(closed(str(number), settled=(10,)))
        run(ledger.fold())
    # Of each account the last two windows.
    assert run(ledger.bury("w0")).spent == {("day|acme", DAY + 60): 20, ("day|acme", DAY + 120): 10}


def test_others_go_on_while_one_is_buried(tmp_path: Path) -> None:
    ledger, dead, alive = ledger_of(tmp_path), Story(tmp_path, "w0"), Story(tmp_path, "w1")
    dead.journal.open(opened("a"))
    alive.journal.open(opened("b"))
    run(ledger.bury("w0"))
    assert table(ledger, "SELECT request FROM attempts ORDER BY id") == ["a"]
    alive.journal.close(closed("b"))
    run(ledger.fold())
    assert table(ledger, "SELECT request, outcome FROM attempts") == [("a", "lost"), ("b", "ok")]


def test_what_a_killed_gateway_left_is_taken_up_by_the_next(tmp_path: Path) -> None:
    first = ledger_of(tmp_path)
    stories = [Story(tmp_path, f"w{number}") for number in range(3)]
    for story in stories:
        story.journal.open(opened(f"{story.name}-open", input_cost=7))
        story.attempt(f"{story.name}-done")
    run(first.fold())
    for story in stories:
        story.attempt(f"{story.name}-later")
    first.database.close()
    assert run(ledger_of(tmp_path).recover()).posted == 0  # they live
    for story in stories:
        story.journal.end()
    second = ledger_of(tmp_path)
    buried = run(second.recover())
    assert (buried.posted, buried.lost) == (6, 3)
    assert table(second, TOTAL) == [(9, 9, 3, 621, 621, 0, 3)]
    assert table(second, "SELECT count(*) FROM attempts") == [9]
    assert journals_in(second.folder) == {}
    assert run(second.recover()).posted == 0


def test_a_torn_end_is_not_there(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    story.attempt("a")
    with segment_path(ledger.folder, "w0", 1).open("ab") as file:
        file.write(b"\x20\0\0\0torn")
    run(ledger.fold())
    buried = run(ledger.bury("w0"))
    assert (buried.posted, buried.lost) == (0, 0)
    assert table(ledger, ATTEMPTS) == [("a", 1, 100, "ok")]


# --- damage


def test_an_end_without_its_beginning_is_booked_on_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    story.journal.close(closed("a"))
    run(ledger.fold())
    assert table(ledger, "SELECT request, tenant, model, kind, cost FROM attempts") == [("a", "", "", "unknown", 100)]
    assert "the beginning of attempt 1 of request a cannot be read" in caplog.text


def test_one_that_is_opened_twice_is_counted_twice_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    story.journal.open(opened("a", input_cost=7))
    story.attempt("a")
    run(ledger.fold())
    assert table(ledger, "SELECT request, outcome, cost FROM attempts") == [("a", "lost", 7), ("a", "ok", 100)]
    assert "opened twice" in caplog.text


def test_a_segment_that_is_gone_does_not_stop_the_rest(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path, segment_bytes=300)
    for number in range(12):
        story.attempt(str(number))
    first = journals_in(ledger.folder)["w0"]
    segment_path(ledger.folder, "w0", first[0]).unlink()
    segment_path(ledger.folder, "w0", first[2]).unlink()
    run(ledger.bury("w0"))
    booked = table(ledger, "SELECT request FROM attempts ORDER BY id")
    assert booked[-1] == "11"
    assert 4 < len(booked) < 12
    assert caplog.text.count("are missing") == 2


# --- steps and files


@pytest.mark.parametrize("fold_bytes", [1, 300, 1_000_000])
def test_a_long_journal_is_folded_in_steps(tmp_path: Path, fold_bytes: int) -> None:
    ledger, story = ledger_of(tmp_path, fold_bytes=fold_bytes), Story(tmp_path, segment_bytes=500)
    for number in range(20):
        story.attempt(str(number))
    steps = 1
    while run(ledger.fold()).behind:
        steps += 1
    assert steps == 1 if fold_bytes == 1_000_000 else steps > 5
    assert table(ledger, "SELECT request FROM attempts ORDER BY id") == [str(number) for number in range(20)]


def test_files_are_deleted_once_they_are_folded_whole(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path, segment_bytes=500)
    for number in range(20):
        story.attempt(str(number))
    last = journals_in(ledger.folder)["w0"][-1]
    run(ledger.fold())
    assert journals_in(ledger.folder) == {"w0": [last]}


def test_what_stays_open_does_not_keep_the_files(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path, segment_bytes=500)
    story.journal.open(opened("long"))
    for number in range(20):
        story.attempt(str(number))
    run(ledger.fold())
    assert len(journals_in(ledger.folder)["w0"]) == 1
    story.journal.close(closed("long"))
    run(ledger.fold())
    assert table(ledger, "SELECT request, deployment FROM attempts ORDER BY id")[-1] == ("long", "sim/small")


def test_a_full_disk_delays_the_ledger_and_loses_nothing(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    story.journal.open(opened("long"))
    run(ledger.fold())

    def limit(pages: int) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.execute(f"PRAGMA max_page_count = {pages}")

        ledger.database.run_here(work)

    limit(20)
    for number in range(500):
        story.attempt(str(number))
    story.journal.close(closed("long"))
    for _ in range(2):
        with pytest.raises(StoreFailed, match="full"):
            run(ledger.fold())
    limit(100_000)
    assert run(ledger.fold()).posted == 501
    assert table(ledger, TOTAL) == [(501, 501, 0, 50_100, 50_100, 0, 0)]


def test_nothing_is_written_when_nothing_happens(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    story.attempt("a")
    story.journal.open(opened("b"))
    run(ledger.fold())
    wal = Path(f"{ledger.database.path}-wal")
    before = wal.stat().st_size
    for _ in range(5):
        run(ledger.fold())
    assert wal.stat().st_size == before


def test_the_folder_is_not_one_that_sqlite_would_look_into(tmp_path: Path) -> None:
    assert journals_of(tmp_path / "penstock.db") == tmp_path / "penstock.db-attempts"
    journals_of(tmp_path / "penstock.db").mkdir()
    Database(tmp_path / "penstock.db").close()
