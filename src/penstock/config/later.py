"""Which keys each part of the configuration has, and which ones it will have in a later version.

A later key is refused by name rather than ignored: somebody who writes a budget must not believe it holds.
"""

from __future__ import annotations

from typing import NamedTuple

from penstock.providers.rates import UNITS

__all__ = ["SECTIONS", "TAKEN", "Section"]


class Section(NamedTuple):
    """The keys of one part: those of this version, and those of later ones."""

    known: tuple[str, ...]
    later: tuple[str, ...] = ()


# Names that may come to stand in more than one place.
TAKEN = frozenset((
    "probe", "hedge", "fallback", "concurrency", "on_low_budget", "on_soft", "on_failure",
    "alerts", "prompts", "cache", "rules", "redact", "sampling", "encryption_key", "caps",
    "layers", "breaker",
))  # fmt: skip

_ROUTE_LATER = (
    "strategy", "retry", "on_stream_cut", "rate_limit", "budget",
)  # fmt: skip

SECTIONS: dict[str, Section] = {
    "config": Section(
        ("server", "providers", "models", "default_model", "defaults", "prices", "auth", "keys", "log"),
        ("limits", "budgets", "state", "shared", "telemetry", "tenants", "admission", "guardrails"),
    ),
    "server": Section(
        (
            "listen",
            "admin",
            "workers",
            "drain",
            "max_body",
            "idle",
            "hosts",
            "trusted_proxies",
            "cors",
            "tls",
            "max_connections",
        ),
        ("keepalive", "http"),
    ),
    "tls": Section(("cert", "key")),
    "provider": Section(
        ("kind", "base_url", "api_key", "api_version", "credentials", "region", "ca_file"),
        ("headers", "quirks", "weight", "timeouts", "retry"),
    ),
    "model": Section(
        ("targets", "timeouts", "default_max_output", "untranslatable", "unknown_price", "regions"), _ROUTE_LATER
    ),
    "target": Section(("target", "is"), ("weight", "max_attempts", "region", "timeouts")),
    "credential": Section(("name", "api_key", "weight")),
    "timeouts": Section(("connect", "first_token", "idle", "total"), ("attempt", "throughput")),
    "defaults": Section(
        ("timeouts", "default_max_output", "untranslatable", "unknown_price"), ("regions", *_ROUTE_LATER)
    ),
    "price": Section((*UNITS, "above")),
    "price_step": Section(tuple(unit for unit in UNITS if not unit.endswith(("search", "request")))),
    "key": Section(
        ("name", "key", "tenant", "project", "models", "user"),
        ("expires", "role", "roles", "limits", "budgets", "charge"),
    ),
    "log": Section(("to", "content"), ("retention",)),
}
