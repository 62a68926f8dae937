"""Which of a plan's candidates is asked first, and who follows. Pure: time and chance are arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from penstock.routing.plan import Candidate, Plan
from penstock.routing.weights import Weighted

__all__ = ["order_candidates"]


def order_candidates(plan: Plan, now: float, chance: Callable[[], float]) -> Sequence[Candidate]:
    """The candidates in the order in which this request should try them."""
    found: list[Candidate] = []
    for target in dict.fromkeys(candidate.target for candidate in plan.candidates):
        alike = [candidate for candidate in plan.candidates if candidate.target == target]
        if len(alike) > 1:
            first = Weighted((candidate, candidate.share) for candidate in alike).choose(chance())
            alike = [first, *(candidate for candidate in alike if candidate is not first)]
        found += alike
    return found
