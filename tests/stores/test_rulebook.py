"""Stored limits and budgets: kept in the words they were made in, changed only by who has seen them, and noted."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing

import msgspec
import pytest

from penstock.clock import Ids
from penstock.errors import Conflict, NotFound
from penstock.stores.rulebook import Noted, Rulebook, StoredRule
from penstock.stores.sqlite import Database
from penstock.testing import FakeClock, SeededRandom

BODY = {"scope": "tenant", "match": "acme", "requests": "600/min"}
NEW = StoredRule("", "limit", "acme", "", BODY, 0, "admin-key", 0)


def with_book(main: Callable[[Rulebook, list[Noted]], Awaitable[None]]) -> list[Noted]:
    noted: list[Noted] = []

    async def run() -> None:
        clock = FakeClock()
        with closing(Database(":memory:", inline=True)) as database:
            await main(Rulebook(database, clock, Ids(clock, SeededRandom(1))), noted)

    asyncio.run(run())
    return noted


def into(noted: list[Noted]) -> Callable[[sqlite3.Connection, Noted], object]:
    return lambda connection, change: noted.append(change)


def test_one_is_made_changed_and_taken_away_and_each_is_noted() -> None:
    async def main(book: Rulebook, noted: list[Noted]) -> None:
        made = await book.create(NEW, note=into(noted))
        assert (made.version, made.created, made.body) == (1, int(FakeClock().wall()), BODY)
        assert await book.get("limit", made.id) == made
        other = {**BODY, "requests": "300/min"}
        changed = await book.change(msgspec.structs.replace(made, body=other), 1, note=into(noted))
        assert (changed.version, changed.body) == (2, other)
        assert await book.all() == [changed]
        assert await book.remove("limit", made.id, 2, note=into(noted)) == changed
        assert await book.all() == []

    noted = with_book(main)
    assert [(change.what, change.tenant) for change in noted] == [
        ("limit.create", "acme"), ("limit.change", "acme"), ("limit.remove", "acme"),
    ]  # fmt: skip
    assert [(change.before, change.after) for change in noted] == [
        (None, BODY), (BODY, {**BODY, "requests": "300/min"}), ({**BODY, "requests": "300/min"}, None),
    ]  # fmt: skip


def test_another_version_changes_nothing() -> None:
    async def main(book: Rulebook, noted: list[Noted]) -> None:
        made = await book.create(NEW, note=into(noted))
        for version in (0, 2, -1):
            with pytest.raises(Conflict) as refused:
                await book.remove("limit", made.id, version, note=into(noted))
            assert refused.value.status == 412
        assert await book.all() == [made]
        await book.remove("limit", made.id, None, note=into(noted))

    assert [change.what for change in with_book(main)] == ["limit.create", "limit.remove"]


def test_one_that_is_not_there_or_of_another_kind() -> None:
    async def main(book: Rulebook, noted: list[Noted]) -> None:
        made = await book.create(NEW, note=into(noted))
        with pytest.raises(NotFound):
            await book.get("budget", made.id)
        with pytest.raises(NotFound):
            await book.remove("limit", "nothing", None, note=into(noted))

    with_book(main)


def test_what_cannot_be_noted_is_not_done() -> None:
    def refuse(connection: sqlite3.Connection, change: Noted) -> None:
        raise LookupError

    async def main(book: Rulebook, noted: list[Noted]) -> None:
        with pytest.raises(LookupError):
            await book.create(NEW, note=refuse)
        assert await book.all() == []

    with_book(main)
