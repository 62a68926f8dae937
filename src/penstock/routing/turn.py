"""Who waits for a turn: how urgent it is, whom else it might ask, and whether there is still somebody to ask. Pure."""

from __future__ import annotations

from penstock.errors import CircuitOpen, UpstreamRateLimited
from penstock.messages import Request
from penstock.routing.plan import Candidate
from penstock.routing.wishes import NORMAL, RANKS

__all__ = ["look_again", "others_than", "rank_of"]

NEVER = float("inf")


def rank_of(request: Request) -> int:
    """How urgent it is: the least goes first."""
    wishes = request.caller.wishes
    return RANKS.get(wishes.priority, NORMAL) if wishes is not None else NORMAL


def others_than(request: Request) -> list[Candidate]:
    """Those that were not tried and may be asked, as long as the one whose turn it is was sent on by nobody yet."""
    mine, tried = request.candidate, request.tried
    if tried is not None and mine.id in tried:
        return []  # sent away once, or a retry: whoever else there was has gone before
    return [
        one
        for one in request.plan.candidates
        if one is not mine and not one.health.blocked and (tried is None or one.id not in tried)
    ]


def look_again(request: Request, now: float) -> None:
    """While it waited its deployment may have been paused, or failed so often that it is not asked any more.

    Raises:
        UpstreamRateLimited, CircuitOpen: so it is.
    """
    candidate = request.candidate
    # Who tries whether it is well again goes in spite of all but the provider's own word.
    standing = candidate.health.paused(now) if request.trial else candidate.health.standing(now)
    if standing is None or standing.state == "ready":
        return
    kind = UpstreamRateLimited if standing.state == "paused" else CircuitOpen
    raise kind(
        f"{candidate.name} is {standing.state} ({standing.why}) since this call waited for its turn",
        do="Wait as long as retry-after says.",
        retry_after=max(0.0, standing.until - now) if standing.until < NEVER else None,
    )
