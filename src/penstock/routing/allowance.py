"""What one request may use in all, its attempts together: by its own word, or by a budget with `scope: request`. Pure.

It has no account: nothing is left of it for the next request. Attempts that race share it.
"""

from __future__ import annotations

from collections.abc import Iterable

from penstock.reservation import RequestBudget, Unit

__all__ = ["Allowance", "allowance_of", "narrower"]

OWN = "max_cost_usd"


class Allowance:
    """What is left to a request.

    Attributes:
        usd: nano-dollars, None where money does not matter; `tokens`: likewise.
        clamp: what could use more gets less output; else it is refused.
        where: by what it is limited: `max_cost_usd`, or `scope: request`.
    """

    __slots__ = ("clamp", "tokens", "usd", "where")

    def __init__(self, usd: int | None, tokens: int | None, *, clamp: bool, where: str) -> None:
        self.usd = usd
        self.tokens = tokens
        self.clamp = clamp
        self.where = where

    def __repr__(self) -> str:
        return f"<Allowance {self.usd} nano-dollars, {self.tokens} tokens left by {self.where}>"

    def take(self, cost: int, tokens: int) -> bool:
        """Reserve so much, or nothing of it."""
        if (self.usd is not None and cost > self.usd) or (self.tokens is not None and tokens > self.tokens):
            return False
        self.give(-cost, -tokens)
        return True

    def give(self, cost: int, tokens: int) -> None:
        """So much of what was taken was not used; negative where more was."""
        if self.usd is not None:
            self.usd += cost
        if self.tokens is not None:
            self.tokens += tokens


def allowance_of(budgets: Iterable[RequestBudget], key: str | None, own: int | None) -> Allowance | None:
    """What a request may use; None where nothing limits it.

    Args:
        key: the name of its key.
        own: nano-dollars by its own word.
    """
    least: dict[Unit, int] = {} if own is None else {"usd": own}
    clamp, where = True, "" if own is None else OWN
    for budget in budgets:
        if budget.key and budget.key != key:
            continue
        known = least.get(budget.unit)
        if known is None or budget.limit < known:
            least[budget.unit] = budget.limit
            where = "scope: request"
        clamp = clamp and budget.clamp
    if not least:
        return None
    return Allowance(least.get("usd"), least.get("tokens"), clamp=clamp, where=where)


def narrower(one: Allowance | None, other: Allowance | None) -> Allowance | None:
    """What is left to a request by both."""
    if one is None or other is None:
        return one or other
    narrow = other.tokens is not None and (one.tokens is None or other.tokens < one.tokens)
    tokens, where = (other.tokens, other.where) if narrow else (one.tokens, one.where)
    return Allowance(one.usd, tokens, clamp=one.clamp and other.clamp, where=where)
