"""The treasury in its corners: in which order a death is heard of, a store that cannot be read, who waits for whom."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from penstock.errors import Overloaded
from penstock.reservation import Reservation, Shortage
from tests.stores.bank import DAY, Bank, budget, play, rate, reserved, want


def window(bank: Bank) -> int:
    return int(bank.loop.clock.wall()) // DAY * DAY


@pytest.mark.parametrize("early", [True, False])
def test_books_may_be_closed_before_the_end_is_heard_of(early: bool) -> None:
    rule = budget(1000)

    async def main(bank: Bank) -> None:
        worker = bank.hire("journal-1")
        reserved(await worker.purse.reserve([want(rule, 300)]))
        spent = {(f"{rule.id}|acme", window(bank)): 120}
        if early:
            bank.treasury.settled("journal-1", spent)
            assert bank.left(rule) < 700
        worker.die()
        await bank.loop.settle()
        if not early:
            bank.treasury.settled("journal-1", spent)
        assert bank.left(rule) == 880
        assert bank.treasury.unsettled == []

    play([rule], main)


def test_what_the_dead_told_and_what_its_books_say_is_the_same_money() -> None:
    """Also of accounts of which it had nothing in hand any more when it died."""
    money, other = budget(1000), budget(500, "key")

    async def main(bank: Bank) -> None:
        worker = bank.hire("journal-1")
        worker.purse.settle(reserved(await worker.purse.reserve([want(other, 480, "k")])), [480])
        worker.purse.beat()
        reserved(await worker.purse.reserve([want(money, 100)]))
        await bank.loop.settle()
        worker.die()
        await bank.loop.settle()
        bank.treasury.settled(
            "journal-1", {(f"{money.id}|acme", window(bank)): 100, (f"{other.id}|k", window(bank)): 480}
        )
        assert (bank.used(money), bank.used(other, "k")) == (100, 480)

    play([money, other], main)


def test_a_window_that_ends_before_the_books_are_closed() -> None:
    rule = budget(100, period="minute")

    async def main(bank: Bank) -> None:
        worker = bank.hire("journal-1")
        start = int(bank.loop.clock.wall()) // 60 * 60
        reserved(await worker.purse.reserve([want(rule, 90)]))
        worker.die()
        await bank.loop.clock.sleep(60)
        assert bank.left(rule) == 100, "the next window is nobody's yet"
        bank.treasury.settled("journal-1", {(f"{rule.id}|acme", start): 90})
        assert bank.left(rule) == 100

    play([rule], main)


def test_a_store_that_cannot_be_read_lets_nobody_through_and_says_nothing_of_limits() -> None:
    rule = budget(1000)
    broken = [True]

    def spent(*asked: Any) -> int:
        if broken[0]:
            raise OSError("disk I/O error")
        return 400

    async def main(bank: Bank) -> None:
        purse = bank.branches[0].purse
        with pytest.raises(Overloaded):
            await purse.reserve([want(rule, 1)])
        broken[0] = False
        assert isinstance(await purse.reserve([want(rule, 601)]), Shortage)
        purse.void(reserved(await purse.reserve([want(rule, 600)])))

    play([rule], main, spent=spent)


def test_who_waits_is_served_when_the_other_dies() -> None:
    """It is not waited for the answer of one that can give none."""
    rule, requests = budget(1000), rate(1000)

    async def main(bank: Bank) -> None:
        one, other = bank.branches
        one.purse.void(reserved(await one.purse.reserve([want(requests, 20)])))
        assert one.in_hand
        one.deaf = True
        waiting = asyncio.ensure_future(other.purse.reserve([want(requests, 985)]))
        await bank.loop.settle()
        assert not waiting.done()
        began = bank.loop.time()
        one.die()
        came = await waiting
        assert bank.loop.time() == began
        assert isinstance(came, Shortage), "rates come back by time alone"
        await bank.loop.clock.sleep(came.wait)
        assert isinstance(await other.purse.reserve([want(requests, 985)]), Reservation)

    play([rule, requests], main, count=2)


def test_two_that_wait_are_served_in_their_order() -> None:
    rule = budget(1000)

    async def main(bank: Bank) -> None:
        holder, first, second = bank.branches
        holder.purse.void(reserved(await holder.purse.reserve([want(rule, 40)])))
        assert holder.in_hand == 40
        asks = [asyncio.ensure_future(one.purse.reserve([want(rule, 990)])) for one in (first, second)]
        came = await asyncio.gather(*asks)
        assert isinstance(came[0], Reservation)
        assert isinstance(came[1], Shortage)
        first.purse.void(came[0])

    play([rule], main, count=3)


def test_a_wait_is_over_with_whoever_waited() -> None:
    rule = budget(1000)

    async def main(bank: Bank) -> None:
        one, other = bank.branches
        one.purse.void(reserved(await one.purse.reserve([want(rule, 20)])))
        one.deaf = True
        waiting = asyncio.ensure_future(other.purse.reserve([want(rule, 990)]))
        await bank.loop.settle()
        other.die()
        with pytest.raises(Overloaded):
            await waiting
        await bank.loop.settle()
        one.hear()
        await bank.loop.settle()
        assert bank.left(rule) == 1000

    play([rule], main, count=2)


def test_names_that_share_an_account_are_reclaimed_together() -> None:
    rule = budget(1000, "user")

    async def main(bank: Bank) -> None:
        bank.treasury.accounts._most_names = 1
        one, other = bank.branches
        for name in ("acme/a", "acme/b", "acme/c"):
            one.purse.void(reserved(await one.purse.reserve([want(rule, 20, name)])))
        assert len(one.purse._leases) == 3
        held = reserved(await other.purse.reserve([want(rule, 1000, "acme/d")]))
        await bank.loop.settle()
        assert sum(lease.idle for (_, name), lease in one.purse._leases.items() if name != "acme/a") == 0
        assert isinstance(await one.purse.reserve([want(rule, 21, "acme/c")]), Shortage)
        other.purse.void(held)

    play([rule], main, count=2)
