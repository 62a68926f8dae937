"""What became of a request as one line of JSON: for the log, and for whoever asks later.

A line never holds content or a secret: it is made from the record alone, field by field, and later, in batches.
docs/requests.md describes each field.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from operator import attrgetter

import msgspec

from penstock.records import AFTERWARDS, Attempt, Record
from penstock.usage import Usage, usd

__all__ = ["AttemptLine", "DecisionLine", "Line", "Tokens", "encode_lines"]

_encode_lines = msgspec.json.Encoder().encode_lines

LISTED_FIRST = "listed first"
THE_ONLY_ONE = "the only one"


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
    decisions: list[DecisionLine] = []
    attempts: list[AttemptLine] = []
    tokens: Tokens | None = None
    first_output_ms: float | None = None
    overhead_ms: float | None = None
    cost_usd: str | msgspec.UnsetType | None = msgspec.UNSET
    price_table: str | None = None
    tags: dict[str, str] | None = None
    open: bool = False


# The fields a line takes over as they are, in its order: one call for all of them.
_same = attrgetter(*Line.__struct_fields__[2:24])
_counts = attrgetter(
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "estimated"
)


def encode_lines(records: Sequence[Record], now: float = 0.0) -> bytes:
    """The records' log lines, each with its newline; one loop for all, since a call for each costs as much again.

    Args:
        now: the monotonic time, for those that are not over.

    Text put together by format strings was measured to be slower than these records and msgspec.
    """
    lines = []
    second, text = -1, ""
    for record in records:
        wall, started, ended, first = record.wall, record.started, record.ended or now, record.first_output
        if int(wall) != second:
            second = int(wall)
            text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        attempts, candidates = record.attempts, record.candidates
        if len(attempts) == 1 and not record.decisions:
            (attempt,) = attempts
            took = int(((attempt.answered or ended) - attempt.started) * 1e6) / 1e3
            tried = [AttemptLine(attempt.deployment, attempt.outcome, attempt.status, took)]
            if attempt.ambiguous:
                tried[0].ambiguous = True
            why = LISTED_FIRST if len(candidates) > 1 else THE_ONLY_ONE
            decided = [DecisionLine("chosen", attempt.deployment, why)]
        else:
            tried, decided = _attempts(record, ended), _decisions(record)
        usage = record.usage
        line = Line(
            f"{text}.{int((wall - second) * 1000):03d}Z",
            int((ended - started) * 1e6) / 1e3,
            *_same(record),  # type: ignore[call-arg]  # its length is Line's own
            candidates if len(candidates) > 1 else (),
            decided,
            tried,
            Tokens(*_counts(usage)) if usage is not None else None,
        )
        if first:
            line.first_output_ms = int((first - started) * 1e6) / 1e3
            line.overhead_ms = int(record.overhead * 1e6) / 1e3
        if usage is not None:
            line.cost_usd = usd(record.cost) if record.cost is not None else None
            line.price_table = record.price_table
        elif record.cost is not None:  # of attempts that failed
            line.cost_usd = usd(record.cost)
        if record.tags:
            line.tags = dict(record.tags)
        if not record.ended:
            line.open = True
        lines.append(line)
    return _encode_lines(lines)


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
    return Tokens(*_counts(usage))


def _ms(seconds: float) -> float:
    return int(seconds * 1e6) / 1e3 or NOTHING
