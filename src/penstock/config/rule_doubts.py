"""Rules that are allowed and can never act, or not as they are most likely meant."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import combinations
from typing import NamedTuple

from penstock.config.amounts import allowance_text, rate_text
from penstock.config.keeping import MEMORY
from penstock.config.pricing import Pricing
from penstock.config.rules import Ruled, Written
from penstock.config.schema import Config
from penstock.config.tree import Node, Problems
from penstock.providers.catalogue import load_catalogue
from penstock.reservation import Rule
from penstock.routing.nearest import did_you_mean, quoted
from penstock.routing.scopes import NOBODY, family

__all__ = ["Callers", "callers_of", "doubt_anomaly", "doubt_rules", "doubt_tenants"]

_PERIODS = ("minute", "hour", "day", "week", "month")
# The most windows of one kind that lie in one of another, or reach into it: a month touches six weeks.
_WITHIN = {
    ("minute", "hour"): 60, ("minute", "day"): 1500, ("minute", "week"): 10_140, ("minute", "month"): 44_700,
    ("hour", "day"): 25, ("hour", "week"): 169, ("hour", "month"): 745,
    ("day", "week"): 7, ("day", "month"): 31,
    ("week", "month"): 6,
}  # fmt: skip
_MOST_NAMED = 3


class Callers(NamedTuple):
    """Who may call: what rules can be about.

    Attributes:
        tenants, keys: their names, as far as they are known.
        trusted: whether there is a key whose calls' user is believed.
    """

    tenants: Collection[str]
    keys: Collection[str]
    trusted: bool


def callers_of(config: Config) -> Callers:
    """Those that a configuration declares."""
    tenants = [tenant.name for tenant in config.tenants if tenant.where]
    tenants = tenants or [key.tenant for key in config.keys if key.tenant]
    return Callers(tenants, [key.name for key in config.keys], any(key.trusted_user for key in config.keys))


def doubt_rules(problems: Problems, rules: Ruled, config: Config, callers: Callers, *, serving: bool) -> None:
    """Every rule that was found right.

    Args:
        serving: whether calls come from outside, and are nobody's without a key.
    """
    _doubt_windows(problems, rules.written)
    for each in rules.written:
        _doubt_parts(problems, each)
        if config.state == MEMORY:
            _doubt_memory(problems, each)
        _doubt_match(problems, each, callers)
        if serving:
            _doubt_scope(problems, each, config, callers)
    _doubt_prices(problems, rules, config)


# --- of two of the same the other always acts first


def _doubt_windows(problems: Problems, written: Iterable[Written]) -> None:
    groups: dict[tuple[str, str, str], list[Written]] = {}
    for each in written:
        rule = each.rule
        if rule.hard and rule.kind in ("budget", "burst"):
            groups.setdefault((rule.scope, rule.match, family(rule)), []).append(each)
    for group in groups.values():
        for one, other in combinations(group, 2):
            if one.rule.kind == "budget":
                _doubt_budgets(problems, *sorted((one, other), key=_length))
            elif not _dominates(problems, one, other):
                _dominates(problems, other, one)


def _length(each: Written) -> int:
    return _PERIODS.index(each.rule.period)


def _doubt_budgets(problems: Problems, short: Written, long: Written) -> None:
    less, more = short.rule, long.rule
    if less.limit >= more.limit:
        _doubt_act(problems, short, f"{_shown(more)} is used up before it")
    elif less.limit * _WITHIN.get((less.period, more.period), more.limit) <= more.limit:
        _doubt_act(problems, long, f"{_shown(less)} allows no more than that")


def _dominates(problems: Problems, first: Written, second: Written) -> bool:
    """Whether all that the first rate admits is admitted by the second."""
    one, other = first.rule, second.rule
    if one.burst > other.burst or one.limit * other.seconds > other.limit * one.seconds:
        return False
    _doubt_act(problems, second, f"{_shown(one)} allows no more than that")
    return True


def _doubt_act(problems: Problems, each: Written, why: str) -> None:
    node = each.fields.get("limit") or each.fields[each.rule.unit]
    problems.doubt(node.place, f"{_shown(each.rule)} can never act: {why}")


def _shown(rule: Rule) -> str:
    if rule.kind == "budget":
        return allowance_text(rule.limit, rule.unit, rule.period)
    return f"{rule.unit}: {rate_text(rule.limit, rule.seconds)}"


# --- parts that have nothing to do


def _doubt_parts(problems: Problems, each: Written) -> None:
    rule = each.rule
    low = each.fields.get("on_low_budget")
    if low is not None and not rule.hard:
        problems.doubt(low.key, "on_low_budget never holds: the budget is not hard, so nothing is too much for it")
    elif low is not None and rule.unit == "requests":
        problems.doubt(low.key, "on_low_budget never holds: a request cannot be made smaller than one")
    if not (rule.hard or rule.alert_at or rule.downgrade or rule.throttle):
        problems.doubt(each.node.place, "it does nothing: it is not hard, alert_at is empty, and on_soft says nothing")


def _doubt_memory(problems: Problems, each: Written) -> None:
    """What goes by the ledger, where there is none."""
    soft, told = each.fields.get("on_soft"), each.fields.get("alert_at")
    ledger = "with state: memory there is no ledger that tells how fast it is used (state: sqlite:///penstock.db)"
    if soft is not None and each.rule.throttle:
        problems.doubt(soft.key, f"throttle never acts: {ledger}")
    if told is not None and each.rule.alert_at:
        problems.doubt(told.key, f"nobody is told: {ledger}")


# --- whom they are for


def _doubt_match(problems: Problems, each: Written, callers: Callers) -> None:
    """What may be declared elsewhere, and looks misspelt."""
    rule = each.rule
    if not rule.match or "*" in rule.match or rule.match == NOBODY:
        return
    known: Collection[str] = ()
    if rule.scope == "tenant":
        known = callers.tenants
    elif rule.scope == "key" and not each.on_key:
        known = callers.keys
    if rule.match not in known and (near := did_you_mean(rule.match, known)):
        problems.doubt(each.matched.place, f"no {rule.scope} of the name {quoted(rule.match)} is declared{near}")


def _doubt_scope(problems: Problems, each: Written, config: Config, callers: Callers) -> None:
    rule = each.rule
    if rule.scope not in ("tenant", "project", "key", "user") or each.on_key:
        return
    node = each.fields.get("scope") or each.node
    if config.auth == "open":
        what = f"with auth: open no call has a {rule.scope}"
    elif rule.scope == "user" and not callers.trusted:
        what = "of no key the user that its calls name is believed (user: trusted)"
    else:
        return
    if rule.match and rule.match != NOBODY:
        problems.doubt(node.place, f"it can never act: {what}")
    else:
        problems.doubt(node.place, f"it holds for all calls together: {what}")


# --- what cannot be counted


def _doubt_prices(problems: Problems, rules: Ruled, config: Config) -> None:
    """Budgets in dollars beside targets whose price nobody knows."""
    in_dollars = [each for each in rules.written if each.rule.kind == "budget" and each.rule.unit == "usd"]
    hard = [each.fields["limit"] for each in in_dollars if each.rule.hard]
    hard += [each.fields["limit"] for each in rules.ceilings if each.budget.unit == "usd"]
    node = next(iter((*hard, *(each.fields["limit"] for each in in_dollars))), None)
    if node is None:
        return
    pricing = Pricing(config, load_catalogue())
    unknown = {
        str(target): None
        for route in config.models.values()
        for target in route.targets
        if target.provider in config.providers and pricing.of(*target) is None
    }
    if unknown:
        so = "no call goes there while this holds" if hard else "it is not counted"
        names = list(unknown)
        shown = ", ".join(names[:_MOST_NAMED]) + (f" and {len(names) - _MOST_NAMED} more" * (len(names) > _MOST_NAMED))
        problems.doubt(
            node.place,
            f"nobody knows what {shown} costs, so {so}:"
            f" declare it under prices: {{{names[0]}: {{input: ..., output: ...}}}}",
        )


def doubt_anomaly(problems: Problems, alerts: Node) -> None:
    """It is asked for where there is no ledger that it could be seen in."""
    written = alerts.value.get("anomaly") if isinstance(alerts.value, dict) else None
    if written is not None:
        problems.doubt(written.place, "unusual spend is never seen: with state: memory there is no ledger of the past")


def doubt_tenants(problems: Problems, keys: Iterable[Node], config: Config) -> None:
    """Tenants of keys that are not declared, where others are."""
    declared = [tenant.name for tenant in config.tenants]
    for item in keys:
        node = item.value.get("tenant") if isinstance(item.value, dict) else None
        name = node.value if node is not None else None
        if (
            node is not None
            and isinstance(name, str)
            and name not in declared
            and (near := did_you_mean(name, declared))
        ):
            problems.doubt(node.place, f"no tenant of the name {quoted(name)} is declared{near}")
