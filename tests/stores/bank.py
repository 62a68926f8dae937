"""A treasury and purses at the other end of channels, for tests: each message crosses as bytes, as over a socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from penstock.clock import Clock
from penstock.reservation import Reservation, Rule, Shortage, Want
from penstock.stores.account import Spent
from penstock.stores.centre import Frames, MemoryChannel, Message, encode_message, memory_pair
from penstock.stores.money_messages import FromTreasury, MoneyMessage, ToTreasury
from penstock.stores.purse import Purse
from penstock.stores.treasury import Treasury
from penstock.testing import SimLoop, run

__all__ = ["Bank", "Branch", "budget", "play", "rate", "reserved"]

DAY = 86_400


def budget(limit: int, scope: Any = "tenant", period: str = "day", **more: Any) -> Rule:
    unit = more.pop("unit", "usd")
    return Rule(f"budget:{scope}:{unit}:{period}", scope, "budget", unit, limit, period=period, **more)


def rate(limit: int, kind: Any = "burst", seconds: int = 60, **more: Any) -> Rule:
    unit = more.pop("unit", "requests")
    return Rule(f"{kind}:tenant:{unit}:{seconds}", "tenant", kind, unit, limit, seconds=seconds, **more)


def reserved(came: Reservation | Shortage | None) -> Reservation:
    assert isinstance(came, Reservation), came
    return came


class Branch:
    """A worker's side: a purse, and what it sent."""

    def __init__(self, loop: SimLoop, treasury: Treasury, name: str, rules: Sequence[Rule], books: str = "") -> None:
        self.name = name
        self.sent: list[Message] = []
        # A deaf one hears what was said to it once it is no longer.
        self.deaf = False
        self._unheard: list[FromTreasury] = []
        self.dead = False
        self._treasury = treasury
        here, self.end = memory_pair(loop.call_soon)
        self.purse = Purse(self._send, loop.clock, books)
        self.end.open(self._received, self.purse.lost)
        _join(treasury, name, here)
        self.purse.open()
        self.purse.adopt(rules)

    def _send(self, message: Message) -> None:
        self.sent.append(message)
        (copy,) = Frames(ToTreasury).feed(encode_message(message))
        if not self.dead:
            self.end.send(copy)

    def _received(self, message: Message) -> None:
        (copy,) = Frames(FromTreasury).feed(encode_message(message))
        if self.deaf:
            self._unheard.append(copy)  # type: ignore[arg-type]
        elif not self.dead:
            self.purse.received(copy)  # type: ignore[arg-type]

    def hear(self) -> None:
        """No longer deaf."""
        self.deaf = False
        unheard, self._unheard = self._unheard, []
        for message in unheard:
            self.purse.received(message)

    def die(self) -> None:
        """As a killed process does: not a word more, and what it sent arrives."""
        self.dead = True
        self.end.close()

    def leave(self) -> None:
        """As a drained one does."""
        self.purse.close()
        self.die()

    @property
    def in_hand(self) -> int:
        return sum(lease.idle for lease in self.purse._leases.values())


def _join(treasury: Treasury, name: str, end: MemoryChannel) -> None:
    def received(message: Message) -> None:
        assert isinstance(message, MoneyMessage)
        treasury.received(name, message)

    treasury.join(name, end.send)
    end.open(received, lambda: treasury.left(name))


class Bank:
    """A treasury and its branches."""

    def __init__(self, loop: SimLoop, rules: Sequence[Rule], count: int, spent: Spent | None, clock: Clock) -> None:
        self.loop = loop
        self.rules = list(rules)
        self.treasury = Treasury(clock, spent)
        self.treasury.adopt(rules)
        self.branches: list[Branch] = []
        for _ in range(count):
            self.hire()

    def hire(self, books: str = "") -> Branch:
        branch = Branch(self.loop, self.treasury, f"w{len(self.branches)}", self.rules, books)
        self.branches.append(branch)
        return branch

    def reload(self, *rules: Rule) -> None:
        self.rules = list(rules)
        self.treasury.adopt(rules)
        for branch in self.branches:
            branch.purse.adopt(rules)

    def left(self, rule: Rule, value: str = "acme") -> int:
        stand = self.treasury.stand(rule.id, value)
        assert stand is not None, rule
        return stand.left

    def used(self, rule: Rule, value: str = "acme") -> int:
        return rule.limit - self.left(rule, value)


def play(
    rules: Sequence[Rule],
    main: Callable[[Bank], Awaitable[None]],
    count: int = 1,
    *,
    spent: Spent | None = None,
    seed: int = 0,
    clock: Clock | None = None,
) -> None:
    """Run `main` with a bank; afterwards everything is given back, and nothing may have leaked."""

    async def whole(loop: SimLoop) -> None:
        bank = Bank(loop, rules, count, spent, clock if clock is not None else loop.clock)
        await loop.settle()
        await main(bank)
        for branch in bank.branches:
            if not branch.dead:
                branch.leave()
        await loop.settle()
        bank.treasury.close()

    run(whole, seed, leak_free=True)


def want(rule: Rule, amount: int, value: str = "acme") -> Want:
    return Want(rule, value, amount)
