"""What a tenant's own may say of limits and budgets: of its tenant alone, and nothing that loosens an operator's. Pure.

Of the rules of one scope that count the same, the most exact holds alone; so a rule for `acme/u1` takes the place of
one for every user, and must hold at least as much.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from penstock.config.show_rules import show_budget, show_limit
from penstock.config.stored_rules import Compiled, tenant_of
from penstock.errors import Forbidden
from penstock.reservation import Rule
from penstock.routing.scopes import QUALIFIED, family

__all__ = ["require_own", "words"]


def require_own(tenant: str, wanted: Compiled, operators: Iterable[Rule]) -> None:
    """See that a tenant's own may make these.

    Args:
        operators: the rules that nobody of a tenant has made.

    Raises:
        Forbidden: they are about others too, or loosen one of the operators'.
    """
    if wanted.ceilings or any(tenant_of(rule) != tenant for rule in wanted.rules):
        raise Forbidden(
            f"that would hold for others than the tenant {tenant} too",
            do=f"Write scope: tenant with match: {tenant}, or scope: project, user, task, tag or key with match:"
            f" {tenant}/... .",
            param="match",
        )
    for theirs in operators:
        for rule in wanted.rules:
            if _replaces(rule, theirs, tenant) and not _held(theirs, rule.match, wanted.rules):
                where = f" (declared at {theirs.where})" if theirs.where else ""
                raise Forbidden(
                    f"it would take the place of an operator's rule and hold less: {words(theirs)}{where}",
                    do="Write at least as little for the same window in the same entry, or ask an admin.",
                    param="match",
                )


def words(rule: Rule) -> str:
    """A rule in one line, in the words of the file."""
    shown = show_budget(rule) if rule.kind == "budget" else show_limit(rule)
    return ", ".join(f"{name}: {value}" for name, value in shown.items())


def _replaces(rule: Rule, theirs: Rule, tenant: str) -> bool:
    """Whether it may hold instead of another; where that is not sure, it is taken to."""
    if (rule.scope, family(rule)) != (theirs.scope, family(theirs)) or tenant_of(theirs) not in ("", tenant):
        return False
    exact = theirs.match and "*" not in theirs.match and "*" not in rule.match
    whole = "/" in theirs.match or theirs.scope not in QUALIFIED
    return not (exact and whole and theirs.match != rule.match)


def _held(theirs: Rule, match: str, wanted: Sequence[Rule]) -> bool:
    """Whether one of those, for the same, holds at least as much as the other does."""
    return any(
        rule.match == match
        and (rule.scope, family(rule)) == (theirs.scope, family(theirs))
        and (rule.period, rule.zone, rule.seconds) == (theirs.period, theirs.zone, theirs.seconds)
        and rule.limit <= theirs.limit
        and rule.hard >= theirs.hard
        and (rule.kind == theirs.kind or theirs.kind == "burst")
        and rule.burst <= theirs.burst
        for rule in wanted
    )
