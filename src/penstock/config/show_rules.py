"""What holds for callers, in the words of `penstock.yaml`: the inverse of `rules.py`, `owners.py` and `keeping.py`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from penstock.config.amounts import allowance_text, amount_text, rate_text
from penstock.config.keeping import MEMORY
from penstock.config.rules import ALERT_AT, REQUEST
from penstock.config.schema import Alerts, Config, Key, Tenant
from penstock.config.values import duration_text, part_text
from penstock.redact import MASK
from penstock.reservation import RequestBudget, Rule
from penstock.routing.admission import AdmissionRules

__all__ = [
    "show_admission",
    "show_alerts",
    "show_budget",
    "show_key",
    "show_limit",
    "show_request_budget",
    "show_rules",
    "show_tenant",
]


def show_rules(config: Config) -> dict[str, object]:
    """Everything but what keys say of themselves. One rule is one entry, whatever stood together."""
    shown: dict[str, object] = {}
    if limits := [show_limit(rule) for rule in config.rules if rule.kind != "budget"]:
        shown["limits"] = limits
    budgets = [show_budget(rule) for rule in config.rules if rule.kind == "budget"]
    budgets += [show_request_budget(each) for each in config.request_budgets if not each.key]
    if budgets:
        shown["budgets"] = budgets
    if config.tenants:
        shown["tenants"] = [show_tenant(tenant) for tenant in config.tenants]
    shown["state"] = MEMORY if config.state == MEMORY else f"sqlite:///{config.state}"
    if config.durability != "process":
        shown["durability"] = config.durability
    if config.retention is not None:
        shown["retention"] = duration_text(config.retention)
    if config.alerts != Alerts():
        shown["alerts"] = show_alerts(config.alerts)
    if config.admission != AdmissionRules():
        shown["admission"] = show_admission(config.admission) if config.admission is not None else "off"
    return shown


def show_limit(rule: Rule) -> dict[str, object]:
    """A rate, or calls at a time."""
    shown: dict[str, object] = {"scope": rule.scope}
    if rule.match:
        shown["match"] = rule.match
    if rule.kind == "concurrency":
        shown["concurrency"] = rule.limit
    else:
        shown[rule.unit] = rate_text(rule.limit, rule.seconds)
        if rule.kind != "burst":
            shown["kind"] = rule.kind
        elif rule.burst != rule.limit:
            shown["burst"] = rule.burst
    if rule.queue:
        shown["queue"] = duration_text(rule.queue)
    return shown


def show_budget(rule: Rule) -> dict[str, object]:
    """So much in a period."""
    shown: dict[str, object] = {"scope": rule.scope}
    if rule.match:
        shown["match"] = rule.match
    shown["limit"] = allowance_text(rule.limit, rule.unit, rule.period)
    if not rule.hard:
        shown["hard"] = False
    if rule.zone != "UTC":
        shown["zone"] = rule.zone
    if rule.alert_at != ALERT_AT:
        shown["alert_at"] = [part_text(part / 1_000_000) for part in rule.alert_at]
    if not rule.clamp:
        shown["on_low_budget"] = "refuse"
    if rule.downgrade:
        shown["on_soft"] = {"downgrade": rule.downgrade}
    elif rule.throttle:
        shown["on_soft"] = "throttle"
    return shown


def show_request_budget(budget: RequestBudget) -> dict[str, object]:
    """So much of one request."""
    shown: dict[str, object] = {"scope": REQUEST, "limit": amount_text(budget.limit, budget.unit)}
    return shown if budget.clamp else {**shown, "on_low_budget": "refuse"}


def show_key(key: Key, config: Config) -> dict[str, object]:
    """What a key may do besides; its limits and budgets stand with the others, but for those of one request."""
    expires = None if key.expires is None else datetime.fromtimestamp(key.expires, UTC).isoformat()
    budgets = [show_request_budget(each) for each in config.request_budgets if each.key == key.name]
    shown = {
        "expires": expires,
        "addresses": list(key.addresses) or None,
        "routes": None if key.routes is None else list(key.routes),
        "max_output": key.max_output,
        "priority": key.priority,
        "role": key.role,
        "budgets": budgets or None,
    }
    return {name: value for name, value in shown.items() if value is not None}


def show_tenant(tenant: Tenant) -> dict[str, object]:
    """Who pays."""
    shown: dict[str, object] = {"name": tenant.name, "charge": tenant.charge, "weight": tenant.weight}
    return {**shown, "projects": list(tenant.projects)} if tenant.projects else shown


def show_alerts(alerts: Alerts) -> Mapping[str, object]:
    """Who is told; the secret is masked."""
    anomaly = "on" if alerts.anomaly else "off"
    if alerts.webhook is None:
        return {"anomaly": anomaly}
    secret = alerts.webhook.secret
    shown = f"{MASK} ({secret.source})" if secret.source else MASK
    return {"webhook": {"url": alerts.webhook.url, "secret": shown}, "anomaly": anomaly}


def show_admission(rules: AdmissionRules) -> Mapping[str, object]:
    """What a worker takes at a time."""
    repeats = rules.repeats
    return {
        "most": "auto" if rules.most is None else rules.most,
        "queue": rules.queue,
        "loop_lag": "off" if rules.loop_lag is None else duration_text(rules.loop_lag),
        "repeats": "off" if repeats is None else {"same": repeats.same, "per": duration_text(repeats.per)},
    }
