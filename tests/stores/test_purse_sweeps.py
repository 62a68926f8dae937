"""Reserve, settle and lease, cancelled at every await, and with the channel gone before any of its messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from penstock.errors import Overloaded
from penstock.reservation import Reservation
from penstock.stores.centre import Message, memory_pair
from penstock.stores.purse import Purse
from penstock.stores.treasury import Treasury
from penstock.testing import Cancel, SimLoop, run, sweep_scenario
from penstock.testing.clock import SimClock
from tests.simulation.planted import planted
from tests.simulation.spending_bugs import BUGS
from tests.stores.bank import Bank, budget, rate, reserved, want

MONEY, REQUESTS, STRICT = budget(1000), rate(100), rate(100, "strict", unit="tokens")
EMPTY = {MONEY.id: 1000, REQUESTS.id: 100, STRICT.id: 100}


async def spend(purse: Purse, amount: int) -> None:
    """A call: it settles to half of what it reserved, or voids where it was stopped."""
    held = await purse.reserve([want(MONEY, amount), want(REQUESTS, 1), want(STRICT, 40)])
    if not isinstance(held, Reservation):
        return
    try:
        await SimClock(asyncio.get_running_loop()).sleep(1.0)
    except BaseException:
        purse.void(held)
        raise
    purse.settle(held, [amount // 2, 1, 20])


async def given_back(bank: Bank, spent: int) -> None:
    """Once nobody does anything any more all is as if only what was settled had ever been taken."""
    await bank.loop.settle()
    for branch in bank.branches:
        assert not branch.purse._asking
        branch.leave()
    await bank.loop.settle()
    assert bank.used(MONEY) in (0, spent), bank.treasury.accounts.find(MONEY.id, "acme")
    assert bank.treasury.unsettled == []
    await bank.loop.clock.sleep(62)
    assert {rule.id: bank.left(rule) for rule in (REQUESTS, STRICT)} == {REQUESTS.id: 100, STRICT.id: 100}
    bank.treasury.close()


def sweep(prepare: Callable[[Bank], Any], amount: int) -> int:
    async def scenario(loop: SimLoop, cancel: Cancel) -> None:
        bank = Bank(loop, [MONEY, REQUESTS, STRICT], 2, None, loop.clock)
        before = await prepare(bank)
        await cancel(spend(bank.branches[0].purse, amount))
        if before is not None:
            await before
        await given_back(bank, amount // 2)

    return sweep_scenario(scenario)


async def nothing(bank: Bank) -> None:
    await bank.loop.settle()


async def others_have_idle(bank: Bank) -> None:
    """The other worker has more in hand than it uses, which must be called in first."""
    other = bank.branches[1].purse
    other.void(reserved(await other.reserve([want(MONEY, 20)])))
    assert bank.branches[1].in_hand >= 20


async def somebody_else_asks(bank: Bank) -> asyncio.Task[None]:
    """Two want all there is at the same moment."""
    await others_have_idle(bank)
    return bank.loop.create_task(_all_of_it(bank.branches[1].purse))


async def _all_of_it(purse: Purse) -> None:
    held = await purse.reserve([want(MONEY, 1000)])
    if isinstance(held, Reservation):
        purse.void(held)


@pytest.mark.parametrize(
    ("prepare", "amount"), [(nothing, 100), (nothing, 2000), (others_have_idle, 1000), (somebody_else_asks, 1000)]
)
def test_cancelled_at_every_await(prepare: Callable[[Bank], Any], amount: int) -> None:
    assert sweep(prepare, amount) >= 1


def sweep_all() -> None:
    for prepare, amount in ((nothing, 100), (others_have_idle, 1000), (somebody_else_asks, 1000)):
        sweep(prepare, amount)


@pytest.mark.parametrize("name", ["lease: granted to one who was stopped", "lease: a grant that nobody waits for"])
def test_the_sweep_sees(name: str) -> None:
    with planted(BUGS[name]), pytest.raises(AssertionError):
        sweep_all()


class Cut:
    """Ends a channel instead of carrying its n-th message; both ends hear of it, as of a socket that is reset."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.seen = 0

    def __call__(self, end: Any, message: Message) -> None:
        self.seen += 1
        if self.seen == self.number:
            end.close()
        else:
            end.send(message)


def play_cut(number: int, *, books: str) -> Cut:
    """A worker whose channel ends at its n-th message, and one that goes on."""
    cut = Cut(number)

    async def whole(loop: SimLoop) -> None:
        bank = Bank(loop, [MONEY, REQUESTS, STRICT], 1, None, loop.clock)
        treasury, settled = bank.treasury, {}
        there, here = memory_pair(loop.call_soon)
        purse = Purse(lambda message: cut(here, message), loop.clock, books)
        here.open(purse.received, purse.lost)  # type: ignore[arg-type]
        treasury.join("victim", lambda message: cut(there, message))
        there.open(lambda message: treasury.received("victim", message), lambda: treasury.left("victim"))  # type: ignore[arg-type]
        purse.open()
        await others_have_idle_of(bank)
        spent = 0
        for amount in (100, 700):
            try:
                held = await purse.reserve([want(MONEY, amount), want(REQUESTS, 1), want(STRICT, 10)])
            except Overloaded:
                break
            assert isinstance(held, Reservation)
            await loop.clock.sleep(1.0)
            spent += amount // 2
            settled[want(MONEY, 0).account, held.windows[0]] = spent
            purse.settle(held, [amount // 2, 1, 5])
            purse.beat()
        purse.close()
        here.close()
        await loop.settle()
        _end(treasury, books, settled, spent, bank)
        await loop.clock.sleep(62)
        other = bank.branches[0].purse
        other.void(reserved(await other.reserve([want(MONEY, bank.left(MONEY)), want(STRICT, 100)])))
        bank.branches[0].leave()
        await loop.settle()
        treasury.close()

    run(whole, leak_free=True)
    return cut


async def others_have_idle_of(bank: Bank) -> None:
    other = bank.branches[0].purse
    other.void(reserved(await other.reserve([want(MONEY, 20)])))


def _end(treasury: Treasury, books: str, settled: dict[tuple[str, int], int], spent: int, bank: Bank) -> None:
    """Never less is spent than the worker settled; with books exactly that, once they are closed."""
    assert bank.used(MONEY) - bank.branches[0].in_hand >= spent
    if books:
        treasury.settled(books, settled)
        assert bank.used(MONEY) - bank.branches[0].in_hand == spent
        assert treasury.unsettled == []


@pytest.mark.parametrize("books", ["journal", ""])
def test_the_channel_gone_before_any_of_its_messages(books: str) -> None:
    number = 0
    while True:
        number += 1
        try:
            cut = play_cut(number, books=books)
        except Exception as error:
            error.add_note(f"message {number}")
            raise
        if cut.seen < cut.number:
            break
    assert number > 8
