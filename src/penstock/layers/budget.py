"""Layer budget: once for each request, what it may use in all, and the cheaper model that a soft budget leads to.

It looks and reserves nothing: what each attempt holds is the meter's to say, at the price of where it goes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from typing import Protocol

from penstock.call import Call, Reply
from penstock.clock import Clock
from penstock.messages import Request
from penstock.records import Decision
from penstock.reservation import Level, RequestBudget, Rule
from penstock.routing.allowance import allowance_of
from penstock.routing.scopes import Facts, Rules

__all__ = ["Budget", "Standings", "downgrading_rules"]


class Standings(Protocol):
    """What is known of accounts (`stores/purse.py`)."""

    def standing(self, rule: Rule, value: str) -> Level | None:
        """How one stands, as far as was last heard."""
        ...


def downgrading_rules(rules: Iterable[Rule]) -> Rules:
    """Those that lead to another model once they are reached."""
    return Rules(rule for rule in rules if rule.kind == "budget" and rule.downgrade)


class Budget:
    """Sets a request's allowance, and its model where a soft budget is used up.

    Args:
        rules: of `downgrading_rules`.
        requests: what one request may use.
    """

    def __init__(
        self, call: Call, clock: Clock, rules: Rules, requests: Sequence[RequestBudget], purse: Standings
    ) -> None:
        self._call = call
        self._now = clock.monotonic
        self._rules = rules
        self._requests = requests
        self._purse = purse

    def __call__(self, request: Request) -> Awaitable[Reply]:
        wishes = request.caller.wishes
        own: int | None = wishes.max_cost_usd if wishes is not None else None
        if own is not None or self._requests:
            request.money = allowance_of(self._requests, request.record.key, own)
        if self._rules and request.record.operation == "chat":
            self._downgrade(request)
        return self._call(request)

    def _downgrade(self, request: Request) -> None:
        """Ask for the model of the first soft budget that is used up."""
        record = request.record
        facts = Facts(
            record.tenant, record.project, record.key, record.user, record.task, record.tags, model=request.model
        )
        for rule, value in self._rules.of(facts):
            level = self._purse.standing(rule, value)
            if level is None or level.left > 0 or rule.downgrade == request.model:
                continue
            # It is the operator's word, whatever the key may ask for itself.
            request.caller = request.caller.wishing(request.caller.wishes)
            request.model = rule.downgrade
            why = f"the budget of {rule.scope} '{value}' is used up: {rule.downgrade}"
            record.decisions.append(Decision("downgraded", "", why, self._now()))
            return
