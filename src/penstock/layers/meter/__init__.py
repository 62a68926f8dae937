"""Layer meter: of each attempt, what it may cost is reserved before it is sent, and what it did cost is booked after.

Every budget that holds for it is asked in one step, with the limits of its provider and deployment. Where they are
short its answer is made shorter, or it is refused and another deployment may be asked. Its row in the ledger is
written before the first byte leaves (semantics.md: Money).
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from penstock.call import Call, Reply
from penstock.clock import Clock
from penstock.errors import BudgetExceeded, InvalidRequest, Overloaded
from penstock.layers.meter.entries import Entries, Journal
from penstock.layers.meter.held import Held
from penstock.layers.meter.kept import Keeping
from penstock.layers.meter.lessons import Factors, Lessons
from penstock.messages import Request
from penstock.metrics import Metrics
from penstock.records import Attempt
from penstock.reservation import Level, Reservation, Rule, Shortage, Want
from penstock.routing.money import NO_CLAIM, Claim, Use, check_bounded, exhausted, shortened, shrunk, wanted
from penstock.routing.scopes import Facts, Rules

__all__ = ["Booking", "Journal", "Meter", "Purse", "metered_rules"]

# How often an attempt may be made smaller because others were quicker.
MOST_TRIES = 6
# No second attempt is made beside the first where a budget is so near its end, in parts of a hundred.
HEDGED_UPTO = 80
MOST_CLAIMS = 4096
# What a request without thinking needs at least (semantics.md: Money).
LEAST_OUTPUT = 16
NEVER = float("inf")
# Output that is likely where nobody limits it: more than nine of ten answers have.
USUAL_OUTPUT = 1_024
NOTHING = Use(0, 0, 0)


class Purse(Protocol):
    """What reserves (`stores/purse.py`)."""

    def try_reserve(self, wants: Sequence[Want]) -> Reservation | None: ...
    async def reserve(self, wants: Sequence[Want]) -> Reservation | Shortage: ...
    def settle(self, reservation: Reservation, amounts: Sequence[int]) -> None: ...
    def void(self, reservation: Reservation) -> None: ...
    def standing(self, rule: Rule, value: str) -> Level | None: ...
    async def look(self, wants: Sequence[Want]) -> list[Level]: ...


class Booking(NamedTuple):
    """By what attempts are booked.

    Attributes:
        rules: those of `metered_rules`.
        purse: None where there are none.
        journal: None where nothing is kept.
        winner_pays: the tenants that pay for the attempt that answered alone.
        factors: None where nothing is learned.
    """

    rules: Rules
    purse: Purse | None = None
    journal: Journal | None = None
    winner_pays: frozenset[str] = frozenset()
    factors: Factors | None = None


def metered_rules(rules: Iterable[Rule]) -> Rules:
    """Those that an attempt reserves of: every budget, and the rates of where it goes."""
    return Rules(
        rule
        for rule in rules
        if rule.kind == "budget" or (rule.kind != "concurrency" and rule.scope in ("provider", "deployment"))
    )


class Meter:
    """Reserves, opens, and settles or voids, exactly once for each attempt."""

    def __init__(self, call: Call, clock: Clock, booking: Booking, metrics: Metrics) -> None:
        self._call = call
        self._wall = clock.wall
        self._rules = booking.rules
        self._purse = booking.purse
        self._metrics = metrics
        journal = booking.journal
        refused = metrics.unwritten.inc
        self._entries = Entries(clock, journal, booking.winner_pays, refused) if journal is not None else None
        lessons = self._lessons = Lessons(booking.factors, metrics)
        # By what is known of an attempt; what strangers name must not fill memory.
        self._claims: dict[tuple[Any, ...], Claim] = {}
        # Where nothing is limited but what a request says itself: its rows are kept, or not even these.
        self._plain: Call | None = None
        if not booking.rules:
            self._plain = Keeping(call, self._entries, lessons) if self._entries is not None else call

    def __call__(self, request: Request) -> Awaitable[Reply]:
        if self._plain is not None and request.money is None and request.caller.max_output is None:
            return self._plain(request)
        return self._metered(request)

    async def _metered(self, request: Request) -> Reply:
        """Raises BudgetExceeded, RateLimited, LargerThanLimit, UnknownPrice: nothing was sent.

        InvalidRequest: what it may use has no bound. Overloaded: budgets or the ledger cannot be asked.
        """
        bound = request.candidate.deployment.bound(request)
        held = Held(request, bound, self._claim(request))
        held.expected = self._lessons.expected(request.candidate.name, bound)
        request.most_output = request.cut_at = 0
        if held.given != bound.given:
            _check_usable(held.given, bound)
            request.most_output = held.given
            held.given = min(held.given, bound.given)
        if held.claim.scopes or held.money is not None:
            await self._reserve(held)
        # From here on nothing is waited for before whoever may leave has given back.
        try:
            request.opening = self._entries.opening(held) if self._entries is not None else None
            reply = await self._call(request)
        except BaseException:
            self._end(held)
            raise
        finally:
            # It knows what is held, which knows the request: nobody would ever free such a ring.
            request.opening = None
        held.answered, held.attempt = True, request.attempt
        if self._entries is not None and reply.streaming:
            self._entries.follow(held, reply)
        reply.on_end(self._end, held)
        return reply

    # --- before

    def _claim(self, request: Request) -> Claim:
        """The rules that hold for the attempt."""
        if not self._rules:
            return NO_CLAIM
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

    async def _reserve(self, held: Held) -> None:
        request, bound = held.request, held.bound
        if check_bounded(held.claim, held.money, bound, request.candidate.name):
            levels = await self._levels(held)
            held.given = shortened(levels, held.money, bound, held.given)
            if request.kind == "hedge":
                self._spare(levels)
            for _ in range(MOST_TRIES):
                shortage = await self._try(held)
                if shortage is None:
                    break
                if shortage.rule.kind != "budget" or not await self._count(held):
                    held.given = self._shrink(held, shortage)
            else:
                raise Overloaded(
                    "the budget of this call is asked for by too many at once", do="Try again.", retry_after=1.0
                )
            request.cut_at = held.given * bound.answers
            if not bound.own or held.given < bound.given:
                request.most_output = held.given
                self._note_clamped(held)
        elif (shortage := await self._try(held)) is not None:
            self._shrink(held, shortage)

    async def _levels(self, held: Held) -> list[Level | None]:
        """How the hard budgets stand; what nobody has heard of for long is asked for, where it matters."""
        purse, hard = self._purse, held.claim.budgets
        if purse is None or (held.bound.own and held.request.kind != "hedge"):
            return []
        levels = [purse.standing(rule, value) for rule, value in hard]
        if any(level is None for level in levels):
            return list(await purse.look([Want(rule, value, 0) for rule, value in hard]))
        return levels

    async def _count(self, held: Held) -> bool:
        """Near a limit the prompt is counted, once, where it can be; whether it is less than its bytes say."""
        if held.counted:
            return False
        held.counted = True
        exact = await held.request.candidate.deployment.counted(held.request)
        if exact is None or held.bound.taken is None or exact >= held.bound.taken:
            return False
        held.bound = msgspec.structs.replace(held.bound, taken=exact)
        return True

    def _spare(self, levels: Iterable[Level | None]) -> None:
        for level in levels:
            if level is not None and level.used * 100 > level.rule.limit * HEDGED_UPTO:
                raise BudgetExceeded("a budget is too near its end for a second attempt beside the first")

    async def _try(self, held: Held) -> Shortage | None:
        """Reserve all that it may use, or nothing: then what was short."""
        bound, money = held.bound, held.money
        output = held.given if bound.own else min(held.given, USUAL_OUTPUT)
        likely = held.expected + output * bound.answers
        use = held.use = Use(bound.cost(held.given), bound.tokens(held.given), 1, likely)
        if money is not None and not money.take(use.usd or 0, use.tokens):
            raise exhausted(money, bound, held.given)
        purse = self._purse
        if purse is None or not held.claim.scopes:
            return None
        wants = wanted(held.claim, use)
        try:
            got = purse.try_reserve(wants) or await purse.reserve(wants)
        except BaseException:
            self._give_back(held)
            raise
        if isinstance(got, Reservation):
            held.reservation = got
            return None
        self._give_back(held)
        return got

    def _give_back(self, held: Held) -> None:
        if held.money is not None:
            held.money.give(held.use.usd or 0, held.use.tokens)

    def _shrink(self, held: Held, shortage: Shortage) -> int:
        if shortage.wait == NEVER and shortage.rule.kind == "budget" and self._purse is not None:
            # Not as long as this, but a shorter one may be, once the window is over.
            level = self._purse.standing(shortage.rule, shortage.value)
            shortage = shortage._replace(wait=level.resets if level is not None else NEVER)
        try:
            return shrunk(shortage, held.bound, held.given, self._wall())
        except Exception:
            self._metrics.short.inc((shortage.rule.scope, "refused"))
            raise

    def _note_clamped(self, held: Held) -> None:
        if held.given < held.bound.given:
            scopes: set[str] = {rule.scope for rule, _ in held.claim.budgets}
            for scope in scopes or {"request"}:
                self._metrics.short.inc((scope, "clamped"))

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
        reservation, money = held.reservation, held.money
        if money is not None:
            money.give((held.use.usd or 0) - (used.usd or 0), held.use.tokens - used.tokens)
        amounts: list[int] = []
        if reservation is not None and self._purse is not None:
            if attempt is None:
                self._purse.void(reservation)
            else:
                counts = (used[0] or 0, used[1], used[2], used[1])
                amounts = [counts[unit] for _, _, unit in held.claim.parts]
                for at in held.claim.sent:
                    amounts[at] = int(not attempt.unsent)
                self._purse.settle(reservation, amounts)
        if self._entries is not None:
            self._entries.close(held, attempt, amounts)

    def _used(self, held: Held, attempt: Attempt | None) -> Use:
        """What is settled."""
        if attempt is None or attempt.unsent:
            return NOTHING
        deployment, request = held.request.candidate.deployment, held.request
        cancelled = attempt.outcome == "cancelled"
        # A request counts once, however many attempts it takes: with the one that answers, or that its caller left.
        requests = int((held.answered or cancelled) and not attempt.lost and attempt.kind != "resume")
        if attempt.usage is None and cancelled:
            deployment.book_left(request.record, attempt)
            return Use(self._bound_cost(held), held.bound.tokens(held.given), requests)
        usage = attempt.usage
        if usage is None or held.bound.free:
            return Use(0, 0, requests)
        if not usage.estimated and self._lessons.due():
            self._lessons.learn(request.candidate.name, held.expected, held.bound, usage.input_tokens)
        tokens = usage.input_tokens + usage.output_tokens
        cost = attempt.cost
        if cost is None:  # the tier that served it has no price: no more than was reserved is known
            cost = self._bound_cost(held)
        if cancelled and (
            deployment.endpoint.billed == "full"
            # One that lost, or thought unseen, may have had more than is known of.
            or (usage.estimated and (attempt.lost or request.candidate.reasons))
        ):
            cost = max(cost or 0, self._bound_cost(held) or 0)
            tokens = max(tokens, held.bound.tokens(held.given))
        return Use(cost, tokens, requests)

    def _bound_cost(self, held: Held) -> int | None:
        cost: int | None = held.bound.cost(held.given)
        return cost


def _check_usable(given: int, bound: Any) -> None:
    """Raise InvalidRequest where what a key may have of output leaves no room for an answer behind the thinking."""
    if given < bound.least and bound.least > LEAST_OUTPUT:
        raise InvalidRequest(
            f"this key may ask for {given} tokens of output, and with its thinking this request needs {bound.least}",
            do="Ask for less thinking, or have the key's `max_output` raised.",
            param="thinking",
        )
