"""The names callers can use under a configuration: what `routing/names.py` needs to know of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from penstock.config.kinds import rows_of
from penstock.config.schema import BUILT_IN, Config
from penstock.errors import UnknownModel
from penstock.providers.catalogue import Row
from penstock.providers.models import known
from penstock.routing.names import Found, Names, Target

__all__ = ["leads_somewhere", "model_of", "names_of", "sellers_of", "targets_behind"]


def names_of(config: Config) -> Names:
    """Every name of `config`, compiled for the request path."""
    catalogue = rows_of(config)
    on = {
        provider.name: catalogue[provider.kind].models if provider.kind in catalogue else ()
        for provider in config.providers.values()
        if not provider.off
    }
    off = {provider.name: provider.off for provider in config.providers.values() if provider.off}
    if config.source == BUILT_IN:  # where a variable is all that is missing
        rows = (row for row in catalogue.values() if row.by_default and row.name not in config.providers)
        off |= {row.name: f"{row.env} is not set" for row in rows}
    routes = {route.name: route.targets for route in config.models.values()}
    sold: dict[str, Callable[[str], bool]] = {
        name: partial(_is_sold, catalogue[kind]) for name, kind in sellers_of(config).items()
    }
    if config.source == BUILT_IN:
        sold |= {name: partial(_is_sold, catalogue[name]) for name in off}
    return Names(routes, on, config.default_model, off, sold)


def sellers_of(config: Config) -> dict[str, str]:
    """Providers at their vendor's own address, with their kinds: the table of models knows what they have.

    What stands elsewhere may be anything.
    """
    catalogue = rows_of(config)
    found = {}
    for provider in config.providers.values():
        row = catalogue.get(provider.kind)
        if row is not None and row.url and not provider.off and provider.base_url == row.url:
            found[provider.name] = row.name
    return found


def _is_sold(row: Row, model: str) -> bool:
    return known(row.name, model) is not None and row.sells(model)


def model_of(config: Config, found: Found) -> tuple[str, str]:
    """The kind of provider and the vendor's name by which the model that was found is known: what `is:` says, if so."""
    declared = config.known_as.get(found.deployment)
    if declared is None:
        return config.providers[found.provider].kind, found.model
    kind, _, model = declared.partition("/")
    return kind, model


def leads_somewhere(name: str, config: Config, names: Names) -> bool:
    """Whether a caller could ask for it. What is switched off for now is still declared."""
    if name in config.models or name.partition("/")[0] in config.providers:
        return True
    try:
        names.find(name)
    except UnknownModel:
        return False
    return True


def targets_behind(name: str, config: Config, names: Names) -> Iterator[Target]:
    """All that a call may reach by falling back to a name: its targets, and those it falls back to itself."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        one = waiting.pop(0)
        route = config.models.get(one)
        if one in seen:
            continue
        seen.add(one)
        if route is not None:
            yield from route.targets
            waiting += route.fallback
            continue
        try:
            found = names.find(one)
        except UnknownModel:
            # Switched off, or told already.
            provider, _, model = one.partition("/")
            yield Target(provider, model)
        else:
            yield Target(found.provider, found.model)
