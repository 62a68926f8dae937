"""How the limits that hold for a call stand, in the headers that each vendor's clients read. Pure.

OpenAI's (https://platform.openai.com/docs/guides/rate-limits) tell the time until a limit is all there again as a
duration in Go's form (`6m0s`, `12ms`); Anthropic's (https://platform.claude.com/docs/en/api/rate-limits) the moment, by
RFC 3339. Others read OpenAI's.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from math import ceil

from penstock.reservation import Level

__all__ = ["limit_lines"]

# What is further away than this tells nobody anything: a year.
LONGEST = 365 * 86400.0


def limit_lines(levels: Iterable[Level], dialect: str, wall: float) -> bytes:
    """The headers' lines.

    Args:
        levels: one of requests, one of tokens, or either.
        dialect: what the caller speaks.
        wall: Unix time as of which `resets` counts.
    """
    lines = ""
    for rule, _, _, left, resets in levels:
        unit = rule.unit
        left = left if left < rule.limit else rule.limit
        if dialect.startswith("anthropic"):
            lines += (
                f"anthropic-ratelimit-{unit}-limit: {rule.limit}\r\nanthropic-ratelimit-{unit}-remaining: {left}\r\n"
                f"anthropic-ratelimit-{unit}-reset: {_moment(ceil(wall + min(resets, LONGEST)))}\r\n"
            )
        else:
            lines += (
                f"x-ratelimit-limit-{unit}: {rule.limit}\r\nx-ratelimit-remaining-{unit}: {left}\r\n"
                f"x-ratelimit-reset-{unit}: {_duration(ceil(min(resets, LONGEST) * 1000))}\r\n"
            )
    return lines.encode()


@lru_cache(256)
def _moment(wall: int) -> str:
    """RFC 3339 in UTC, up to the second that is not too early."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _duration(millis: int) -> str:
    if millis < 1000:
        return f"{millis}ms"
    seconds, millis = divmod(millis, 1000)
    minutes, seconds = divmod(seconds, 60)
    last = f"{seconds}.{millis:03d}".rstrip("0") if millis else f"{seconds}"
    if not minutes:
        return f"{last}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{last}s" if hours else f"{minutes}m{last}s"
