"""Rules about models, deployments and providers that no call is known to reach: most likely they are misspelt."""

from __future__ import annotations

import re
from collections.abc import Iterable

from penstock.config.doubts import may_match
from penstock.config.naming import sellers_of, targets_behind
from penstock.config.rules import Written
from penstock.config.schema import Config
from penstock.config.tree import Problems
from penstock.providers.models import known, models_of
from penstock.routing.names import Names
from penstock.routing.nearest import did_you_mean, nearest, quoted
from penstock.routing.patterns import expression

__all__ = ["doubt_reach"]

# As near as one letter in eight: a vendor's own names differ by little.
_OF_A_VENDOR = 0.88


def doubt_reach(problems: Problems, written: Iterable[Written], config: Config, names: Names) -> None:
    """Every rule of `scope: model`, `deployment` or `provider` that was found right.

    Args:
        names: of the configuration.
    """
    led = sorted({str(target) for name in config.models for target in targets_behind(name, config, names)})
    there = {"model": [*config.models], "deployment": led, "provider": [*config.providers]}
    closed = _is_closed(config)
    for each in written:
        scope, match = each.rule.scope, each.rule.match
        if scope not in there or not match or _fit(match, there[scope]):
            continue
        place, shown = each.matched.place, quoted(match)
        if "*" in match and not _may_reach(scope, match, config, names):
            near = did_you_mean(match.replace("*", ""), there[scope])
            problems.doubt(place, f"{shown} can never act: no {scope} fits it{near}")
        elif near := _meant(match, led, config, names):
            problems.doubt(place, f"no model or deployment is known that {shown} could be about{near}")
        elif scope == "model" and closed:
            why = "no key that is declared may ask for anything but the names under models"
            instead = ": to hold for what they lead to, write scope: deployment" if "/" in match else ""
            problems.doubt(place, f"{shown} can never act: {why}{instead}")


def _fit(match: str, there: Iterable[str]) -> bool:
    """Whether a name is there, or one that fits a pattern."""
    if "*" not in match:
        return match in there
    fits = re.compile(expression(match), re.DOTALL).fullmatch
    return any(fits(name) for name in there)


def _may_reach(scope: str, pattern: str, config: Config, names: Names) -> bool:
    """Whether some name may fit a pattern: any model may follow a provider's."""
    if scope == "model":
        return may_match(pattern, config, names)
    begin, slash, _ = pattern.partition("/")
    if not slash or "*" not in begin:
        return scope == "deployment" and any(
            f"{name}/".startswith(begin.partition("*")[0]) for name in config.providers
        )
    return _fit(begin, config.providers)


def _meant(match: str, led: Iterable[str], config: Config, names: Names) -> str:
    """What is nearly the same as a deployment of which nothing is known: ` (did you mean "x"?)`, or nothing."""
    provider, _, model = match.partition("/")
    if not model or provider not in config.providers:
        return ""
    of_it = [name for name in led if name.startswith(f"{provider}/")]
    of_it += [found.deployment for found in names.listed() if found.provider == provider]
    kind = sellers_of(config).get(provider, "")
    sold = [each.id for each in models_of(kind)] if kind else []
    if _fit(match, of_it) or _fit(model, sold) or (kind and known(kind, model) is not None):
        return ""
    near = nearest(match.replace("*", ""), of_it, 1)
    near = near or [f"{provider}/{each}" for each in nearest(model.replace("*", ""), sold, 1, alike=_OF_A_VENDOR)]
    return f" (did you mean {quoted(near[0])}?)" if near else ""


def _is_closed(config: Config) -> bool:
    """Whether keys are declared, and each asks for names under `models:` alone."""
    asked = {name for key in config.keys for name in key.models or ()}
    return config.auth == "required" and bool(config.keys) and asked <= set(config.models)
