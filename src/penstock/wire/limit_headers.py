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
    anthropic = dialect.startswith("anthropic")
    for rule, _, _, left, resets in levels:
        limit = rule.limit
        head, reset = _names(anthropic, rule.unit, limit)
        if resets > LONGEST:
            resets = LONGEST
        told = _moment(ceil(wall + resets)) if anthropic else _duration(ceil(resets * 1000))
        lines += f"{head}{left if left < limit else limit}{reset}{told}\r\n"
    return lines.encode()


@lru_cache(1024)
def _names(anthropic: bool, unit: str, limit: int) -> tuple[str, str]:
    """What stands before the number that is left, and behind it."""
    if anthropic:
        name = f"anthropic-ratelimit-{unit}"
        return f"{name}-limit: {limit}\r\n{name}-remaining: ", f"\r\n{name}-reset: "
    name = "x-ratelimit"
    return f"{name}-limit-{unit}: {limit}\r\n{name}-remaining-{unit}: ", f"\r\n{name}-reset-{unit}: "


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
