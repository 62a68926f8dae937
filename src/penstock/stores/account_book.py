"""The book of accounts: which rules there are, and an account for each value that was asked for, up to so many.

Callers may name users, tasks and tags as they like, and each name is an account. So that nobody fills the memory, or
is locked out by whoever tries to, a tenant has so many of them per rule; those that come beyond share one account, in
which the rule holds for all of them together. What is idle makes room.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from penstock.reservation import Rule
from penstock.stores.account import Account, Moment, Spent, open_account

__all__ = ["AccountBook", "Entry"]

# Of one rule, of one tenant; and of all.
MOST_NAMES = 10_000
MOST_ACCOUNTS = 100_000
# How many are looked at for idle ones whenever there is no room.
_LOOKED_AT = 8
# The name of those that share an account. A caller who takes it for its own name shares that, too.
SHARED = "\N{HORIZONTAL ELLIPSIS}"


class Entry:
    """An account, and who has how much to do with it.

    Attributes:
        loose: who may have something in hand that is not in use.
        called: who of them is asked for it, by the number of the question.
        waiting: those that need what is asked for.
        shared: for names that have no account of their own.
    """

    __slots__ = ("account", "called", "loose", "shared", "waiting")

    def __init__(self, account: Account, *, shared: bool) -> None:
        self.account = account
        self.shared = shared
        self.loose: dict[Any, None] = {}
        self.called: dict[Any, int] = {}
        self.waiting: dict[Any, None] = {}

    def idle(self, at: Moment) -> bool:
        """Whether nothing is lost when it is forgotten."""
        return not (self.loose or self.called or self.waiting) and self.account.idle(at)


class AccountBook:
    """Rules and accounts.

    Args:
        spent: what was spent before this process; as `open_account`.
        most, most_names: how many accounts there may be, and how many of one rule and tenant.
    """

    def __init__(self, spent: Spent | None, most: int = MOST_ACCOUNTS, most_names: int = MOST_NAMES) -> None:
        self._rules: dict[str, Rule] = {}
        self._entries: dict[tuple[str, str], Entry] = {}
        self._names: dict[tuple[str, str], int] = {}
        self._spent = spent
        self._most = most
        self._most_names = most_names

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    def adopt(self, rule: Rule) -> Rule | None:
        """A rule holds from now on; the one of the same id before it."""
        before = self._rules.get(rule.id)
        self._rules[rule.id] = rule
        return before

    def of(self, rule: str) -> list[Entry]:
        """The accounts of one rule."""
        return [entry for (id, _), entry in self._entries.items() if id == rule]

    def find(self, rule: str, value: str) -> Entry | None:
        """An account that there is."""
        return self._entries.get((rule, value))

    def get(self, rule: str, value: str, at: Moment) -> Entry | None:
        """An account, opened now if it is not yet; None where there is no such rule."""
        entry = self._entries.get((rule, value))
        if entry is not None:
            return entry
        known = self._rules.get(rule)
        return self._open(known, value, at) if known is not None else None

    def _open(self, rule: Rule, value: str, at: Moment) -> Entry:
        group = (rule.id, _tenant(value))
        if self._full(group):
            self._make_room(at)
        common = f"{group[1]}/{SHARED}"
        if self._full(group):
            value = common
            known = self._entries.get((rule.id, value))
            if known is not None:
                return known
        account = open_account(rule, value, at, self._spent)
        entry = self._entries[rule.id, value] = Entry(account, shared=value == common)
        self._names[group] = self._names.get(group, 0) + 1
        return entry

    def _full(self, group: tuple[str, str]) -> bool:
        return len(self._entries) >= self._most or self._names.get(group, 0) >= self._most_names

    def _make_room(self, at: Moment) -> None:
        """Forget idle ones among the few that were looked at longest ago."""
        for key in [key for key, _ in zip(self._entries, range(_LOOKED_AT), strict=False)]:
            entry = self._entries.pop(key)
            if not entry.idle(at):
                self._entries[key] = entry
                continue
            group = (key[0], _tenant(key[1]))
            if self._names[group] > 1:
                self._names[group] -= 1
            else:
                del self._names[group]


def _tenant(value: str) -> str:
    return value.partition("/")[0] if "/" in value else ""
