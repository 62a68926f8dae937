"""Reads `limits:` and `budgets:`, of the whole and of a key, and makes rules of them: one for each thing it counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from penstock.config import values
from penstock.config.amounts import Allowance, Rate, allowance, amount, number_text, rate
from penstock.config.limits import MOST_CALLS
from penstock.config.reader import Reader
from penstock.config.tree import Node
from penstock.config.zones import zone
from penstock.reservation import SCOPES, RequestBudget, Rule, RuleKind, Scope
from penstock.routing.nearest import did_you_mean, quoted

__all__ = ["REQUEST", "Ceiling", "Ruled", "Written", "read_rules", "rule_id"]

# A scope of budgets alone: of one request, whoever makes it.
REQUEST = "request"
# Where nothing is said: shortly before the end, and at the end.
ALERT_AT = (800_000, 1_000_000)
# Tokens: one of input, and the least that an answer is cut to.
LEAST_TOKENS = 17

# Of one entry.
MOST_NAMES, MOST_PARTS = 1_000, 100

_MILLION = 1_000_000
_MINUTE = 60
_KINDS: Mapping[str, RuleKind] = {"burst": "burst", "strict": "strict", "leaky": "leaky"}
_CONCURRENCY = values.whole("concurrency", 1, MOST_CALLS)


class Written(NamedTuple):
    """A rule and where it was written. `on_key` is the name of the key it stands at, "" for none."""

    rule: Rule
    node: Node
    fields: Mapping[str, Node]
    on_key: str = ""

    @property
    def matched(self) -> Node:
        """Where its `match` is written, of a list the one it is; else where it begins."""
        node = self.fields.get("match")
        items = node.value if node is not None and isinstance(node.value, list) else []
        return next((item for item in items if item.value == self.rule.match), node) or self.node


class Ceiling(NamedTuple):
    """The same of what one request may use."""

    budget: RequestBudget
    node: Node
    fields: Mapping[str, Node]


class Ruled(NamedTuple):
    """All of them, in the order of the file: limits before budgets, those of the whole before those of keys."""

    written: Sequence[Written]
    ceilings: Sequence[Ceiling]


class _Values(NamedTuple):
    """For which values of which scope."""

    scope: Scope
    matches: tuple[str, ...]


def rule_id(rule: Rule) -> str:
    """Which rule it is, whatever its limit: what its accounts are kept under. Never holds a `|`."""
    window = f"{rule.period}@{rule.zone}" if rule.kind == "budget" else f"{rule.seconds}s" if rule.seconds else ""
    match = rule.match.replace("%", "%25").replace("|", "%7C")
    return " ".join(part for part in (rule.kind, rule.scope, rule.unit, window, match) if part)


def _made(**said: Any) -> Rule:
    rule = Rule("", **said)
    return msgspec.structs.replace(rule, id=rule_id(rule))


def read_rules(reader: Reader, fields: Mapping[str, Node]) -> Ruled:
    """`limits:` and `budgets:` of the whole and of its `keys:`."""
    written: list[Written] = []
    ceilings: list[Ceiling] = []
    holders = [("", fields), *_keys(fields)]
    for on_key, holder in holders:
        written += _read_limits(reader, holder.get("limits"), on_key)
    for on_key, holder in holders:
        for budget in _read_budgets(reader, holder.get("budgets"), on_key):
            if isinstance(budget, Ceiling):
                ceilings.append(budget)
            else:
                written.append(budget)
    return Ruled(written, ceilings)


def _keys(fields: Mapping[str, Node]) -> Iterator[tuple[str, Mapping[str, Node]]]:
    """What is written of each key, with its name. What is wrong with it is told by who reads the keys."""
    items = fields["keys"].value if "keys" in fields else None
    for item in items if isinstance(items, list) else ():
        said = item.value if isinstance(item.value, dict) else {}
        name = said["name"].value if "name" in said else None
        if isinstance(name, str) and values.LABEL.fullmatch(name):
            yield name, said


# --- limits


def _read_limits(reader: Reader, node: Node | None, on_key: str = "") -> Iterator[Written]:
    """`limits:`; those that are wrong are problems and left out.

    Args:
        on_key: the name of the key it stands at.
    """
    for item in reader.items(node) if node is not None else ():
        fields = reader.fields(item, "key_limit" if on_key else "limit")
        of = _values_of(reader, item, fields, on_key, "{scope: tenant, requests: 600/min}")
        before = len(reader.problems)
        rules = _rules_of_limit(reader, item, fields)
        if of is not None and len(reader.problems) == before:
            for match in of.matches:
                for said in rules:
                    rule = _made(scope=of.scope, match=match, where=item.place.where, **said)
                    yield Written(rule, item, fields, on_key)


def _rules_of_limit(reader: Reader, item: Node, fields: Mapping[str, Node]) -> list[dict[str, Any]]:
    counted = [name for name in ("requests", "tokens", "concurrency") if name in fields]
    if not counted:
        reader.problems.add(
            item.place, "it limits nothing: write requests: 600/min, tokens: 200k/min or concurrency: 50"
        )
        return []
    queue = reader.value(fields.get("queue"), values.positive_duration, 0.0)
    kind = reader.choice(fields.get("kind"), _KINDS, "burst")
    rules: list[dict[str, Any]] = []
    for unit in ("requests", "tokens"):
        if unit in fields:
            limit, seconds = reader.value(fields[unit], rate, Rate(LEAST_TOKENS, _MINUTE))
            burst = _burst(reader, fields, kind, unit, limit)
            rules.append(
                {"kind": kind, "unit": unit, "limit": limit, "seconds": seconds, "burst": burst, "queue": queue}
            )
            _check_rate(reader, fields, kind, unit, Rate(limit, seconds))
    if "concurrency" in fields:
        limit = reader.value(fields["concurrency"], _CONCURRENCY, 1)
        rules.append({"kind": "concurrency", "unit": "requests", "limit": limit, "queue": queue})
    for name in ("kind", "burst"):
        if name in fields and counted == ["concurrency"]:
            reader.problems.add(fields[name].key, f"{name} is for rates: concurrency has none, leave it out")
    return rules


def _burst(reader: Reader, fields: Mapping[str, Node], kind: RuleKind, unit: str, limit: int) -> int:
    node = fields.get("burst")
    if node is None:
        return limit if kind == "burst" else 0
    if kind != "burst":
        message = f"kind: {kind} lets nothing come at once: leave burst out, or write kind: burst"
        reader.problems.add(node.key, message)
    if "requests" in fields and "tokens" in fields:
        message = "burst is so many requests or so many tokens, and both stand here: write two limits"
        reader.problems.add(node.key, message)
    burst = reader.value(node, values.count, limit)
    if unit == "tokens" and burst < LEAST_TOKENS:
        reader.problems.add(node.place, _too_small(str(burst)))
    return burst


def _check_rate(reader: Reader, fields: Mapping[str, Node], kind: RuleKind, unit: str, found: Rate) -> None:
    node = fields[unit]
    if unit == "tokens" and found.limit < LEAST_TOKENS:
        reader.problems.add(node.place, _too_small(number_text(found.limit)))
    if kind == "strict" and found.seconds != _MINUTE:
        reader.problems.add(
            node.place, f"strict is by the minute: write {unit}: {number_text(found.limit)}/min, or kind: burst"
        )


def _too_small(tokens: str) -> str:
    return f"{tokens} tokens are fewer than one request has: at least {LEAST_TOKENS}, or nobody is ever admitted"


# --- budgets


def _read_budgets(reader: Reader, node: Node | None, on_key: str = "") -> Iterator[Written | Ceiling]:
    """`budgets:`; as `_read_limits`."""
    for item in reader.items(node) if node is not None else ():
        fields = reader.fields(item, "key_budget" if on_key else "budget")
        scope = fields.get("scope")
        before = len(reader.problems)
        if scope is not None and scope.value == REQUEST:
            ceiling = _ceiling(reader, item, fields, on_key)
            if ceiling is not None and len(reader.problems) == before:
                yield Ceiling(ceiling, item, fields)
            continue
        of = _values_of(reader, item, fields, on_key, "{scope: tenant, limit: 50 USD/day}")
        said = _budget(reader, item, fields)
        if of is not None and said is not None and len(reader.problems) == before:
            for match in of.matches:
                yield Written(_made(scope=of.scope, match=match, **said), item, fields, on_key)


def _budget(reader: Reader, item: Node, fields: Mapping[str, Node]) -> dict[str, Any] | None:
    if "limit" not in fields:
        reader.problems.add(item.place, "limit is missing: write limit: 50 USD/day")
        return None
    limit, unit, period = reader.value(fields["limit"], allowance, Allowance(LEAST_TOKENS, "tokens", "day"))
    if unit == "tokens" and limit < LEAST_TOKENS:
        reader.problems.add(fields["limit"].place, _too_small(number_text(limit)))
    downgrade, throttle = _on_soft(reader, fields.get("on_soft"))
    return {
        "kind": "budget",
        "unit": unit,
        "limit": limit,
        "period": period,
        "zone": reader.value(fields.get("zone"), zone, "UTC"),
        "hard": reader.value(fields.get("hard"), values.yes_no, True),
        "alert_at": _alert_at(reader, fields.get("alert_at")),
        "clamp": reader.choice(fields.get("on_low_budget"), {"clamp": True, "refuse": False}, True),
        "downgrade": downgrade,
        "throttle": throttle,
        "where": item.place.where,
    }


def _on_soft(reader: Reader, node: Node | None) -> tuple[str, bool]:
    """Which model is asked instead, and whether calls are slowed down."""
    if node is None:
        return "", False
    if isinstance(node.value, dict):
        fields = reader.fields(node, "on_soft")
        if "downgrade" not in fields:
            reader.problems.add(node.place, "downgrade is missing: write {downgrade: MODEL}")
        return reader.label(fields.get("downgrade")), False
    if node.value not in ("alert", "throttle"):
        reader.problems.add(node.place, "write alert, throttle or {downgrade: MODEL}")
    return "", node.value == "throttle"


def _alert_at(reader: Reader, node: Node | None) -> tuple[int, ...]:
    if node is None:
        return ALERT_AT
    found: list[int] = []
    items = reader.items(node)
    if len(items) > MOST_PARTS:
        reader.problems.add(node.place, f"more than {MOST_PARTS} parts: nobody wants to be told so often")
        return ALERT_AT
    for item in items:
        part = reader.value(item, _millionths, 0)
        if found and 0 < part <= found[-1]:
            now, before = (values.part_text(each / _MILLION) for each in (part, found[-1]))
            reader.problems.add(item.place, f"{now} stands behind {before}: write them in order, each once")
        elif part:
            found.append(part)
    return tuple(found)


def _millionths(value: object) -> int:
    return round(values.part(value) * _MILLION)


def _ceiling(reader: Reader, item: Node, fields: Mapping[str, Node], on_key: str) -> RequestBudget | None:
    """`scope: request`."""
    for name in ("match", "hard", "zone", "alert_at", "on_soft"):
        if name in fields:
            reader.problems.add(fields[name].key, f"{name} is not for scope: request: it holds for each request alone")
    if "limit" not in fields:
        reader.problems.add(item.place, "limit is missing: write limit: 0.05 USD")
        return None
    limit, unit, _ = reader.value(fields["limit"], amount, Allowance(LEAST_TOKENS, "tokens"))
    if unit == "tokens" and limit < LEAST_TOKENS:
        reader.problems.add(fields["limit"].place, _too_small(number_text(limit)))
    clamp = reader.choice(fields.get("on_low_budget"), {"clamp": True, "refuse": False}, True)
    return RequestBudget(unit, limit, on_key, clamp, item.place.where)


# --- for which values of which scope


def _values_of(reader: Reader, item: Node, fields: Mapping[str, Node], on_key: str, example: str) -> _Values | None:
    if on_key:
        if "scope" in fields:
            reader.problems.add(
                fields["scope"].place, "at a key it is for that key alone: leave scope out, or write request"
            )
        if "*" in on_key:
            reader.problems.add(item.place, f"{quoted(on_key)} would be a pattern here: give the key a name without *")
        return _Values("key", (on_key,))
    node = fields.get("scope")
    if node is None:
        reader.problems.add(item.place, f"scope is missing: write {example}")
        return None
    if node.value not in SCOPES:
        near = did_you_mean(node.value, (*SCOPES, REQUEST)) if isinstance(node.value, str) else ""
        told = f"{quoted(node.value)} is no scope{near}: " if isinstance(node.value, str) else ""
        if node.value == REQUEST:
            told = "request is a scope of budgets: "
        reader.problems.add(node.place, f"{told}write one of {', '.join(SCOPES)}")
        return None
    scope: Scope = SCOPES[SCOPES.index(node.value)]
    return _Values(scope, _matches(reader, fields.get("match"), scope))


def _matches(reader: Reader, node: Node | None, scope: Scope) -> tuple[str, ...]:
    """Names and patterns; "" for each value."""
    if node is None:
        return ("",)
    if scope == "global":
        reader.problems.add(node.key, "scope: global is everything there is: leave match out")
        return ("",)
    items = reader.items(node) if isinstance(node.value, list | None) else [node]
    if len(items) > MOST_NAMES:
        reader.problems.add(node.place, f"more than {MOST_NAMES:,} names: write a pattern, or several entries")
        return ("",)
    found: dict[str, None] = {}
    for item in items:
        name = reader.label(item)
        if name and not name.strip("*"):
            name = ""
        elif not name:
            continue
        if name in found:
            reader.problems.add(item.place, f"{quoted(name or '*')} stands there twice")
        else:
            found[name] = None
    if not found and not items:
        reader.problems.add(node.place, "an empty list matches nothing: leave match out for each value")
    return tuple(found)
