"""A plan as one caller may use it: without what the key does not admit, and falling back where the call wishes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from penstock.config.schema import Config, Route
from penstock.errors import Forbidden, InvalidRequest, UnknownModel
from penstock.routing.names import Found, Names
from penstock.routing.plan import Candidate, Plan

__all__ = ["admitted", "check_regions", "fallbacks_of", "with_candidates"]

_HEADER = "x-penstock-fallbacks"
Admits = Callable[[Any], bool]


def with_candidates(plan: Plan, candidates: tuple[Candidate, ...]) -> Plan:
    """The same plan with others to choose from. Raises Forbidden where there are none."""
    if not candidates:
        raise Forbidden(f"no deployment of '{plan.name}' is left for this call", do="Ask for another model.")
    first = [candidate for candidate in candidates if not candidate.foreign] or candidates
    return msgspec.structs.replace(
        plan,
        candidates=candidates,
        ids=tuple(candidate.id for candidate in candidates),
        settled=len(first) == 1 or (plan.strategy == "ordered" and first[0].target != first[1].target),
    )


def admitted(plan: Plan, found: Found, admits: Admits) -> Plan:
    """What of it a key may use that admits what was found.

    One that may ask for the name itself may use all that the configuration has behind it. One that may only ask for
    some `provider/model` behind it may use those.
    """
    if found.route and admits(_name_alone(found)):
        return plan
    kept = tuple(candidate for candidate in plan.candidates if _may_use(candidate, found, admits))
    return plan if len(kept) == len(plan.candidates) else with_candidates(plan, kept)


def _may_use(candidate: Candidate, found: Found, admits: Admits) -> bool:
    if candidate.under is None and not found.route:
        return True  # what was asked for itself
    if candidate.under is not None and admits(_name_alone(candidate.under)):
        return True
    provider, _, model = candidate.name.partition("/")
    return admits(Found(candidate.name, "", provider, model, candidate.name))


def _name_alone(found: Found) -> Found:
    return Found(found.name, found.route, "", "", "")


def fallbacks_of(names: Iterable[str], known: Names, admits: Admits | None) -> list[Found]:
    """What the names that a call wishes to fall back to lead to.

    Raises:
        InvalidRequest: there is no such model.
        Forbidden: the caller's key may not use it.
    """
    found = []
    for name in names:
        try:
            other = known.find(name, admits) if admits is not None else known.find(name)
        except UnknownModel as error:
            raise InvalidRequest(f"{_HEADER}: {error.message}", do=error.do, param=_HEADER) from None
        if admits is not None and not admits(other):
            raise Forbidden(
                f"{_HEADER}: this key may not use model '{other.name}'",
                do="Leave it out, or have it added to the key's models.",
                param=_HEADER,
            )
        found.append(other)
    return found


def check_regions(others: Iterable[Found], route: Route | None, config: Config) -> None:
    """Refuse names that lead out of the regions in which a model may be. Raises Forbidden."""
    if route is None or not route.regions:
        return
    for other in others:
        to = config.models[other.route].targets if other.route else (other,)
        outside = [target.provider for target in to if config.providers[target.provider].region not in route.regions]
        if outside:
            raise Forbidden(
                f"{_HEADER}: model '{other.name}' leads to '{outside[0]}', and '{route.name}' may use"
                f" {' or '.join(route.regions)} alone",
                do="Leave it out.",
                param=_HEADER,
            )
