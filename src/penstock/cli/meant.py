"""Which model did somebody mean who asked for one that is not there?"""

from __future__ import annotations

from collections.abc import Iterator

from penstock.config.schema import Config
from penstock.providers.catalogue import Row, load_catalogue
from penstock.providers.models import models_of
from penstock.providers.simulated import MODELS
from penstock.routing.nearest import did_you_mean, nearest, quoted

__all__ = ["meant_model"]

# As many as `nearest` looks at.
_MOST = 200
_ALIKE = 0.75


def meant_model(name: str, config: Config) -> str:
    """What to do about a name that a configuration's providers do not have, "" where nothing comes near it."""
    if said := _sold(name, config):
        return said
    near = sorted(_names(name, config), key=lambda each: abs(len(each) - len(name)))
    if said := did_you_mean(name, near[:_MOST], alike=_ALIKE):
        return f"Did {said[6:-1]}"
    others = sorted(dict.fromkeys(_others(name)), key=lambda each: abs(len(each) - len(name)))
    if name.isalpha() and any(name in each for each in others):  # a family, which no one model of it is
        return f"`penstock models {name}` lists what there is."
    meant = nearest(name, others, 1, alike=_ALIKE)
    return f"Did you mean {quoted(meant[0])}? {_sold(meant[0], config)}" if meant else ""


def _sold(name: str, config: Config) -> str:
    """Who has a model of exactly that name, and how to have them asked; "" where somebody who can be asked has it."""
    rows = load_catalogue()
    wanted, _, bare = name.partition("/")
    vendors = [kind for kind, row in rows.items() if row.switches_on and row.env and _sells(row, name)]
    if wanted in rows and rows[wanted].env and _sells(rows[wanted], bare):
        vendors = [wanted]  # who is named, not who sells the maker's model as well
    if not vendors or any(each.kind in vendors for each in config.providers.values()):
        return ""
    variables = " or ".join(rows[kind].env for kind in vendors)
    have = "has" if len(vendors) == 1 else "have"
    return f"{' and '.join(vendors)} {have} it: set {variables}, or name the provider in a configuration."


def _sells(row: Row, name: str) -> bool:
    return any(model.id == name for model in models_of(row.name)) and row.sells(name)


def _others(name: str) -> Iterator[str]:
    """Models of the vendors whose key is all that is missing; they begin with the same letter."""
    for row in load_catalogue().values():
        if row.by_default:
            yield from (model.id for model in models_of(row.name) if model.id[:1].lower() == name[:1].lower())


def _names(name: str, config: Config) -> Iterator[str]:
    """What may be meant: models of the provider that is named, else of all; they begin with the same letter."""
    wanted, slash, bare = name.partition("/")
    first = (bare if slash else name)[:1].lower()
    for provider in config.providers.values():
        if slash and wanted != provider.name:
            continue
        ids = MODELS if provider.kind == "sim" else [model.id for model in models_of(provider.kind)]
        for id in ids:
            if id[:1].lower() == first:
                yield f"{provider.name}/{id}" if slash else id
