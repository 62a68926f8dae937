"""Reads what may be said of a model, and under `defaults:` of all: `strategy`, `timeouts`, `retry` and so on.

Of what is written in several parts, such as `breaker`, what is not written is as under `defaults:`, else as the
record has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from penstock.config import values
from penstock.config.limits import LONGEST_WINDOW, MOST_ATTEMPTS, MOST_CALLS, MOST_FAILURES
from penstock.config.reader import NOT_YET, Reader
from penstock.config.schema import Defaults, Policies, Timeouts
from penstock.config.tree import Node
from penstock.routing.nearest import quoted
from penstock.routing.plan import Hedge, Retry
from penstock.stores.breaker import BreakerRules
from penstock.stores.gate import GateRules

__all__ = ["read_defaults", "read_policies"]

R = TypeVar("R", bound=msgspec.Struct)
Parse = Callable[[object], Any]

_WORDS: dict[str, tuple[str, ...]] = {
    "strategy": ("ordered", "weighted", "latency", "cost", "least_busy"),
    "untranslatable": ("refuse", "drop"),
    "unknown_price": ("flag", "refuse"),
    "on_stream_cut": ("error", "resume"),
}


def read_defaults(reader: Reader, node: Node | None) -> Defaults:
    """`defaults:`."""
    if node is None:
        return Defaults()
    return Defaults(**read_policies(reader, reader.fields(node, "defaults"), Policies()))


def read_policies(reader: Reader, fields: Mapping[str, Node], base: Policies) -> dict[str, Any]:
    """Every field of `Policies`: as it is written in `fields`, else as in `base`."""
    found: dict[str, Any] = {name: getattr(base, name) for name in base.__struct_fields__ if name in _FIELDS}
    for name, words in _WORDS.items():
        found[name] = reader.choice(fields.get(name), {word: word for word in words}, found[name])
    for name, read in _READERS.items():
        if name in fields:
            found[name] = read(reader, fields[name], found[name])
    if "fallback" in fields:
        found["fallback"], found["content_filter"] = _read_fallback(reader, fields["fallback"], base)
    return found


_FIELDS = frozenset(Policies.__struct_fields__)


# --- rules of several parts

_TIMEOUTS: dict[str, Parse] = {
    "connect": values.positive_duration,
    "first_token": values.auto_or_duration,
    "idle": values.auto_or_duration,
    "total": values.positive_duration,
    "attempt": values.auto_or_duration,
}
_RETRY: dict[str, Parse] = {
    "max_attempts": values.whole("max_attempts", 1, MOST_ATTEMPTS),
    "max_total": values.whole("max_total", 1, MOST_ATTEMPTS),
    "base": values.positive_duration,
    "throttle_base": values.positive_duration,
    "max_wait": values.positive_duration,
}


def _window(value: object) -> float:
    seconds = values.positive_duration(value)
    if seconds > LONGEST_WINDOW:
        raise ValueError(f"{values.duration_text(seconds)} is too long: at most {values.duration_text(LONGEST_WINDOW)}")
    return seconds


_BREAKER: dict[str, Parse] = {
    "failures": values.whole("failures", 1, MOST_FAILURES),
    "ratio": values.part,
    "minimum": values.whole("minimum", 1, MOST_FAILURES),
    "window": _window,
    "open": values.positive_duration,
    "max_open": values.positive_duration,
    "calm": values.positive_duration,
    "successes": values.whole("successes", 1, MOST_FAILURES),
    "slow": values.off_or_duration,
}
_MOST = values.whole("most", 1, MOST_CALLS)
_CONCURRENCY: dict[str, Parse] = {
    "most": lambda value: None if value == "auto" else _MOST(value),
    "queue": values.whole("queue", 0, MOST_CALLS),
}
_HEDGE: dict[str, Parse] = {"after": values.auto_or_duration, "most": values.part}


def _rules(reader: Reader, node: Node, section: str, base: R, parts: Mapping[str, Parse]) -> tuple[R, dict[str, Node]]:
    """The record, and what was written of it."""
    fields = reader.fields(node, section)
    written = {
        name: reader.value(fields[name], parse, getattr(base, name)) for name, parse in parts.items() if name in fields
    }
    return msgspec.structs.replace(base, **written), fields


def _is_mapping(reader: Reader, node: Node, instead: str) -> bool:
    if isinstance(node.value, dict):
        return True
    # Nothing written changes nothing.
    if node.value is not None:
        reader.problems.add(node.place, f"write {instead}")
    return False


def _fit(reader: Reader, fields: Mapping[str, Node], rules: R, less: str, more: str, shown: Callable[[Any], str]) -> R:
    """Of two numbers one must not be more than the other. What is written here is meant to hold, so it is refused;
    what was written elsewhere is cut to what is written here.
    """
    first, second = getattr(rules, less), getattr(rules, more)
    if first is None or second is None or first <= second:
        return rules
    if less in fields:
        message = f"{less} {shown(first)} is more than {more} {shown(second)}: lower it, or raise {more}"
        reader.problems.add(fields[less].place, message)
        return rules
    return msgspec.structs.replace(rules, **{less: second})


def _read_timeouts(reader: Reader, node: Node, base: Timeouts) -> Timeouts:
    found, fields = _rules(reader, node, "timeouts", base, _TIMEOUTS)
    for less, more in (
        *(("connect", "total"), ("first_token", "total"), ("idle", "total"), ("attempt", "total")),
        ("connect", "attempt"),
    ):
        found = _fit(reader, fields, found, less, more, values.duration_text)
    return found


def _read_retry(reader: Reader, node: Node, base: Retry) -> Retry:
    if node.value == "off":
        return msgspec.structs.replace(base, max_attempts=1)
    if not _is_mapping(reader, node, "off, or {max_attempts: 2}"):
        return base
    found, fields = _rules(reader, node, "retry", base, _RETRY)
    found = _fit(reader, fields, found, "max_attempts", "max_total", str)
    for wait in ("base", "throttle_base"):
        found = _fit(reader, fields, found, wait, "max_wait", values.duration_text)
    return found


def _read_breaker(reader: Reader, node: Node, base: BreakerRules | None) -> BreakerRules | None:
    if node.value == "off":
        return None
    if not _is_mapping(reader, node, "off, or {failures: 5, open: 5s}"):
        return base
    found, fields = _rules(reader, node, "breaker", base or BreakerRules(), _BREAKER)
    return _fit(reader, fields, found, "open", "max_open", values.duration_text)


def _read_concurrency(reader: Reader, node: Node, base: GateRules | None) -> GateRules | None:
    if node.value == "off":
        return None
    if isinstance(node.value, int):
        return msgspec.structs.replace(base or GateRules(), most=reader.value(node, _MOST, None))
    if not _is_mapping(reader, node, "off, a number such as 50, or {most: 50, queue: 1000}"):
        return base
    return _rules(reader, node, "concurrency", base or GateRules(), _CONCURRENCY)[0]


def _read_hedge(reader: Reader, node: Node, base: Hedge | None) -> Hedge | None:
    if node.value == "off":
        return None
    if not _is_mapping(reader, node, "off, or {after: auto, most: 2%}"):
        return base
    return _rules(reader, node, "hedge", base or Hedge(), _HEDGE)[0]


# --- what is answered instead


def _read_on_failure(reader: Reader, node: Node, base: str | None) -> str | None:
    if node.value == "error":
        return None
    if node.value == "cached":
        reader.problems.add(node.place, f'"cached" is {NOT_YET}; write error, or {{message: TEXT}}')
        return base
    if not isinstance(node.value, dict):
        reader.problems.add(node.place, "write error, or {message: TEXT}")
        return base
    fields = reader.fields(node, "on_failure")
    if "message" not in fields:
        reader.problems.add(node.place, "message is missing: write {message: TEXT}")
    return reader.text(fields.get("message")) or base


def _read_most_output(reader: Reader, node: Node, base: int | None) -> int | None:
    return reader.value(node, values.count, base)


def _read_rehearse(reader: Reader, node: Node, base: float | None) -> float | None:
    return reader.value(node, values.off_or_duration, base)


_READERS: dict[str, Callable[[Reader, Node, Any], Any]] = {
    "timeouts": _read_timeouts,
    "default_max_output": _read_most_output,
    "retry": _read_retry,
    "breaker": _read_breaker,
    "concurrency": _read_concurrency,
    "hedge": _read_hedge,
    "on_failure": _read_on_failure,
    "rehearse": _read_rehearse,
}


def _read_fallback(reader: Reader, node: Node, base: Policies) -> tuple[tuple[str, ...], bool]:
    """The names, and whether a content filter's refusal leads to them as well."""
    if node.value == "off":
        return (), False
    if isinstance(node.value, list):
        return _names(reader, node.value), base.content_filter
    if not _is_mapping(reader, node, "off, or a list: [smart, openai/gpt-5]"):
        return base.fallback, base.content_filter
    fields = reader.fields(node, "fallback")
    models = fields.get("models")
    names = base.fallback if models is None else _names(reader, reader.items(models))
    return names, reader.value(fields.get("content_filter"), values.yes_no, base.content_filter)


def _names(reader: Reader, items: Iterable[Node]) -> tuple[str, ...]:
    found: list[str] = []
    for item in items:
        name = reader.label(item)
        if name in found:
            reader.problems.add(item.place, f"{quoted(name)} stands there twice")
        elif name:
            found.append(name)
    return tuple(found)
