"""Drawers: sets of accounts that many calls draw on; whatever is done in whatever order, what is in one is in hand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.reservation import Accounts, Reservation, Rule, Shortage
from penstock.stores.purse import Purse
from penstock.stores.treasury import Treasury
from penstock.testing import FakeClock
from tests.stores.bank import budget, rate, reserved

EVERYBODY = budget(100_000, "global")
TENANTS = budget(100_000, "tenant")
TOKENS = budget(100_000, "user", unit="tokens")
REQUESTS = rate(100_000)
# Two tenants, who share one account.
SETS = (
    [(EVERYBODY, ""), (TENANTS, "acme"), (TOKENS, "acme/u1")],
    [(EVERYBODY, ""), (TENANTS, "beta"), (TOKENS, "beta/u1")],
)


# Of the numbers of a call which of them each of a set counts.
COUNTED = (3, 3, 1)


def numbers_of(usd: int, tokens: int) -> tuple[int, ...]:
    """A call's, some of which nobody counts."""
    return (7_000, tokens, -7, usd, 10**30)


class Shop:
    """Purses at one treasury, in one process: each word arrives at once."""

    def __init__(self, rules: Sequence[Rule], calls: int = 1, count: int = 2) -> None:
        self.clock = FakeClock()
        self.rules = {rule.id: rule for rule in rules}
        self.treasury = Treasury(self.clock)
        self.treasury.adopt(rules)
        self.purses = [self._hire(f"w{number}", calls) for number in range(count)]
        for purse in self.purses:
            purse.adopt(rules)
        self.sets = [[Accounts(scopes, COUNTED) for scopes in SETS] for _ in self.purses]
        self.open: list[tuple[Purse, Reservation]] = []
        self.settled: dict[tuple[str, str], int] = {}
        self.drawn = 0

    def _hire(self, name: str, calls: int) -> Purse:
        purse = Purse(lambda message: self.treasury.received(name, message), self.clock, calls=calls)  # type: ignore[arg-type]
        self.treasury.join(name, purse.received)  # type: ignore[arg-type]
        purse.open()
        return purse

    async def reserve(self, which: int, of: int, usd: int, tokens: int) -> None:
        purse, accounts = self.purses[which], self.sets[which][of]
        numbers = numbers_of(usd, tokens)
        came = purse.try_reserve(accounts, numbers)
        found = came if came is not None else await purse.reserve(accounts.wants(accounts.amounts(numbers)))
        if came is None and isinstance(found, Reservation):
            found.accounts, found.numbers = accounts, numbers  # as layers do
        self.drawn += accounts.drawer is not None
        if isinstance(found, Shortage):
            return
        self.open.append((purse, found))
        ((_, left, _),) = found.remaining([(0, EVERYBODY)], 0.0)
        lease = purse._leases[EVERYBODY.id, ""]
        assert left == lease.beside + lease.idle

    async def settle(self, which: int, usd: int, tokens: int) -> None:
        if self.open:
            purse, held = self.open.pop(which % len(self.open))
            numbers = numbers_of(usd, tokens)
            purse.settle(held, numbers)
            for key, amount in zip(held.accounts.keys, (usd, usd, tokens), strict=True):
                self.settled[key] = self.settled.get(key, 0) + amount
            with pytest.raises(RuntimeError):
                purse.settle(held, numbers)

    async def void(self, which: int) -> None:
        if self.open:
            purse, held = self.open.pop(which % len(self.open))
            purse.void(held)

    async def beat(self, which: int) -> None:
        self.purses[which].beat()

    async def look(self, which: int, of: int) -> None:
        purse = self.purses[which]
        for level in purse.levels(self.sets[which][of]):
            lease = purse._leases[level.rule.id, level.value]
            assert level.left == max(0, lease.beside + lease.idle)

    async def passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def reload(self, limit: int) -> None:
        changed = budget(limit, "global")
        self.rules[changed.id] = changed
        self.treasury.adopt([changed])
        for purse in self.purses:
            purse.adopt([changed])

    def reserved(self, rule: str, value: str) -> int:
        return sum(
            amount
            for _, held in self.open
            for key, amount in zip(held.accounts.keys, held.amounts, strict=True)
            if key == (rule, value)
        )

    def idle(self, rule: str, value: str) -> int:
        leases = [purse._leases.get((rule, value)) for purse in self.purses]
        return sum(lease.idle for lease in leases if lease is not None)

    def balanced(self) -> None:
        """Of each account: what the centre has, is settled, reserved and in hand is all that there is."""
        for rule, value in {key for accounts in self.sets[0] for key in accounts.keys}:
            stand = self.treasury.stand(rule, value)
            if stand is not None:
                used = self.settled.get((rule, value), 0) + self.reserved(rule, value)
                assert stand.left + used + self.idle(rule, value) == self.rules[rule].limit, (rule, value)


few = st.integers(0, 40)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.integers(0, 1), st.integers(0, 1), few, few),
        st.tuples(st.just("reserve"), st.just(0), st.just(0), few, few),
        st.tuples(st.just("settle"), st.integers(0, 9), few, few),
        st.tuples(st.just("settle"), st.integers(0, 9), st.integers(0, 2_000), few),
        st.tuples(st.just("void"), st.integers(0, 9)),
        st.tuples(st.just("beat"), st.integers(0, 1)),
        st.tuples(st.just("look"), st.integers(0, 1), st.integers(0, 1)),
        st.tuples(st.just("passes"), st.sampled_from([0.1, 3.0, 31.0])),
        st.tuples(st.just("reload"), st.sampled_from([90_000, 100_000, 120_000])),
    ),
    max_size=80,
)


async def prepared(limit: int = 100_000) -> Shop:
    """Whose purses have much in hand: what was spent lately is leased ahead."""
    shop = Shop([budget(limit, "global"), TENANTS, TOKENS])
    for which, of in ((0, 0), (0, 1), (1, 0)):
        await shop.reserve(which, of, 3_000, 3_000)
        await shop.settle(0, 0, 0)
        await shop.reserve(which, of, 3_100, 3_100)
        await shop.settle(0, 0, 0)
    return shop


async def play(limit: int, steps: list[Any]) -> int:
    shop = await prepared(limit)
    for name, *arguments in steps:
        await getattr(shop, name)(*arguments)
        shop.balanced()
    while shop.open:
        await shop.void(0)
    for purse in shop.purses:
        purse.close()
        assert not purse._leases
    shop.balanced()
    for rule, value in shop.settled:
        stand = shop.treasury.stand(rule, value)
        assert stand is not None
        assert stand.left == shop.rules[rule].limit - shop.settled[rule, value]
    return shop.drawn


@given(st.sampled_from([9_000, 100_000]), steps)
@settings(max_examples=60, deadline=None)
def test_what_is_in_drawers_is_in_hand_and_all_adds_up(limit: int, steps: list[Any]) -> None:
    asyncio.run(play(limit, steps))


def test_calls_in_quick_succession_draw_on_one() -> None:
    async def main() -> None:
        shop = await prepared()
        accounts = shop.sets[0][0]
        await shop.reserve(0, 0, 10, 10)
        drawer = accounts.drawer
        assert drawer is not None
        lefts = [lease.left for lease in drawer.leases]
        for _ in range(20):
            await shop.reserve(0, 0, 10, 20)
            await shop.settle(1, 9, 8)
            shop.balanced()
        assert accounts.drawer is drawer
        assert [lease.left for lease in drawer.leases] == lefts, "none of them was looked at"
        shop.purses[0].beat()
        assert accounts.drawer is None
        assert not drawer.open
        (level,) = await shop.purses[1].look(Accounts([(TENANTS, "acme")]).wants([0]))
        assert level.used >= 20 * 9, "and what was settled is told"
        # What was reserved from one that is gone is settled all the same.
        await shop.settle(0, 11, 0)
        shop.balanced()

    asyncio.run(main())


def test_one_that_is_empty_is_filled_again_and_others_give_way() -> None:
    async def main() -> None:
        shop = await prepared()
        for of in (0, 1):
            await shop.reserve(0, of, 1, 1)
            assert shop.sets[0][of].drawer is not None
        in_hand = shop.purses[0]._leases[EVERYBODY.id, ""].idle
        asked = shop.purses[0]._number
        await shop.reserve(0, 0, in_hand - 5, 1)
        assert len(shop.open) == 3
        assert shop.purses[0]._number == asked, "nobody was asked for what was in the other one"
        shop.balanced()

    asyncio.run(main())


def test_what_is_in_one_is_given_back_for_others_who_need_it() -> None:
    async def main() -> None:
        shop = await prepared(9_000)
        await shop.reserve(0, 0, 1, 1)
        assert shop.sets[0][0].drawer is not None
        await shop.reserve(1, 1, 8_990, 1)
        assert len(shop.open) == 2, "all but nine is for whoever comes"
        assert shop.sets[0][0].drawer is None
        shop.balanced()

    asyncio.run(main())


def test_headers_count_down_by_one_though_another_set_draws_too() -> None:
    async def main() -> None:
        clock = FakeClock()
        treasury = Treasury(clock)
        treasury.adopt([REQUESTS])
        purse = Purse(lambda message: treasury.received("w", message), clock, calls=4)  # type: ignore[arg-type]
        treasury.join("w", purse.received)  # type: ignore[arg-type]
        sets = [Accounts([(REQUESTS, "acme")], [0]) for _ in range(2)]
        reserved(await purse.reserve(sets[0].wants([900])))
        reserved(await purse.reserve(sets[0].wants([901])))
        lefts, drawn = [], 0
        for turn in range(40):
            accounts = sets[turn % 2]
            held = reserved(purse.try_reserve(accounts, [1]))
            ((_, left, _),) = held.remaining([(0, REQUESTS)], 0.0)
            lefts.append(left)
            drawn += held.drawer is not None
        assert drawn > 20
        assert lefts == list(range(lefts[0], lefts[0] - 40, -1))

    asyncio.run(main())


def test_those_that_count_too_much_or_rarely_have_none() -> None:
    assert Accounts(SETS[0], [0, 3, 0]).kinds == (0, 1, 0)
    assert Accounts(SETS[0], [0, 1, 2]).kinds is None
    assert Accounts(SETS[0]).kinds is None

    async def main() -> None:
        shop = await prepared()
        for purse in shop.purses:
            purse._hand.calls = 8
        for _ in range(30):
            await shop.reserve(0, 0, 1, 1)
            shop.clock.advance(0.04)
        assert shop.sets[0][0].drawer is None, "eight in a quarter of a second are many"
        for _ in range(20):
            await shop.reserve(0, 0, 1, 1)
        assert shop.sets[0][0].drawer is not None
        await shop.reserve(0, 0, 2_000, 1)
        shop.balanced()

    asyncio.run(main())
