"""A drawer: what one set of accounts has for itself of a worker's leases, so that a call need not go through each.

Of a set's accounts many count the same: three budgets in dollars are one number. What calls of the set that come in
quick succession will need is taken out of all its leases at once, by the number; from then on reserving and settling
are two sums. It is still in the worker's hand: whenever anything else looks at leases, all drawers are emptied first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.reservation import Accounts

__all__ = ["Drawer", "Part", "open_drawer"]

# Such a part of what is left of each lease: others draw on the same ones.
PART = 2
# Less than so many calls' worth is not worth it.
FEWEST = 8
# Nothing that is put into one is larger: sums of all that comes stay far below what a message can say.
MOST = 2**53


class Part:
    """What is in a drawer of one number.

    Attributes:
        at: which of a call's numbers that is.
        left: neither reserved nor spent; `spent`: settled, and its leases do not know yet.
    """

    __slots__ = ("at", "left", "spent")

    def __init__(self, at: int, left: int) -> None:
        self.at = at
        self.left = left
        self.spent = 0


class Drawer:
    """Of one set of accounts.

    Attributes:
        accounts: whose it is; `leases`: from which it was filled, one for each.
        first, second: the two numbers that they count; of a set that counts but one, the second is never short.
        until: when the first of the leases ends.
        open: it has not been emptied: then it is gone.
    """

    __slots__ = ("accounts", "first", "leases", "open", "second", "until")

    def __init__(self, accounts: Accounts, first: Part, second: Part) -> None:
        self.accounts = accounts
        self.leases: Sequence[Any] = accounts.leases
        self.first = first
        self.second = second
        self.until = accounts.until
        self.open = True

    def __repr__(self) -> str:
        return f"<Drawer of {len(self.leases)} leases: {self.first.left}, {self.second.left}>"

    def parts(self) -> list[Part]:
        """Of each lease the part that was filled from it."""
        kinds = self.accounts.kinds
        assert kinds is not None
        return [self.second if kind else self.first for kind in kinds]

    def empty(self) -> None:
        """Back into the leases with it."""
        self.open = False
        self.accounts.drawer = None
        for lease, part in zip(self.leases, self.parts(), strict=True):
            lease.left += part.left
            lease.parts.remove(part)
            if lease.kept:
                lease.spent += part.spent


def open_drawer(accounts: Accounts, numbers: Sequence[int]) -> Drawer | None:
    """A drawer for calls that take about so much as one that was just admitted; None: there is too little in hand."""
    kinds, leases = accounts.kinds, accounts.leases
    if kinds is None or not kinds or leases is None:
        return None
    found = []
    for kind, at in enumerate(accounts.counted):
        left = min([lease.left for lease, own in zip(leases, kinds, strict=True) if own == kind]) // PART
        if left < FEWEST * max(numbers[at], 1):
            return None
        found.append(Part(at, min(left, MOST)))
    if len(found) == 1:
        found.append(Part(found[0].at, MOST))
    drawer = accounts.drawer = Drawer(accounts, *found)
    for lease, part in zip(leases, drawer.parts(), strict=True):
        lease.left -= part.left
        lease.parts.append(part)
    return drawer
