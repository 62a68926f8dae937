"""Bugs of the ledger, of metering, and of limits, planted one at a time into a whole gateway, to see that
`booked.py` finds them. Those of leases, windows and limiters alone are in `spending_bugs.py`."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.gateway.books import Books
from penstock.layers.meter import Meter, entries
from penstock.layers.meter.entries import Entries
from penstock.layers.rate_limit import RateLimit
from penstock.routing.money import NOTHING
from penstock.stores import ledger, posting
from penstock.stores.journal import Journal
from penstock.stores.ledger import Ledger
from penstock.stores.seats import Seat, Seats
from penstock.stores.treasury import Treasury
from tests.simulation.planted import Bug

__all__ = ["BUGS"]


def _nothing(right: Any) -> Any:
    return lambda *args, **named: None


def _books_no_leavers(right: Any) -> Any:
    """Whoever left before an answer came is forgotten: held for ever, never closed."""

    def end(self: Any, held: Any) -> None:
        attempt = held.request.attempt
        if attempt is None or attempt.outcome != "cancelled":
            right(self, held)

    return end


def _settles_nothing(right: Any) -> Any:
    return lambda self, held, attempt: NOTHING


def _halves(right: Any) -> Any:
    def closed(*args: Any) -> Any:
        row = right(*args)
        return msgspec.structs.replace(row, cost=row.cost // 2) if row.cost else row

    return closed


def _forgets_fallbacks(right: Any) -> Any:
    """Only first attempts are written down."""

    def open_(self: Any, held: Any) -> None:
        if held.request.kind == "first":
            right(self, held)

    return open_


def _posts_nothing(right: Any) -> Any:
    def lost(opened: Any, heard: Any) -> Any:
        return msgspec.structs.replace(right(opened, heard), cost=0, settled=(0,) * len(opened.holds))

    return lost


def _doubles(right: Any) -> Any:
    """What accounts are told is twice what the rows have."""

    def parts(opened: Any, closed: Any, accounts: Any) -> Any:
        found = right(opened, closed, accounts)
        for account, _, amount in found:
            account.settled += amount
        return found

    return parts


def _folds_again(right: Any) -> Any:
    """How far a journal was read is not kept, and where its worker has died all of it is read once more."""

    async def bury(self: Any, name: str) -> Any:
        self._standings.pop(name, None)
        await self.database.run(lambda store: store.execute('UPDATE journals SET "offset" = 0 WHERE name = ?', (name,)))
        return await right(self, name)

    return bury


def _lets_everybody_in(right: Any) -> Any:
    def try_take(self: Any, held: Any) -> Any:
        return Seat(self, [], self._now())

    return try_take


def _gives_tokens_back(right: Any) -> Any:
    """A request's tokens are given back once it is over, as if it had used none."""

    def settle(self: Any, what: Any) -> None:
        _, reservation, held = what
        each = held.requests + (0,) * held.counts
        self._purse.settle(reservation, each if reservation.accounts is held.apart else (1, 0))

    return settle


BUGS: dict[str, Bug] = {
    "meter: who leaves is not booked": Bug(Meter, "_end", _books_no_leavers),
    "meter: nothing is ever settled": Bug(Meter, "_used", _settles_nothing),
    "meter: half of what it costs": Bug(entries, "_closed", _halves),
    "meter: fallbacks have no row": Bug(Entries, "open", _forgets_fallbacks),
    "journal: ends are not written": Bug(Journal, "close", _nothing),
    "ledger: what was lost cost nothing": Bug(ledger, "lost", _posts_nothing),
    "ledger: accounts have twice what rows have": Bug(posting, "_parts", _doubles),
    "ledger: the dead are not buried": Bug(Books, "gone", _nothing),
    "ledger: a dead worker's journal is read twice": Bug(Ledger, "bury", _folds_again),
    "treasury: the books' word is not heard": Bug(Treasury, "settled", _nothing),
    "limits: as many calls at a time as like": Bug(Seats, "try_take", _lets_everybody_in),
    "limits: tokens are given back": Bug(RateLimit, "_settle", _gives_tokens_back),
}
