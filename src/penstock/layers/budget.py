"""Layer budget: once for each request, what it may use in all, and the cheaper model that a soft budget leads to.

It looks and reserves nothing: what each attempt holds is the meter's to say, at the price of where it goes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

from penstock.call import Call, Reply
from penstock.clock import Clock
from penstock.errors import Overloaded
from penstock.messages import Request
from penstock.records import Decision
from penstock.reservation import Level, RequestBudget, Rule, Want
from penstock.routing.allowance import allowance_of, narrower
from penstock.routing.scopes import Facts, Rules

__all__ = ["Budget", "Standings", "downgrading_rules"]

# How late a soft budget may act; an account is asked for no more often.
LOOK_SECONDS = 1.0
MOST_SEEN = 4096


class Standings(Protocol):
    """Who knows how accounts stand (`stores/purse.py`)."""

    async def look(self, wants: Sequence[Want]) -> list[Level]:
        """How those of the wants do. Raises Overloaded: nobody can be asked."""
        ...


def downgrading_rules(rules: Iterable[Rule]) -> Rules:
    """Those that lead to another model once they are reached."""
    return Rules(rule for rule in rules if rule.kind == "budget" and rule.downgrade)


class Budget:
    """Sets a request's allowance, and its model where a soft budget is used up.

    Args:
        rules: of `downgrading_rules`.
        requests: what one request may use.
        pressure: of an account, above nothing where it will be used up before its window ends.
    """

    def __init__(
        self,
        call: Call,
        clock: Clock,
        rules: Rules,
        requests: Sequence[RequestBudget],
        purse: Standings,
        pressure: Callable[[str], float] = lambda account: 0.0,
    ) -> None:
        self._call = call
        self._now = clock.monotonic
        self._rules = rules
        self._downgrades = bool(rules)
        self._requests = requests
        self._purse = purse
        self._pressure = pressure
        # By account whether it was used up, and until when that is believed.
        self._seen: dict[tuple[str, str], tuple[bool, float]] = {}

    def __call__(self, request: Request) -> Awaitable[Reply]:
        wishes = request.caller.wishes
        own: int | None = wishes.max_cost_usd if wishes is not None else None
        if own is not None or self._requests:
            request.money = narrower(allowance_of(self._requests, request.record.key, own), request.money)
        if self._downgrades and request.record.operation == "chat":
            return self._downgraded(request)
        call = self._call
        return call(request)

    async def _downgraded(self, request: Request) -> Reply:
        """Ask for the model of the first soft budget that is used up, or will be."""
        record = request.record
        facts = Facts(
            record.tenant, record.project, record.key, record.user, record.task, record.tags, model=request.model
        )
        for rule, value in self._rules.of(facts):
            if rule.downgrade == request.model:
                continue
            used_up = await self._is_used_up(rule, value)
            if used_up or self._pressure(f"{rule.id}|{value}") > 0:
                # It is the operator's word, whatever the key may ask for itself.
                caller = request.caller
                request.caller = caller.wishing(caller.wishes)
                request.caller.max_output = caller.max_output
                request.model = rule.downgrade
                how = "is used up" if used_up else "will not last"
                why = f"the budget of {rule.scope} '{value}' {how}: {rule.downgrade}"
                record.decisions.append(Decision("downgraded", "", why, self._now()))
                break
        return await self._call(request)

    async def _is_used_up(self, rule: Rule, value: str) -> bool:
        """Whether all of it is used or held, as of the last second."""
        now, key = self._now(), (rule.id, value)
        seen = self._seen.get(key)
        if seen is None or seen[1] <= now:
            try:
                (level,) = await self._purse.look([Want(rule, value, 0)])
            except Overloaded:
                return False
            if len(self._seen) >= MOST_SEEN:
                self._seen.clear()
            seen = self._seen[key] = (level.used >= rule.limit, now + LOOK_SECONDS)
        return seen[0]
