"""The treasury: every account of limits and budgets, and what workers have in hand of it. It is the centre's side.

A worker asks for what it needs of several accounts, and has all of it or nothing. While an account has much left, more
is leased than was asked for, so that the next request needs no word; in its last twentieth each reservation is asked
for. What is leased is debited first, so that whatever workers do with it nobody has more than there is. Who cannot be
served waits until those that have more in hand than they use have given that back.

A worker that dies leaves what it had in hand: of money its books say what was spent, and until they do none of it is
anybody else's; rates forget by themselves.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping

from penstock.clock import Clock
from penstock.reservation import Rule
from penstock.stores.account import Budget, Moment, Spent, moment
from penstock.stores.account_book import AccountBook, Entry
from penstock.stores.grants import Grants, Holder, Waiting
from penstock.stores.message import Message
from penstock.stores.money_messages import (
    NOBODY,
    Ask,
    Denied,
    Forget,
    Inspect,
    Inspected,
    Line,
    MoneyMessage,
    Open,
    Stand,
    Told,
)
from penstock.stores.taken import Taken

__all__ = ["Treasury"]

log = logging.getLogger("penstock.stores")

# Of a rule that this side does not know yet, or any more.
UNKNOWN_WAIT = 1.0


class Treasury:
    """Keeps the accounts.

    Args:
        spent: what was spent of a rule's value since a window began, before this process; None: nothing was.

    Attributes:
        accounts: those that have been asked for.
    """

    def __init__(self, clock: Clock, spent: Spent | None = None) -> None:
        self.accounts = AccountBook(spent)
        self._clock = clock
        self._holders: dict[Hashable, Holder] = {}
        # Those that died and whose books are not closed yet.
        self._gone: dict[str, list[Holder]] = {}
        self._outbox: deque[tuple[Holder, Message]] = deque()
        self._sending = False
        self._grants = Grants(clock, self._post, self._deliver)

    def __repr__(self) -> str:
        return f"<Treasury of {len(self.accounts)} accounts, {len(self._holders)} holders>"

    def adopt(self, rules: Iterable[Rule]) -> None:
        """Go by these rules from now on; what was taken under a rule of the same id stays taken.

        Those that are no longer there hold on for workers that still go by them.
        """
        at = moment(self._clock)
        for rule in rules:
            if rule.kind == "concurrency":
                continue  # of calls that run there are permits (`stores/permits.py`)
            before = self.accounts.adopt(rule)
            if before is None or before == rule:
                continue
            for entry in self.accounts.of(rule.id):
                entry.account.adopt(rule, at)
                self._grants.call_in(entry)
        self._deliver()

    def remember(self, taken: Iterable[Taken]) -> None:
        """So much was taken of rates before this process: to be told once they are adopted, the oldest first."""
        at = moment(self._clock)
        for one in taken:
            then = Moment(at.now - max(0, int(at.wall * 1e9) - one.at), at.wall)
            entry = self.accounts.get(one.rule.id, one.value, then)
            if entry is None:
                continue
            account, amount = entry.account, one.amount
            if one.lost and one.rule.kind == "strict" and one.rule.unit == "tokens":
                # Those may have taken all that they had reserved: whatever was left at that moment.
                amount = max(amount, account.left(then))
            account.take(None, amount, then)

    # --- workers

    def join(self, worker: Hashable, send: Callable[[Message], object]) -> None:
        """A worker is connected."""
        self._holders[worker] = Holder(send)

    def received(self, worker: Hashable, message: MoneyMessage) -> None:
        """A worker says or asks something."""
        holder = self._holders.get(worker)
        if holder is None:
            return
        at = moment(self._clock)
        if isinstance(message, Ask):
            self._asked(holder, message, at)
        elif isinstance(message, Told):
            self._told(holder, message, at)
        elif isinstance(message, Forget):
            waiting = holder.waiting.get(message.number)
            if waiting is not None:
                self._grants.let_go(waiting)
        elif isinstance(message, Inspect):
            self._post(holder, Inspected(message.number, [self._stand(*each, at) for each in message.accounts]))
        elif isinstance(message, Open):
            holder.books = message.books
        self._deliver()

    def left(self, worker: Hashable) -> None:
        """A worker is gone: what it had in hand stays so until its books say what it spent; without any it is spent."""
        holder = self._holders.pop(worker, None)
        if holder is None:
            return
        for waiting in list(holder.waiting.values()):
            self._grants.let_go(waiting)
        owes = False
        for entry in self.accounts:
            account = entry.account
            if isinstance(account, Budget):
                if entry.shared or not holder.books:
                    account.post(holder)
                owes = owes or account.has(holder)
            if self._grants.left(holder, entry):
                self._grants.look_again(entry, moment(self._clock))
        if holder.settled is not None:
            self._reconcile(holder, holder.settled)
        elif owes:
            self._gone.setdefault(holder.books, []).append(holder)
        else:
            self._reconcile(holder, {})
        self._deliver()

    def settled(self, books: str, spent: Mapping[tuple[str, int], int]) -> None:
        """What a worker that is gone settled in its whole life, now that its journal is folded.

        What else it had in hand is free again. What its attempts left open is among it, as it was posted.

        Args:
            spent: by account (`rule id|value`) and window.
        """
        for holder in self._gone.pop(books, ()):
            self._reconcile(holder, spent)
        for holder in self._holders.values():
            # Its process has ended, and the end of its channel is still to be heard of.
            if holder.books == books != "":
                holder.settled = spent
        self._deliver()

    @property
    def unsettled(self) -> list[str]:
        """The books of those that died, and of which the ledger has not said yet what they spent."""
        return list(self._gone)

    def stand(self, rule: str, value: str) -> Stand | None:
        """How an account stands; None where that rule is not known."""
        return self._stand(rule, value, moment(self._clock))

    def stands(self, rule: str) -> list[tuple[str, Stand]]:
        """How the accounts of a rule stand that have been asked for, by their values."""
        at = moment(self._clock)
        values = [entry.account.value for entry in self.accounts.of(rule)]
        found = ((value, self._stand(rule, value, at)) for value in values)
        return [(value, stand) for value, stand in found if stand is not None]

    def close(self) -> None:
        """Wait for nothing more."""
        for holder in self._holders.values():
            for waiting in list(holder.waiting.values()):
                self._grants.let_go(waiting)

    # ---

    def _asked(self, holder: Holder, ask: Ask, at: Moment) -> None:
        for touched in self._booked(holder, ask.lines, at):
            self._grants.look_again(touched, at)
        entries = []
        for which, need in enumerate(ask.needs):
            try:
                entry = self.accounts.get(need.rule, need.value, at)
            except OSError as error:
                log.error("what was spent before is not known: %s", error)
                self._post(holder, Denied(ask.number, NOBODY, 0, UNKNOWN_WAIT, UNKNOWN_WAIT))
                return
            if entry is None:
                self._post(holder, Denied(ask.number, which, 0, UNKNOWN_WAIT, UNKNOWN_WAIT))
                return
            entries.append(entry)
        self._grants.decide(Waiting(holder, ask.number, ask.needs, entries), at)

    def _told(self, holder: Holder, message: Told, at: Moment) -> None:
        touched = self._booked(holder, message.lines, at)
        answered = self._grants.answered(holder, message.reclaim)
        if answered is not None:
            touched.append(answered)
        for entry in touched:
            self._grants.look_again(entry, at)

    def _booked(self, holder: Holder, lines: Iterable[Line], at: Moment) -> list[Entry]:
        touched = []
        for line in lines:
            entry = self.accounts.find(line.rule, line.value)
            if entry is not None:
                entry.account.told(holder, line.window, line.spent, line.returned, at)
                touched.append(entry)
        return touched

    def _reconcile(self, holder: Holder, spent: Mapping[tuple[str, int], int]) -> None:
        for entry in self.accounts:
            account = entry.account
            if isinstance(account, Budget):
                account.reconcile(holder, {window: spent.get((account.id, window), 0) for window in account.windows})

    def _stand(self, rule: str, value: str, at: Moment) -> Stand | None:
        try:
            entry = self.accounts.get(rule, value, at)
        except OSError:
            return None
        if entry is None:
            return None
        account = entry.account
        left = account.left(at)
        # Of what is only told to somebody more may be taken than there is, and whoever asks shall see it.
        return Stand(account.whole, max(0, left) if account.rule.hard else left, account.resets(at))

    def _post(self, holder: Holder, message: Message) -> None:
        self._outbox.append((holder, message))

    def _deliver(self) -> None:
        """Send what was decided. A worker of this process may answer at once, in the midst of it."""
        if self._sending:
            return
        self._sending = True
        try:
            while self._outbox:
                holder, message = self._outbox.popleft()
                holder.send(message)
        finally:
            self._sending = False
