"""A configuration as `/api/v1/config` and `penstock check --resolved` show it: resolved, every secret masked."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.config.prices import show_prices
from penstock.config.schema import Config, Credential, Defaults, Key, Provider, Route, Server, Timeouts
from penstock.config.values import duration_text, size_text
from penstock.redact import MASK, Secret

__all__ = ["describe"]


def describe(config: Config) -> dict[str, object]:
    """`config` in the words of `penstock.yaml`, ready for JSON; a secret shows as `***` and where it came from."""
    server = config.server
    return {
        "source": config.source,
        "server": {
            "listen": str(server.listen),
            "admin": str(server.admin),
            "workers": server.workers,
            "drain": duration_text(server.drain),
            "max_body": size_text(server.max_body),
            "idle": duration_text(server.idle),
            **_network(server),
        },
        "providers": {name: _provider(provider) for name, provider in config.providers.items()},
        "models": {name: _route(route, config.known_as) for name, route in config.models.items()},
        "default_model": config.default_model,
        "defaults": _policies(config.defaults),
        **({"prices": {name: show_prices(units) for name, units in config.prices.items()}} if config.prices else {}),
        "auth": config.auth,
        "keys": [_key(key) for key in config.keys],
        "log": {"to": config.log.to, "content": config.log.content},
    }


def _network(server: Server) -> dict[str, object]:
    shown: dict[str, object] = {
        name: list(listed)
        for name, listed in (
            ("hosts", server.hosts), ("trusted_proxies", server.trusted_proxies), ("cors", server.cors),
        )
        if listed
    }  # fmt: skip
    if server.tls is not None:
        shown["tls"] = {"cert": server.tls.cert, "key": server.tls.key}
    if server.max_connections is not None:
        shown["max_connections"] = server.max_connections
    return shown


def _secret(secret: Secret | None) -> str:
    if secret is None:
        return "none"
    return f"{MASK} ({secret.source})" if secret.source else MASK


def _provider(provider: Provider) -> dict[str, object]:
    shown: dict[str, object] = {"kind": provider.kind}
    if provider.base_url:
        shown["base_url"] = provider.base_url
        if provider.by_caller:
            shown["credentials"] = "caller"
        elif provider.credentials:
            shown["credentials"] = [_credential(credential) for credential in provider.credentials]
        else:
            shown["api_key"] = _secret(provider.api_key)
    if provider.api_version:
        shown["api_version"] = provider.api_version
    if provider.region:
        shown["region"] = provider.region
    if provider.ca_file:
        shown["ca_file"] = provider.ca_file
    if provider.proxy:
        shown["proxy"] = provider.proxy.source
    if provider.off:
        shown["off"] = provider.off
    return shown


def _credential(credential: Credential) -> dict[str, object]:
    return {"name": credential.name, "api_key": _secret(credential.api_key), "weight": credential.weight}


def _route(route: Route, known_as: Mapping[str, str]) -> dict[str, object]:
    shown: dict[str, object] = {"targets": [_target(str(target), known_as) for target in route.targets]}
    if route.regions:
        shown["regions"] = list(route.regions)
    return shown | _policies(route)


def _target(target: str, known_as: Mapping[str, str]) -> object:
    return {"target": target, "is": known_as[target]} if target in known_as else target


def _policies(source: Route | Defaults) -> dict[str, object]:
    shown: dict[str, object] = {"timeouts": _timeouts(source.timeouts)}
    if source.default_max_output is not None:
        shown["default_max_output"] = source.default_max_output
    if source.untranslatable != "refuse":
        shown["untranslatable"] = source.untranslatable
    if source.unknown_price != "flag":
        shown["unknown_price"] = source.unknown_price
    return shown


def _timeouts(timeouts: Timeouts) -> dict[str, str | None]:
    return {
        "connect": duration_text(timeouts.connect),
        "first_token": "auto" if timeouts.first_token is None else duration_text(timeouts.first_token),
        "idle": "auto" if timeouts.idle is None else duration_text(timeouts.idle),
        "total": None if timeouts.total is None else duration_text(timeouts.total),
    }


def _key(key: Key) -> dict[str, object]:
    return {
        "name": key.name,
        "key": _secret(key.key),
        "tenant": key.tenant,
        "project": key.project,
        "models": None if key.models is None else list(key.models),
        "user": "trusted" if key.trusted_user else None,
    }
