"""A configuration as `/api/v1/config` and `penstock check --resolved` show it: resolved, every secret masked."""

from __future__ import annotations

from penstock.config.prices import show_prices
from penstock.config.schema import Config, Credential, Key, Provider, Route, Server, Terms
from penstock.config.show_policies import differences, show_policies
from penstock.config.show_rules import show_key, show_rules
from penstock.config.values import duration_text, size_text
from penstock.redact import MASK, Secret
from penstock.routing.names import Target

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
            "keepalive": duration_text(server.keepalive),
            **_network(server),
        },
        "providers": {name: _provider(provider) for name, provider in config.providers.items()},
        "models": {name: _route(route, config) for name, route in config.models.items()},
        "default_model": config.default_model,
        "defaults": show_policies(config.defaults),
        **({"prices": {name: show_prices(units) for name, units in config.prices.items()}} if config.prices else {}),
        "auth": config.auth,
        "keys": [_key(key, config) for key in config.keys],
        **show_rules(config),
        **({"layers": list(config.layers)} if config.layers else {}),
        **({"encryption_key": _secret(config.encryption_key)} if config.encryption_key is not None else {}),
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
    if provider.probe is not None:
        shown["probe"] = duration_text(provider.probe)
    if provider.proxy:
        shown["proxy"] = provider.proxy.source
    if provider.off:
        shown["off"] = provider.off
    return shown


def _credential(credential: Credential) -> dict[str, object]:
    return {"name": credential.name, "api_key": _secret(credential.api_key), "weight": credential.weight}


def _route(route: Route, config: Config) -> dict[str, object]:
    shown: dict[str, object] = {"targets": [_target(target, route, config) for target in route.targets]}
    if route.regions:
        shown["regions"] = list(route.regions)
    return shown | differences(route, config.defaults)


def _target(target: Target, route: Route, config: Config) -> object:
    terms = route.terms.get(target, Terms())
    said: dict[str, object] = {}
    if str(target) in config.known_as:
        said["is"] = config.known_as[str(target)]
    if terms.weight != 1:
        said["weight"] = terms.weight
    if terms.max_attempts is not None:
        said["max_attempts"] = terms.max_attempts
    return {"target": str(target), **said} if said else str(target)


def _key(key: Key, config: Config) -> dict[str, object]:
    return {
        "name": key.name,
        "key": _secret(key.key),
        "tenant": key.tenant,
        "project": key.project,
        "models": None if key.models is None else list(key.models),
        "user": "trusted" if key.trusted_user else None,
        "overrides": "allowed" if key.overrides else None,
        **show_key(key, config),
    }
