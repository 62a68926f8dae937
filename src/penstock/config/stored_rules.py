"""Limits and budgets of the store, read as those of the file are, and put beside them.

What the file declares goes first: where both say the same of the same, the file's holds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from penstock.config.reader import Reader
from penstock.config.rules import REQUEST, read_rules
from penstock.config.schema import Config, Tenant
from penstock.config.tree import from_mapping
from penstock.errors import ConfigError, InvalidRequest
from penstock.reservation import RequestBudget, Rule
from penstock.routing.scopes import QUALIFIED, family
from penstock.stores.directory_rows import Tenant as StoredTenant
from penstock.stores.rulebook import Kind, StoredRule

__all__ = [
    "Compiled",
    "Window",
    "compile_rule",
    "compile_stored",
    "declared_tenants",
    "declared_windows",
    "placed",
    "tenant_of",
    "window_of",
    "with_rules",
    "with_tenants",
    "wrong",
]

log = logging.getLogger("penstock.config")

# It can be read, and cannot be a rule (RFC 9110, section 15.5.21).
UNFIT = 422
# What two rules may not have in common.
Window = tuple[str, str, str, str]


class Compiled(NamedTuple):
    """What one entry becomes: a rule for each thing it counts, or a bound of each request."""

    rules: tuple[Rule, ...]
    ceilings: tuple[RequestBudget, ...] = ()

    @property
    def windows(self) -> set[Window]:
        """What all of it counts."""
        every: tuple[Rule | RequestBudget, ...] = (*self.rules, *self.ceilings)
        return {window_of(each) for each in every}


def compile_rule(kind: Kind, body: Mapping[str, Any]) -> Compiled:
    """The rules that an entry of `limits:` or `budgets:` makes.

    Raises:
        InvalidRequest: it cannot be one; in the words that the file's reader has for it, `param` names the field.
    """
    return _compiled(kind, msgspec.json.encode(body))


# All of them are read anew whenever one is made or changed.
@lru_cache(2048)
def _compiled(kind: Kind, written: bytes) -> Compiled:
    tree = from_mapping({f"{kind}s": [msgspec.json.decode(written)]}, "")
    root = tree.root.value
    assert isinstance(root, dict)
    ruled = read_rules(Reader(tree.problems, {}, tree.folder), root)
    seen: set[Window] = set()
    try:
        tree.problems.raise_if_any()
    except ConfigError as error:
        where, _, message = str(error).splitlines()[0].partition(": ")
        raise wrong(where.removeprefix(f"{kind}s[0]").removeprefix("."), message) from None
    rules = tuple(msgspec.structs.replace(each.rule, where="") for each in ruled.written)
    for rule in rules:
        if window_of(rule) in seen:
            raise InvalidRequest("it says the same thing twice", do="Say it once.", status=UNFIT)
        seen.add(window_of(rule))
    return Compiled(rules, tuple(msgspec.structs.replace(each.budget, where="") for each in ruled.ceilings))


def wrong(path: str, message: str) -> InvalidRequest:
    """What is wrong with an entry, told by the place in it."""
    return InvalidRequest(
        placed(path, message),
        do="docs/config.md has every key of it.",
        param=path.partition(".")[0].partition("[")[0] or None,
        status=UNFIT,
    )


def placed(path: str, message: str) -> str:
    """A message with the place it is about, unless it begins with that."""
    return message if not path or message.startswith(f"{path} ") else f"{path}: {message}"


def window_of(rule: Rule | RequestBudget) -> Window:
    """What it counts, of whom and within what: no two rules may have the same."""
    if isinstance(rule, RequestBudget):
        return REQUEST, rule.key, rule.unit, ""
    return rule.scope, rule.match, family(rule), rule.period or str(rule.seconds)


def tenant_of(rule: Rule) -> str:
    """Whose it is alone, by its scope and match; "" where it may be about several tenants."""
    if rule.scope == "tenant":
        return "" if "*" in rule.match else rule.match
    if rule.scope in QUALIFIED or rule.scope == "key":
        tenant, slash, _ = rule.match.partition("/")
        return tenant if slash and "*" not in tenant else ""
    return ""


def compile_stored(stored: StoredRule) -> Compiled:
    """The same of a stored one; nothing, and a warning, where another version made it and this one does not know it."""
    try:
        return compile_rule(stored.kind, stored.body)
    except InvalidRequest as error:
        log.warning("the stored %s %s is left out: %s", stored.kind, stored.id, error.message)
        return Compiled(())


def with_rules(config: Config, stored: Iterable[StoredRule]) -> Config:
    """That configuration with stored rules beside its own, but for those that its own take the place of."""
    rules, ceilings = list(config.rules), list(config.request_budgets)
    taken = Compiled(config.rules, config.request_budgets).windows
    for each in stored:
        compiled = compile_stored(each)
        rules += [rule for rule in compiled.rules if window_of(rule) not in taken]
        ceilings += [each for each in compiled.ceilings if window_of(each) not in taken]
        taken |= compiled.windows
    return msgspec.structs.replace(config, rules=tuple(rules), request_budgets=tuple(ceilings))


def with_tenants(config: Config, stored: Iterable[StoredTenant]) -> Config:
    """That configuration with what the store says of tenants; of those that it declares the store says nothing."""
    declared = {tenant.name for tenant in config.tenants}
    found = [
        Tenant(name=each.name, charge=each.charge, weight=each.weight) for each in stored if each.name not in declared
    ]
    return msgspec.structs.replace(config, tenants=(*config.tenants, *found))


def declared_windows(config: Config) -> dict[Window, str]:
    """What the file says, and where."""
    every: tuple[Rule | RequestBudget, ...] = (*config.rules, *config.request_budgets)
    return {window_of(each): each.where for each in every if each.where}


def declared_tenants(config: Config) -> dict[str, str]:
    """The tenants that stand under `tenants:`, and where; those that keys name besides may be the store's."""
    return {tenant.name: tenant.where for tenant in config.tenants if tenant.where}
