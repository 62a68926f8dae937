"""What rules mean to each other and to the rest: refused where they contradict each other or lead nowhere."""

from __future__ import annotations

from penstock.config.rules import Ruled, Written
from penstock.config.schema import Config
from penstock.config.tree import Problems
from penstock.routing.names import Names
from penstock.routing.nearest import quoted
from penstock.routing.scopes import family

__all__ = ["check_rules"]

_SPANS = {1: "second", 60: "minute", 3600: "hour", 86400: "day"}


def check_rules(problems: Problems, rules: Ruled, config: Config, names: Names) -> None:
    """Every rule of `limits:` and `budgets:`."""
    _check_overlaps(problems, rules)


def _told(each: Written) -> str:
    """`requests by the minute for tenant "acme"`, for messages."""
    rule = each.rule
    if rule.kind == "concurrency":
        what = "calls at a time"
    elif rule.kind == "budget":
        what = f"{'dollars' if rule.unit == 'usd' else rule.unit} by the {rule.period}"
    else:
        what = f"{rule.unit} by the {_SPANS[rule.seconds]}"
    whom = f"{rule.scope} {quoted(rule.match)}" if rule.match else f"each {rule.scope}"
    return f"a limit of {what} for {'everything' if rule.scope == 'global' else whom}"


def _check_overlaps(problems: Problems, rules: Ruled) -> None:
    """Two of the same window: nobody could tell which one is meant."""
    first: dict[tuple[str, str, str, str], Written] = {}
    for each in rules.written:
        rule = each.rule
        window = rule.period or str(rule.seconds)
        other = first.setdefault((rule.scope, rule.match, family(rule), window), each)
        if other is not each:
            told = _told(each)
            known = f"on line {other.node.place.line}" if other.node.place.line else f"at {other.node.place}"
            problems.add(
                each.node.place, f"{told} stands there already, {known}: of both none would be the one that holds"
            )
