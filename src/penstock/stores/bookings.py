"""From an attempt's beginning and end to its row, and from rows to sums: pure, and the only place that knows how.

Folding, recovery, queries and the check of it all (`recompute`) go through here, so that they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from penstock.stores.rows import (
    ABSURD,
    AMBIGUOUS,
    ESTIMATED,
    LOST,
    OVERRUN,
    UNPRICED,
    Closed,
    Heard,
    Hold,
    Opened,
    charge_of,
    qualified,
)

__all__ = [
    "BUCKET_SECONDS",
    "DAY",
    "DAY_SECONDS",
    "DIMENSIONS",
    "MOST_NANOS",
    "Booked",
    "Measures",
    "book",
    "bucket_of",
    "lost",
    "measured",
    "stranger",
    "summed",
    "sums",
    "values_of",
]

# A quarter of an hour: every zone's days begin on one.
BUCKET_SECONDS = 900
# Days of UTC are summed too, under dimensions that begin with this: a month is read in a thousandth of the time.
DAY = "day:"
DAY_SECONDS = 86_400
# An attempt's figures beyond these cannot be true, and sums of many such would no longer fit: a million dollars and
# a million million tokens, in whatever the provider says.
MOST_TOKENS = 10**12
MOST_NANOS = 10**15

# By what sums are kept. With a tenant before it: each tenant's own, for the dimensions that tenants share.
DIMENSIONS = ("tenant", "project", "key", "user", "task", "prompt", "tag", "model", "deployment", "provider")
SHARED = ("key", "prompt", "model", "deployment", "provider")
_NANOSECONDS = 10**9

_BUCKET_NANOS = BUCKET_SECONDS * _NANOSECONDS

_new = tuple.__new__
_json = msgspec.json.Encoder().encode


class Booked(NamedTuple):
    """A row of `attempts`, but for its number."""

    request: str
    number: int
    opened: int
    closed: int
    tenant: str
    project: str
    key: str
    user: str
    task: str
    prompt: str
    tags: str
    model: str
    deployment: str
    provider: str
    kind: str
    status: int
    outcome: str
    answered: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost: int | None
    charge: int | None
    winner_pays: int
    bound: int | None
    price_table: str | None
    flags: int
    holds: bytes


class Measures(NamedTuple):
    """What is summed, in the order of the columns of `rollups`."""

    attempts: int
    requests: int
    failed: int
    answered: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost: int
    charge: int
    unpriced: int
    estimated: int
    ambiguous: int
    absurd: int
    lost: int


def book(opened: Opened, closed: Closed, holds: bytes) -> Booked:
    """An attempt's row. What cannot be true of it is cut and flagged, never left out.

    Args:
        holds: as the column has it.
    """
    cost, charge, flags = closed.cost, charge_of(opened, closed), closed.flags
    taken, given = closed.input_tokens, closed.output_tokens
    read, written, thought = closed.cache_read_tokens, closed.cache_write_tokens, closed.reasoning_tokens
    if (
        min(taken, given, read, written, thought) < 0
        or max(taken, given, read, written, thought) > MOST_TOKENS
        or (cost is not None and not 0 <= cost <= MOST_NANOS)
    ):
        flags |= ABSURD
        taken, given, read, written, thought = (_plausible(each) for each in (taken, given, read, written, thought))
        cost, charge = (None if one is None else min(max(one, 0), MOST_NANOS) for one in (cost, charge))
    if cost is None:
        flags |= UNPRICED
    if opened.holds:
        for hold, settled in zip(opened.holds, closed.settled, strict=False):
            if settled > hold[4]:
                flags |= OVERRUN
    bound = opened.bound
    return _new(Booked, (
        opened.request,
        opened.number,
        opened.at,
        closed.at,
        opened.tenant or "",
        opened.project or "",
        opened.key or "",
        opened.user or "",
        opened.task or "",
        opened.prompt or "",
        _json(dict(opened.tags)).decode() if opened.tags else "{}",
        opened.model,
        opened.deployment,
        opened.provider,
        opened.kind,
        closed.status,
        closed.outcome,
        1 if closed.answered else 0,
        taken,
        given,
        read,
        written,
        thought,
        cost,
        charge,
        1 if opened.winner_pays else 0,
        bound if bound is None or bound < MOST_NANOS else MOST_NANOS,
        closed.price_table,
        flags,
        holds,
    ))  # fmt: skip


def _plausible(tokens: int) -> int:
    return min(max(tokens, 0), MOST_TOKENS)


def lost(opened: Opened, heard: Heard | None) -> Closed:
    """The end of an attempt whose process died: its input and what is known of its output, no more than reserved.

    A price that is not known takes all that was reserved: nothing is given back on a guess.
    """
    output = 0 if heard is None else heard.output_tokens
    cost = opened.input_cost if heard is None or heard.cost is None else heard.cost
    if cost is not None and opened.bound is not None:
        cost = min(cost, opened.bound)
    known = {"usd": cost, "tokens": opened.input_tokens + output}
    return Closed(
        opened.request,
        opened.number,
        opened.at if heard is None else heard.at,
        outcome="lost",
        answered=output > 0,
        input_tokens=opened.input_tokens,
        output_tokens=output,
        cost=cost,
        flags=LOST | ESTIMATED | AMBIGUOUS,
        settled=tuple(_posted(hold, known.get(hold.unit)) for hold in opened.holds),
    )


def _posted(hold: Hold, known: int | None) -> int:
    return hold.amount if known is None else min(hold.amount, known)


def stranger(closed: Closed) -> Opened:
    """The beginning of an attempt of which only the end can be read: what it cost is booked, on nobody."""
    return Opened(closed.request, closed.number, closed.at, "", "", "", kind="unknown")


# --- sums


def bucket_of(opened: int) -> int:
    """In which quarter of an hour (Unix seconds) an attempt that was opened then (nanoseconds) is summed."""
    seconds = opened // _NANOSECONDS
    return seconds - seconds % BUCKET_SECONDS


def measured(rows: Sequence[Booked]) -> Measures:
    """What attempts add to a sum: column by column, since a loop over rows would cost several times that."""
    columns = tuple(zip(*rows, strict=True))
    outcomes, costs, charges, flags = columns[16], columns[23], columns[24], columns[28]
    known = {bits: flags.count(bits) for bits in set(flags)}
    return Measures(
        len(rows),
        columns[1].count(1),
        len(rows) - outcomes.count("ok") - outcomes.count("cancelled"),
        sum(columns[17]),
        sum(columns[18]),
        sum(columns[19]),
        sum(columns[20]),
        sum(columns[21]),
        sum(columns[22]),
        sum(filter(None, costs)),
        sum(filter(None, charges)),
        costs.count(None),
        _with(known, ESTIMATED),
        _with(known, AMBIGUOUS),
        _with(known, ABSURD),
        _with(known, LOST),
    )


def _with(known: Mapping[int, int], flag: int) -> int:
    return sum(count for flags, count in known.items() if flags & flag)


def summed(rows: Iterable[Iterable[int]]) -> Measures:
    """The sum of several, column by column; there must be one."""
    return Measures._make(map(sum, zip(*rows, strict=True)))


def values_of(row: Booked) -> list[tuple[str, str]]:
    """Under which dimension and value an attempt is summed: all of them, its tenant's, its key's, ...

    A user, project, task or tag is its tenant's own (`acme/u1`); `-` stands for none. `tenant+model` and the like are
    a tenant's part of what tenants share.
    """
    tenant = row.tenant or "-"
    plain = {name: getattr(row, name) or "-" for name in SHARED}
    found = [("", ""), ("tenant", tenant), *plain.items()]
    found += [(f"tenant+{name}", f"{tenant}/{value}") for name, value in plain.items()]
    found += [(name, qualified(tenant, getattr(row, name))) for name in ("project", "user", "task")]
    if row.tags != "{}":
        tags = msgspec.json.decode(row.tags, type=dict[str, str])
        found += [("tag", f"{tenant}/{name}={value}") for name, value in tags.items()]
    return found


def sums(rows: Iterable[Booked]) -> dict[tuple[str, int, str], Measures]:
    """By dimension, bucket and value, what these attempts add up to; by quarters of an hour, and by days of UTC."""
    alike: dict[tuple[object, ...], list[Booked]] = {}
    for row in rows:
        # What decides under which values it is summed: many attempts have all of it in common.
        key = (row[2] // _BUCKET_NANOS, *row[4:14])
        known = alike.get(key)
        if known is None:
            alike[key] = [row]
        else:
            known.append(row)
    found: dict[tuple[str, int, str], list[Measures]] = {}
    for same in alike.values():
        total, row = measured(same), same[0]
        bucket = bucket_of(row.opened)
        day = bucket - bucket % DAY_SECONDS
        for dimension, value in values_of(row):
            found.setdefault((dimension, bucket, value), []).append(total)
            found.setdefault((DAY + dimension, day, value), []).append(total)
    return {key: summed(totals) for key, totals in found.items()}
