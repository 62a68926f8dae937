"""Which of a plan's candidates is asked first, and who follows. Pure: time and chance are arguments.

The plan's own targets come first: one chosen by its strategy, then the others as listed. Targets of other names
(`fallback`) stay behind them as listed. A target with several credentials keeps its place, they being in an
order drawn by their shares. Who may be asked at all is not looked at: whoever asks passes over those that may not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log

from penstock.routing.plan import Candidate, Plan

__all__ = ["EXPLORED", "order_candidates"]

Chance = Callable[[], float]
Target = list[Candidate]

# So large a part of requests goes to a random target where the strategy is `latency`: one that was slow once would
# otherwise never be seen to be fast again (semantics.md: Balancing).
EXPLORED = 0.05
NEVER = float("inf")


def order_candidates(plan: Plan, now: float, chance: Chance) -> Sequence[Candidate]:
    """The candidates in the order in which this request should try them, each once.

    Args:
        now: monotonic; no strategy needs it so far, since health is looked at elsewhere.
        chance: draws from [0, 1).
    """
    own: list[Target] = []
    foreign: list[Candidate] = []
    for target in _targets(plan.candidates):
        if len(target) > 1:
            target = _by_share(target, chance)
        if target[0].foreign:
            foreign += target
        else:
            own.append(target)
    if len(own) > 1 and plan.strategy != "ordered":
        first = _STRATEGIES[plan.strategy](own, chance)
        if first is not own[0]:
            own = [first, *(target for target in own if target is not first)]
    return [candidate for target in own for candidate in target] + foreign


def _targets(candidates: Sequence[Candidate]) -> list[Target]:
    """Those that differ only by credential together; they are listed together."""
    found: list[Target] = []
    number = -1
    for candidate in candidates:
        if candidate.target == number:
            found[-1].append(candidate)
        else:
            number = candidate.target
            found.append([candidate])
    return found


def _by_share(target: Target, chance: Chance) -> Target:
    """All of them; each is first as often as its share says, and of those that are left so is the next.

    Efraimidis and Spirakis, Weighted random sampling with a reservoir (2006): exponential clocks whose rates are the
    weights ring in the order of a weighted draw without replacement.
    """
    clocks = [(-log(1.0 - chance()) / one.share, number) for number, one in enumerate(target)]
    return [target[number] for _, number in sorted(clocks)]


# Each takes at least two targets and names one. What is known of a target is what is known of its credential in front.


def _by_weight(targets: list[Target], chance: Chance) -> Target:
    left = chance() * sum([target[0].weight for target in targets])
    for target in targets:
        left -= target[0].weight
        if left < 0:
            return target
    return targets[-1]  # every weight is 0


def _by_cost(targets: list[Target], chance: Chance) -> Target:
    """The cheapest; a target whose price nobody knows may cost anything, so it comes behind those that are known."""
    return min(targets, key=lambda target: price if (price := target[0].price) is not None else NEVER)


def _by_latency(targets: list[Target], chance: Chance) -> Target:
    """The one with the lowest mean; now and then any.

    One without a mean is asked at once, so that it gets one, but by one request at a time as long as others have one:
    it may be slow, or down. Where none has a mean, the one with the fewest in flight.
    """
    if chance() < EXPLORED:
        return targets[int(chance() * len(targets))]
    best: Target | None = None
    least = NEVER
    idle: Target | None = None
    for target in targets:
        pace = target[0].pace
        mean = pace.ewma
        if mean is None:
            if idle is None and not pace.in_flight:
                idle = target
        elif mean < least:
            best, least = target, mean
    if best is None:
        return min(targets, key=_in_flight)
    return best if idle is None else idle


def _by_load(targets: list[Target], chance: Chance) -> Target:
    """Of two that are drawn the one at which less is under way: in flight, this request included, x mean.

    So one that is idle is still chosen by its speed. Where one of the two has no mean yet, it is taken for as fast as
    the other.
    """
    number = int(chance() * len(targets))
    other = int(chance() * (len(targets) - 1))
    if other >= number:
        other += 1
    one, two = targets[number], targets[other]
    busy, too = one[0].pace.in_flight + 1, two[0].pace.in_flight + 1
    mean, its = one[0].pace.ewma, two[0].pace.ewma
    if mean is None or its is None:
        mean = its = 1.0
    return one if busy * mean <= too * its else two


def _in_flight(target: Target) -> int:
    return target[0].pace.in_flight  # type: ignore[no-any-return]


_STRATEGIES: dict[str, Callable[[list[Target], Chance], Target]] = {
    "weighted": _by_weight,
    "cost": _by_cost,
    "latency": _by_latency,
    "least_busy": _by_load,
}
