"""What an attempt reserves of its budgets and limits, how much less it asks for where they are short, and what is told
where that is not enough. Pure; semantics.md: Money.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from penstock.errors import BudgetExceeded, InvalidRequest, LargerThanLimit, PenstockError, RateLimited, UnknownPrice
from penstock.reservation import Accounts, Level, Rule, Shortage, Unit
from penstock.routing.allowance import Allowance
from penstock.usage import usd

__all__ = [
    "NOTHING",
    "NO_CLAIM",
    "SHARE",
    "TOKENS",
    "USD",
    "Bounded",
    "Claim",
    "Scopes",
    "Use",
    "Uses",
    "check_bounded",
    "exhausted",
    "shortened",
    "shrunk",
]

# A request without a limit of its own holds at most such a part of what is left.
SHARE = 10
NEVER = float("inf")

# As they stand in a `Use`.
_UNITS: tuple[Unit, ...] = ("usd", "tokens", "requests")
USD, TOKENS, _LIKELY, _SENT = 0, 1, 3, 4

# The rules that hold for an attempt, each with the value of its scope.
Scopes = Sequence[tuple[Rule, str]]


class Bounded(Protocol):
    """What an attempt can use at most (`providers/bounds.py`)."""

    @property
    def own(self) -> bool: ...
    @property
    def least(self) -> int: ...
    @property
    def taken(self) -> int | None: ...
    @property
    def searches(self) -> int | None: ...
    @property
    def ceiling(self) -> object | None: ...
    def tokens(self, given: int) -> int: ...
    def cost(self, given: int) -> int | None: ...
    def paid(self, nanos: int) -> int: ...
    def counted(self, tokens: int) -> int: ...


class Use(NamedTuple):
    """What an attempt used, or may use.

    Attributes:
        usd: nano-dollars; 0 where nobody knows.
        tokens: likewise; `likely`: as many as there likely will be, where a rate counts that.
        requests: whether it is the one that counts of a request's; `sent`: whether it counts as an attempt.
    """

    usd: int
    tokens: int
    requests: int = 1
    likely: int = 0
    sent: int = 1

    def of(self, rule: Rule) -> int:
        """As much of it as a rule counts."""
        return self[_UNITS.index(rule.unit)]


# Each attempt has two: a plain tuple takes a third of a named one's time.
Uses = tuple[int, int, int, int, int]

NOTHING: Uses = Use(0, 0, 0, 0, 0)


class Claim:
    """The rules that hold for one kind of attempt, looked at once.

    Attributes:
        accounts: of which it reserves.
        amounts: of each how much, by what an attempt may use or has used.
        kept: of those that the ledger knows, budgets, which of the accounts they are. What is left of a rate is gone
            with its time.
        usd, tokens: whether a hard budget of that is among them; `likely`: whether a rate that counts what is likely.
        budgets: the hard budgets of either.
    """

    __slots__ = ("accounts", "amounts", "budgets", "kept", "likely", "tokens", "usd")

    def __init__(self, scopes: Scopes) -> None:
        numbers = [_number(rule) for rule, _ in scopes]
        self.accounts = Accounts(scopes, numbers)
        self.amounts = self.accounts.amounts
        self.likely = _LIKELY in numbers
        self.kept = [at for at, (rule, _) in enumerate(scopes) if rule.kind == "budget"]
        self.budgets = Accounts(
            (rule, value) for rule, value in scopes if rule.hard and rule.kind == "budget" and rule.unit != "requests"
        )
        self.usd = any(rule.unit == "usd" for rule, _ in self.budgets.scopes)
        self.tokens = any(rule.unit == "tokens" for rule, _ in self.budgets.scopes)


def _number(rule: Rule) -> int:
    """Which of a use's numbers a rule counts: rates of tokens, which even themselves out, what is likely, and rates of
    requests every attempt that is sent; all else what may be."""
    if rule.kind != "budget" and rule.unit == "requests":
        return _SENT
    if rule.unit == "tokens" and rule.kind in ("burst", "leaky"):
        return _LIKELY
    return _UNITS.index(rule.unit)


NO_CLAIM = Claim(())


def check_bounded(claim: Claim, money: Allowance | None, bound: Bounded, name: str) -> bool:
    """Whether a hard budget holds, so that the attempt must have a most.

    Args:
        name: the deployment's.

    Raises:
        InvalidRequest: it has none: a vendor's tools may be used as often as they like, or the window is not known.
        UnknownPrice: money is limited, and nobody knows what it costs.
    """
    paid = claim.usd or (money is not None and money.usd is not None)
    if not paid and not claim.tokens and money is None:
        return False
    if bound.taken is None or bound.searches is None:  # as `Bound.bounded` says, without a call
        raise InvalidRequest(
            f"what this call may use at {name} has no bound, and a budget holds for it",
            do="Give each of the provider's own tools a max_uses, or leave out what is stored at the provider.",
            param="tools",
        )
    if paid and bound.ceiling is None:
        raise UnknownPrice(
            f"nobody knows what '{name}' costs, and a budget holds for this call",
            do="Ask for another model, or have its price declared under prices.",
            param="model",
        )
    return True


def shortened(levels: Iterable[Level], money: Allowance | None, bound: Bounded, given: int) -> int:
    """How long each answer may be by what is left, without asking for more than there is: of a request that says no
    limit itself a tenth, and of the request's own allowance what it has.

    It is never less than the least that is of use: whether that is there is for the reservation to find.
    """
    most = given
    if not bound.own:
        for level in levels:
            if level.rule.hard:
                most = min(most, _affordable(level.rule, level.left // SHARE, bound))
    if money is not None and money.clamp:
        if money.usd is not None:
            most = min(most, bound.paid(money.usd))
        if money.tokens is not None:
            most = min(most, bound.counted(money.tokens))
    return min(given, max(most, bound.least))


def shrunk(shortage: Shortage, bound: Bounded, given: int, wall: float) -> int:
    """How long each answer may be after a shortage; less than `given`.

    Raises:
        BudgetExceeded, RateLimited, LargerThanLimit: it would be of no use, or may not be made smaller.
    """
    rule = shortage.rule
    if rule.kind == "budget" and rule.clamp and rule.unit != "requests":
        less = min(_affordable(rule, shortage.left, bound), given - 1)
        if less >= bound.least:
            return less
    raise _refused(shortage, bound, given, wall)


def exhausted(money: Allowance, bound: Bounded, given: int) -> BudgetExceeded:
    """What one request may use is not enough for the attempt."""
    cost, tokens = bound.cost(given), bound.tokens(given)
    over = money.usd is not None and cost is not None and cost > money.usd
    left = f"{_dollars(money.usd or 0)}" if over else f"{money.tokens or 0} tokens"
    need = _dollars(cost or 0) if over else f"{tokens} tokens"
    advice = ["raise it" if money.where == "max_cost_usd" else "have it raised", "send a shorter prompt"]
    least = (bound.cost(bound.least) or 0, bound.tokens(bound.least))[not over]
    # Of what the prompt alone takes a shorter answer is no help, and against tokens a cheaper model is none.
    if least <= ((money.usd if over else money.tokens) or 0):
        advice.append("ask for less output")
    if over:
        advice.append("ask for a model that costs less")
    return BudgetExceeded(
        f"{left} is left to this request by {money.where}, and it may take {need}",
        do=f"{', '.join(advice[:-1]).capitalize()}, or {advice[-1]}.",
        param="budget.max_cost_usd" if money.where == "max_cost_usd" else None,
    )


def _affordable(rule: Rule, left: int, bound: Bounded) -> int:
    if rule.unit == "usd":
        return bound.paid(left)
    return bound.counted(left)


def _refused(shortage: Shortage, bound: Bounded, given: int, wall: float) -> PenstockError:
    rule, wait = shortage.rule, shortage.wait
    use = Use(bound.cost(given) or 0, bound.tokens(given))
    if rule.kind != "budget":
        if wait == NEVER:
            return LargerThanLimit(
                f"this request alone takes {use.of(rule)} {rule.unit}, and {_named(shortage)} admits {rule.limit}"
                f" in {rule.seconds} s",
                do="Send a shorter prompt, or ask for less output.",
            )
        return RateLimited(
            f"{_named(shortage)} admits no more at the moment",
            do=f"Wait {wait:.3g} s, or ask for another model.",
            retry_after=wait,
            unit="tokens" if rule.unit == "tokens" else "requests",
        )
    least = Use(bound.cost(bound.least) or 0, bound.tokens(bound.least))
    # It was shortened as far as may be before it is refused; and against tokens a cheaper model is no help.
    shorter = "a shorter prompt" if rule.clamp else "a shorter prompt or answer"
    cheaper = "ask for a cheaper model, " if rule.unit == "usd" else ""
    left, advice = "", f"Send {shorter}, {cheaper}or have it raised."
    if rule.unit == "requests":
        advice = "Have it raised."  # each call takes one, whatever it asks for
        if rule.scope in _CALLERS_OWN:
            left = f": none of {_amount(rule, rule.limit)} {_each(rule)}"
    elif rule.scope in _CALLERS_OWN:
        left = f": {_amount(rule, shortage.left)} of {_amount(rule, rule.limit)} {_each(rule)}"
        left += f", and this call takes at least {_amount(rule, least.of(rule) if rule.clamp else use.of(rule))}"
    if (least if rule.clamp else use).of(rule) > rule.limit:
        wait = NEVER
    again = "" if wait == NEVER else f" It is there again {_moment(wall + wait)}."
    return BudgetExceeded(
        f"{_named(shortage)} has too little left{left}",
        do=f"{advice}{again}",
        retry_after=None if wait == NEVER else wait,
    )


# What others spend is nobody's business: of what they share only these scopes tell figures.
_CALLERS_OWN = frozenset(("tenant", "project", "key", "user", "task", "tag"))


def _named(shortage: Shortage) -> str:
    """Which account it is, in words."""
    rule, value = shortage.rule, shortage.value
    kind = "budget" if rule.kind == "budget" else f"limit of {rule.unit}"
    if rule.scope == "global":
        return f"the {kind} of this gateway"
    name = value.partition("/")[2] if rule.scope in ("project", "user", "task", "tag") else value
    return f"the {kind} of {rule.scope} '{name}'"


def _each(rule: Rule) -> str:
    return "an hour" if rule.period == "hour" else f"a {rule.period}"


def _amount(rule: Rule, amount: int) -> str:
    return _dollars(amount) if rule.unit == "usd" else f"{amount} {rule.unit}"


def _dollars(nanos: int) -> str:
    """Without the zeros that say nothing."""
    text = usd(max(nanos, 0)).rstrip("0")
    return f"{text}{'00'[: max(0, 3 - len(text) + text.index('.'))]} USD"


def _moment(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).strftime("at %Y-%m-%d %H:%M:%S UTC")
