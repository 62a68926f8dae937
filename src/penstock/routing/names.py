"""From the name a caller asks for to a provider and its model, and who may ask for which. Pure.

A model is sought as a name under `models:`, as `provider/model` split at the first slash, then as a bare vendor
name that exactly one provider has. All names known at load are one dict; others are worked out each time and
never kept, so strangers' names fill no memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from penstock.errors import UnknownModel
from penstock.routing.nearest import did_you_mean, quoted
from penstock.routing.patterns import expression

__all__ = ["AllowList", "Found", "Names", "Target"]

# Above any vendor's model name; what is longer is not matched against patterns at all.
_LONGEST_NAME = 256
_MOST_LISTED = 20


class Target(NamedTuple):
    """What a request is sent to; prints as `provider/model`."""

    provider: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


class Found(NamedTuple):
    """A name that was found.

    Attributes:
        name: the name asked for; where none was given, the default model's.
        route: the same name if it stands under `models:`, else "".
        provider, model: where it leads; of several targets the first that is on.
        deployment: `provider/model`.
        others: where else it leads, as `provider/model`, in their order.
    """

    name: str
    route: str
    provider: str
    model: str
    deployment: str
    others: tuple[str, ...] = ()


def _everything(found: Found) -> bool:
    return True


class Names:
    """Every name callers can use, compiled from the configuration.

    Args:
        routes: what stands under `models:`, each with its targets. A name whose providers are all off is dead.
        providers: each provider that is on, with the models it is known to have (other models are tried too).
        default_model: for calls that name none; a route or `provider/model`.
        off: each provider that is switched off, and why.
        sold: for each provider whose models are too many to list, switched off or not, whether it has one of that name.
    """

    def __init__(
        self,
        routes: Mapping[str, Sequence[Target]],
        providers: Mapping[str, Iterable[str]],
        default_model: str | None = None,
        off: Mapping[str, str] | None = None,
        sold: Mapping[str, Callable[[str], bool]] | None = None,
    ) -> None:
        self._providers = frozenset(providers)
        self._off = dict(off or {})
        self._sold = dict(sold or {})
        self._default = default_model
        self._route_names = list(routes)
        self._known: dict[str, Found] = {}
        live = {name: [target for target in routes[name] if target.provider not in self._off] for name in routes}
        self._dead = {name: self._why_off(routes[name]) for name, targets in live.items() if not targets}
        self._candidates: dict[str, list[Target]] = {}
        for name, targets in live.items():
            if targets:
                first, *others = targets
                self._known[name] = Found(name, name, *first, str(first), tuple(map(str, others)))
            for target in targets:
                self._add_target(target)
        for provider, models in providers.items():
            for model in models:
                self._add_target(Target(provider, model))
        self._add_bare_names()

    def _why_off(self, targets: Iterable[Target]) -> str:
        return "; ".join(dict.fromkeys(self._off[target.provider] for target in targets))

    def _add_target(self, target: Target) -> None:
        if str(target) in self._dead:
            return
        self._known.setdefault(str(target), Found(str(target), "", target.provider, target.model, str(target)))
        same = self._candidates.setdefault(target.model, [])
        if target not in same:
            same.append(target)

    def _add_bare_names(self) -> None:
        for model, targets in self._candidates.items():
            first = model.partition("/")[0]
            is_qualified = "/" in model and (first in self._providers or first in self._off)
            if len(targets) == 1 and model not in self._dead and not is_qualified:
                target = targets[0]
                self._known.setdefault(model, Found(model, "", target.provider, target.model, str(target)))

    def find(self, name: str, visible: Callable[[Found], bool] = _everything) -> Found:
        """What `name` leads to; the default model for an empty name.

        Args:
            visible: which names the caller may learn of from the error.

        Raises:
            UnknownModel: there is none; the message names the nearest ones, `do` what exists.
        """
        found = self._known.get(name)
        if found is not None:
            return found
        if not name:
            return self._find_default(visible)
        if len(name) <= _LONGEST_NAME and name not in self._dead:
            provider, slash, model = name.partition("/")
            if slash and model and provider in self._providers:
                return Found(name, "", provider, model, name)
            sellers = self._sellers(name)
            if len(sellers) == 1:
                return sellers[0]
        raise self._unknown(name, visible)

    def _sellers(self, name: str) -> list[Found]:
        """Who has a model of that name, by what is known of vendors; none for a name that is known otherwise."""
        if self._candidates.get(name):
            return []
        has = (provider for provider, sells in self._sold.items() if provider in self._providers and sells(name))
        return [Found(name, "", provider, name, f"{provider}/{name}") for provider in has]

    def _find_default(self, visible: Callable[[Found], bool]) -> Found:
        if self._default:
            return self.find(self._default, visible)
        # A missing field, not a missing thing: 400, as OpenAI has it.
        do = self._what_exists(visible)
        raise UnknownModel("no model was named, and there is no default_model", do=do, param="model", status=400)

    def _unknown(self, name: str, visible: Callable[[Found], bool]) -> UnknownModel:
        do = self._what_exists(visible)
        if why := self._dead.get(name) or self._why_absent(name):
            return UnknownModel(f"model {quoted(name)} is switched off: {why}", do=do)
        several = self._candidates.get(name, [])
        shown = [str(target) for target in several if visible(self._known[str(target)])]
        shown += [found.deployment for found in self._sellers(name) if visible(found)]
        if len(shown) > 1:
            return UnknownModel(
                f"model {quoted(name)} is ambiguous: more than one provider has it", do=f"ask for {' or '.join(shown)}"
            )
        near = did_you_mean(name, (found.name for found in self._known.values() if visible(found)))
        return UnknownModel(f"unknown model {quoted(name)}{near}", do=do)

    def _why_absent(self, name: str) -> str:
        """Why nobody is asked who would have a model of that name; "" where nobody is known who would."""
        provider, slash, model = name.partition("/")
        if slash and model and provider in self._off:
            return self._off[provider]
        if len(name) > _LONGEST_NAME or self._candidates.get(name):
            return ""
        return " or ".join(why for each, why in self._off.items() if each in self._sold and self._sold[each](name))

    def _what_exists(self, visible: Callable[[Found], bool]) -> str:
        listed = [found.name for found in self.listed(visible)]
        ways = []
        if listed:
            more = f" and {len(listed) - _MOST_LISTED} more" if len(listed) > _MOST_LISTED else ""
            ways.append(f"one of: {', '.join(listed[:_MOST_LISTED])}{more}")
        # A caller who may ask for a model of no particular name may ask for any of that provider.
        free = [name for name in sorted(self._providers) if visible(Found(f"{name}/", "", name, "", f"{name}/"))]
        if free:
            ways.append(f"provider/model, provider being one of: {', '.join(free)}")
        return f"ask for {'; or '.join(ways)}" if ways else "no model can be asked for here"

    def listed(self, visible: Callable[[Found], bool] = _everything) -> list[Found]:
        """What `/v1/models` shows: the names under `models:` in their order, then every known `provider/model`."""
        routes = [found for found in self._known.values() if found.route]
        others = [found for found in self._known.values() if not found.route and found.name == found.deployment]
        return [found for found in (*routes, *others) if visible(found)]

    @property
    def routes(self) -> Sequence[str]:
        """The names under `models:`, those that are switched off included."""
        return self._route_names


class AllowList:
    """What a key may ask for: `allow_list.admits(names.find(asked))`.

    Args:
        patterns: names and patterns where `*` stands for anything (`openai/*`); None or empty: every name under
            `models:` and no other.

    A pattern matches the name asked for or a `provider/model` it leads to. Who may ask for a name may use all that it
    leads to; who may only ask for some of these may use those (`gateway/variants.py`).
    """

    __slots__ = ("_everything", "_exact", "_match")

    def __init__(self, patterns: Sequence[str] | None) -> None:
        self._everything = "*" in (patterns or ())
        self._exact = frozenset(pattern for pattern in patterns or () if "*" not in pattern)
        wild = [pattern for pattern in patterns or () if "*" in pattern]
        self._match = re.compile("|".join(map(expression, wild)), re.DOTALL).fullmatch if wild else None

    def admits(self, found: Found) -> bool:
        """Whether the name that was found may be used."""
        if self._everything:
            return True
        if found.name in self._exact or found.deployment in self._exact:
            return True
        if self._match is not None:
            if self._match(found.name) is not None or self._match(found.deployment) is not None:
                return True
        elif not self._exact:
            return bool(found.route)
        return any(map(self._fits, found.others))

    def _fits(self, name: str) -> bool:
        if self._everything or name in self._exact:
            return True
        return self._match is not None and self._match(name) is not None
