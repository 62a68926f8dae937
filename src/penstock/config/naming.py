"""The names callers can use under a configuration: what `routing/names.py` needs to know of it."""

from __future__ import annotations

from penstock.config.kinds import rows_of
from penstock.config.schema import Config
from penstock.routing.names import Names

__all__ = ["names_of"]


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
