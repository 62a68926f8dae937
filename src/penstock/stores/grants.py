"""Who is granted what of several accounts at once, who waits until others have given back, and how much is leased."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from penstock.clock import Clock, Timer
from penstock.stores.account import Moment, moment
from penstock.stores.account_book import Entry
from penstock.stores.message import Message
from penstock.stores.money_messages import Denied, Granted, Need, Reclaim, Share

__all__ = ["Grants", "Holder", "Waiting"]

# Leases are a twentieth of what is left, shared among the holders; in the last twentieth of an account there are none
# (semantics.md: Leases).
PART = 20
# A worker answers within a millisecond; one that does not is not waited for longer.
RECLAIM_SECONDS = 0.25


class Holder:
    """A worker, as far as it has to do with money.

    Attributes:
        books: by what name the ledger knows what it settles.
        settled: what they say that it did, where they are closed before its end is heard of.
        waiting: what it asked for and that is not decided yet, by number.
    """

    def __init__(self, send: Callable[[Message], object]) -> None:
        self.send = send
        self.books = ""
        self.settled: Mapping[tuple[str, int], int] | None = None
        self.waiting: dict[int, Waiting] = {}


class Waiting:
    """What a holder asks for."""

    __slots__ = ("entries", "holder", "late", "needs", "number", "timer")

    def __init__(self, holder: Holder, number: int, needs: Sequence[Need], entries: Sequence[Entry]) -> None:
        self.holder = holder
        self.number = number
        self.needs = needs
        self.entries = entries
        self.late = False
        self.timer: Timer | None = None


class _Short(NamedTuple):
    """A need that cannot be met."""

    which: int
    entry: Entry
    left: int


class Grants:
    """Decides.

    Args:
        post: has a message sent to a holder.
        deliver: is called after what was decided without anybody's word.
    """

    def __init__(self, clock: Clock, post: Callable[[Holder, Message], object], deliver: Callable[[], object]) -> None:
        self._clock = clock
        self._post = post
        self._deliver = deliver
        # Who is asked for what is not in use, by the number of the question.
        self._reclaims: dict[int, tuple[Entry, Holder]] = {}
        self._last_reclaim = 0

    def decide(self, waiting: Waiting, at: Moment) -> None:
        """Grant it, refuse it, or have it wait for what others may give back."""
        short = self._short(waiting, at)
        if not short:
            self.let_go(waiting)
            self._grant(waiting, at)
            return
        hopeless = any(waiting.needs[each.which].amount > each.entry.account.whole for each in short)
        if not hopeless and not waiting.late:
            for each in short:
                self.call_in(each.entry)
            if all(each.entry.called for each in short):
                self._wait(waiting, short)
                return
        self.let_go(waiting)
        waits = [(each.entry.account.wait(waiting.needs[each.which].amount, at), each) for each in short]
        wait, worst = max(waits, key=lambda pair: pair[0])
        resets = worst.entry.account.resets(at)
        self._post(waiting.holder, Denied(waiting.number, worst.which, max(0, worst.left), wait, resets))

    def look_again(self, entry: Entry, at: Moment) -> None:
        """An account may have more than it had."""
        for waiting in list(entry.waiting):
            self.decide(waiting, at)

    def let_go(self, waiting: Waiting) -> None:
        """It waits no more."""
        if waiting.timer is not None:
            waiting.timer.cancel()
            waiting.timer = None
        waiting.holder.waiting.pop(waiting.number, None)
        for entry in waiting.entries:
            entry.waiting.pop(waiting, None)

    # --- what others give back

    def call_in(self, entry: Entry) -> None:
        """Ask those that may have more in hand than they use for what is not in use."""
        for holder in entry.loose:
            if holder not in entry.called:
                self._last_reclaim += 1
                number = entry.called[holder] = self._last_reclaim
                self._reclaims[number] = (entry, holder)
                self._post(holder, Reclaim(number, entry.account.rule.id, entry.account.value))

    def answered(self, holder: Holder, number: int) -> Entry | None:
        """A holder has given back what it could, as it was asked to; of which account."""
        entry, asked = self._reclaims.get(number, (None, None))
        if entry is None or asked is not holder:
            return None
        del self._reclaims[number]
        del entry.called[holder]
        entry.loose.pop(holder, None)
        return entry

    def left(self, holder: Holder, entry: Entry) -> bool:
        """A holder is gone; whether somebody may wait for its answer about this account."""
        entry.loose.pop(holder, None)
        number = entry.called.pop(holder, 0)
        return self._reclaims.pop(number, None) is not None

    # ---

    def _short(self, waiting: Waiting, at: Moment) -> list[_Short]:
        found: list[_Short] = []
        asked: dict[Entry, int] = {}
        for which, (need, entry) in enumerate(zip(waiting.needs, waiting.entries, strict=True)):
            if entry.account.rule.hard:
                left = entry.account.left(at) - asked.get(entry, 0)
                asked[entry] = asked.get(entry, 0) + need.amount
                if left < need.amount:
                    found.append(_Short(which, entry, left))
        return found

    def _grant(self, waiting: Waiting, at: Moment) -> None:
        # First all that was asked for, then what there is beyond that.
        for need, entry in zip(waiting.needs, waiting.entries, strict=True):
            entry.account.take(waiting.holder, need.amount, at)
        shares = [
            self._share(waiting.holder, need, entry, at)
            for need, entry in zip(waiting.needs, waiting.entries, strict=True)
        ]
        self._post(waiting.holder, Granted(waiting.number, shares))

    def _share(self, holder: Holder, need: Need, entry: Entry, at: Moment) -> Share:
        account = entry.account
        surplus = self._surplus(holder, need, entry, at)
        window = account.take(holder, surplus, at)
        if surplus:
            entry.loose[holder] = None
        else:
            entry.loose.pop(holder, None)
        amount, left = need.amount + surplus, max(0, account.left(at))
        return Share(need.rule, account.value, window, amount, account.life(at), left, account.resets(at))

    def _surplus(self, holder: Holder, need: Need, entry: Entry, at: Moment) -> int:
        """How much more a holder is leased than it needs: what ten seconds take, at most."""
        account = entry.account
        if not account.leased or entry.waiting or entry.called:
            return 0
        # Of what is only told to somebody when it is over there is always as much again.
        left = account.left(at) if account.rule.hard else account.whole
        if left * PART <= account.whole:
            return 0
        holders = max(1, account.holders(), len(entry.loose.keys() | {holder}))
        return max(0, min(left // (PART * holders), need.pace))

    def _wait(self, waiting: Waiting, short: Sequence[_Short]) -> None:
        for entry in waiting.entries:
            entry.waiting.pop(waiting, None)
        for each in short:
            each.entry.waiting[waiting] = None
        waiting.holder.waiting[waiting.number] = waiting
        if waiting.timer is None:
            waiting.timer = self._clock.call_later(RECLAIM_SECONDS, lambda: self._late(waiting))

    def _late(self, waiting: Waiting) -> None:
        waiting.timer, waiting.late = None, True
        self.decide(waiting, moment(self._clock))
        self._deliver()
