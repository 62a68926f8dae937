"""How the limits that hold for a call stand, in the headers that each vendor's clients read. Pure.

OpenAI's (https://platform.openai.com/docs/guides/rate-limits) tell the time until a limit is all there again as a
duration in Go's form (`6m0s`, `12ms`); Anthropic's (https://platform.claude.com/docs/en/api/rate-limits) the moment, by
RFC 3339. Others read OpenAI's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from math import ceil

from penstock.reservation import Remaining, Rule

__all__ = ["limit_lines"]

# What is further away than this tells nobody anything: a year.
LONGEST = 365 * 86400.0
_SOON = 0.999


def limit_lines(told: Iterable[Remaining], dialect: str, wall: float) -> str:
    """The headers' lines.

    Args:
        told: one of requests, one of tokens, or either.
        dialect: what the caller speaks.
        wall: Unix time from which on their times count.
    """
    lines = ""
    forms = _forms[dialect]
    for rule, left, resets in told:
        known, limit, first, second, full = forms.get(rule.id, _NONE)
        if known is not rule:
            _, limit, first, second, full = _form(forms, dialect, rule)
        if left > limit:
            left = limit
        elif left < 0:
            left = 0
        if resets <= 0.0 and full:  # of nearly every limit that is far from its end
            lines += f"{first}{left}{full}"
            continue
        if not full:
            when = _moment(ceil(wall + min(max(resets, 0.0), LONGEST)))
        elif resets <= _SOON:
            when = f"{ceil(resets * 1000)}ms"
        else:
            when = _duration(ceil(min(resets, LONGEST) * 1000))
        lines += f"{first}{left}{second}{when}\r\n"
    return lines


# Of a rule what stands before the number that is left, and before the time; all that stands behind the number where
# there is no time to wait, "" of Anthropic's lines, which tell a moment.
_Form = tuple[Rule | None, int, str, str, str]
_NONE: _Form = (None, 0, "", "", "")
# By dialect, then by the rule's id: those that were told of last. A rule may have been changed since.
_forms: defaultdict[str, dict[str, _Form]] = defaultdict(dict)
_MOST_KEPT = 1024


def _form(kept: dict[str, _Form], dialect: str, rule: Rule) -> _Form:
    """The rule's form, which is remembered."""
    unit, limit = rule.unit, rule.limit
    if dialect.startswith("anthropic"):
        name = f"anthropic-ratelimit-{unit}"
        first, second, full = f"{name}-limit: {limit}\r\n{name}-remaining: ", f"\r\n{name}-reset: ", ""
    else:
        name = "x-ratelimit"
        first = f"{name}-limit-{unit}: {limit}\r\n{name}-remaining-{unit}: "
        second = f"\r\n{name}-reset-{unit}: "
        full = f"{second}0ms\r\n"
    if len(kept) >= _MOST_KEPT:
        kept.clear()
    form = kept[rule.id] = rule, limit, first, second, full
    return form


@lru_cache(256)
def _moment(wall: int) -> str:
    """RFC 3339 in UTC, up to the second that is not too early."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _duration(millis: int) -> str:
    """From a second on."""
    seconds, millis = divmod(millis, 1000)
    minutes, seconds = divmod(seconds, 60)
    last = f"{seconds}.{millis:03d}".rstrip("0") if millis else f"{seconds}"
    if not minutes:
        return f"{last}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{last}s" if hours else f"{minutes}m{last}s"
