"""Limits and budgets of the store, held against all the rest as those of the file are when it is loaded.

They are read together with what the file declares, and checked by the same rules: what would be refused there is
refused here, in the same words, and what would be doubted there is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from penstock.config.reader import Reader
from penstock.config.rule_checks import check_rules
from penstock.config.rule_doubts import Callers
from penstock.config.rules import read_rules
from penstock.config.schema import Config
from penstock.config.show_rules import show_budget, show_limit, show_request_budget
from penstock.config.stored_rules import Compiled
from penstock.config.tree import Place, from_mapping
from penstock.routing.names import Names
from penstock.routing.scopes import family
from penstock.stores.rulebook import Kind

__all__ = ["Entry", "Finding", "Findings", "beside", "declared_entries", "review"]

_PLACE = re.compile(r"(limits|budgets)\[(\d+)\]\.?(.*)", re.DOTALL)


class Entry(NamedTuple):
    """One of `limits:` or `budgets:`, and what to call it: where it is declared, or its id."""

    name: str
    kind: Kind
    body: Mapping[str, Any]


class Finding(NamedTuple):
    """What was found of an entry.

    Attributes:
        entry: its name.
        path: of what is meant in it; "" for the whole.
    """

    entry: str
    path: str
    message: str


class Findings(NamedTuple):
    """What is wrong, and what is only doubtful."""

    wrong: tuple[Finding, ...]
    doubtful: tuple[Finding, ...]

    def without(self, others: Findings) -> Findings:
        """Those that the others are not among."""
        return Findings(
            tuple(each for each in self.wrong if each not in others.wrong),
            tuple(each for each in self.doubtful if each not in others.doubtful),
        )


def review(entries: Sequence[Entry], config: Config, names: Names, callers: Callers) -> Findings:
    """What is to be said of all of them together.

    Args:
        names: of the configuration.
        callers: who may call.
    """
    of_kind = {"limits": _of("limit", entries), "budgets": _of("budget", entries)}
    tree = from_mapping({room: [each.body for each in found] for room, found in of_kind.items()}, "")
    root = tree.root.value
    assert isinstance(root, dict)
    ruled = read_rules(Reader(tree.problems, {}, tree.folder), root)
    check_rules(tree.problems, ruled, config, names, serving=True, callers=callers)

    def told(found: Iterable[tuple[Place, str]]) -> tuple[Finding, ...]:
        return tuple(_finding(of_kind, str(place), message) for place, message in found)

    return Findings(told(tree.problems.found), told(tree.problems.doubted))


def beside(one: Compiled, other: Compiled) -> bool:
    """Whether one may have something to say about the other: of the same values, or a model that leads on to others."""
    same = {(rule.scope, rule.match, family(rule)) for rule in one.rules}
    return any((rule.scope, rule.match, family(rule)) in same or rule.downgrade for rule in other.rules)


def declared_entries(config: Config) -> list[Entry]:
    """What the file declares, but for what one request of a certain key may use."""
    found = []
    for rule in config.rules:
        if rule.where and rule.kind == "budget":
            found.append(Entry(rule.where, "budget", show_budget(rule)))
        elif rule.where:
            found.append(Entry(rule.where, "limit", show_limit(rule)))
    ceilings = (each for each in config.request_budgets if each.where and not each.key)
    return [*found, *(Entry(each.where, "budget", show_request_budget(each)) for each in ceilings)]


def _of(kind: Kind, entries: Iterable[Entry]) -> list[Entry]:
    return [each for each in entries if each.kind == kind]


def _finding(of_kind: Mapping[str, Sequence[Entry]], place: str, message: str) -> Finding:
    found = _PLACE.fullmatch(place)
    assert found is not None, place  # nothing but entries was read
    room, number, path = found.groups()
    return Finding(of_kind[room][int(number)].name, path, message)
