"""Who holds how much of what: the centre's account of counted things that its workers share.

Of each guarded thing, such as the connections to one provider, there are so many. A holder leases some, settles what it
no longer needs, and waits in a line where there are none: then those that hold more than they use are asked for it,
and those that hold more than their share must let go. Pure: it decides, and whoever asks tells the holders.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, NamedTuple, TypeVar

__all__ = ["Decision", "Leases"]

# Beyond what was asked for, so that not every use costs a word: that part of what is free, shared among the holders
# (semantics.md: Leases). Where little is left it comes to nothing, and every use is the centre's to decide.
SURPLUS = 20

H = TypeVar("H", bound=Hashable)


class Decision(NamedTuple, Generic[H]):
    """What to tell a holder.

    Attributes:
        granted: how many more it holds from now on; 0 where it is asked to give some back instead.
        unused: how many others wait for, of what it holds and does not use; 0: none any more.
        owed: how many of them it must give back as they are freed, even if somebody of its own waits for them.
    """

    holder: H
    guard: str
    granted: int = 0
    unused: int = 0
    owed: int = 0


class _Account(Generic[H]):
    """One guarded thing."""

    def __init__(self) -> None:
        self.total = 0
        self.held: dict[H, int] = {}
        self.waiting: dict[H, int] = {}
        self.asked: set[H] = set()

    @property
    def free(self) -> int:
        return self.total - sum(self.held.values())

    @property
    def sharers(self) -> int:
        return len(self.held.keys() | self.waiting.keys())

    def serve(self, guard: str) -> Iterator[Decision[H]]:
        """Give the line what is free, then ask for what is not."""
        share = self.total // max(1, self.sharers)
        while self.waiting and self.free > 0:
            # Who has less than its share comes first, up to that; else what one gives back would be its own again.
            holder = next((one for one in self.waiting if self.held.get(one, 0) < share), next(iter(self.waiting)))
            short = share - self.held.get(holder, 0)
            wanted = self.waiting[holder]
            granted = min(wanted, self.free, short if short > 0 else wanted)
            if granted == wanted:
                del self.waiting[holder]
            else:
                self.waiting[holder] = wanted - granted
            self.held[holder] = self.held.get(holder, 0) + granted
            if not self.waiting:
                surplus = self.free // (SURPLUS * self.sharers)
                self.held[holder] += surplus
                granted += surplus
            yield Decision(holder, guard, granted)
        missing = sum(self.waiting.values()) - max(0, self.free)
        if missing > 0:
            yield from self._ask(guard, missing)

    def retract(self, guard: str) -> list[Decision[H]]:
        """Nobody waits any more: who was asked may keep what it has."""
        asked, self.asked = self.asked, set()
        return [Decision(holder, guard) for holder in self.held if holder in asked]

    def _ask(self, guard: str, missing: int) -> Iterator[Decision[H]]:
        share = self.total // self.sharers
        for holder, held in self.held.items():
            # Each is asked once, until it has answered; whoever waits has nothing to spare.
            if holder not in self.asked and (holder not in self.waiting or held > share):
                self.asked.add(holder)
                yield Decision(holder, guard, unused=min(missing, held), owed=max(0, min(missing, held - share)))


class Leases(Generic[H]):
    """The accounts of every guarded thing, by its name."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account[H]] = {}

    def __repr__(self) -> str:
        shown = ", ".join(f"{guard}: {held} of {self._accounts[guard].total}" for guard, held in self.sums().items())
        return f"<Leases {shown or 'nothing'}>"

    def sums(self) -> dict[str, int]:
        """How many are held of each guarded thing."""
        return {guard: sum(account.held.values()) for guard, account in self._accounts.items()}

    def held(self, guard: str) -> dict[H, int]:
        """How many each holder has."""
        account = self._accounts.get(guard)
        return dict(account.held) if account is not None else {}

    def lease(self, holder: H, guard: str, amount: int, total: int) -> list[Decision[H]]:
        """A holder needs so many more than it has, of `total` in all."""
        account = self._accounts.get(guard)
        if account is None:
            account = self._accounts[guard] = _Account()
        account.total = total
        account.waiting[holder] = account.waiting.get(holder, 0) + amount
        return list(account.serve(guard))

    def settle(self, holder: H, guard: str, returned: int, unasked: int = 0) -> list[Decision[H]]:
        """A holder gives so many back, never more than it has, and needs so many no more of what it had asked for."""
        account = self._accounts.get(guard)
        if account is None:
            return []
        left = account.held.get(holder, 0) - returned
        if left > 0:
            account.held[holder] = left
        else:
            account.held.pop(holder, None)
        waits = account.waiting.get(holder, 0) - unasked
        if waits > 0:
            account.waiting[holder] = waits
        else:
            account.waiting.pop(holder, None)
        if returned:
            account.asked.discard(holder)
        retracted = [] if account.waiting or not unasked else account.retract(guard)
        return retracted + self._served(guard, account)

    def withdraw(self, holder: H) -> list[Decision[H]]:
        """A holder is gone and waits for nothing more; what it holds stays its own until `expire`."""
        decisions: list[Decision[H]] = []
        for guard, account in list(self._accounts.items()):
            if account.waiting.pop(holder, None) is not None:
                decisions += self._served(guard, account)
        return decisions

    def holds(self, holder: H) -> bool:
        """Whether it has anything."""
        return any(holder in account.held for account in self._accounts.values())

    def expire(self, holder: H) -> list[Decision[H]]:
        """What a holder that is gone held is free."""
        decisions: list[Decision[H]] = []
        for guard, account in list(self._accounts.items()):
            if account.held.pop(holder, None) is not None:
                account.asked.discard(holder)
                decisions += self._served(guard, account)
        return decisions

    def _served(self, guard: str, account: _Account[H]) -> list[Decision[H]]:
        if not account.held and not account.waiting:
            del self._accounts[guard]
            return []
        return list(account.serve(guard))
