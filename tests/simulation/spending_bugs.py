"""Bugs of leases, windows and limiters, planted one at a time, to see that the judge of `spending.py` finds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock.stores import account as accounts
from penstock.stores import calendar, hand
from penstock.stores.account import Budget, Moment
from penstock.stores.gcra import Gcra
from penstock.stores.grants import Grants
from penstock.stores.hand import Hand
from penstock.stores.purse import Purse
from penstock.stores.strict import Strict
from penstock.stores.treasury import Treasury
from tests.simulation.planted import Bug

__all__ = ["BUGS"]


def _always(value: Any) -> Callable[[Any], Any]:
    return lambda right: value


def _nothing(right: Any) -> Any:
    return lambda *args, **named: None


# --- leases


def _leases_what_is_not_debited(right: Any) -> Any:
    def share(self: Any, holder: Any, need: Any, entry: Any, at: Moment) -> Any:
        account = entry.account
        take, account.take = account.take, lambda holder, amount, at: take(holder, 0, at)
        try:
            return right(self, holder, need, entry, at)
        finally:
            del account.take

    return share


def _frees_what_the_dead_had(right: Any) -> Any:
    def left(self: Any, worker: Any) -> None:
        right(self, worker)
        for books in self.unsettled:
            self.settled(books, {})

    return left


def _counts_the_dead_twice(right: Any) -> Any:
    def reconcile(self: Any, holder: Any, settled: Any) -> None:
        for page in self._pages.values():
            page.settled.pop(holder, None)
        right(self, holder, settled)

    return reconcile


def _grants_what_is_there(right: Any) -> Any:
    """Of several accounts those that have enough are debited, and the whole is refused."""

    def decide(self: Any, waiting: Any, at: Moment) -> None:
        for which, (need, entry) in enumerate(zip(waiting.needs, waiting.entries, strict=True)):
            short = [each.which for each in self._short(waiting, at)]
            if short and which not in short and waiting.late is False:
                entry.account.take(waiting.holder, need.amount, at)
        right(self, waiting, at)

    return decide


def _forgets_who_was_stopped(right: Any) -> Any:
    """What is granted to somebody who was cancelled in that moment is nobody's."""

    def give_up(self: Any, asking: Any) -> None:
        if self._asking.get(asking.number) is not None:
            right(self, asking)

    return give_up


def _drops_what_comes_late(right: Any) -> Any:
    def granted(self: Any, message: Any) -> None:
        asking = self._asking.get(message.number)
        if asking is not None and not asking.answer.done():
            right(self, message)

    return granted


def _keeps_what_is_freed(right: Any) -> Any:
    """Near the limit what is freed stays where it was."""

    def merge(self: Any, *args: Any) -> Any:
        lease = right(self, *args)
        lease.most = 10**18
        return lease

    return merge


def _books_no_more_than_was_reserved(right: Any) -> Any:
    def settle(self: Any, reservation: Any, amounts: Any) -> None:
        right(self, reservation, [min(n, want.amount) for n, want in zip(amounts, reservation.wants, strict=True)])

    return settle


def _returns_twice(right: Any) -> Any:
    def give_back(lease: Any, lines: Any, keep: int = 0) -> None:
        left = lease.left
        right(lease, lines, keep)
        if left > keep:
            lines.append(lines[-1]._replace(spent=0))

    return give_back


def _tells_nothing_again(right: Any) -> Any:
    """What was spent is told with what goes back, and once more with the beat."""

    def give_back(lease: Any, lines: Any, keep: int = 0) -> None:
        spent = lease.spent
        right(lease, lines, keep)
        lease.spent = spent

    return give_back


def _uses_what_has_ended(right: Any) -> Any:
    """What is in hand is spent however old it is."""

    def merge(self: Any, *args: Any) -> Any:
        lease = right(self, *args)
        lease.until = float("inf")
        return lease

    return merge


def _calls_nothing_in(right: Any) -> Any:
    return lambda self, entry: None


# --- windows


def _knows_no_zone(right: Any) -> Any:
    return lambda period, zone, moment: right(period, "UTC", moment)


def _days_have_24_hours(right: Any) -> Any:
    def window_at(period: str, zone: str, moment: float) -> Any:
        start, end = right(period, zone, moment)
        return calendar.Window(start, min(end, start + 86_400) if period == "day" else end)

    return window_at


def _stays_in_its_window(right: Any) -> Any:
    def current(self: Any, at: Moment) -> Any:
        page = self._page
        return page if at.wall < page.window.end + 30 and at.wall >= page.window.start else right(self, at)

    return current


def _leases_outlive_their_window(right: Any) -> Any:
    def merge(self: Any, want: Any, share: Any, now: float, lines: Any) -> Any:
        lease = self.leases.get((share.rule, want.value))
        if lease is not None and want.rule.kind == "budget":
            lease.window = share.window
        return right(self, want, share, now, lines)

    return merge


def _begins_anew(right: Any) -> Any:
    """A window that is come back to, after the clock was set, is empty."""

    def turn(self: Any, at: Moment) -> Any:
        self._pages.clear()
        return right(self, at)

    return turn


def _forgets_what_was_before(right: Any) -> Any:
    def turn(self: Any, at: Moment) -> Any:
        self._spent = None
        return right(self, at)

    return turn


# --- limiters


def _sixty_buckets(right: Any) -> Any:
    def drop(self: Any, now: int) -> None:
        right(self, now + self._span // 60)

    return drop


def _gives_back_to_now(right: Any) -> Any:
    def give(self: Any, amount: int, bucket: int, now: int) -> None:
        self._sum -= amount
        self._buckets.append([self._number(now), -amount])

    return give


def _drains_twice(right: Any) -> Any:
    def drain(self: Any, now: int) -> None:
        gone = max(0, now - self._at)
        right(self, now)
        self._debt = max(0, self._debt - gone * self._limit // 4)

    return drain


def _all_at_once(right: Any) -> Any:
    def set_(self: Any, rule: Any) -> None:
        right(self, rule)
        self._even = False

    return set_


def _forgets_on_reload(right: Any) -> Any:
    def adopt(self: Any, rules: Any) -> None:
        rules = list(rules)
        for entry in self.accounts:
            for rule in rules:
                if (
                    rule.id == entry.account.rule.id
                    and rule != entry.account.rule
                    and isinstance(entry.account, Budget)
                ):
                    entry.account._page.spent = 0
        right(self, rules)

    return adopt


BUGS: dict[str, Bug] = {
    "lease: what is leased is not debited": Bug(Grants, "_share", _leases_what_is_not_debited),
    "lease: ends with its holder, whatever that spent": Bug(Treasury, "left", _frees_what_the_dead_had),
    "lease: what the dead had told counts twice": Bug(Budget, "reconcile", _counts_the_dead_twice),
    "lease: what a dead one has is never settled": Bug(Treasury, "settled", _nothing),
    "lease: not all or nothing": Bug(Grants, "decide", _grants_what_is_there),
    "lease: granted to one who was stopped": Bug(Purse, "_give_up", _forgets_who_was_stopped),
    "lease: a grant that nobody waits for": Bug(Purse, "_granted", _drops_what_comes_late),
    "lease: what is freed near the limit is kept": Bug(Hand, "merge", _keeps_what_is_freed),
    "lease: an overrun is not booked": Bug(Purse, "settle", _books_no_more_than_was_reserved),
    "lease: what goes back goes twice": Bug(hand, "give_back", _returns_twice),
    "lease: what was spent is told twice": Bug(hand, "give_back", _tells_nothing_again),
    "lease: spent once it has ended": Bug(Hand, "merge", _uses_what_has_ended),
    "lease: nobody is asked for what is idle": Bug(Grants, "call_in", _calls_nothing_in),
    "window: a zone is UTC": Bug(accounts, "window_at", _knows_no_zone),
    "window: a day has 24 hours": Bug(accounts, "window_at", _days_have_24_hours),
    "window: the old one goes on": Bug(Budget, "_current", _stays_in_its_window),
    "window: leases outlive theirs": Bug(Hand, "merge", _leases_outlive_their_window),
    "window: one that comes again is empty": Bug(Budget, "_turn", _begins_anew),
    "window: begins with nothing spent": Bug(Budget, "_turn", _forgets_what_was_before),
    "strict: sixty buckets": Bug(Strict, "_drop", _sixty_buckets),
    "strict: what comes back comes back now": Bug(Strict, "give", _gives_back_to_now),
    "gcra: forgets too fast": Bug(Gcra, "_drain", _drains_twice),
    "leaky: all at once": Bug(Gcra, "_set", _all_at_once),
    "reload: forgets what was spent": Bug(Treasury, "adopt", _forgets_on_reload),
}
