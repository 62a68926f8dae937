"""What was spent and used: a question as it is written in a query or on the command line, and its answer in rows, as
JSON and as CSV. Pure.

What has no price is not free: its cost is null, or what is known of it, and how many attempts are without one is told
beside it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple, Protocol

from penstock.errors import InvalidRequest
from penstock.stores.attribution import EVER, Question, Tally
from penstock.stores.bookings import BUCKET_SECONDS, DIMENSIONS
from penstock.usage import usd

__all__ = [
    "COLUMNS", "MOST_ROWS", "STEPS", "Asked", "Usages", "defused", "encode_csv", "narrowed", "read_asked", "rows_of",
]  # fmt: skip

# Beside the dimensions: by time, of UTC.
STEPS = {"day": 86_400, "hour": 3600}
MOST_BY = 4
# More than that nobody reads; of the dearest.
MOST_ROWS = 50_000
USUAL_SINCE = "30d"
COLUMNS = (
    *("attempts", "requests", "failed", "answered", "input_tokens", "output_tokens", "cache_read_tokens"),
    *("cache_write_tokens", "reasoning_tokens", "cost_usd", "charge_usd", "unpriced", "estimated", "ambiguous"),
    *("absurd", "lost"),
)
_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_AGO = re.compile(r"([0-9]{1,6})([mhdw])")
_LONGEST = 3650 * 86_400
# What clocks that differ may call now.
_AHEAD_SECONDS = 60.0
# What spreadsheets take for a formula (https://owasp.org/www-community/attacks/CSV_Injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Usages(Protocol):
    """Who knows what was used."""

    async def usage(self, question: Question) -> list[Tally]:
        """What attempts add up to; raises StoreFailed."""
        ...


class Asked(NamedTuple):
    """A question, and by what its rows are told apart, in the order asked for."""

    question: Question
    by: tuple[str, ...]


def read_asked(said: Mapping[str, str], now: float) -> Asked:
    """The question in a query: `by`, `since`, `until`, and any dimension for one value of it alone.

    Args:
        now: Unix time.

    Raises:
        InvalidRequest: it cannot be read.
    """
    by = tuple(part for part in said.get("by", "").split(",") if part)
    known = (*DIMENSIONS, *STEPS)
    for name in by:
        if name not in known:
            raise InvalidRequest(f"nothing is counted by {name[:40]!r}", do=f"Ask by {', '.join(known)}.", param="by")
    steps = [STEPS[name] for name in by if name in STEPS]
    if len(set(by)) != len(by) or len(by) > MOST_BY or len(steps) > 1:
        raise InvalidRequest(
            f"by takes up to {MOST_BY} different ones, and one of {' and '.join(STEPS)}", do="Ask for less.", param="by"
        )
    # Up to now is all there is: what was opened last is not looked for.
    until = read_moment(said["until"], now, "until") if "until" in said else float(EVER)
    since = read_moment(said.get("since", USUAL_SINCE), now, "since")
    if since >= (until if "until" in said else now + _AHEAD_SECONDS):
        raise InvalidRequest("since is not before until", do="Change one of them.", param="since")
    where = {name: said[name] for name in DIMENSIONS if name in said}
    return Asked(Question([n for n in by if n not in STEPS], since, until, where, steps[0] if steps else 0), by)


def read_moment(text: str, now: float, name: str) -> float:
    """Unix time: so long ago (`7d`, `12h`, `90m`, `2w`), a day in UTC (`2026-11-01`), or a time with its zone.

    Days and weeks ago are from the quarter of an hour on in which that was: so it is read from sums alone, and takes
    no longer where there are more attempts.

    Raises:
        InvalidRequest: it is none of these.
    """
    ago = _AGO.fullmatch(text)
    if ago is not None and int(ago[1]) * _SECONDS[ago[2]] <= _LONGEST:
        moment = now - int(ago[1]) * _SECONDS[ago[2]]
        return moment if ago[2] in "mh" else moment - moment % BUCKET_SECONDS
    try:
        if len(text) == len("2026-11-01"):
            day = date.fromisoformat(text)
            said = datetime(day.year, day.month, day.day, tzinfo=UTC)
        else:
            said = datetime.fromisoformat(text)
        if said.tzinfo is not None and said.year >= 1970:
            return said.timestamp()
    except (ValueError, OverflowError):
        pass
    raise InvalidRequest(
        f"{name} is no time", do="Write 7d, 12h, 2026-11-01 or 2026-11-01T09:30:00Z.", param=name
    ) from None


def narrowed(asked: Asked, tenant: str) -> Asked | None:
    """The same question of one tenant's own alone; None where it asks for somebody else's."""
    where = dict(asked.question.where)
    if where.setdefault("tenant", tenant) != tenant:
        return None
    return asked._replace(question=asked.question._replace(where=where))


def rows_of(asked: Asked, tallies: Iterable[Tally]) -> list[dict[str, Any]]:
    """An answer's rows, the dearest first; within a step of time where these were asked for."""
    names = asked.question.by
    rows = []
    for tally in tallies:
        values: dict[str, Any] = dict(zip(names, tally.values, strict=True))
        if asked.question.step:
            form = "%Y-%m-%d" if asked.question.step == STEPS["day"] else "%Y-%m-%dT%H:%M:%SZ"
            at = datetime.fromtimestamp(tally.at, UTC).strftime(form)
            values |= dict.fromkeys((name for name in asked.by if name in STEPS), at)
        rows.append({name: values[name] for name in asked.by} | _figures(tally))
    return rows


def _figures(tally: Tally) -> dict[str, Any]:
    measures = tally.measures
    return {
        **{name: getattr(measures, name) for name in COLUMNS[:9]},
        # Where nothing is known of what has no price, it is not nothing.
        "cost_usd": None if measures.unpriced and not measures.cost else usd(measures.cost),
        "charge_usd": None if measures.unpriced and not measures.charge else usd(measures.charge),
        **{name: getattr(measures, name) for name in COLUMNS[11:]},
    }


def encode_csv(by: Sequence[str], rows: Iterable[Mapping[str, Any]], lines: int = 500) -> Iterator[str]:
    """The rows as CSV (RFC 4180), so many lines at a time, the columns' names first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    names = (*by, *COLUMNS)
    writer.writerow(names)
    for number, row in enumerate(rows, 1):
        cells = [row[name] for name in names]
        writer.writerow([defused(cell) if isinstance(cell, str) else "" if cell is None else cell for cell in cells])
        if number % lines == 0:
            yield text.getvalue()
            text.seek(0)
            text.truncate()
    yield text.getvalue()


def defused(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula; `-`, which stands for none, is empty, and so is `-/-`."""
    if cell in ("-", "-/-"):
        return ""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
