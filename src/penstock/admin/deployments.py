"""What `/api/v1/deployments` tells: every deployment, the names that lead to it, and what became of it so far."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from math import isinf
from typing import Any

from penstock.admin.overview import Overview
from penstock.clock import Clock
from penstock.config.schema import Config
from penstock.errors import NotFound
from penstock.gateway.rehearsal import Rehearsed, describe_rehearsed
from penstock.metrics import Counter
from penstock.redact import as_asked
from penstock.stores.authority import Account
from penstock.stores.condition import Order

__all__ = ["deployment_ids", "describe_deployments", "order_deployments", "switched_off"]

Sums = dict[str, dict[str, int]]


def deployment_ids(overview: Overview, now: float) -> list[str]:
    """Those the configuration names, in its order, then others that were asked for, or are out of order."""
    # Two names may lead to one deployment.
    named = list(dict.fromkeys(found.deployment for found in overview.names.listed()))
    counted = (labels[0] for labels in overview.metrics.attempts.series)
    unwell = (id for id, state in overview.health.standings(now) if state != "ready")
    asked = {id for id in (*counted, *unwell) if _provider(id) in overview.config.providers}
    return named + sorted(asked.difference(named))


def describe_deployments(
    overview: Overview, ids: Iterable[str], clock: Clock, rehearsed: Mapping[str, Rehearsed] | None = None
) -> list[dict[str, Any]]:
    """Those deployments, ready for JSON.

    Args:
        rehearsed: what came of the last rehearsals.
    """
    metrics = overview.metrics
    requests = _sums(metrics.requests, 1, 2)
    attempts = _sums(metrics.attempts, 0, 1)
    tokens = _sums(metrics.tokens, 0, 1)
    costs, unpriced = metrics.cost.series, metrics.unknown_price.series
    routes: dict[str, list[str]] = defaultdict(list)
    for found in overview.names.listed():
        for id in (found.deployment, *found.others) if found.route else ():
            routes[id].append(found.route)
    return [
        {
            **_identity(overview.config, id),
            "routes": routes.get(id, []),
            **_state(overview.health.account(id, clock.monotonic()), clock),
            "requests": requests.get(id, {}),
            "attempts": attempts.get(id, {}),
            "tokens": {"input": 0, "output": 0} | tokens.get(id, {}),
            "cost_usd": f"{costs.get((id,), 0.0):.9f}",
            "unknown_price": int(unpriced.get((id,), 0)),
            **({"rehearsal": describe_rehearsed(rehearsed[id])} if rehearsed and id in rehearsed else {}),
        }
        for id in ids
    ]


def order_deployments(overview: Overview, id: str, order: Order, clock: Clock) -> list[dict[str, Any]]:
    """Have an operator's word obeyed; the deployments that are concerned.

    Raises:
        NotFound: there is no such deployment.
    """
    found = overview.health.order(id, order, clock.monotonic())
    if not found:
        raise NotFound(f"there is no deployment {as_asked(id)}", do="GET /api/v1/deployments lists them by their ids.")
    return describe_deployments(overview, found, clock)


def _state(account: Account, clock: Clock) -> dict[str, Any]:
    now, wall = clock.monotonic(), clock.wall()

    def written(moment: float) -> str | None:
        if moment == 0.0 or isinf(moment):
            return None
        return (
            datetime.fromtimestamp(wall + moment - now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        )

    standing = account.standing
    return {
        "state": standing.state,
        "reason": standing.why or None,
        "since": written(account.since),
        "until": written(standing.until),
        "retry_quota": account.tokens,
        "retries_left": account.retries,
    }


def _identity(config: Config, id: str) -> dict[str, Any]:
    provider = config.providers[_provider(id)]
    model, _, credential = id.partition("/")[2].rpartition("#")
    if credential not in [each.name for each in provider.credentials]:
        model, credential = id.partition("/")[2], ""
    return {
        "id": id,
        "provider": provider.name,
        "model": model,
        # Of a provider that has several: what was asked with this one.
        **({"credential": credential} if credential else {}),
        "kind": provider.kind,
        # One that runs inside Penstock has no address.
        "base_url": provider.base_url or None,
    }


def switched_off(config: Config) -> list[dict[str, Any]]:
    """Providers that are switched off: why, and from which names under `models:` that takes a target away."""
    return [
        {
            "provider": provider.name,
            "kind": provider.kind,
            "reason": provider.off,
            "routes": [
                name
                for name, route in config.models.items()
                if provider.name in (target.provider for target in route.targets)
            ],
        }
        for provider in config.providers.values()
        if provider.off
    ]


def _provider(id: str) -> str:
    return id.partition("/")[0]


def _sums(counter: Counter, deployment: int, by: int) -> Sums:
    """Sums per deployment and per one more label; both by their place among the counter's labels."""
    sums: Sums = {}
    for labels, value in counter.series.items():
        of = sums.setdefault(labels[deployment], {})
        of[labels[by]] = of.get(labels[by], 0) + int(value)
    return sums
