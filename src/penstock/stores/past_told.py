"""What the ledger still tells of a request that is in nobody's memory any more, ready for JSON.

That is what was asked of providers and what it cost. What was decided about it, what its caller got and how long that
took is in the request log of its day, and is named here as no longer known.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from penstock.stores.past import Past
from penstock.stores.rows import FLAGS
from penstock.usage import usd

__all__ = ["FORGOTTEN", "past_told"]

# What a line of a request has, and its rows do not.
FORGOTTEN = (
    *("operation", "status", "stream", "candidates", "decisions", "first_output_ms", "overhead_ms"),
    *("finish_reason", "response_model", "dropped", "clamped", "address"),
)
_NANOS = 10**9


def past_told(id: str, attempts: Sequence[Past]) -> dict[str, Any]:
    """Of a request's attempts, in order; there must be one."""
    first = attempts[0]
    winner = next((each for each in attempts if each.answered), attempts[-1])
    who = {name: getattr(first, name) for name in ("key", "tenant", "project", "user", "task")}
    return {
        "id": id,
        "source": "ledger",
        "time": _moment(first.opened),
        "model": first.model,
        "deployment": winner.deployment,
        "answered": bool(winner.answered),
        **{name: value for name, value in who.items() if value},
        **({"tags": msgspec.json.decode(first.tags)} if first.tags != "{}" else {}),
        "ms": (max(each.closed for each in attempts) - first.opened) // 10**6,
        "tokens": _used(winner),
        "cost_usd": _sum([each.cost for each in attempts]),
        "charge_usd": _sum([each.charge for each in attempts]),
        "price_table": winner.price_table,
        "attempts": [_attempt(each, attempts) for each in attempts],
        "forgotten": list(FORGOTTEN),
    }


def _attempt(attempt: Past, attempts: Sequence[Past]) -> dict[str, Any]:
    # How long nothing was asked before it; where several ran at once that is nothing.
    before = [each.closed for each in attempts if each.number < attempt.number]
    pause = max(0, attempt.opened - max(before)) // 10**6 if before else 0
    return {
        "deployment": attempt.deployment,
        "outcome": attempt.outcome,
        "status": attempt.status,
        "kind": attempt.kind,
        "at_ms": (attempt.opened - attempts[0].opened) // 10**6,
        **({"wait_ms": pause} if pause else {}),
        "ms": (attempt.closed - attempt.opened) // 10**6,
        "tokens": _used(attempt),
        "cost_usd": _sum([attempt.cost]),
        **{name: True for name, bit in FLAGS.items() if attempt.flags & bit},
    }


def _used(attempt: Past) -> dict[str, int]:
    names = ("input", "output", "cache_read", "cache_write", "reasoning")
    return {name: getattr(attempt, f"{name}_tokens") for name in names}


def _sum(amounts: Sequence[int | None]) -> str | None:
    """Null where one is not known: what is left out would be a part and look like the whole."""
    known = [each for each in amounts if each is not None]
    return usd(sum(known)) if len(known) == len(amounts) else None


def _moment(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds // _NANOS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
