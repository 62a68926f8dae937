"""How long a provider asks to be left alone: `retry-after-ms`, `retry-after` in seconds or as a date, RetryInfo.

RFC 9110, section 10.2.3; Google says it in the body alone, as a `google.rpc.RetryInfo`. What is not a finite,
non-negative number is ignored, as OpenAI's client does.
"""

from __future__ import annotations

import math
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

__all__ = ["retry_after", "retry_info"]


# Nobody means more, and who is told it may wait as long: seconds.
_LONGEST = 86_400.0


def retry_after(headers: dict[bytes, bytes], now: float | None = None) -> float | None:
    """Seconds to wait, a day at most; None if the provider names no time.

    Args:
        headers: lower-case names.
        now: Unix time, which a date is counted from; without it the answer's own `date`, if it has one.
    """
    millis = _number(headers.get(b"retry-after-ms", b""))
    if millis:  # 0 beside a retry-after in seconds has been seen (Azure): the longer one holds
        return min(millis / 1000, _LONGEST)
    field = headers.get(b"retry-after", b"")
    seconds = _number(field)
    if seconds is None:
        until = _date(field)
        since = now if now is not None else _date(headers.get(b"date", b""))
        if until is not None and since is not None:
            seconds = max(0.0, until - since)
    if seconds is None:
        return None if millis is None else 0.0
    return min(seconds, _LONGEST)


def retry_info(details: Any) -> float | None:
    """Seconds to wait that a RetryInfo among an error's `details` names: a protobuf duration, such as "45.8s"."""
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and str(detail.get("@type", "")).endswith("google.rpc.RetryInfo"):
            delay = detail.get("retryDelay")
            seconds = _number(delay[:-1]) if isinstance(delay, str) and delay.endswith("s") else None
            return min(seconds, _LONGEST) if seconds is not None else None
    return None


def _number(field: bytes | str) -> float | None:
    try:
        number = float(field)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _date(field: bytes) -> float | None:
    try:
        date = parsedate_to_datetime(field.decode("ascii"))
        return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
