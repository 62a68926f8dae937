"""What the keys of one model mean to each other: refused where they contradict each other, doubted where one of them
never holds.
"""

from __future__ import annotations

from collections.abc import Mapping

from penstock.config.schema import Config, Provider, Route
from penstock.config.tree import Node, Problems
from penstock.routing.names import Target
from penstock.routing.nearest import quoted

__all__ = ["check_routes"]


def check_routes(problems: Problems, root: Node, config: Config) -> None:
    """Every model under `models:`."""
    fields = root.value if isinstance(root.value, dict) else {}
    models = _mapping(fields.get("models"))
    _check_shared(problems, models, config)
    for name, route in config.models.items():
        written = _mapping(models.get(name))
        if route.targets[0].provider not in config.providers:
            continue  # told already
        _check_weights(problems, written, route)
        _check_regions(problems, written, route, config.providers)
        _check_attempts(problems, written, route)
        _check_rehearsal(problems, written, route, config.providers)
        _check_seconds(problems, written, route, config.providers)


def _check_shared(problems: Problems, models: Mapping[str, Node], config: Config) -> None:
    """A deployment has one breaker and one limit of calls: those of the model that is listed first."""
    for key in ("breaker", "concurrency"):
        first: dict[Target, Route] = {}
        for name, route in config.models.items():
            node = _mapping(models.get(name)).get(key)
            for target in route.targets:
                other = first.setdefault(target, route)
                if node is not None and getattr(other, key) != getattr(route, key):
                    message = (
                        f"of {target} it is the {key} of model {quoted(other.name)} that holds, which stands first"
                    )
                    problems.doubt(node.key, message)


def _check_weights(problems: Problems, written: Mapping[str, Node], route: Route) -> None:
    weights = [node for each in _targets(written) if (node := _mapping(each).get("weight")) is not None]
    if not weights:
        return
    if route.strategy != "weighted":
        problems.doubt(
            weights[0].key, f"weight never holds: the strategy is {route.strategy}; write strategy: weighted"
        )
    elif len(route.terms) == len(route.targets) and all(terms.weight == 0 for terms in route.terms.values()):
        problems.add(weights[0].place, "every target's weight is 0: give one of them more")


def _check_regions(
    problems: Problems, written: Mapping[str, Node], route: Route, providers: Mapping[str, Provider]
) -> None:
    used = [providers[target.provider].region for target in route.targets]
    # A target that is elsewhere has been told.
    if not route.regions or any(region not in route.regions for region in used):
        return
    for item in written["regions"].value if isinstance(written["regions"].value, list) else []:
        if item.value not in used:
            shown = " or ".join(dict.fromkeys(quoted(region) for region in used if region))
            problems.add(item.place, f"no target is in {quoted(str(item.value))}: leave it out; they are in {shown}")


def _check_attempts(problems: Problems, written: Mapping[str, Node], route: Route) -> None:
    for each in _targets(written):
        node = _mapping(each).get("max_attempts")
        if node is not None and isinstance(node.value, int) and node.value > route.retry.max_total:
            problems.add(
                node.place,
                f"max_attempts {node.value} is more than max_total {route.retry.max_total}, which one request may have"
                " in all: write retry: {max_total: ...} too, or lower it",
            )


def _check_seconds(
    problems: Problems, written: Mapping[str, Node], route: Route, providers: Mapping[str, Provider]
) -> None:
    """What needs somebody else to ask."""
    if len(route.targets) > 1 or len(providers[route.targets[0].provider].credentials) > 1:
        return
    hedge, fallback = written.get("hedge"), written.get("fallback")
    if hedge is not None and route.hedge is not None:
        problems.add(hedge.key, "hedge asks a second target, and there is one: add another, or write hedge: off")
    if fallback is not None and route.content_filter and not route.fallback:
        node = _mapping(fallback).get("content_filter", fallback)
        problems.doubt(node.key, "content_filter never holds: there is one target, and nothing to fall back to")


def _check_rehearsal(
    problems: Problems, written: Mapping[str, Node], route: Route, providers: Mapping[str, Provider]
) -> None:
    node = written.get("rehearse")
    theirs = [target.provider for target in route.targets if providers[target.provider].by_caller]
    if node is not None and route.rehearse is not None and theirs:
        problems.doubt(node.key, f"rehearse never holds for {quoted(theirs[0])}: callers bring its credentials")


def _mapping(node: Node | None) -> dict[str, Node]:
    return node.value if node is not None and isinstance(node.value, dict) else {}


def _targets(written: Mapping[str, Node]) -> list[Node]:
    node = written.get("targets")
    return node.value if node is not None and isinstance(node.value, list) else []
