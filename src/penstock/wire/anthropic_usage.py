"""Anthropic's `usage` object as `Usage`, whole or the part of it that one event of a stream tells.

https://platform.claude.com/docs/en/api/messages: `input_tokens` leaves out what was read from and written to the
cache, ours includes it. In a stream `message_start` tells the input, `message_delta` the output and, cumulatively,
what has changed of the rest (`events.merged` folds them).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import structs

from penstock.usage import Usage
from penstock.wire.openai_usage import STANDARD, count, is_odd

__all__ = ["folded", "read_usage"]

_INPUT = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")

# What runs beside the answer and is not in its totals: summing up a context that has grown too long
# (https://platform.claude.com/docs/en/build-with-claude/compaction), and asking a stronger model
# (https://platform.claude.com/docs/en/agents-and-tools/tool-use/advisor-tool).
_BESIDE = ("compaction", "advisor_message")

# What `inference_geo` says of an answer that was not kept in a region.
_ANYWHERE = ("", "global", "not_available")


def read_usage(value: Any) -> Usage | None:
    """The counts in a decoded `usage` object; None if it holds none."""
    if not isinstance(value, dict) or ("input_tokens" not in value and "output_tokens" not in value):
        return None
    taken_in = given_out = written = read = 0
    odd = any(is_odd(value.get(name)) for name in (*_INPUT, "output_tokens"))
    for counted in (value, *_beside(value.get("iterations"))):
        parts = [count(counted.get(name)) for name in _INPUT]
        taken_in += sum(parts)
        written += parts[1]
        read += parts[2]
        given_out += count(counted.get("output_tokens"))
    details = value.get("output_tokens_details")
    reasoning = count(details.get("thinking_tokens")) if isinstance(details, dict) else 0
    usage = Usage(taken_in, given_out, read, written, reasoning)
    longer = _within(value, "cache_creation", "ephemeral_1h_input_tokens")
    searches = _within(value, "server_tool_use", "web_search_requests")
    tier = _tier(value)
    if longer or searches or tier or odd:
        return structs.replace(usage, cache_write_1h_tokens=longer, web_searches=searches, tier=tier, odd=odd)
    return usage


def _within(value: dict[str, Any], part: str, name: str) -> int:
    parts = value.get(part)
    return count(parts.get(name)) if isinstance(parts, dict) else 0


def _tier(value: dict[str, Any]) -> str:
    """What has a price of its own: fast mode, a tier, or inference that is kept in a region.

    https://platform.claude.com/docs/en/about-claude/pricing
    """
    place = value.get("inference_geo")
    kept = f"in_{place[:20]}" if place.__class__ is str and place not in _ANYWHERE else ""
    word = value.get("service_tier") if value.get("speed") in (None, "standard") else value["speed"]
    tier = word[:20] if word.__class__ is str and word not in STANDARD else ""
    return f"{kept}+{tier}" if kept and tier else kept or tier


def folded(earlier: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """What two events of one stream tell together, as decoded `usage` objects: what the later one says holds.

    But for an input of nothing at all, which is how some compatible providers leave it out.
    """
    silent = () if any(later.get(name) for name in _INPUT) else _INPUT
    return {**earlier, **{name: value for name, value in later.items() if value is not None and name not in silent}}


def _beside(iterations: Any) -> Iterator[dict[str, Any]]:
    for iteration in iterations if isinstance(iterations, list) else ():
        if isinstance(iteration, dict) and iteration.get("type") in _BESIDE:
            yield iteration
