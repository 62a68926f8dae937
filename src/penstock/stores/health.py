"""How each deployment stands, as whoever calls it sees it (semantics.md: the table, Breaker, Retry quota).

A `Health` is what the layers talk to: it counts what succeeds, passes on at once what fails, and knows the outlook it
was told last. Who decides is an `Authority`: in this process (`OwnDesk`, the library), or at the centre for all
workers (`stores/health_link.py`); either way a `Desk` stands in between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from weakref import WeakSet, WeakValueDictionary

from penstock.clock import Clock, SystemClock
from penstock.standing import READY, Effect, Standing
from penstock.stores.authority import Authority
from penstock.stores.breaker import BreakerRules
from penstock.stores.outlook import REST, Outlook, worst

__all__ = ["Board", "Desk", "Health", "OwnDesk"]

NEVER = float("inf")
# Of what keeps calls off, what the provider says to each of them anew.
REFUSING = frozenset(("suspended", "exhausted", "misconfigured"))
# No first output is as quick.
NONE = -1.0
# Successes are passed on together, those of a second at a time.
TURN_SECONDS = 1.0


class Desk(Protocol):
    """Between the healths of one process and the authority over them.

    Attributes:
        board: the outlooks that are known here.
    """

    board: Board

    def adopt(self, health: Health, rules: BreakerRules | None, *, declared: bool) -> None:
        """Its deployment exists, with that credential and those rules."""

    def touched(self, health: Health) -> None:
        """It has begun to count; what it counts is to be taken in a moment."""

    def counted(self, health: Health, at: float, sent: int, passed: int, refund: int) -> None:
        """What it has counted, then."""

    def failed(self, id: str, now: float, effect: Effect, *, trial: bool) -> None:
        """As `Health.failed`."""

    def tried(self, id: str, now: float, refund: int) -> None:
        """A call that went with a permit succeeded."""

    async def try_retry(self, id: str, cost: int) -> bool:
        """As `Health.try_retry`."""
        ...

    async def try_trial(self, id: str, life: float, *, early: bool) -> bool:
        """As `Health.try_trial`."""
        ...

    def release(self, id: str) -> None:
        """As `Health.release_trial`."""


class Board:
    """The outlooks of deployments and credentials, as far as one process knows them, and who looks at them."""

    def __init__(self) -> None:
        self._outlooks: dict[str, Outlook] = {}
        self._deployments: WeakValueDictionary[str, Health] = WeakValueDictionary()
        self._borrowers: dict[str, WeakSet[Health]] = {}

    def follow(self, health: Health) -> Outlook:
        """A deployment's outlook now; it hears of the next ones."""
        self._deployments[health.id] = health
        return self._outlooks.get(health.id, REST)

    def borrow(self, health: Health, credential: str, before: str) -> Outlook:
        """The outlook of the credential that a deployment is asked with from now on, instead of the one before."""
        if before in self._borrowers:
            self._borrowers[before].discard(health)
        self._borrowers.setdefault(credential, WeakSet()).add(health)
        return self._outlooks.get(credential, REST)

    def show(self, subject: str, outlook: Outlook) -> None:
        """That is how it stands from now on."""
        if outlook.blocks or outlook.trial:
            self._outlooks[subject] = outlook
        else:
            self._outlooks.pop(subject, None)
        health = self._deployments.get(subject)
        if health is not None:
            health.see(outlook, health.lent)
        for borrower in list(self._borrowers.get(subject, ())):
            borrower.see(borrower.own, outlook)


class Health:
    """One deployment's.

    Args:
        desk: where its word goes; None: it decides by itself alone.

    Attributes:
        blocked: it may not simply be asked; see `standing`.
        since: when its standing last changed, monotonic.
        credential: the id of what it is asked with, which deployments may share.
        own, lent: the outlook of itself, and of its credential, as told last.
    """

    __slots__ = (
        "__weakref__",
        "_declared",
        "_desk",
        "_due",
        "_passed",
        "_refund",
        "_rules",
        "_sent",
        "_slow",
        "_usual",
        "blocked",
        "credential",
        "id",
        "lent",
        "own",
        "since",
    )

    def __init__(self, id: str, desk: Desk | None = None) -> None:
        self.id = id
        self.blocked = False
        self.since = 0.0
        self._desk = desk if desk is not None else OwnDesk(Authority(), SystemClock())
        self.credential = ""
        self.own = self.lent = REST
        self._rules: BreakerRules | None = None
        self._declared = False
        self._slow = NEVER
        # What takes no longer is only counted: less than is slow, and nothing after a failure.
        self._usual = NEVER
        # Counted since `_due` less a second, and not passed on yet; of refunds what is more than 1 for each success.
        self._sent = self._passed = self._refund = 0
        self._due = 0.0
        self.see(self._desk.board.follow(self), REST)
        if desk is None:
            self.adopt(id.partition("/")[0], BreakerRules())

    def __repr__(self) -> str:
        return f"<Health {self.id}{' blocked' if self.blocked else ''}>"

    def adopt(self, credential: str, rules: BreakerRules | None, *, declared: bool = True) -> None:
        """From now on these rules hold; what is known of the deployment stays as it is.

        Args:
            credential: the id of what it is asked with.
            rules: of its breaker; None: it has none.
            declared: the configuration names the deployment; else it is forgotten once many others were asked for.
        """
        before = self.credential
        same = rules is self._rules or rules == self._rules
        # Once it is declared it stays so: callers may ask for it by another name besides.
        if same and credential == before and declared <= self._declared:
            return
        self._declared = declared or self._declared
        self.credential = credential
        self.see(self.own, self._desk.board.borrow(self, credential, before))
        self._rules = rules
        self._slow = rules.slow if rules is not None and rules.slow is not None else NEVER
        if self._usual != NONE:
            self._usual = self._slow
        self._desk.adopt(self, rules, declared=self._declared)

    # --- how it stands

    def standing(self, now: float) -> Standing:
        """Whether it may be asked."""
        if not self.blocked:
            return READY
        standing = worst(self.own.standing(now), self.lent.standing(now))
        if standing is READY:
            self.blocked = False
        return standing

    def refuses(self, now: float) -> bool:
        """Whether nothing keeps calls off but that they would be refused: a call too many does no harm then.

        Where it has to be left alone besides (a pause, an open breaker) it is to be left alone.
        """
        left = [block for block in (*self.own.blocks, *self.lent.blocks) if block.until > now]
        return bool(left) and all(block.state in REFUSING for block in left)

    def paused(self, now: float) -> Standing | None:
        """Its provider's wish to be left alone, whatever else is the matter; None where it has none."""
        asked = [block for block in self.own.blocks if block.state == "paused" and block.until > now]
        return Standing(*asked[0]) if asked else None

    def see(self, own: Outlook, lent: Outlook) -> None:
        """How this deployment, and its credential, stand from now on."""
        self.own, self.lent = own, lent
        self.blocked = bool(own.blocks or own.trial or lent.blocks or lent.trial)
        self.since = own.since if own.blocks or own.trial or not self.blocked else lent.since

    # --- what came of calls

    def sent(self, now: float) -> None:
        """An attempt leaves that is no retry."""
        if now >= self._due:
            self._turn(now)
        self._sent += 1

    def passed(self, now: float, took: float, *, after_retry: int = 0, trial: bool = False) -> None:
        """An attempt was answered, its first output after `took` seconds.

        Args:
            after_retry: what the attempt took from the retry quota, if it was a retry.
            trial: it went with the permit of `try_trial`.
        """
        if after_retry or trial or took > self._usual:
            self._tell_apart(now, took, after_retry, trial=trial)
            return
        if now >= self._due:
            self._turn(now)
        self._passed += 1

    def failed(self, now: float, effect: Effect, *, trial: bool = False) -> None:
        """An attempt ended badly."""
        self.flush()
        self._usual = NONE
        self._desk.failed(self.id, now, effect, trial=trial)

    def _tell_apart(self, now: float, took: float, after_retry: int, *, trial: bool) -> None:
        if took > self._slow:
            self.failed(now, Effect("slow", None, f"first output after {took:.1f} s"), trial=trial)
            return
        if trial:
            self.flush()
            self._desk.tried(self.id, now, after_retry or 1)
        else:
            if now >= self._due:
                self._turn(now)
            self._passed += 1
            self._refund += max(after_retry - 1, 0)
            if self._usual == NONE:
                # What ends a row of failures is told at once: somebody else's next one may not be the fifth.
                self.flush()
        self._usual = self._slow

    def flush(self) -> None:
        """Pass on what was counted."""
        if self._sent or self._passed:
            # A success gives back 1, and what a retry took gives back all of it.
            sent, passed, refund = self._sent, self._passed, self._passed + self._refund
            self._sent = self._passed = self._refund = 0
            self._desk.counted(self, self._due - TURN_SECONDS, sent, passed, refund)

    def rest(self) -> None:
        """What was counted has been taken: the next event begins to count anew."""
        self._due = 0.0

    def _turn(self, now: float) -> None:
        self.flush()
        self._due = now + TURN_SECONDS
        self._desk.touched(self)

    # --- what must be asked for

    async def try_retry(self, cost: int) -> bool:
        """Whether a retry may be sent, by the quota and the part of all requests that retries may be."""
        self.flush()
        return await self._desk.try_retry(self.id, cost)

    async def try_trial(self, life: float, *, early: bool = False) -> bool:
        """Take the permit for one attempt at a deployment that is not simply ready; it lapses after `life` seconds.

        Args:
            early: also while it is open, once in that time.
        """
        return await self._desk.try_trial(self.id, life, early=early)

    def release_trial(self) -> None:
        """The attempt said nothing."""
        self._desk.release(self.id)


class OwnDesk:
    """An authority in the same process, for the healths of the library.

    Attributes:
        authority: who decides.
    """

    def __init__(self, authority: Authority, clock: Clock) -> None:
        self.authority = authority
        self.board = Board()
        self._now: Callable[[], float] = clock.monotonic
        authority.publish = self.board.show

    def adopt(self, health: Health, rules: BreakerRules | None, *, declared: bool) -> None:
        self.authority.adopt(health.id, health.credential, rules, self._now(), declared=declared)

    def touched(self, health: Health) -> None:
        pass

    def counted(self, health: Health, at: float, sent: int, passed: int, refund: int) -> None:
        self.authority.counted(health.id, at, sent, passed, refund)

    def failed(self, id: str, now: float, effect: Effect, *, trial: bool) -> None:
        self.authority.failed(id, now, effect, self if trial else None)

    def tried(self, id: str, now: float, refund: int) -> None:
        self.authority.tried(id, now, refund, self)

    async def try_retry(self, id: str, cost: int) -> bool:
        return self.authority.try_retry(id, self._now(), cost)

    async def try_trial(self, id: str, life: float, *, early: bool) -> bool:
        return self.authority.try_trial(id, self._now(), life, self, early=early)

    def release(self, id: str) -> None:
        self.authority.release(id, self)
