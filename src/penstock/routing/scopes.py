"""Which limits and budgets hold for a call, and for which value of their scope. Pure.

Of the rules of one scope that count the same thing in the same way (requests by the minute, dollars of a budget, calls
at a time) those whose `match` is the most exact hold alone; rules of different scopes hold all together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from penstock.reservation import Rule, Scope
from penstock.routing.patterns import exactness, expression

__all__ = ["NOBODY", "QUALIFIED", "Facts", "Rules", "family"]

# Whoever or whatever is not named counts as one, so that leaving a name out is no way round a limit.
NOBODY = "-"
# Scopes whose values are a tenant's own: `acme/u1`.
QUALIFIED: frozenset[Scope] = frozenset(("project", "user", "task", "tag"))
# Which facts a scope's values are made of, where it is not the one of its name.
_ASKED: Mapping[Scope, tuple[str, ...]] = {
    "global": (),
    "tag": ("tenant", "tags"),
    **{scope: ("tenant", scope) for scope in ("project", "user", "task")},
}
# Strangers choose the names of users, tasks and tags: what is remembered of them must end somewhere.
_MOST_KEPT = 1024


class Facts(NamedTuple):
    """What is known of a call.

    Attributes:
        model: the name asked for; for the operation that names none "".
        provider, deployment: where it goes; "" as long as that is open, and then no rule of these scopes holds yet.
        tags: names and values.
    """

    tenant: str | None = None
    project: str | None = None
    key: str | None = None
    user: str | None = None
    task: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    model: str = ""
    provider: str = ""
    deployment: str = ""


class Rules:
    """Rules, ready to be asked which of them hold.

    Args:
        rules: in the order in which they were written: of patterns that are equally exact the first holds.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        groups: dict[tuple[Scope, str], list[Rule]] = {}
        for rule in self.rules:
            groups.setdefault((rule.scope, family(rule)), []).append(rule)
        self._by_kind = {which: _Group(of, which[0] in QUALIFIED) for which, of in groups.items()}
        self._groups = [(_VALUES[scope], group) for (scope, _), group in self._by_kind.items()]
        self._kept: dict[object, tuple[tuple[Rule, str], ...]] = {}
        # Of the facts those that decide: who calls need not be remembered where only models have rules.
        asked = {name for scope, _ in groups for name in _ASKED.get(scope, (scope,))}
        fields = [at for at, name in enumerate(Facts._fields) if name in asked]
        self._telling: Callable[[Facts], object] = itemgetter(*fields) if fields else _nothing

    def __bool__(self) -> bool:
        return bool(self.rules)

    def holds(self, rule: Rule, value: str) -> bool:
        """Whether one of them is among those that hold for a value of its scope, as `of` tells it."""
        group = self._by_kind.get((rule.scope, family(rule)))
        name = value.partition("/")[2] if rule.scope in QUALIFIED else value
        return group is not None and any(each.id == rule.id for each in group.of(name, value))

    def of(self, facts: Facts) -> tuple[tuple[Rule, str], ...]:
        """Those that hold for a call, each with the value of its scope: which account of it that is."""
        telling = self._telling(facts)
        kept = self._kept.get(telling)
        if kept is not None:
            return kept
        found: list[tuple[Rule, str]] = []
        for values_of, group in self._groups:
            for name, value in values_of(facts):
                for rule in group.of(name, value):
                    found.append((rule, value))
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        held = self._kept[telling] = tuple(found)
        return held


def _nothing(facts: Facts) -> None:
    return None


def family(rule: Rule) -> str:
    """What a rule counts, and how: rules of one scope and one family take each other's place."""
    if rule.kind in ("budget", "concurrency"):
        return f"{rule.kind} {rule.unit}"
    # However it is held: a strict limit takes the place of one that allows bursts.
    return f"rate {rule.unit}"


class _Group:
    """The rules of one scope and family, by what they match."""

    def __init__(self, rules: Sequence[Rule], qualified: bool) -> None:
        by_match: dict[str, list[Rule]] = {}
        for rule in rules:
            by_match.setdefault(rule.match, []).append(rule)
        self._each = by_match.pop("", [])
        # With a slash it is a tenant's: a name of that look, of another tenant, is not meant.
        self._exact = {match: of for match, of in by_match.items() if "*" not in match}
        wild = sorted((match for match in by_match if "*" in match), key=exactness, reverse=True)
        self._wild = [
            (re.compile(expression(match), re.DOTALL).fullmatch, qualified and "/" in match, by_match[match])
            for match in wild
        ]

    def of(self, name: str, value: str) -> Sequence[Rule]:
        """Those whose match is the most exact.

        Args:
            name: the value without the tenant it belongs to.
        """
        if self._exact:
            found = self._exact.get(value)
            if found is None and "/" not in name:
                found = self._exact.get(name)
            if found is not None:
                return found
        for fits, whole, rules in self._wild:
            if fits(value if whole else name) is not None:
                return rules
        return self._each


# --- the values of each scope: their names, and the same with the tenant before it

Values = Sequence[tuple[str, str]]


def _global(facts: Facts) -> Values:
    return (("", ""),)


def _provider(facts: Facts) -> Values:
    return ((facts.provider, facts.provider),) if facts.provider else ()


def _deployment(facts: Facts) -> Values:
    return ((facts.deployment, facts.deployment),) if facts.deployment else ()


def _model(facts: Facts) -> Values:
    return ((facts.model, facts.model),) if facts.model else ()


def _tenant(facts: Facts) -> Values:
    name = facts.tenant or NOBODY
    return ((name, name),)


def _key(facts: Facts) -> Values:
    name = facts.key or NOBODY
    return ((name, name),)


def _project(facts: Facts) -> Values:
    return (_of_tenant(facts, facts.project or NOBODY),)


def _user(facts: Facts) -> Values:
    return (_of_tenant(facts, facts.user or NOBODY),)


def _task(facts: Facts) -> Values:
    return (_of_tenant(facts, facts.task or NOBODY),)


def _tags(facts: Facts) -> Values:
    return [_of_tenant(facts, f"{name}={value}") for name, value in dict.fromkeys(facts.tags)]


def _of_tenant(facts: Facts, name: str) -> tuple[str, str]:
    return name, f"{facts.tenant or NOBODY}/{name}"


_VALUES: Mapping[Scope, Callable[[Facts], Values]] = {
    "global": _global,
    "provider": _provider,
    "deployment": _deployment,
    "model": _model,
    "tenant": _tenant,
    "project": _project,
    "key": _key,
    "user": _user,
    "task": _task,
    "tag": _tags,
}
