"""Attempts that wait for their turn at a rate of their provider or deployment which has a queue.

Another deployment that may be asked goes before a wait, as it does where calls at a time are limited. A second attempt
beside the first (`hedge`) waits for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from penstock.clock import Clock
from penstock.messages import Request
from penstock.records import Decision
from penstock.reservation import Reservation, Shortage, Want
from penstock.routing.turn import look_again, others_than, rank_of

__all__ = ["Queues", "Turns"]

NEVER = float("inf")


class Lines(Protocol):
    """Where calls wait (`stores/line.py`)."""

    @property
    def open(self) -> Mapping[tuple[str, str], object]: ...
    def before(self, wants: Sequence[Want], rank: int) -> Shortage | None: ...
    def expected(self, want: Want) -> float: ...
    async def reserve(
        self,
        wants: Sequence[Want],
        short: Shortage,
        asking: tuple[int, str, float, float, float],
        tell: Callable[[Callable[[], int] | None], None],
    ) -> Reservation | Shortage: ...


class Purse(Protocol):
    """What reserves (`stores/purse.py`)."""

    async def reserve(self, wants: Sequence[Want]) -> Reservation | Shortage: ...
    def void(self, reservation: Reservation) -> None: ...


class Queues(NamedTuple):
    """Where calls wait, and each tenant's part of the turns beside others'."""

    lines: Lines
    weigh: Callable[[str], float]


class Turns:
    """Reserves for an attempt, now or after a wait.

    Attributes:
        open: the lines at which somebody waits: while there are any, nobody may take from what is in hand.
    """

    def __init__(self, queues: Queues, purse: Purse, clock: Clock) -> None:
        self._lines = queues.lines
        self._weigh = queues.weigh
        self._purse = purse
        self.now = clock.monotonic
        self.open = queues.lines.open

    async def reserve(self, request: Request, wants: Sequence[Want], since: float) -> Reservation | Shortage:
        """All of it, or what is short once there is nothing more to wait for.

        Args:
            since: when it began to ask: from then on a rule's `queue` counts.

        Raises:
            UpstreamRateLimited, CircuitOpen: when its turn came its deployment was to be asked no more.
        """
        rank = rank_of(request)
        found: Reservation | Shortage = self._lines.before(wants, rank) or await self._purse.reserve(wants)
        if isinstance(found, Reservation) or found.rule.queue <= 0 or found.wait == NEVER:
            return found
        if request.kind != "hedge" and not others_than(request):
            found = await self._wait(request, wants, found, (rank, since))
        if isinstance(found, Shortage) and found.wait <= 0:  # others go before it
            want = next(each for each in wants if each.rule is found.rule and each.value == found.value)
            found = found._replace(wait=self._lines.expected(want))
        return found

    async def _wait(
        self, request: Request, wants: Sequence[Want], short: Shortage, who: tuple[int, float]
    ) -> Reservation | Shortage:
        def tell(place: Callable[[], int] | None) -> None:
            request.place = place

        (rank, since), tenant, began = who, request.record.tenant or "", self.now()
        asking = (rank, tenant, self._weigh(tenant), since, request.deadline)
        found = await self._lines.reserve(wants, short, asking, tell)
        waited, late = self.now() - began, isinstance(found, Shortage)
        if waited > 0:
            rule = short.rule
            why = f"the limit of {rule.unit} of {rule.scope} '{short.value}': {'late' if late else 'go'}"
            request.record.decisions.append(Decision("queued", request.candidate.id, why, began, waited))
            if isinstance(found, Reservation) and request.candidate.health.blocked:
                try:
                    look_again(request, self.now())
                except BaseException:
                    self._purse.void(found)
                    raise
        return found
