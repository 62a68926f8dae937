"""What became of a request as one line of JSON: for the log, and for whoever asks later.

A line never holds content or a secret: it is made from the record alone, field by field, and later, in batches.
docs/requests.md describes each field.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from math import floor
from typing import Any

import msgspec

from penstock.records import AFTERWARDS, Attempt, Record, quick
from penstock.usage import Usage, usd

__all__ = ["AttemptLine", "DecisionLine", "Line", "Tokens", "encode_lines", "fit_for_terminals"]

_encode, _encode_lines = msgspec.json.Encoder().encode, msgspec.json.Encoder().encode_lines

LISTED_FIRST = "listed first"
THE_ONLY_ONE = "the only one"


# Delete, C1's control characters, line and paragraph separators, and what turns the direction of writing, in UTF-8.
_COMMANDS = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]")

# What is left out is known by being this very object.
NOTHING = 0.0


class Tokens(msgspec.Struct, gc=False):
    """What was used."""

    input: int
    output: int
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    estimated: bool = False


class AttemptLine(msgspec.Struct, omit_defaults=True, gc=False):
    """One wire attempt; `status` is 0 where the provider sent none.

    `at_ms` counts from the request's start, and is left out of the first. `tokens` and `cost_usd` are there where
    there were several: the only one's are the request's.
    """

    deployment: str
    outcome: str
    status: int
    ms: float
    kind: str = "first"
    at_ms: float = NOTHING
    wait_ms: float = NOTHING
    ambiguous: bool = False
    tokens: Tokens | None = None
    cost_usd: str | msgspec.UnsetType | None = msgspec.UNSET


class DecisionLine(msgspec.Struct, omit_defaults=True, gc=False):
    """One thing that was decided; `at_ms` counts from the request's start."""

    what: str
    deployment: str = ""
    why: str = ""
    at_ms: float = NOTHING
    wait_ms: float = NOTHING


@quick
class Line(msgspec.Struct, omit_defaults=True, gc=False):
    """The log line. Times in milliseconds; what says nothing is left out.

    `cost_usd` is null where something was used and its price is unknown. `candidates` are left out where there was
    but one. `open`: it is still being answered, and this is how it stands.
    """

    time: str
    ms: float
    id: str
    operation: str
    status: int
    model: str
    deployment: str
    stream: bool
    bytes_in: int
    bytes_out: int
    key: str | None = None
    tenant: str | None = None
    project: str | None = None
    user: str | None = None
    task: str | None = None
    address: str | None = None
    response_model: str | None = None
    finish_reason: str | None = None
    error: str | None = None
    stream_error: str | None = None
    dropped_events: int = 0
    dropped: tuple[str, ...] = ()
    clamped: tuple[str, ...] = ()
    degraded: bool = False
    candidates: tuple[str, ...] = ()
    decisions: Sequence[DecisionLine] = []
    attempts: list[AttemptLine] = []
    tokens: Tokens | None = None
    first_output_ms: float | None = None
    overhead_ms: float | None = None
    cost_usd: str | msgspec.UnsetType | None = msgspec.UNSET
    price_table: str | None = None
    tags: dict[str, str] | None = None
    path: str | None = None
    open: bool = False


# The ends of a second's times.
_MILLIS = [f".{millis:03d}Z" for millis in range(1000)]


def encode_lines(records: Sequence[Record], now: float = 0.0) -> bytes:
    """The records' log lines, each with its newline; one loop for all, since a call for each costs as much again.

    Args:
        now: the monotonic time, for those that are not over.

    Text put together by format strings was measured to be slower than these records and msgspec; `int` takes three
    times as long as `floor`. With more than thirty arguments a call goes by a list and a tuple of them, which costs a
    tenth of it all, so what comes last is set.
    """
    lines = []
    second, text = -1, ""
    plain: tuple[dict[str, msgspec.Raw], dict[str, msgspec.Raw]] = ({}, {})
    for record in records:
        wall, started, ended, first = record.wall, record.started, record.ended or now, record.first_output
        if floor(wall) != second:
            second = floor(wall)
            text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        attempts, candidates = record.attempts, record.candidates
        several = len(candidates) > 1
        if len(attempts) == 1 and not record.decisions:
            (attempt,) = attempts
            took = floor(((attempt.answered or ended) - attempt.started) * 1e6) / 1e3
            tried = [AttemptLine(attempt.deployment, attempt.outcome, attempt.status, took)]
            if attempt.ambiguous:
                tried[0].ambiguous = True
            known = plain[1] if several else plain[0]
            decided: Any = known.get(attempt.deployment) or _plainly(attempt.deployment, known, several=several)
        else:
            tried, decided = _attempts(record, ended), _decisions(record)
        usage, cost = record.usage, record.cost
        line = Line(
            text + _MILLIS[floor((wall - second) * 1000)],
            floor((ended - started) * 1e6) / 1e3,
            record.id, record.operation, record.status, record.model, record.deployment, record.stream,
            record.bytes_in, record.bytes_out, record.key, record.tenant, record.project, record.user, record.task,
            record.address, record.response_model, record.finish_reason, record.error, record.stream_error,
            record.dropped_events, record.dropped, record.clamped, record.degraded,
            candidates if several else (),
            decided,
            tried,
        )  # fmt: skip
        if first:
            line.first_output_ms = floor((first - started) * 1e6) / 1e3
            line.overhead_ms = floor(record.overhead * 1e6) / 1e3
        elif record.path is not None:
            line.path = record.path
        if usage is not None:
            line.tokens = _tokens(usage)
            line.cost_usd, line.price_table = None, record.price_table
        if cost is not None:
            line.cost_usd = usd(cost)
        if record.tags:
            line.tags = dict(record.tags)
        if not record.ended:
            line.open = True
        lines.append(line)
    return fit_for_terminals(_encode_lines(lines))


def fit_for_terminals(lines: bytes) -> bytes:
    """The same JSON without what a terminal may take for a command or turn the writing round by: escaped instead.

    JSON's own rules ask for less: U+009B begins a command like Escape with `[`, in UTF-8 too.
    """
    if lines.isascii() and b"\x7f" not in lines:
        return lines
    return _COMMANDS.sub(lambda found: b"\\u%04x" % ord(found.group().decode()), lines)


def _plainly(deployment: str, known: dict[str, msgspec.Raw], *, several: bool) -> msgspec.Raw:
    """The decisions of a request that its first choice answered at once, as JSON, kept for the next such line."""
    decided = [DecisionLine("chosen", deployment, LISTED_FIRST if several else THE_ONLY_ONE)]
    written = known[deployment] = msgspec.Raw(_encode(decided))
    return written


def _attempts(record: Record, ended: float) -> list[AttemptLine]:
    """Those of a request that was not simply answered at once."""
    lines = [_attempt(record, attempt, ended) for attempt in record.attempts]
    if len(lines) > 1:
        for line, attempt in zip(lines, record.attempts, strict=True):
            if attempt.usage is not None:
                line.tokens = _tokens(attempt.usage)
                line.cost_usd = usd(attempt.cost) if attempt.cost is not None else None
    return lines


def _attempt(record: Record, attempt: Attempt, ended: float) -> AttemptLine:
    return AttemptLine(
        attempt.deployment,
        attempt.outcome,
        attempt.status,
        _ms((attempt.answered or ended) - attempt.started),
        attempt.kind,
        NOTHING if attempt is record.attempts[0] else _ms(attempt.started - record.started),
        _ms(attempt.wait),
        attempt.ambiguous,
    )


def _decisions(record: Record) -> list[DecisionLine]:
    """What was noted, and the choice that was too plain to be noted while the request waited."""
    lines = [
        DecisionLine(each.what, each.deployment, each.why, _ms(each.at - record.started), _ms(each.wait))
        for each in record.decisions
    ]
    plain = _plain_choice(record)
    if plain is not None:
        place, deployment = plain
        why = LISTED_FIRST if len(record.candidates) > 1 else THE_ONLY_ONE
        lines.insert(place, DecisionLine("chosen", deployment, why))
    return lines


def _plain_choice(record: Record) -> tuple[int, str] | None:
    """Where the first choice belongs among the decisions, and whom it fell on; None where it is one of them."""
    asked = record.attempts[0] if record.attempts else None
    for number, each in enumerate(record.decisions):
        if each.what == "chosen":
            return None
        if each.what in ("failed", "queued"):
            return number, each.deployment  # a place was all that it wanted: nobody may have been asked yet
        if asked is not None and (each.what in AFTERWARDS or each.at > asked.started):
            return number, asked.deployment
    return (len(record.decisions), asked.deployment) if asked is not None else None


def _tokens(usage: Usage) -> Tokens:
    return Tokens(
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        usage.estimated,
    )


def _ms(seconds: float) -> float:
    return seconds * 1e6 // 1 / 1e3 or NOTHING
