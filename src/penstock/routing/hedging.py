"""When a second deployment is asked beside the first, and which (semantics.md: Hedging). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from penstock.routing.plan import Candidate, Plan

__all__ = ["is_repeatable", "latest_moment", "other_for"]

# With any of these the provider keeps something, or does something: it must not be asked twice.
_KEPT = ("store", "previous_response_id", "conversation", "background")
# What the provider itself runs: OpenAI's search, Anthropic's containers and MCP servers.
_RUN = ("web_search_options", "container", "mcp_servers")
_NOTHING = frozenset((b"null", b"false"))
# Tools that the caller runs: of OpenAI's and of Anthropic's the only ones without a vendor's name and date.
_CALLERS = frozenset((None, "function", "custom"))


class _Tool(msgspec.Struct):
    type: str | None = None


_tools = msgspec.json.Decoder(list[_Tool] | None)


def is_repeatable(fields: Mapping[str, msgspec.Raw]) -> bool:
    """Whether it does no harm to ask two providers: nothing is stored, goes on in the background or is run there."""
    for name in (*_KEPT, *_RUN):
        if name in fields and bytes(fields[name]).strip() not in _NOTHING:
            return False
    tools = fields.get("tools")
    if tools is None:
        return True
    try:
        return all(tool.type in _CALLERS for tool in _tools.decode(tools) or ())
    except msgspec.DecodeError:
        return False  # whatever it is, the provider is to say so once


def latest_moment(tail: Sequence[float], most: float) -> float:
    """After how many seconds without output the second is asked, where `most` of all requests may be.

    Five in a hundred reach the p95. Where fewer may be sent twice, that would be spent on whichever of them came first,
    and two in five of them are about to answer. So from the p95 on, and as long as enough requests are left to spend it
    on, it is the moment after which the wait that is left is the longest in the mean: in the gap between those that are
    merely late and those that are stuck, if there is one.

    Args:
        tail: the slowest twentieth of first outputs, ascending from the p95; not empty.
    """
    last = len(tail) - 1
    left = min(last, int(last * 20 * most))  # of the tail: so many as may be sent twice
    best, longest = tail[0], 0.0
    beyond = sum(tail[last - left + 1 :])
    for number in range(last - left, -1, -1):
        later = last - number
        if later:
            wait = beyond / later - tail[number]
            if wait >= longest:
                best, longest = tail[number], wait
        beyond += tail[number]
    return best


def other_for(plan: Plan, first: Candidate, now: float) -> Candidate | None:
    """Whom to ask beside `first`: of the plan's own that are ready and have room the first listed, another target
    before another credential of the same one."""
    alike: Candidate | None = None
    for candidate in plan.candidates:
        if candidate is first or candidate.id == first.id or candidate.foreign:
            continue
        gate = candidate.pace.gate
        if candidate.health.standing(now).state != "ready" or not (gate is None or gate.has_room):
            continue
        if candidate.target != first.target:
            return candidate
        alike = alike or candidate
    return alike
