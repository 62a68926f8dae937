"""What a configuration's parts mean to each other: names that lead nowhere are refused, and what can never be reached
is told as a doubt.
"""

from __future__ import annotations

from collections.abc import Iterable

from penstock.config.schema import Config, Key
from penstock.config.tree import Node, Problems
from penstock.errors import UnknownModel
from penstock.routing.names import AllowList, Found, Names
from penstock.routing.nearest import did_you_mean, quoted

__all__ = ["check_allowed", "check_reach", "leads_somewhere"]


def leads_somewhere(name: str, config: Config, names: Names) -> bool:
    """Whether a caller could ask for it. What is switched off for now is still declared."""
    if name in config.models or name.partition("/")[0] in config.providers:
        return True
    try:
        names.find(name)
    except UnknownModel:
        return False
    return True


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
            elif "*" in name and not _may_match(name, config, names):
                near = _meant(name, config)
                problems.add(
                    item.place, f"key {quoted(key.name)} may ask for {quoted(name)}, which no model fits{near}"
                )


def _may_match(pattern: str, config: Config, names: Names) -> bool:
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
    return any(map(admits, (*routes, *names.listed(), *bare)))


def _meant(pattern: str, config: Config) -> str:
    provider, slash, rest = pattern.partition("/")
    if not slash and (near := did_you_mean(pattern.strip("*"), config.models)):
        return near
    if not slash:
        return f" (did you mean {quoted(f'{next(iter(config.providers))}/{pattern}')}?)" if config.providers else ""
    near = did_you_mean(provider, config.providers)
    return near.replace('"?)', f'/{rest}"?)') if near.count('"') == 2 else near


def check_reach(problems: Problems, root: Node, keys: Iterable[tuple[Key, Node]], config: Config) -> None:
    """Doubt models that nobody can be answered by, and keys that may ask for nothing."""
    fields = root.value if isinstance(root.value, dict) else {}
    models = fields["models"].value if "models" in fields else None
    for name, route in config.models.items():
        off = [config.providers[target.provider] for target in route.targets if target.provider in config.providers]
        if off and all(provider.off for provider in off) and isinstance(models, dict):
            why = "; ".join(f"the provider {quoted(provider.name)} is switched off: {provider.off}" for provider in off)
            problems.doubt(models[name].key, f"model {quoted(name)} cannot be asked for: {why}")
    default = config.providers.get((config.default_model or "").partition("/")[0])
    if default is not None and default.off and config.default_model not in config.models:
        message = f"default_model leads to the provider {quoted(default.name)}, which is switched off: {default.off}"
        problems.doubt(fields["default_model"].place, message)
    for key, node in keys:
        if key.models is None and not config.models:
            problems.doubt(
                node.place,
                f"key {quoted(key.name)} may ask for nothing: without models it may ask for what stands under models,"
                ' and nothing does; write models: ["*"] to allow everything',
            )
