"""What an attempt has in the ledger: a row before its first byte leaves, what came of a long stream meanwhile, its end.

All of it goes through the worker's journal (`stores/journal.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Protocol

from penstock.call import Reply
from penstock.clock import Clock, Timer
from penstock.errors import Overloaded
from penstock.layers.meter.held import Held
from penstock.records import Attempt, Record
from penstock.stores.rows import ABSURD, AMBIGUOUS, ESTIMATED, OVERRUN, UNPRICED, Closed, Heard, Hold, Opened

__all__ = ["Entries", "Journal"]

_NANOS = 1_000_000_000
# How much of a stream's answer may be unknown to the ledger if its process dies.
HEARD_SECONDS = 5.0
TURN_SECONDS = 0.5


class Journal(Protocol):
    """What writes the ledger's rows (`stores/journal.py`)."""

    def open(self, row: Opened) -> None: ...
    def heard(self, row: Heard) -> None: ...
    def close(self, row: Closed) -> None: ...


class Entries:
    """Writes the rows of a worker's attempts.

    Args:
        winner_pays: the tenants that pay for the attempt that answered alone.
    """

    def __init__(self, clock: Clock, journal: Journal, winner_pays: frozenset[str]) -> None:
        self._clock = clock
        self._journal = journal
        self._winner_pays = winner_pays
        self._streams = _Streams(clock, journal)

    def opening(self, held: Held) -> Callable[[], None]:
        """What writes the row; to be called just before the attempt is sent."""
        return lambda: self._open(held)

    def _open(self, held: Held) -> None:
        """Write the row, just before the attempt is sent. Raises Overloaded: then it must not be."""
        request, bound, use = held.request, held.bound, held.use
        record: Record = request.record
        candidate = request.candidate
        number = len(record.attempts) + 1
        tokens = held.expected
        row = Opened(
            record.id,
            number,
            int(self._clock.wall() * _NANOS),
            request.model or request.plan.name,
            candidate.id,
            candidate.deployment.endpoint.name,
            request.kind,
            record.tenant,
            record.project,
            record.key,
            record.user,
            record.task,
            None,
            record.tags,
            _holds(held),
            tokens,
            bound.ceiling.cost(tokens, 0) if bound.ceiling is not None else None,
            use.usd if held.reservation is not None else bound.cost(held.given),
            record.tenant in self._winner_pays,
        )
        try:
            self._journal.open(row)
        except OSError as error:
            raise Overloaded(
                f"the ledger cannot be written: {error.strerror or type(error).__name__}",
                do="Wait as long as `retry-after` says. The operator: the disk of the state may be full.",
                retry_after=1.0,
            ) from error
        held.number = number

    def follow(self, held: Held, reply: Reply) -> None:
        """Its answer flows."""
        if held.number and reply.streaming:
            self._streams.add(held, reply)

    def close(self, held: Held, attempt: Attempt | None, amounts: Sequence[int]) -> None:
        """It is over; `amounts`: what is settled of each that was reserved, () for nothing."""
        self._streams.drop(held)
        if held.number:
            self._journal.close(_closed(held, attempt, self._clock.wall(), amounts))


class _Streams:
    """Those that are being answered: what has come of each is written down now and then, so that it is not lost with
    the process."""

    def __init__(self, clock: Clock, journal: Journal) -> None:
        self._clock = clock
        self._journal = journal
        # And when each is due; those that are soonest come first.
        self._open: dict[Held, tuple[Reply, float]] = {}
        self._timer: Timer | None = None

    def add(self, held: Held, reply: Reply) -> None:
        """From now on."""
        self._open[held] = reply, self._clock.monotonic() + HEARD_SECONDS
        if self._timer is None:
            self._timer = self._clock.call_later(TURN_SECONDS, self._turn)

    def drop(self, held: Held) -> None:
        """It is over."""
        if self._open.pop(held, None) is not None and not self._open and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _turn(self) -> None:
        """Those that are due, but never so many that others would wait for long."""
        self._timer = self._clock.call_later(TURN_SECONDS, self._turn)
        now = self._clock.monotonic()
        most = 1 + int(len(self._open) * TURN_SECONDS * 2 / HEARD_SECONDS)
        due = [(held, reply) for held, (reply, at) in islice(self._open.items(), most) if at <= now]
        for held, reply in due:
            del self._open[held]
            self._open[held] = reply, now + HEARD_SECONDS
            self._tell(held, reply)

    def _tell(self, held: Held, reply: Reply) -> None:
        usage, record = reply.usage, held.request.record
        if usage is None:
            return
        price = held.request.candidate.deployment.price
        cost = price.cost(usage, record.wall) if price is not None else None
        at = int(self._clock.wall() * _NANOS)
        self._journal.heard(Heard(record.id, held.number, at, usage.output_tokens, cost))


def _holds(held: Held) -> tuple[Hold, ...]:
    """What of a reservation the ledger knows."""
    reservation = held.reservation
    if reservation is None:
        return ()
    wants, windows, new = reservation.wants, reservation.windows, tuple.__new__
    found = []
    for at in held.claim.kept:
        rule, value, amount = wants[at]
        found.append(new(Hold, (rule.id, value, windows[at], rule.unit, amount)))
    return tuple(found)


def _closed(held: Held, attempt: Attempt | None, wall: float, amounts: Sequence[int]) -> Closed:
    record, reservation = held.request.record, held.reservation
    settled: tuple[int, ...] = ()
    if reservation is not None:
        settled = tuple([amounts[at] if amounts else 0 for at in held.claim.kept])
    at = int(wall * _NANOS)
    if attempt is None:
        return Closed(record.id, held.number, at, outcome="unsent", settled=settled)
    usage = attempt.usage
    flags = AMBIGUOUS if attempt.ambiguous else 0
    if usage is None:
        return Closed(record.id, held.number, at, attempt.status, attempt.outcome, flags=flags, settled=settled)
    if usage.estimated:
        flags |= ESTIMATED
    if usage.odd:
        flags |= ABSURD
    if attempt.cost is None:
        flags |= UNPRICED
    elif held.use.usd and attempt.cost > held.use.usd:
        flags |= OVERRUN
    return Closed(
        record.id,
        held.number,
        at,
        attempt.status,
        attempt.outcome,
        held.answered and not attempt.lost and attempt.outcome != "no_match",
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        attempt.cost,
        attempt.price_table,
        flags,
        settled,
    )
