"""Layer meter: of each attempt, what it may cost is reserved before it is sent, and what it did cost is booked after.

Every budget that holds for it is asked in one step, with the limits of its provider and deployment. Where they are
short its answer is made shorter, or it is refused and another deployment may be asked. Its row in the ledger is
written before the first byte leaves (semantics.md: Money).
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from functools import partial
from typing import Any, NamedTuple

from penstock.call import Call, Reply
from penstock.clock import Clock
from penstock.errors import InvalidRequest
from penstock.layers.meter.entries import Entries, Journal
from penstock.layers.meter.held import Held
from penstock.layers.meter.kept import LEARNED_THEN, Keeping
from penstock.layers.meter.lessons import Factors, Lessons
from penstock.layers.meter.reserving import Purse, Reserving
from penstock.layers.meter.turns import Queues, Turns
from penstock.messages import Request
from penstock.metrics import Metrics
from penstock.records import Attempt
from penstock.reservation import Rule
from penstock.routing.money import NOTHING, TOKENS, USD, Claim, Uses, check_bounded
from penstock.routing.scopes import Facts, Rules
from penstock.usage import Usage

__all__ = ["Booking", "Journal", "Meter", "Purse", "metered_rules"]

MOST_CLAIMS = 4096
# What a request without thinking needs at least (semantics.md: Money).
LEAST_OUTPUT = 16


class Booking(NamedTuple):
    """By what attempts are booked.

    Attributes:
        rules: those of `metered_rules`.
        purse: None where there are none.
        journal: None where nothing is kept.
        winner_pays: the tenants that pay for the attempt that answered alone.
        factors: None where nothing is learned.
        queues: where attempts may wait for their turn; None: they wait nowhere.
    """

    rules: Rules
    purse: Purse | None = None
    journal: Journal | None = None
    winner_pays: frozenset[str] = frozenset()
    factors: Factors | None = None
    queues: Queues | None = None


def metered_rules(rules: Iterable[Rule]) -> Rules:
    """Those that an attempt reserves of: every budget, and the rates of where it goes."""
    return Rules(
        rule
        for rule in rules
        if rule.kind == "budget" or (rule.kind != "concurrency" and rule.scope in ("provider", "deployment"))
    )


class Meter:
    """Reserves, opens, and settles or voids, exactly once for each attempt.

    Attributes:
        plain: the way of those that are limited by nothing, not even by what they say themselves; None: there are none.
    """

    def __init__(self, call: Call, clock: Clock, booking: Booking, metrics: Metrics) -> None:
        self._call = call
        self._rules = booking.rules
        self._over = self._end
        self._purse = booking.purse
        self._metrics = metrics
        self._reserving = Reserving(booking.purse, metrics, clock, _turns(booking, clock))
        journal = booking.journal
        refused = metrics.unwritten.inc
        self._entries = Entries(clock, journal, booking.winner_pays, refused) if journal is not None else None
        self._lessons = Lessons(booking.factors, metrics)
        # By what is known of an attempt; what strangers name must not fill memory.
        self._claims: dict[tuple[Any, ...], Claim] = {}
        # Where nothing is limited but what a request says itself: its rows are kept, or not even these.
        self.plain: Call | None = None
        if not booking.rules:
            lessons = Lessons(booking.factors, metrics, LEARNED_THEN)
            self.plain = Keeping(call, self._entries, lessons) if self._entries is not None else call

    def __call__(self, request: Request) -> Awaitable[Reply]:
        plain = self.plain
        if plain is not None and request.money is None and request.caller.max_output is None:
            return plain(request)
        return self._metered(request)

    async def _metered(self, request: Request) -> Reply:
        """Raises BudgetExceeded, RateLimited, LargerThanLimit, UnknownPrice: nothing was sent.

        InvalidRequest: what it may use has no bound. Overloaded: budgets or the ledger cannot be asked.
        """
        candidate, money, entries = request.candidate, request.money, self._entries
        name, claim = candidate.name, self._claim(request)
        bound = candidate.deployment.bound(request)
        given = bound.given
        held = Held(request, bound, claim, given, money, request.attempt)
        if claim.likely or entries is not None:
            held.expected = self._lessons.expected(name, bound)
        request.most_output = request.cut_at = 0
        most = request.caller.max_output
        if most is not None and (most < given or (most > given and not bound.own)):
            held.given = _allowed(request, most, bound)
        if money is not None or claim.accounts.scopes:
            reserving = self._reserving
            bounded = check_bounded(claim, money, bound, name)
            if not reserving.take(held, bounded):
                await reserving.find(held, bounded)
            if bounded:
                if bound.own and held.given == given:  # as `confine` would, of nearly every request
                    request.cut_at = given * bound.answers
                else:
                    reserving.confine(held)
        # From here on nothing is waited for before whoever may leave has given back: as `entered`, which would be one
        # more coroutine.
        try:
            if entries is not None:
                request.opening = partial(entries.open, held)
            call = self._call
            reply = await call(request)
        except BaseException:
            self._end(held)
            raise
        finally:
            request.opening = None
        held.answered, held.attempt = True, request.attempt
        if entries is not None and reply.streaming:
            entries.follow(held, reply)
        reply.hooks.append((self._over, held))
        return reply

    # --- before

    def _claim(self, request: Request) -> Claim:
        """The rules that hold for the attempt."""
        record, candidate = request.record, request.candidate
        key = (
            record.tenant, record.project, record.key, record.user, record.task, record.tags,
            request.model or request.plan.name, candidate.deployment.endpoint.name, candidate.name,
        )  # fmt: skip
        claim = self._claims.get(key)
        if claim is None:
            if len(self._claims) >= MOST_CLAIMS:
                self._claims.clear()
            claim = self._claims[key] = Claim(self._rules.of(Facts(*key)))
        return claim

    # --- after

    def _end(self, held: Held) -> None:
        """It is over: book what it used, once."""
        attempt = held.attempt if held.answered else held.request.attempt
        if attempt is held.before:
            attempt = None  # it was not sent
        elif attempt is not None and attempt.lost and attempt.usage is None and attempt.outcome == "cancelled":
            # What it is billed may go by how long the winner's answer becomes.
            attempt.settle = lambda: self._book(held, attempt)
            return
        self._book(held, attempt)

    def _book(self, held: Held, attempt: Attempt | None) -> None:
        used = self._used(held, attempt)
        reservation, money, purse = held.reservation, held.money, self._purse
        if money is not None:
            money.give(held.use[USD] - used[USD], held.use[TOKENS] - used[TOKENS])
        if reservation is not None and purse is not None:
            if attempt is None:
                purse.void(reservation)
            else:
                purse.settle(reservation, used)
        if self._entries is not None:
            self._entries.close(held, attempt, used if attempt is not None else None)

    def _used(self, held: Held, attempt: Attempt | None) -> Uses:
        """What is settled."""
        if attempt is None or attempt.unsent:
            return NOTHING
        usage, cancelled = attempt.usage, attempt.outcome == "cancelled"
        # A request counts once, however many attempts it takes: with the one that answers, or that its caller left.
        requests = 1 if (held.answered or cancelled) and not attempt.lost and attempt.kind != "resume" else 0
        if usage is None and cancelled:
            held.request.candidate.deployment.book_left(held.request.record, attempt)
            tokens = held.bound.tokens(held.given)
            return self._bound_cost(held), tokens, requests, tokens, 1
        if usage is None or held.bound.free:
            return 0, 0, requests, 0, 1
        if not usage.estimated:
            due = self._lessons.due
            if due():
                self._learn(held, usage.input_tokens)
        tokens = usage.input_tokens + usage.output_tokens
        cost = attempt.cost
        if cost is None:  # the tier that served it has no price: no more than was reserved is known
            cost = self._bound_cost(held)
        if cancelled and _may_be_more(held.request.candidate, attempt, usage):
            cost = max(cost, self._bound_cost(held))
            tokens = max(tokens, held.bound.tokens(held.given))
        return cost, tokens, requests, tokens, 1

    def _learn(self, held: Held, counted: int) -> None:
        lessons, name, bound = self._lessons, held.request.candidate.name, held.bound
        lessons.learn(name, held.expected or lessons.expected(name, bound), bound, counted)

    def _bound_cost(self, held: Held) -> int:
        cost: int = held.bound.cost(held.given) or 0
        return cost


def _turns(booking: Booking, clock: Clock) -> Turns | None:
    """Where attempts wait for a rate of where they go; None where none of these has a queue."""
    if booking.queues is None or booking.purse is None or not any(rule.queue > 0 for rule in booking.rules.rules):
        return None
    return Turns(booking.queues, booking.purse, clock)


def _may_be_more(candidate: Any, attempt: Attempt, usage: Usage) -> bool:
    """Whether one whose caller left may be billed for more than is known of: that lost, or thought unseen."""
    if candidate.deployment.endpoint.billed == "full":
        return True
    return usage.estimated and (attempt.lost or bool(candidate.reasons))


def _allowed(request: Request, most: int, bound: Any) -> int:
    """How long an answer may be by its key, of which it is told.

    Raises:
        InvalidRequest: that leaves no room for an answer behind the thinking.
    """
    if most < bound.least and bound.least > LEAST_OUTPUT:
        raise InvalidRequest(
            f"this key may ask for {most} tokens of output, and with its thinking this request needs {bound.least}",
            do="Ask for less thinking, or have the key's `max_output` raised.",
            param="thinking",
        )
    request.most_output = most
    return min(most, int(bound.given))
