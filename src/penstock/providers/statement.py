"""What a provider says it charged: its own export, read into amounts per day and model. Pure.

Known by their form: OpenAI's answers of `/v1/organization/costs` and `/v1/organization/usage/...`, Anthropic's of
`cost_report` and `usage_report/messages` (one page, several in a list, or one a line), the CSV that either's console
exports, and a plain CSV of `day, model, input, output, cost`. Days are UTC's: days of another zone are refused. What
stands there twice is refused too, as the same page exported twice would double a bill.

https://platform.openai.com/docs/api-reference/usage, https://platform.claude.com/docs/en/api/usage-cost-api
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

import msgspec

__all__ = ["MOST_BYTES", "Line", "Statement", "known_as", "read_statement"]

MOST_BYTES = 64 * 1024 * 1024
_NANOS = 1_000_000_000
# Beyond a thousand million dollars, or a million million tokens, it is no statement.
_MOST_USD, _MOST_TOKENS = 10**9, 10**12
# A version's date, which the one side writes and the other does not.
_DATED = re.compile(r"-(20[0-9]{2}-?[0-9]{2}-?[0-9]{2}|latest)\Z")
_DIGITS = re.compile(r"[0-9]{1,15}")
# OpenAI's console writes counts as `59200.0`, spreadsheets as `59,200`; where a comma may be a decimal's it is none.
_COUNT = re.compile(r"([0-9]{1,15}|[0-9]{1,3}(?:,[0-9]{3}){1,4})(?:\.0+)?")
_GROUPED = re.compile(r"(-?)\$?([0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?)")
# No statement is of another century.
_YEARS = range(2000, 2100)
_DAY_SECONDS = 86_400

# In CSV, the first that is there; several are added up.
_DAY = ("day", "date", "usage_date_utc", "start_time_iso", "start_time")
_MODEL = ("model", "model_version", "line_item")
_COST = ("cost", "cost_usd", "amount_value")
_INPUT = (
    *("input", "input_tokens", "usage_input_tokens_no_cache", "usage_input_tokens_cache_write_5m"),
    *("usage_input_tokens_cache_write_1h", "usage_input_tokens_cache_write", "usage_input_tokens_cache_read"),
)
_OUTPUT = ("output", "output_tokens", "usage_output_tokens")


class Line(NamedTuple):
    """What was used of a model on a day.

    Attributes:
        day: `2026-11-01`.
        model: as `known_as` writes it; "" where nothing is told by model.
        cost: nano-dollars; None where it is not told.
    """

    day: str
    model: str
    input: int | None = None
    output: int | None = None
    cost: int | None = None


class Statement(NamedTuple):
    """An export.

    Attributes:
        provider: whose it is by its form; "" where that could be anybody's.
        days: those that it speaks of, also where nothing was used.
    """

    provider: str
    days: list[str]
    lines: list[Line]


def known_as(model: str) -> str:
    """A model's name as both sides are compared by: without a version's date, and however it is written."""
    name = model.strip().lower().replace(" ", "-").replace(".", "-").replace("_", "-")
    return _DATED.sub("", name)


def read_statement(data: bytes) -> Statement:
    """A provider's export.

    Raises:
        ValueError: it is none that is known; the message says where it went wrong.
    """
    try:
        # What a spreadsheet calls Unicode text is UTF-16.
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
    if not text.strip():
        raise ValueError("it is empty")
    if text.lstrip()[:1] in ("{", "["):
        return _of_pages(list(_pages(text)))
    return _of_table(text)


# --- JSON


def _pages(text: str) -> Iterator[Mapping[str, Any]]:
    """One object, a list of them, or one a line."""
    whole: Any
    try:
        whole = _decode(text)
    except (msgspec.DecodeError, RecursionError):
        try:
            whole = [_decode(line) for line in text.splitlines() if line.strip()]
        except (msgspec.DecodeError, RecursionError) as error:
            raise ValueError(f"it is not JSON: {error}") from None
    for page in whole if isinstance(whole, list) else [whole]:
        if not isinstance(page, dict) or not isinstance(page.get("data"), list):
            raise ValueError("it is no page of OpenAI's or Anthropic's: it has no list called data")
        yield page


_encode = msgspec.json.Encoder(decimal_format="string").encode


def _decode(text: str) -> Any:
    # Amounts as they are written: of a float some would be lost.
    return msgspec.json.Decoder(float_hook=Decimal).decode(text)


def _of_pages(pages: Iterable[Mapping[str, Any]]) -> Statement:
    days: dict[str, None] = {}
    lines: list[Line] = []
    providers: set[str] = set()
    seen: set[bytes] = set()
    for page in pages:
        for bucket in page["data"]:
            if not isinstance(bucket, dict):
                raise ValueError("data holds what is no bucket of time")
            openai = "start_time" in bucket
            providers.add("openai" if openai else "anthropic")
            began, ended = ("start_time", "end_time") if openai else ("starting_at", "ending_at")
            day = _day(bucket.get(began))
            _check_zone(bucket.get(began), bucket.get(ended))
            days[day] = None
            results = bucket.get("results", bucket.get("result"))
            if not isinstance(results, list):
                raise ValueError(f"the bucket of {day} has no list of results")
            for result in results:
                if not isinstance(result, dict):
                    raise ValueError(f"a result of {day} is no object")
                _check_once(seen, day, _encode([bucket.get(began), result]))
                lines.append(_openai(day, result) if openai else _anthropic(day, result))
    if len(providers) > 1:
        raise ValueError("it mixes OpenAI's and Anthropic's pages: give one at a time")
    return Statement(providers.pop() if providers else "", list(days), lines)


def _openai(day: str, result: Mapping[str, Any]) -> Line:
    amount = result.get("amount")
    if isinstance(amount, dict):
        _check_currency(amount.get("currency"))
        return Line(day, _of_item(result.get("line_item")), cost=_usd(amount.get("value")))
    # What is counted otherwise, such as images, has no tokens.
    used = _tokens(result.get("input_tokens", 0)), _tokens(result.get("output_tokens", 0))
    return Line(day, _model(result), *used)


def _anthropic(day: str, result: Mapping[str, Any]) -> Line:
    if "amount" in result:
        _check_currency(result.get("currency"))
        # In cents, as a decimal string.
        return Line(day, _model(result), cost=_usd(result["amount"], 100))
    written = result.get("cache_creation") or {}
    if not isinstance(written, dict) or "uncached_input_tokens" not in result:
        raise ValueError(f"a result of {day} has neither an amount nor tokens")
    parts = [result["uncached_input_tokens"], result.get("cache_read_input_tokens") or 0, *written.values()]
    return Line(day, _model(result), sum(map(_tokens, parts)), _tokens(result.get("output_tokens")))


def _model(result: Mapping[str, Any]) -> str:
    model = result.get("model")
    return known_as(model) if isinstance(model, str) else ""


def _of_item(item: object) -> str:
    """The model in a line of OpenAI's bill: `gpt-5-mini-2025-08-07, input`."""
    return known_as(item.partition(",")[0]) if isinstance(item, str) else ""


# --- CSV


def _of_table(text: str) -> Statement:
    head = text.lstrip().partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    rows = csv.DictReader(io.StringIO(text.lstrip("\r\n"), newline=""), strict=True, delimiter=delimiter)
    days: dict[str, None] = {}
    lines: list[Line] = []
    seen: set[bytes] = set()
    try:
        names = {name.strip().lower(): name for name in rows.fieldnames or () if name}
        day_of, model_of, cost_of = (_first(names, known) for known in (_DAY, _MODEL, _COST))
        inputs, outputs = ([names[each] for each in known if each in names] for known in (_INPUT, _OUTPUT))
        if day_of is None or (cost_of is None and not inputs):
            raise ValueError("its first line must name the columns: day, model, input, output, cost")
        by_form = _whose(names)
        for row in rows:
            if None in row:
                # A number with a comma that is not in quotes is two cells: nothing behind it is where it should be.
                raise ValueError("it has more cells than the first line names: put numbers with a comma in quotes")
            day = _day(row[day_of])
            if day_of.strip().lower().startswith("start_time") and "end_time" in names:
                _check_zone(row[names.get("start_time", day_of)], row[names["end_time"]])
            days[day] = None
            if not any((row[name] or "").strip() for name in (cost_of, *inputs, *outputs) if name is not None):
                continue  # a day on which nothing was used
            if None in row.values():
                raise ValueError("it has fewer cells than the first line names")
            if by_form:
                _check_once(seen, day, _encode(list(row.values())))
            lines.append(
                Line(
                    day,
                    _of_item(row[model_of]) if model_of is not None else "",
                    sum(_tokens(row[name]) for name in inputs) if inputs else None,
                    sum(_tokens(row[name]) for name in outputs) if outputs else None,
                    _usd(row[cost_of]) if cost_of is not None else None,
                )
            )
            if "amount_currency" in names:
                _check_currency(row[names["amount_currency"]])
    except (ValueError, csv.Error) as error:
        raise ValueError(f"line {rows.line_num}: {error}") from None
    return Statement(by_form, list(days), lines)


def _whose(names: Mapping[str, str]) -> str:
    """By the columns that its console alone writes."""
    if "usage_date_utc" in names:
        return "anthropic"
    return "openai" if "amount_value" in names or {"num_model_requests", "start_time"} <= names.keys() else ""


def _first(names: Mapping[str, str], known: Iterable[str]) -> str | None:
    return next((names[each] for each in known if each in names), None)


# --- values


def _day(value: object) -> str:
    """Of Unix seconds, of a time, or of a day."""
    found = _date(value)
    if found is None or found.year not in _YEARS:
        raise ValueError(f"{str(value)[:40]!r} is no day: write 2026-11-01")
    return found.isoformat()


def _date(value: object) -> date | None:
    if isinstance(value, int) or (isinstance(value, str) and _DIGITS.fullmatch(value)):
        try:
            return datetime.fromtimestamp(int(value), UTC).date()
        except (ValueError, OverflowError, OSError):
            pass
    elif isinstance(value, str):
        value = value.strip()
        try:
            if len(value) > len("2026-11-01"):
                moment = datetime.fromisoformat(value)
                return (moment if moment.tzinfo is None else moment.astimezone(UTC)).date()
            return date.fromisoformat(value)
        except (ValueError, OverflowError):
            pass
    return None


def _check_zone(began: object, ended: object) -> None:
    """Raise ValueError where a bucket is a day, and none of UTC: half of it belongs to another day of the ledger."""
    start, end = _seconds(began), _seconds(ended)
    if start is not None and end is not None and end - start >= _DAY_SECONDS - 1 and start % _DAY_SECONDS:
        raise ValueError(f"the day that begins at {str(began)[:40]} is none of UTC: export days of UTC")


def _seconds(value: object) -> int | None:
    if isinstance(value, int) or (isinstance(value, str) and _DIGITS.fullmatch(value)):
        return int(value)
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return int(moment.timestamp()) if moment is not None and moment.tzinfo is not None else None


def _check_once(seen: set[bytes], day: str, written: bytes) -> None:
    """Raise ValueError where the same stood there before."""
    if written in seen:
        raise ValueError(f"the same of {day} stands there twice: was a page exported twice?")
    seen.add(written)


def _usd(value: object, parts: int = 1) -> int:
    """Nano-dollars of so many dollars, or parts of one. What was credited is negative."""
    try:
        written = str(value).strip() if not isinstance(value, bool) else "x"
        grouped = _GROUPED.fullmatch(written)
        if grouped is not None:
            written = grouped[1] + grouped[2].replace(",", "")
        amount = Decimal(written) / parts
        if amount.is_finite() and abs(amount) <= _MOST_USD:
            return int((amount * _NANOS).to_integral_value())
    except InvalidOperation:
        pass
    raise ValueError(f"{str(value)[:40]!r} is no amount of dollars")


def _tokens(value: object) -> int:
    count = value
    if isinstance(value, str):
        written = _COUNT.fullmatch(value.strip() or "0")
        count = int(written[1].replace(",", "")) if written is not None else value
    elif isinstance(value, Decimal) and value == value.to_integral_value():
        count = int(value)
    if isinstance(count, int) and not isinstance(count, bool) and 0 <= count <= _MOST_TOKENS:
        return count
    raise ValueError(f"{str(value)[:40]!r} is no number of tokens")


def _check_currency(value: object) -> None:
    if value not in (None, "") and str(value).lower() != "usd":
        raise ValueError(f"it is in {str(value)[:8]}, and the ledger is in US dollars")
