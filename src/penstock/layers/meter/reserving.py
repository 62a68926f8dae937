"""What an attempt may use is reserved before it is sent: all of it, or less where budgets are short, or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from penstock.clock import Clock
from penstock.errors import BudgetExceeded, Overloaded, RateLimited
from penstock.layers.meter.held import Held
from penstock.layers.meter.turns import Turns
from penstock.metrics import Metrics
from penstock.reservation import Accounts, Level, Reservation, Shortage, Want
from penstock.routing.money import SHARE, TOKENS, USD, exhausted, shortened, shrunk
from penstock.routing.turn import others_than

__all__ = ["Purse", "Reserving"]

# How often an attempt may be made smaller because others were quicker.
MOST_TRIES = 6
# No second attempt is made beside the first where a budget is so near its end, in parts of a hundred.
HEDGED_UPTO = 80
NEVER = float("inf")
# Output that is likely where nobody limits it: more than nine of ten answers have.
USUAL_OUTPUT = 1_024


class Purse(Protocol):
    """What reserves (`stores/purse.py`)."""

    def try_reserve(self, accounts: Accounts, numbers: Sequence[int]) -> Reservation | None: ...
    async def reserve(self, wants: Sequence[Want]) -> Reservation | Shortage: ...
    def settle(self, reservation: Reservation, numbers: Sequence[int]) -> None: ...
    def void(self, reservation: Reservation) -> None: ...
    def levels(self, accounts: Accounts) -> Sequence[Level]: ...
    async def look(self, wants: Sequence[Want]) -> Sequence[Level]: ...


class Reserving:
    """Reserves for attempts.

    Args:
        purse: None where there are no rules.
        turns: where attempts may wait; None where no rule has a queue.
    """

    def __init__(self, purse: Purse | None, metrics: Metrics, clock: Clock, turns: Turns | None = None) -> None:
        self._purse = purse
        self._turns = turns
        self._metrics = metrics
        self._wall = clock.wall

    def take(self, held: Held, bounded: bool) -> bool:
        """Find what it may use, and reserve that from what is in hand; False: somebody must be asked.

        Args:
            bounded: a hard budget holds, of which it must not have too large a part.
        """
        self.reckon(held)
        purse, claim = self._purse, held.claim
        if purse is None or held.money is not None or (self._turns is not None and self._turns.open):
            return False
        if bounded and (not held.bound.own or held.request.kind == "hedge") and not self.is_small(held):
            return False
        reservation = held.reservation = purse.try_reserve(claim.accounts, held.use)
        return reservation is not None

    async def find(self, held: Held, bounded: bool) -> None:
        """Reserve it, or less of it, from wherever it can be had; raises as `shorten`, `try_reserve`, `reserve`."""
        if bounded and not self.is_small(held):
            await self.shorten(held)
        if not self.try_reserve(held):
            await self.reserve(held)

    def reckon(self, held: Held) -> None:
        """Find what it may use, as long as its answers may be."""
        bound, given = held.bound, held.given
        # `bound.cost` and `bound.tokens`, in one.
        ceiling, taken, answers = bound.ceiling, bound.taken or 0, bound.answers
        output = given * answers
        cost = ceiling.cost(taken, output, bound.searches or 0) if ceiling is not None else 0
        likely = held.expected
        if likely:
            likely += output if bound.own or given < USUAL_OUTPUT else USUAL_OUTPUT * answers
        held.use = cost, taken + output, 1, likely, 1

    def is_small(self, held: Held) -> bool:
        """Whether nobody need ask how its budgets stand: it is not theirs to say how long its answer may be, or for
        certain it is no larger a part of any of them than it may be."""
        if held.money is not None or held.request.kind == "hedge":
            return False
        if self._purse is None or held.bound.own:
            return True
        claim = held.claim
        return claim.accounts.ample(claim.amounts(held.use), SHARE)

    async def shorten(self, held: Held) -> None:
        """Have its answer no longer than is allowed by what is left.

        Raises:
            BudgetExceeded: it is a hedge, and little is left.
        """
        levels = await self._levels(held)
        held.given = shortened(levels, held.money, held.bound, held.given)
        self.reckon(held)
        if held.request.kind == "hedge":
            _spare(levels)

    def try_reserve(self, held: Held) -> bool:
        """Reserve all that it may use from what is in hand; whether that is enough.

        Raises:
            BudgetExceeded: what the request may use in all is not.
        """
        use, money, claim = held.use, held.money, held.claim
        if money is not None and not money.take(use[USD], use[TOKENS]):
            raise exhausted(money, held.bound, held.given)
        if self._purse is None or not claim.accounts.scopes:
            return True
        if self._turns is not None and self._turns.open:
            return False  # nobody passes those who wait
        held.reservation = self._purse.try_reserve(claim.accounts, use)
        return held.reservation is not None

    async def reserve(self, held: Held) -> None:
        """Ask for what was not in hand, and for less where that is too much.

        Raises:
            BudgetExceeded, RateLimited, LargerThanLimit: even that is.
            Overloaded: nobody can be asked, or too many do.
        """
        since = self._turns.now() if self._turns is not None else 0.0
        for _ in range(MOST_TRIES):
            shortage = await self._ask(held, since)
            if shortage is None:
                return
            rule = shortage.rule
            if rule.kind != "budget" or rule.unit == "requests" or not await self._count(held):
                held.given = self._shrink(held, shortage)
            self.reckon(held)
            if self.try_reserve(held):
                return
        self._give_back(held)
        raise Overloaded("the budget of this call is asked for by too many at once", do="Try again.", retry_after=1.0)

    def confine(self, held: Held) -> None:
        """Have its answer be no longer than what was reserved."""
        request, bound, given = held.request, held.bound, held.given
        request.cut_at = given * bound.answers
        if not bound.own or given < bound.given:
            request.most_output = given
        if given < bound.given:
            scopes: set[str] = {rule.scope for rule, _ in held.claim.budgets.scopes}
            for scope in scopes or {"request"}:
                self._metrics.short.inc((scope, "clamped"))

    # ---

    async def _levels(self, held: Held) -> Sequence[Level]:
        """How the hard budgets stand; what nobody has heard of for long is asked for, where it matters."""
        purse, hard = self._purse, held.claim.budgets
        if purse is None or (held.bound.own and held.request.kind != "hedge"):
            return ()
        levels = purse.levels(hard)
        return levels if len(levels) == len(hard.scopes) else await purse.look(hard.wants([0] * len(hard.scopes)))

    async def _ask(self, held: Held, since: float) -> Shortage | None:
        """Reserve what it may use, all or nothing: then what is short, of what it waits for since then."""
        claim, turns = held.claim, self._turns
        assert self._purse is not None
        wants = claim.accounts.wants(claim.amounts(held.use))
        try:
            if turns is None:
                got = await self._purse.reserve(wants)
            else:
                got = await turns.reserve(held.request, wants, since)
        except BaseException:
            self._give_back(held)
            raise
        if isinstance(got, Reservation):
            got.accounts, got.numbers = claim.accounts, held.use  # the same ones, by what attempts count
            held.reservation = got
            return None
        self._give_back(held)
        return got

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

    def _give_back(self, held: Held) -> None:
        if held.money is not None:
            held.money.give(held.use[USD], held.use[TOKENS])

    def _shrink(self, held: Held, shortage: Shortage) -> int:
        if shortage.wait == NEVER and shortage.rule.kind == "budget" and self._purse is not None:
            # Not as long as this, but a shorter one may be, once the window is over.
            for level in self._purse.levels(Accounts([shortage[:2]])):
                shortage = shortage._replace(wait=level.resets)
        try:
            return shrunk(shortage, held.bound, held.given, self._wall())
        except Exception as error:
            if isinstance(error, RateLimited) and shortage.rule.queue > 0:
                error.elsewhere = bool(others_than(held.request))
            self._metrics.short.inc((shortage.rule.scope, "refused"))
            raise


def _spare(levels: Iterable[Level]) -> None:
    """Raise BudgetExceeded where a budget is too near its end for a hedge."""
    for level in levels:
        if level.used * 100 > level.rule.limit * HEDGED_UPTO:
            raise BudgetExceeded("a budget is too near its end for a second attempt beside the first")
