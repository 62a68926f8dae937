"""What an attempt has in the ledger: a row before its first byte leaves, what came of a long stream meanwhile, its end.

All of it goes through the worker's journal (`stores/journal.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Protocol, TypeVar

from msgspec import structs

from penstock.call import Call, Reply
from penstock.clock import Clock, Timer
from penstock.errors import Overloaded
from penstock.messages import Request
from penstock.records import Attempt
from penstock.reservation import Reservation
from penstock.routing.money import USD, Claim, Uses
from penstock.stores.rows import ABSURD, AMBIGUOUS, ESTIMATED, OVERRUN, UNPRICED, Closed, Heard, Hold, Opened
from penstock.usage import Usage

__all__ = ["Entries", "Journal", "entered"]

_NANOS = 1_000_000_000
# How much of a stream's answer may be unknown to the ledger if its process dies.
HEARD_SECONDS = 5.0
# Between two turns, and how many streams are told of in one: of thousands a few often, since as many rows at once hold
# the loop up, and again whoever folds them.
TURN_SECONDS = 0.5
IN_A_TURN = 8


class Journal(Protocol):
    """What writes the ledger's rows (`stores/journal.py`)."""

    def open(self, row: Opened) -> None: ...
    def heard(self, row: Heard) -> None: ...
    def close(self, row: Closed) -> None: ...


class Entered(Protocol):
    """What is known of an attempt: `held.Held`, or `kept.Kept`.

    Attributes:
        number: of its row, 0 while there is none.
        answered: it has given an answer, or the beginning of one; `attempt`: whose that is.
        claim: the rules that hold for it; `use`: what was reserved for it of them.
    """

    request: Request
    number: int
    answered: bool
    attempt: Attempt | None

    @property
    def reservation(self) -> Reservation | None: ...
    @property
    def claim(self) -> Claim: ...
    @property
    def use(self) -> Uses: ...
    def forecast(self) -> tuple[int, int | None, int | None]: ...


_Held = TypeVar("_Held", bound=Entered)


async def entered(
    call: Call, request: Request, held: _Held, entries: Entries | None, over: Callable[[_Held], None]
) -> Reply:
    """The call's reply, with its attempt's row where there are entries, and `over` once it is over.

    Nothing is waited for before the call.

    Raises:
        Overloaded: the row cannot be written, and nothing was sent.
    """
    try:
        request.opening = partial(entries.open, held) if entries is not None else None
        reply = await call(request)
    except BaseException:
        over(held)
        raise
    finally:
        # It knows what is held, which knows the request: nobody would ever free such a ring.
        request.opening = None
    held.answered, held.attempt = True, request.attempt
    if entries is not None and reply.streaming:
        entries.follow(held, reply)
    reply.on_end(over, held)
    return reply


class Entries:
    """Writes the rows of a worker's attempts.

    Args:
        winner_pays: the tenants that pay for the attempt that answered alone.
        refused: is called for each that is not sent, since it cannot be written.
    """

    def __init__(
        self, clock: Clock, journal: Journal, winner_pays: frozenset[str], refused: Callable[[], object] = lambda: None
    ) -> None:
        self._wall = clock.wall
        self._journal = journal
        self._winner_pays = winner_pays
        self._refused = refused
        self._streams = _Streams(clock, journal)

    def open(self, held: Entered) -> None:
        """Write the row, just before the attempt is sent. Raises Overloaded: then it must not be."""
        request = held.request
        record, candidate = request.record, request.candidate
        number = len(record.attempts) + 1
        tokens, input_cost, most = held.forecast()
        row = Opened(
            record.id,
            number,
            int(self._wall() * _NANOS),
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
            _holds(held) if held.reservation is not None else (),
            tokens,
            input_cost,
            most,
            record.tenant in self._winner_pays,
        )
        try:
            self._journal.open(row)
        except OSError as error:
            self._refused()
            raise Overloaded(
                f"the ledger cannot be written: {error.strerror or type(error).__name__}",
                do="Wait as long as `retry-after` says. The operator: the disk of the state may be full.",
                retry_after=1.0,
            ) from error
        held.number = number

    def follow(self, held: Entered, reply: Reply) -> None:
        """Its answer is a stream, and flows."""
        if held.number:
            self._streams.add(held, reply)

    def close(self, held: Entered, attempt: Attempt | None, used: Uses | None) -> None:
        """It is over; `used`: what is settled of what was reserved, None for nothing."""
        if self._streams.open:
            self._streams.drop(held)
        if held.number:
            self._journal.close(_closed(held, attempt, self._wall(), used))


class _Streams:
    """Those that are being answered: what has come of each is written down now and then, so that it is not lost with
    the process."""

    def __init__(self, clock: Clock, journal: Journal) -> None:
        self._clock = clock
        self._journal = journal
        # And when each is due; those that are soonest come first.
        self.open: dict[Entered, tuple[Reply, float]] = {}
        self._timer: Timer | None = None

    def add(self, held: Entered, reply: Reply) -> None:
        """From now on."""
        self.open[held] = reply, self._clock.monotonic() + HEARD_SECONDS
        if self._timer is None:
            self._timer = self._clock.call_later(self._pause(), self._turn)

    def drop(self, held: Entered) -> None:
        """It is over."""
        if self.open.pop(held, None) is not None and not self.open and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _turn(self) -> None:
        """Those that are due, but never so many that others would wait for long."""
        pause = self._pause()
        self._timer = self._clock.call_later(pause, self._turn)
        now = self._clock.monotonic()
        most = 1 + int(len(self.open) * pause * 2 / HEARD_SECONDS)
        due = [(held, reply) for held, (reply, at) in islice(self.open.items(), most) if at <= now]
        for held, reply in due:
            del self.open[held]
            self.open[held] = reply, now + HEARD_SECONDS
            self._tell(held, reply)

    def _pause(self) -> float:
        """Until the next turn: so that all are told of twice as fast as they must be."""
        return min(TURN_SECONDS, HEARD_SECONDS * IN_A_TURN / max(len(self.open), 1))

    def _tell(self, held: Entered, reply: Reply) -> None:
        usage, record = reply.usage, held.request.record
        if usage is None:
            return
        price = held.request.candidate.deployment.price
        cost = price.cost(usage, record.wall) if price is not None else None
        at = int(self._clock.wall() * _NANOS)
        self._journal.heard(Heard(record.id, held.number, at, usage.output_tokens, cost))


def _holds(held: Entered) -> tuple[Hold, ...]:
    """What of a reservation the ledger knows."""
    reservation = held.reservation
    assert reservation is not None
    scopes, amounts, leases, new = reservation.accounts.scopes, reservation.amounts, reservation.leases, tuple.__new__
    found = []
    for at in held.claim.kept:
        rule, value = scopes[at]
        found.append(new(Hold, (rule.id, value, leases[at].booked, rule.unit, amounts[at])))
    return tuple(found)


def _closed(held: Entered, attempt: Attempt | None, wall: float, used: Uses | None) -> Closed:
    record, reservation = held.request.record, held.reservation
    settled: tuple[int, ...] = ()
    if reservation is not None:
        kept = held.claim.kept
        if used is not None:
            amounts = held.claim.amounts(used)
            settled = tuple([amounts[at] for at in kept])
        else:
            settled = (0,) * len(kept)
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
        usage = _possible(usage)
    if attempt.cost is None:
        flags |= UNPRICED
    elif held.use[USD] and attempt.cost > held.use[USD]:
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


def _possible(usage: Usage) -> Usage:
    """Without parts that are more than the whole, which have no price of their own and would spoil all sums."""
    if usage.cache_read_tokens + usage.cache_write_tokens > usage.input_tokens:
        usage = structs.replace(usage, cache_read_tokens=0, cache_write_tokens=0)
    return structs.replace(usage, reasoning_tokens=min(usage.reasoning_tokens, usage.output_tokens))
