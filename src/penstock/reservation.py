"""What holds for a call, and what is reserved of it: rules, amounts, and how it stands; plain values for every room.

Amounts are whole numbers: nano-dollars, tokens, requests. An account is one value of one rule's scope: each has the
whole of the rule's limit for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, Literal, NamedTuple

import msgspec

__all__ = [
    "SCOPES",
    "Accounts",
    "Level",
    "Remaining",
    "RequestBudget",
    "Reservation",
    "Rule",
    "RuleKind",
    "Scope",
    "Shortage",
    "Unit",
    "Want",
]

Scope = Literal["global", "provider", "deployment", "model", "tenant", "project", "key", "user", "task", "tag"]
SCOPES: tuple[Scope, ...] = (
    *("global", "provider", "deployment", "model", "tenant"),
    *("project", "key", "user", "task", "tag"),
)
Unit = Literal["usd", "tokens", "requests"]
# `budget`: so much in a window of the calendar. The others are rates (semantics.md: Rate limits); `concurrency`:
# so many calls at a time.
RuleKind = Literal["budget", "burst", "leaky", "strict", "concurrency"]


class Rule(msgspec.Struct, frozen=True):
    """A limit or a budget.

    Attributes:
        id: which one it is: made of all that tells it from others but not of its limit, so that one that is changed
            goes on where it stood.
        match: for which values of its scope; "" for each.
        limit: nano-dollars, tokens, requests or calls at a time.
        period: of a budget: `minute`, `hour`, `day`, `week`, `month`, of the calendar in `zone`.
        seconds: of a rate: within which the limit holds.
        burst: of a rate: how much of it may come at once.
        queue: of a rate: seconds that a call may wait for its turn; 0: it is refused at once.
        hard: what is over it is refused; else somebody is told.
        alert_at: at which parts of the limit somebody is told, in millionths.
        clamp: near the limit a call gets less output; else it is refused.
        downgrade: which model is asked instead once it is soft and reached; "" for none.
        throttle: calls are slowed down instead.
        where: where it was written, `file:line`; "" for one that the API made.
    """

    id: str
    scope: Scope
    kind: RuleKind
    unit: Unit
    limit: int
    match: str = ""
    period: str = ""
    seconds: int = 0
    zone: str = "UTC"
    burst: int = 0
    queue: float = 0.0
    hard: bool = True
    alert_at: tuple[int, ...] = ()
    clamp: bool = True
    downgrade: str = ""
    throttle: bool = False
    where: str = ""


class RequestBudget(msgspec.Struct, frozen=True):
    """What one request may use at most, all its attempts together. It has no account: nothing is left for the next.

    Attributes:
        limit: nano-dollars or tokens.
        key: the name of the key whose requests it holds for; "" for all.
        clamp: a request that could use more gets less output; else it is refused.
        where: as a rule's.
    """

    unit: Unit
    limit: int
    key: str = ""
    clamp: bool = True
    where: str = ""


# What calls of a set of accounts count: mostly dollars and tokens, or requests and tokens.
_MOST_KINDS = 2


class Want(NamedTuple):
    """So much of one account.

    Attributes:
        value: of the rule's scope: a tenant's name, "acme/u1" for a user, "" for the whole.
    """

    rule: Rule
    value: str
    amount: int

    @property
    def account(self) -> str:
        """Which account that is."""
        return f"{self.rule.id}|{self.value}"


class Accounts:
    """Those that calls of one kind draw on, one after the other: made once, and remembered.

    Attributes:
        scopes: of each its rule, and the value of the rule's scope.
        keys: of each the rule's id, and that value.
        amounts: what a call's numbers come to: of each account how much.
        leases: what the purse found in hand of each the last time (`stores/hand.Lease`); None: it has not looked yet,
            or found nothing of one.
        turn: which state of what was in hand that was; `until`: when the first of them ends.
        counted: the two of a call's numbers that they count, or the one; `kinds`: of each which of these. Calls reserve
            and settle as much of all that count the same. None where they count more.
        drawer: what they have for themselves of what is in hand (`stores/drawer.py`); None: nothing.
        calls: how many were admitted `since`, without one.
    """

    __slots__ = (
        *("amounts", "calls", "counted", "drawer", "keys", "kinds"),
        *("leases", "scopes", "since", "turn", "until"),
    )

    def __init__(self, scopes: Iterable[tuple[Rule, str]], numbers: Sequence[int] | None = None) -> None:
        """Args:
        numbers: which of a call's numbers each counts; None: a call has one for each.
        """
        self.scopes = tuple(scopes)
        self.keys = tuple((rule.id, value) for rule, value in self.scopes)
        self.leases: Any = None
        self.turn = -1
        self.until = 0.0
        self.drawer: Any = None
        self.calls, self.since = 0, 0.0
        self.amounts = _picked(numbers) if numbers is not None else _same
        known = tuple(dict.fromkeys(numbers)) if numbers is not None else ()
        self.counted = known if len(known) <= _MOST_KINDS else ()
        self.kinds = tuple(known.index(each) for each in numbers) if numbers and self.counted else None

    def ample(self, amounts: Iterable[int], share: int) -> bool:
        """Whether so much is, of each hard budget among them, for certain no larger a part than one in `share`."""
        leases = self.leases
        if leases is None:
            return False
        for lease, amount in zip(leases, amounts, strict=True):  # noqa: SIM110 -- a generator costs twice as much
            if amount * share > lease.room:
                return False
        return True

    def wants(self, amounts: Iterable[int]) -> list[Want]:
        """So much of each."""
        return [Want(rule, value, amount) for (rule, value), amount in zip(self.scopes, amounts, strict=True)]


def _same(numbers: Sequence[int]) -> Sequence[int]:
    return numbers


def _picked(which: Sequence[int]) -> Callable[[Sequence[int]], Sequence[int]]:
    """What takes these of a call's numbers."""
    if len(which) > 1:
        return itemgetter(*which)
    return lambda numbers: tuple(numbers[each] for each in which)


class Shortage(NamedTuple):
    """An account has not enough.

    Attributes:
        left: how much it has.
        wait: seconds after which the same would be granted if nobody else asks; infinite where it never would be.
    """

    rule: Rule
    value: str
    left: int
    wait: float


class Level(NamedTuple):
    """How an account stands.

    Attributes:
        used: settled and reserved, as far as is known.
        left: what can still be reserved.
        resets: seconds until all of its limit is there again.
    """

    rule: Rule
    value: str
    used: int
    left: int
    resets: float


# Of an account what callers are told: its rule, what can still be reserved, and seconds until all of it is there again;
# neither is bounded. Each request makes two: a plain tuple takes a quarter of a named one's time.
Remaining = tuple[Rule, int, float]


class Reservation(msgspec.Struct, gc=False, eq=False):
    """What was reserved in one step: to be settled or voided exactly once.

    Attributes:
        accounts: of which; `numbers`: the call's, of which they count some.
        leases: what of each it was taken from; `drawer`: by way of which.
        open: not settled yet, nor voided.
    """

    accounts: Accounts
    numbers: Sequence[int]
    leases: Sequence[Any] = ()
    drawer: Any = None
    open: bool = True

    @property
    def amounts(self) -> Sequence[int]:
        """How much of each account."""
        return self.accounts.amounts(self.numbers)

    @property
    def wants(self) -> list[Want]:
        """So much of each account."""
        return self.accounts.wants(self.amounts)

    def remaining(self, which: Iterable[tuple[int, Rule]], since: float) -> list[Remaining]:
        """How some of its accounts stand, as far as was last heard.

        Args:
            which: of the accounts, each with its rule.
            since: monotonic; from then on time counts until all of it is there again.
        """
        leases, told = self.leases, []
        for at, rule in which:
            lease = leases[at]
            left = lease.beside + lease.left
            for part in lease.parts:
                left += part.left
            told.append((rule, left, lease.resets - since))
        return told

    @property
    def windows(self) -> list[int]:
        """Of each account the window that it was taken from: the Unix time at which that begins; 0 for rates."""
        return [lease.booked for lease in self.leases]


# As `records.quick`: the collector never looks at it, for nothing of it leads back to it.
Reservation.__delattr__ = object.__delattr__  # type: ignore[method-assign]
Reservation.__setattr__ = object.__setattr__  # type: ignore[method-assign]
