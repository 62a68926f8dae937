"""The names callers can use under a configuration: what `routing/names.py` needs to know of it."""

from __future__ import annotations

from penstock.config.kinds import rows_of
from penstock.config.schema import Config
from penstock.routing.names import Found, Names

__all__ = ["model_of", "names_of"]


def names_of(config: Config) -> Names:
    """Every name of `config`, compiled for the request path."""
    catalogue = rows_of(config)
    on = {
        provider.name: catalogue[provider.kind].models if provider.kind in catalogue else ()
        for provider in config.providers.values()
        if not provider.off
    }
    off = {provider.name: provider.off for provider in config.providers.values() if provider.off}
    routes = {route.name: route.targets[0] for route in config.models.values()}
    return Names(routes, on, config.default_model, off)


def model_of(config: Config, found: Found) -> tuple[str, str]:
    """The kind of provider and the vendor's name by which the model that was found is known: what `is:` says, if so."""
    known = config.known_as.get(found.deployment)
    if known is None:
        return config.providers[found.provider].kind, found.model
    kind, _, model = known.partition("/")
    return kind, model
