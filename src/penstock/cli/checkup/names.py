"""What callers can ask for: whether every name leads somewhere, and every key may ask for something."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from penstock.cli.checkup.findings import Finding, fail, note, ok
from penstock.config.kinds import rows_of
from penstock.config.naming import names_of
from penstock.config.schema import Config
from penstock.providers.models import known, models_of
from penstock.routing.names import AllowList, Target
from penstock.routing.nearest import did_you_mean, quoted

__all__ = ["check_models", "check_routes"]

ROUTE, MODEL = "route", "model"


def check_routes(config: Config) -> Iterator[Finding]:
    """Names that lead nowhere, keys that may ask for nothing."""
    names = names_of(config)
    for route in config.models.values():
        dead = [target.provider for target in route.targets if config.providers[target.provider].off]
        if len(dead) == len(route.targets):
            why = config.providers[dead[0]].off
            fix = f"Switch {dead[0]} on, or give the model a target elsewhere."
            yield fail(ROUTE, route.name, f"leads nowhere: {dead[0]} is switched off ({why})", fix)
        else:
            yield ok(ROUTE, route.name, f"leads to {', '.join(map(str, route.targets))}")
    for key in config.keys:
        listed = [found.name for found in names.listed(AllowList(key.models).admits)]
        # A pattern such as openai/* admits models that nobody has listed.
        if not listed and not any("*" in pattern for pattern in key.models or ()):
            fix = f'Declare names under models:, or write models: ["PROVIDER/*"] on {key.name}.'
            yield fail(ROUTE, f"key {key.name}", "may ask for no model at all", fix)
    if config.default_model is None and not config.models:
        fix = "Write default_model: NAME for callers that name none; nothing to do if all of them do."
        yield note(
            ROUTE, "", "a call must name a model as provider/model: none is declared and none is the default", fix
        )


def check_models(config: Config, listed: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    """Targets that their provider does not know.

    Args:
        listed: the models a provider says it has, where it was asked; else those of the catalogue count.
    """
    rows = rows_of(config)
    for name, route in config.models.items():
        for target in route.targets:
            provider = config.providers[target.provider]
            row = rows[provider.kind]
            if row.by_deployment:
                if listed.get(target.provider):
                    yield _not_listed(name, target)
                continue
            have = listed.get(target.provider) or row.models
            # What stands behind a colon is not part of a simulated model's name: it is what shall go wrong with it.
            model = target.model.partition(":")[0] if not provider.base_url else target.model
            if have and model not in have:
                yield _unknown(name, target, have)
            elif not have and provider.base_url == row.url:
                yield from _unheard_of(name, target, row.name)


def _unknown(name: str, target: Target, have: Sequence[str]) -> Finding:
    near = did_you_mean(target.model, have)
    fix = f"Write one of: {', '.join(have[:8])}{' ...' if len(have) > 8 else ''}"
    return fail(MODEL, name, f"{target.provider} has no model {quoted(target.model)}{near}", f"{fix}.")


def _not_listed(name: str, target: Target) -> Finding:
    """Azure lists the models there are, and not the deployments that have been made of them."""
    told = f"{target.provider} lists no deployments, so {quoted(target.model)} was not looked for"
    return note(MODEL, name, told, "penstock rehearse --now asks each target for one token.")


def _unheard_of(name: str, target: Target, kind: str) -> Iterator[Finding]:
    """A vendor's model that the table of prices does not have: new, or misspelt."""
    models = models_of(kind)
    if models and known(kind, target.model) is None:
        near = did_you_mean(target.model, (model.id for model in models))
        told = f"{quoted(target.model)} is no model of {kind}'s that this version knows{near}"
        yield note(MODEL, name, told, "Correct it, or look with --ask; one that is newer than this version works too.")
