"""What workers and the centre tell each other about accounts; carried as `stores/centre.py` says.

Rules are named by their ids: both sides know them from the configuration. Times cross as seconds from now.
"""

from __future__ import annotations

from typing import NamedTuple

from penstock.stores.message import Message

__all__ = [
    "NOBODY",
    "Ask",
    "Denied",
    "Forget",
    "FromTreasury",
    "Granted",
    "Inspect",
    "Inspected",
    "Line",
    "MoneyMessage",
    "Need",
    "Open",
    "Reclaim",
    "Share",
    "Stand",
    "ToTreasury",
    "Told",
    "TreasuryMessage",
]

# Instead of a need's number: nobody knows, as the store cannot be read.
NOBODY = -1


class Need(NamedTuple):
    """What is needed of an account.

    Attributes:
        pace: how much of it was reserved lately, within ten seconds.
    """

    rule: str
    value: str
    amount: int
    pace: int


class Line(NamedTuple):
    """What became of what was in hand.

    Attributes:
        window: which it was from.
        spent: so much was settled.
        returned: so much is given back; negative: so much more was taken than there was in hand.
    """

    rule: str
    value: str
    window: int
    spent: int
    returned: int


class Share(NamedTuple):
    """What is in hand from now on.

    Attributes:
        window: which it is from.
        amount: how much more; beyond what was needed, so much may be left in hand.
        life: for so many seconds.
        left: what the account has left.
        resets: seconds until it has everything again.
    """

    rule: str
    value: str
    window: int
    amount: int
    life: float
    left: int
    resets: float


class Stand(NamedTuple):
    """How an account stands."""

    limit: int
    left: int
    resets: float


class MoneyMessage(Message, frozen=True):
    """What a worker says or asks."""


class Open(MoneyMessage, frozen=True, tag=True):
    """A worker begins.

    Attributes:
        books: by what name its journal is known to the ledger, which will say what it settled if it dies; "": it
            keeps none, and what it has in hand then counts as spent.
    """

    books: str


class Ask(MoneyMessage, frozen=True, tag=True):
    """A worker needs all of this, or nothing.

    Attributes:
        lines: what it had in hand of these accounts and gives back first, for it was not enough.
    """

    number: int
    needs: list[Need]
    lines: list[Line]


class Forget(MoneyMessage, frozen=True, tag=True):
    """Nobody waits for the answer any more."""

    number: int


class Told(MoneyMessage, frozen=True, tag=True):
    """What became of what a worker had in hand.

    Attributes:
        reclaim: the number of the `Reclaim` that is answered; 0 where nobody asked.
    """

    lines: list[Line]
    reclaim: int = 0


class Inspect(MoneyMessage, frozen=True, tag=True):
    """A worker wants to know how accounts stand."""

    number: int
    accounts: list[tuple[str, str]]


class TreasuryMessage(Message, frozen=True):
    """What the treasury says."""


class Granted(TreasuryMessage, frozen=True, tag=True):
    """All that was asked for; maybe more, so that the next needs no asking."""

    number: int
    shares: list[Share]


class Denied(TreasuryMessage, frozen=True, tag=True):
    """One account has not enough, and of the others nothing was taken.

    Attributes:
        which: of the needs; `NOBODY`.
        left: what it has.
        wait: seconds after which it would be granted; infinite for never.
        resets: seconds until it has everything again.
    """

    number: int
    which: int
    left: int
    wait: float
    resets: float


class Reclaim(TreasuryMessage, frozen=True, tag=True):
    """Others need what is in hand and not in use; until the next grant each is asked for."""

    number: int
    rule: str
    value: str


class Inspected(TreasuryMessage, frozen=True, tag=True):
    """How accounts stand, in the order asked for; None for one that no rule is known for."""

    number: int
    stands: list[Stand | None]


ToTreasury = Open | Ask | Forget | Told | Inspect
FromTreasury = Granted | Denied | Reclaim | Inspected
