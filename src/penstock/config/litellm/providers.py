"""Which providers LiteLLM's deployments come to, and what each is called."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from penstock.config.litellm.deployments import Deployment, Where, whole_parts

__all__ = ["Providers", "Spec"]

_ANY_HOST = frozenset(("api", "www", "llm", "inference", "gateway", "localhost", "host"))
_IN_VARIABLES = frozenset(("api", "key", "token", "secret", "openai", "litellm", "sk", "prod"))


class Spec(NamedTuple):
    """A provider without its name. `keys`: one, or several with their weights."""

    where: Where
    keys: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, deployments: Iterable[Deployment]) -> Spec:
        """The provider of deployments that differ in their key alone."""
        weights: dict[str, float] = {}
        first: Deployment | None = None
        for each in deployments:
            first = first or each
            weights[each.key] = weights.get(each.key, 0) + (each.weight or 1)
        assert first is not None
        several = len(weights) > 1
        parts = whole_parts(weights.values()) if several else [1]
        return cls(first.where, tuple(zip(weights, parts, strict=True)))


class Providers:
    """Names providers, each once."""

    def __init__(self) -> None:
        self._names: dict[Spec, str] = {}

    def take(self, name: str, spec: Spec) -> bool:
        """Call a provider so, if neither has been named yet; returns whether it is called so now."""
        if spec not in self._names and name not in self._names.values():
            self._names[spec] = name
        return self._names.get(spec) == name

    def name(self, spec: Spec) -> str:
        """What a provider is called: its kind, or what tells it from others of its kind."""
        known = self._names.get(spec)
        if known is not None:
            return known
        taken = set(self._names.values())
        found = next(name for name in _candidates(spec) if name not in taken)
        self._names[spec] = found
        return found

    def targets(self, deployment: Deployment) -> list[str]:
        """What a deployment is called: `provider/model`, of every provider that has its key."""
        return [
            f"{name}/{deployment.model}"
            for spec, name in self._names.items()
            if spec.where == deployment.where and deployment.key in [key for key, _ in spec.keys]
        ]

    def written(self) -> dict[str, dict[str, Any]]:
        """All of them as they stand under `providers:`."""
        return {name: _entry(name, spec) for spec, name in self._names.items()}


def _candidates(spec: Spec) -> Iterable[str]:
    kind, url = spec.where.kind, spec.where.url
    host = _host(url)
    # Elsewhere than at OpenAI, the kind says how it is spoken to and not who it is.
    if not (kind == "openai" and url):
        yield kind
        yield from (f"{kind}-{word}" for word in (_variable(spec), host) if word)
    elif host:
        yield host
    kind = kind if kind != "openai" or not url else host or "local"
    if kind != spec.where.kind:
        yield kind
    for number in range(2, 10_000):
        yield f"{kind}-{number}"


def _host(url: str) -> str:
    labels = (urlsplit(url).hostname or "").split(".")
    if not labels or labels[-1].isdigit() or ":" in labels[0]:
        return ""
    named = [label for label in labels[: max(len(labels) - 1, 1)] if label not in _ANY_HOST]
    return named[0] if named else ""


def _variable(spec: Spec) -> str:
    """What tells its key's variable from others: `eu` of `AZURE_API_KEY_EU`."""
    if spec.keys[0][0] == "none":
        return ""
    kind = set(re.split(r"[-._]", spec.where.kind))
    words = re.split(r"_+", spec.keys[0][0].removeprefix("env:").lower())
    return "-".join(word for word in words if word and word not in _IN_VARIABLES | kind)


def _entry(name: str, spec: Spec) -> dict[str, Any]:
    where = spec.where
    entry: dict[str, Any] = {}
    if name != where.kind:
        entry["kind"] = where.kind
    if where.url:
        entry["base_url"] = where.url
    if where.version:
        entry["api_version"] = where.version
    if len(spec.keys) == 1:
        entry["api_key"] = spec.keys[0][0]
    else:
        entry["credentials"] = [
            {"name": _credential(key), "api_key": key, **({"weight": weight} if weight != 1 else {})}
            for key, weight in spec.keys
        ]
    if where.region:
        entry["region"] = where.region
    return entry


def _credential(key: str) -> str:
    return key.removeprefix("env:").lower().replace("_", "-") if key != "none" else "none"
