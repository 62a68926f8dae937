"""Who used what: sums over attempts by any of their dimensions, from the ledger's rollups where these have it.

One dimension, of all or of one tenant, is read from rollups however many attempts there were; at both ends of the time
asked for, less than a quarter of an hour each, and for anything more particular the attempts themselves are read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from penstock.errors import InvalidRequest
from penstock.stores.bookings import BUCKET_SECONDS, DAY, DAY_SECONDS, DIMENSIONS, SHARED, Measures, summed
from penstock.stores.retention import horizon_of

__all__ = ["Question", "Tally", "usage_of"]

_NANOSECONDS = 10**9
# Later than anything, and its nanoseconds still fit: the year 2255.
EVER = 9_000_000_000
_LAST = "\U0010ffff"
OWN = ("project", "user", "task", "tag")

_ROLLUPS = """
SELECT
    value, CASE WHEN :step THEN bucket - bucket % :step ELSE 0 END AS at,
    sum(attempts), sum(requests), sum(failed), sum(answered), sum(input_tokens), sum(output_tokens),
    sum(cache_read_tokens), sum(cache_write_tokens), sum(reasoning_tokens), sum(cost), sum(charge), sum(unpriced),
    sum(estimated), sum(ambiguous), sum(absurd), sum(lost)
FROM rollups
WHERE dimension = :dimension AND bucket >= :since AND bucket < :until AND value >= :low AND value <= :high
GROUP BY value, at
"""
_SUMS = "SELECT 1 FROM rollups WHERE dimension = 'day:' AND bucket < ? LIMIT 1"
_ANY = "SELECT 1 FROM attempts WHERE opened >= ? AND opened < ? LIMIT 1"
_ANY_SUM = "SELECT 1 FROM rollups WHERE dimension = '' AND bucket >= ? AND bucket < ? LIMIT 1"
# The flags are those of rows.py.
_ATTEMPTS = """
SELECT
    CASE WHEN :by_tenant THEN tenant END AS one, CASE WHEN :by_project THEN project END AS two,
    CASE WHEN :by_key THEN attributed.key END AS three, CASE WHEN :by_user THEN user END AS four,
    CASE WHEN :by_task THEN task END AS five, CASE WHEN :by_prompt THEN prompt END AS six,
    CASE WHEN :by_tag THEN tenant || '/' || tag.key || '=' || tag.value END AS seven,
    CASE WHEN :by_model THEN model END AS eight, CASE WHEN :by_deployment THEN deployment END AS nine,
    CASE WHEN :by_provider THEN provider END AS ten,
    CASE WHEN :step THEN opened / 1000000000 - opened / 1000000000 % :step ELSE 0 END AS at,
    count(*), sum(number = 1), sum(outcome NOT IN ('ok', 'cancelled')), sum(answered), sum(input_tokens),
    sum(output_tokens), sum(cache_read_tokens), sum(cache_write_tokens), sum(reasoning_tokens),
    coalesce(sum(cost), 0), coalesce(sum(charge), 0), sum(cost IS NULL), sum(flags & 1 != 0), sum(flags & 2 != 0),
    sum(flags & 4 != 0), sum(flags & 16 != 0)
FROM attributed LEFT JOIN json_each(CASE WHEN :by_tag THEN tags ELSE '{"":""}' END) AS tag
WHERE opened >= :since AND opened < :until AND (NOT :by_tag OR tag.key IS NOT NULL)
    AND (:tenant IS NULL OR tenant = :tenant) AND (:project IS NULL OR project = :project)
    AND (:key IS NULL OR attributed.key = :key) AND (:user IS NULL OR user = :user)
    AND (:task IS NULL OR task = :task) AND (:prompt IS NULL OR prompt = :prompt)
    AND (:model IS NULL OR model = :model) AND (:deployment IS NULL OR deployment = :deployment)
    AND (:provider IS NULL OR provider = :provider)
    AND (:tag IS NULL OR EXISTS (
        SELECT 1 FROM json_each(tags) AS own WHERE tenant || '/' || own.key || '=' || own.value = :tag
    ))
GROUP BY one, two, three, four, five, six, seven, eight, nine, ten, at
"""


class Tally(NamedTuple):
    """What attempts that have something in common add up to.

    Attributes:
        values: one for each dimension asked for, in that order: a user, project, task or tag with its tenant
            (`acme/u1`, `acme/feature=search`), `-` for none.
        at: when the step of time begins, Unix seconds; 0 where no steps were asked for.
    """

    values: tuple[str, ...]
    at: int
    measures: Measures


class Question(NamedTuple):
    """What is asked of the ledger.

    Attributes:
        by: of `bookings.DIMENSIONS`; () for one sum.
        since, until: Unix seconds in which attempts were opened, `until` not included.
        where: of some dimensions only this value, written as `Tally.values` has it.
        step: also by steps of so many seconds of UTC, a multiple of 900: 3600, 86400; 0: not by time.

    An attempt without tags is none of `by: tag`; one with several counts under each.
    """

    by: Sequence[str] = ()
    since: float = 0.0
    until: float = float(EVER)
    where: Mapping[str, str] = {}
    step: int = 0


def usage_of(connection: sqlite3.Connection, question: Question) -> list[Tally]:
    """What the attempts asked for add up to, the most costly first.

    Raises:
        InvalidRequest: a dimension that does not exist, or a step that is none.
    """
    _check(question)
    since, until = (int(min(each, EVER) * _NANOSECONDS) for each in (question.since, question.until))
    rollup = _rollup_for(question)
    _check_kept(connection, question, rollup is not None, since)
    if rollup is None:
        found = _from_attempts(connection, question, since, until)
    else:
        found = _from_rollups(connection, question, rollup, since, until)
    return sorted(found, key=lambda tally: (tally.at, -tally.measures.cost, tally.values))


def _check(question: Question) -> None:
    for name in (*question.by, *question.where):
        if name not in DIMENSIONS:
            raise InvalidRequest(f"nothing is counted by {name!r}", do=f"Ask for one of {', '.join(DIMENSIONS)}.")
    if question.step < 0 or question.step % BUCKET_SECONDS:
        raise InvalidRequest(f"a step of {question.step} seconds", do="Ask for a multiple of 900: 3600 is an hour.")


def _check_kept(connection: sqlite3.Connection, question: Question, summed: bool, since: int) -> None:
    """Of what lies before the horizon there are the sums of days, and nothing is told that would leave the rest out.

    Raises:
        InvalidRequest: something else is asked for.
    """
    horizon = horizon_of(connection)
    if since >= horizon * _NANOSECONDS or (summed and not question.step % DAY_SECONDS):
        return
    if since <= 0 and connection.execute(_SUMS, (horizon,)).fetchone() is None:
        return
    day = datetime.fromtimestamp(horizon, UTC).strftime("%Y-%m-%d")
    raise InvalidRequest(
        f"each attempt is kept since {day}, and of the time before it only sums of whole days by one dimension",
        do=f"Ask for what was since {day}, or for one dimension, by days or in all.",
    )


class _Rollup(NamedTuple):
    """Which sums answer a question: a dimension, and which of its values; `cut`: what to leave out before a value."""

    dimension: str
    low: str = ""
    high: str = _LAST
    cut: int = 0


def _rollup_for(question: Question) -> _Rollup | None:
    """Where a question's answer is summed already; None where it is not."""
    by, where = list(dict.fromkeys(question.by)), dict(question.where)
    if len(by) > 1 or len(by) != len(question.by) or len(where) > 1:
        return None
    ((named, value),) = where.items() if where else ((None, ""),)
    if not by:
        return _Rollup(named, value, value) if named is not None else _Rollup("")
    (asked,) = by
    if named is None:
        return _Rollup(asked)
    if named == asked and asked != "tag":  # one with that tag may have others
        return _Rollup(asked, value, value)
    if named != "tenant":
        return None
    # Whatever begins with the tenant's name and a slash; a tenant's name has none in it.
    low, high = f"{value}/", f"{value}/{_LAST}"
    if asked in OWN:
        return _Rollup(asked, low, high)
    return _Rollup(f"tenant+{asked}", low, high, len(low)) if asked in SHARED else None


def _from_rollups(
    connection: sqlite3.Connection, question: Question, rollup: _Rollup, since: int, until: int
) -> Iterable[Tally]:
    found: dict[tuple[tuple[str, ...], int], list[Measures]] = {}
    for size, start, end in _stretches(*_widened(connection, since, until), question.step):
        if size is None:
            for tally in _from_attempts(connection, question, start, end):
                found.setdefault((tally.values, tally.at), []).append(tally.measures)
            continue
        asked = {
            "dimension": size + rollup.dimension,
            "low": rollup.low,
            "high": rollup.high,
            "step": question.step,
            "since": start // _NANOSECONDS,
            "until": end // _NANOSECONDS,
        }
        for value, at, *measures in connection.execute(_ROLLUPS, asked):
            values: tuple[str, ...] = (value[rollup.cut :],) if question.by else ()
            found.setdefault((values, at), []).append(Measures._make(measures))
    for (values, at), several in found.items():
        yield Tally(values, at, summed(several))


def _widened(connection: sqlite3.Connection, since: int, until: int) -> tuple[int, int]:
    """The same time, as far beyond both ends as nothing was opened there: up to now, say, is the whole of today.

    Days whose attempts are no longer kept are whole days.
    """
    horizon = horizon_of(connection) * _NANOSECONDS
    for size in (_DAY, _QUARTER):
        end = -(-until // size) * size
        if until >= EVER * _NANOSECONDS or until < horizon or not _opened(connection, until, end):
            until = end
            break
    for size in (_DAY, _QUARTER):
        start = since // size * size
        if since < horizon or not _opened(connection, start, since):
            since = start
            break
    return since, until


def _opened(connection: sqlite3.Connection, start: int, end: int) -> bool:
    """Whether any attempt was opened in that time, in nanoseconds; asked of the sums where these can tell, since the
    index of the attempts is deeper the more there are."""
    if start % _QUARTER or end % _QUARTER:
        return connection.execute(_ANY, (start, end)).fetchone() is not None
    return connection.execute(_ANY_SUM, (start // _NANOSECONDS, end // _NANOSECONDS)).fetchone() is not None


def _stretches(since: int, until: int, step: int) -> Iterator[tuple[str | None, int, int]]:
    """What is read for a time, in nanoseconds: whole days, quarters of an hour beside them, attempts beside these.

    First of each is how its dimension begins; None: attempts.
    """
    sizes = [(_QUARTER, "")] if step % DAY_SECONDS else [(_DAY, DAY), (_QUARTER, "")]
    pieces = [(since, until)]
    for size, prefix in sizes:
        rest = []
        for start, end in pieces:
            first, last = -(-start // size) * size, end // size * size
            if first < last:
                yield prefix, first, last
                rest += [(start, first), (last, end)]
            else:
                rest.append((start, end))
        pieces = [(start, end) for start, end in rest if start < end]
    yield from ((None, start, end) for start, end in pieces)


_QUARTER, _DAY = BUCKET_SECONDS * _NANOSECONDS, DAY_SECONDS * _NANOSECONDS


def _from_attempts(connection: sqlite3.Connection, question: Question, since: int, until: int) -> Iterable[Tally]:
    asked: dict[str, Any] = {"since": since, "until": until, "step": question.step}
    asked |= {f"by_{name}": name in question.by for name in DIMENSIONS}
    asked |= {name: question.where.get(name) for name in DIMENSIONS}
    for row in connection.execute(_ATTEMPTS, asked):
        values = dict(zip(DIMENSIONS, row, strict=False))
        at, *measures = row[len(DIMENSIONS) :]
        yield Tally(tuple(values[name] for name in question.by), at, Measures._make(measures))
