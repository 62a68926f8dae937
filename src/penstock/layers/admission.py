"""Layer admission: who is let in at all, before anything is spent on the call.

Refused is the least urgent while the process has more to do than it can; and what one caller asks again and again.
What may only be done so many times at a time, of the whole process or of a tenant, a user, a task, waits its turn.
Where nothing of that is configured and the process is calm, it costs a look.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol

from penstock.call import Call, Reply, until_over
from penstock.clock import Clock
from penstock.errors import Overloaded, RateLimited
from penstock.messages import Request
from penstock.metrics import Metrics
from penstock.records import Decision
from penstock.reservation import Rule, Shortage
from penstock.routing.admission import LONGEST_SECONDS, full, shed
from penstock.routing.scopes import NOBODY, Facts
from penstock.routing.wishes import NORMAL, RANKS

__all__ = ["PROCESS", "Admission", "Entrance", "Repeats", "Seat", "Seats", "Strain"]

log = logging.getLogger("penstock.admission")

# Strangers choose the names of users, tasks and tags: what is remembered of them must end somewhere.
MOST_KEPT = 4096
# The id of the rule that stands for a process's own bound.
PROCESS = "process"
# What of a request is its prompt, in whatever dialect.
_PROMPT = ("messages", "prompt", "input", "system", "contents")


class Strain(Protocol):
    """Whether the process has too much to do (`stores/strain.py`).

    Attributes:
        level: 0.0: it has not.
    """

    level: float

    def watch(self) -> None:
        """A request has come."""

    def sheds(self, rank: int) -> bool:
        """Whether this one of that rank is refused."""
        ...

    def wait(self) -> float:
        """How long it should wait then."""
        ...


class Seat(Protocol):
    """What a call has taken (`stores/seats.py`)."""

    def leave(self) -> None:
        """Give it back; further calls do nothing."""


class Seats(Protocol):
    """So many calls at a time (`stores/seats.py`)."""

    def try_take(self, held: Sequence[tuple[Rule, str]]) -> Seat | None:
        """A seat at all of them at once, or none at any."""
        ...

    async def take(
        self,
        held: Sequence[tuple[Rule, str]],
        asking: tuple[int, str, float, float, float],
        tell: Callable[[Callable[[], int] | None], None],
    ) -> Seat | Shortage:
        """A seat at all of them, after a wait where that is allowed; or where there was none in time."""
        ...


class Repeats(Protocol):
    """Who asks the same again and again (`stores/repeats.py`)."""

    same: int

    def asked(self, what: Any, now: float) -> float:
        """0.0, or how many seconds it is too early."""
        ...

    def news(self, what: Any, now: float) -> bool:
        """Whether this is to be told."""
        ...


class Entrance(NamedTuple):
    """What the layer goes by.

    Attributes:
        of: the limits of calls at a time that hold for a call, and for which value; None: there are none.
        weigh: a tenant's part of the turns beside others'.
        strain, repeats: None: nobody looks.
    """

    of: Callable[[Facts], Sequence[tuple[Rule, str]]] | None
    seats: Seats
    metrics: Metrics
    weigh: Callable[[str], float]
    strain: Strain | None = None
    repeats: Repeats | None = None


class Admission:
    """Lets a call in, and knows when it is over: a stream's when it is closed."""

    def __init__(self, call: Call, entrance: Entrance, clock: Clock) -> None:
        self._call = call
        self._of, self._seats, self._metrics, self._weigh, self._strain, self._repeats = entrance
        self._now = clock.monotonic
        self._kept: dict[Facts, Sequence[tuple[Rule, str]]] = {}

    def __call__(self, request: Request) -> Awaitable[Reply]:
        """Raises Overloaded, RateLimited."""
        strain = self._strain
        if strain is not None:
            strain.watch()
            if strain.level and strain.sheds(_rank(request)):
                self._metrics.shed.inc((_priority(request),))
                raise shed(_priority(request), strain.wait())
        if self._repeats is not None:
            self._look_for_loops(request, self._repeats)
        if self._of is None:
            return self._call(request)
        record = request.record
        facts = Facts(record.tenant, record.project, record.key, record.user, record.task, record.tags, record.model)
        held = self._kept.get(facts)
        if held is None:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            held = self._kept[facts] = self._of(facts)
        return self._seated(request, held) if held else self._call(request)

    async def _seated(self, request: Request, held: Sequence[tuple[Rule, str]]) -> Reply:
        seat = self._seats.try_take(held) or await self._queue(request, held)
        return await until_over(self._call, request, seat.leave)

    async def _queue(self, request: Request, held: Sequence[tuple[Rule, str]]) -> Seat:
        began, tenant = self._now(), request.record.tenant or ""

        def tell(place: Callable[[], int] | None) -> None:
            request.place = place

        asking = (_rank(request), tenant, self._weigh(tenant), began, request.deadline)
        found = await self._seats.take(held, asking, tell)
        waited = self._now() - began
        if waited > 0:
            why = f"{_named(*found[:2])}: no place in time" if isinstance(found, Shortage) else "for a place"
            request.record.decisions.append(Decision("waited", "", why, began, waited))
        if isinstance(found, Shortage):
            raise self._full(request, found)
        return found

    def _full(self, request: Request, short: Shortage) -> Overloaded | RateLimited:
        rule, wait = short.rule, min(short.wait, LONGEST_SECONDS)
        if rule.id == PROCESS:
            self._metrics.shed.inc((_priority(request),))
            return full(rule.limit, wait)
        self._metrics.limited.inc((rule.scope, "concurrency"))
        return RateLimited(
            f"{_named(rule, short.value)} are under way, which is the limit",
            do="Wait until one is over, or as long as retry-after says.",
            retry_after=wait,
        )

    def _look_for_loops(self, request: Request, repeats: Repeats) -> None:
        record, fields = request.record, request.fields
        if record.operation == "count_tokens":
            return
        what = (record.tenant, record.key, record.user, *[bytes(fields[name]) for name in _PROMPT if name in fields])
        now = self._now()
        wait = repeats.asked(what, now)
        if not wait:
            return
        self._metrics.repeats.inc((record.key or NOBODY,))
        if repeats.news(what, now):
            log.warning(
                "key %s, user %s: the same prompt again and again, the last time by request %s; it is slowed down",
                record.key or NOBODY, record.user or NOBODY, record.id,
            )  # fmt: skip
        raise RateLimited(
            f"the same prompt has been asked {repeats.same} times and more within a short time",
            do="Look for a loop in what calls. Who means it waits as long as retry-after says.",
            retry_after=wait,
        )


def _rank(request: Request) -> int:
    return RANKS.get(_priority(request), NORMAL)


def _priority(request: Request) -> str:
    wishes = request.caller.wishes
    return wishes.priority if wishes is not None else "normal"


def _named(rule: Rule, value: str) -> str:
    return f"{rule.limit:,} calls at a time{f' for {rule.scope} {value!r}' if value else ''}"
