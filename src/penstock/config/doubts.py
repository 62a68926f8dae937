"""What a configuration's parts mean to each other: names that lead nowhere are refused, and what can never be reached
is told as a doubt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from penstock.config.naming import leads_somewhere, sellers_of, targets_behind
from penstock.config.schema import Config, Key, Provider
from penstock.config.stored import is_stored
from penstock.config.tree import Node, Problems
from penstock.providers.models import known, models_of
from penstock.routing.names import AllowList, Found, Names
from penstock.routing.nearest import did_you_mean, nearest, quoted

__all__ = ["check_allowed", "check_reach", "may_match"]


def check_allowed(problems: Problems, keys: Iterable[tuple[Key, Node]], config: Config, names: Names) -> None:
    """Refuse names and patterns of keys that allow nothing: a misspelt one would do so silently."""
    for key, node in keys:
        for item in node.value if isinstance(node.value, list) else []:
            name = item.value
            if not isinstance(name, str) or not name:
                continue
            if "*" not in name and not leads_somewhere(name, config, names):
                near = did_you_mean(name, config.models)
                problems.add(item.place, f"key {quoted(key.name)} may ask for {quoted(name)}, which is no model{near}")
            elif "*" in name and not may_match(name, config, names):
                message = (
                    f"key {quoted(key.name)} may ask for {quoted(name)}, which no model fits{_meant(name, config)}"
                )
                # Of vendors' own names more may exist than are known.
                certain = "/" in name.partition("*")[0] or not sellers_of(config)
                (problems.add if certain else problems.doubt)(item.place, message)


def may_match(pattern: str, config: Config, names: Names) -> bool:
    """Whether some name that callers can ask for may fit a pattern."""
    begin = pattern.partition("*")[0]
    provider, slash, _ = begin.partition("/")
    if slash and provider in config.providers:
        return True
    # Any name may follow a provider's, so that nothing need be known of its models.
    if not slash and any(f"{name}/".startswith(begin) for name in config.providers):
        return True
    admits = AllowList([pattern]).admits
    routes = [Found(name, name, "", "", name) for name in config.models]
    bare = [found._replace(name=found.model) for found in names.listed()]
    if any(map(admits, (*routes, *names.listed(), *bare))):
        return True
    sold = (model.id for kind in sellers_of(config).values() for model in models_of(kind))
    return any(admits(Found(name, "", "", name, name)) for name in sold)


def _meant(pattern: str, config: Config) -> str:
    provider, slash, rest = pattern.partition("/")
    if not slash and (near := did_you_mean(pattern.strip("*"), config.models)):
        return near
    if not slash:
        return f" (did you mean {quoted(f'{next(iter(config.providers))}/{pattern}')}?)" if config.providers else ""
    near = did_you_mean(provider, config.providers)
    return near.replace('"?)', f'/{rest}"?)') if near.count('"') == 2 else near


def check_reach(problems: Problems, root: Node, keys: Sequence[tuple[Key, Node]], config: Config, names: Names) -> None:
    """Doubt what nobody can be answered by or ask for, and what never comes to pass."""
    fields = root.value if isinstance(root.value, dict) else {}
    _doubt_routes(problems, fields, config)
    _doubt_models(problems, fields, config)
    _doubt_keys(problems, keys, config)
    if keys and config.auth == "required":
        _doubt_providers(problems, fields, keys, config, names)


def _doubt_routes(problems: Problems, fields: Mapping[str, Node], config: Config) -> None:
    models = fields["models"].value if "models" in fields else None
    for name, route in config.models.items():
        led = [config.providers[target.provider] for target in route.targets if target.provider in config.providers]
        if led and all(_is_off(provider) for provider in led) and isinstance(models, dict):
            off = {provider.name: provider.off for provider in led}
            why = "; ".join(f"the provider {quoted(each)} is switched off: {reason}" for each, reason in off.items())
            problems.doubt(models[name].key, f"model {quoted(name)} cannot be asked for: {why}")
    default = config.providers.get((config.default_model or "").partition("/")[0])
    if default is not None and _is_off(default) and config.default_model not in config.models:
        message = f"default_model leads to the provider {quoted(default.name)}, which is switched off: {default.off}"
        problems.doubt(fields["default_model"].place, message)


def _doubt_models(problems: Problems, fields: Mapping[str, Node], config: Config) -> None:
    """A target at a vendor's own address whose model is all but one that the vendor has."""
    models = fields["models"].value if "models" in fields else None
    sellers = sellers_of(config)
    for name, route in config.models.items():
        for target in route.targets:
            kind = sellers.get(target.provider, "")
            if not kind or known(kind, target.model) is not None or not isinstance(models, dict):
                continue
            model = target.model.removeprefix(f"{kind}/")
            near = [model] if model != target.model else nearest(model, _sold(kind), 1, alike=0.88)
            if near:
                message = f"{target} is no model that {kind} is known to have"
                place = models[name].key
                problems.doubt(place, f"{message} (did you mean {quoted(f'{target.provider}/{near[0]}')}?)")


def _sold(kind: str) -> list[str]:
    return [model.id for model in models_of(kind)]


def _is_off(provider: Provider) -> bool:
    """Whether it is off for more than that its credential has still to come from the store."""
    return bool(provider.off) and not any(
        map(is_stored, (provider.api_key, *(c.api_key for c in provider.credentials)))
    )


def _doubt_keys(problems: Problems, keys: Iterable[tuple[Key, Node]], config: Config) -> None:
    for key, node in keys:
        if key.models is None and not config.models:
            problems.doubt(
                node.place,
                f"key {quoted(key.name)} may ask for nothing: without models it may ask for what stands under models,"
                ' and nothing does; write models: ["*"] to allow everything',
            )


def _doubt_providers(
    problems: Problems,
    fields: Mapping[str, Node],
    keys: Iterable[tuple[Key, Node]],
    config: Config,
    names: Names,
) -> None:
    """A provider that no model leads to and no key may ask for."""
    written = fields["providers"].value if "providers" in fields else None
    led = {target.provider for name in config.models for target in targets_behind(name, config, names)}
    patterns = [pattern for key, _ in keys for pattern in key.models or ()]
    begins = [pattern.partition("*")[0] for pattern in patterns if "*" in pattern]
    bare = [begin for begin in begins if begin.partition("/")[0] not in config.providers]
    sellers = sellers_of(config)
    for name, provider in config.providers.items():
        asked = any(f"{name}/".startswith(begin) or begin.startswith(f"{name}/") for begin in begins)
        asked = asked or (name in sellers and bool(bare))
        # A bare name of a vendor's model may lead there too.
        exact = [pattern for pattern in patterns if "*" not in pattern and pattern not in config.models]
        if _is_off(provider) or name in led or asked or exact or not isinstance(written, dict):
            continue
        message = f"provider {quoted(name)} is used by no model, and no key may ask for it"
        problems.doubt(written[name].key, message)
