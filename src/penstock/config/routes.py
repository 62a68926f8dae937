"""Reads `models:`: what callers ask for, which targets answer, and what holds for them."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

import msgspec

from penstock.config import values
from penstock.config.limits import MOST_ATTEMPTS, MOST_WEIGHT
from penstock.config.policies import read_policies
from penstock.config.reader import Reader
from penstock.config.schema import Defaults, Policies, Provider, Route, Terms
from penstock.config.targets import check_regions, read_regions
from penstock.config.tree import Node
from penstock.providers.catalogue import Row, load_catalogue
from penstock.providers.models import known
from penstock.routing.names import Target
from penstock.routing.nearest import did_you_mean, quoted

__all__ = ["read_routes"]

_WEIGHT = values.whole("weight", 0, MOST_WEIGHT)
_ATTEMPTS = values.whole("max_attempts", 1, MOST_ATTEMPTS)


def read_routes(
    reader: Reader, node: Node | None, providers: Mapping[str, Provider], defaults: Defaults
) -> dict[str, Route]:
    """`models:`, each under the name callers ask for."""
    found: dict[str, Route] = {}
    if node is None:
        return found
    for name, entry in reader.entries(node, "NAME: {targets: [provider/model]}").items():
        if not values.LABEL.fullmatch(name) or "*" in name:
            reader.problems.add(entry.key, f"a model's name has no space and no *: {quoted(name)}")
            continue
        if not isinstance(entry.value, dict):
            reader.problems.add(entry.place, f"write {{targets: {_listed(entry)}}}")
            continue
        fields = reader.fields(entry, "model")
        regions = read_regions(reader, fields.get("regions"))
        terms = _Targets(reader, providers, regions, reader.entries(node)).read(entry, fields.get("targets"))
        policies = read_policies(reader, fields, _inherited(defaults, name))
        if terms and "hedge" not in fields and not _has_second(terms, providers):
            policies["hedge"] = None
        found[name] = Route(
            name=name,
            # One whose targets are wrong is kept by name, so that what refers to it is not reported as well.
            targets=tuple(terms) or (Target("", name),),
            terms={target: said for target, said in terms.items() if said != Terms()},
            regions=regions,
            **policies,
        )
    return found


def _listed(entry: Node) -> str:
    """What stands where a mapping should, if that is a target or a list of them."""
    items = [item.value for item in entry.value] if isinstance(entry.value, list) else [entry.value]
    plain = [item for item in items if isinstance(item, str) and len(item) <= 80 and "/" in item.strip("/")]
    return f"[{', '.join(plain)}]" if plain and len(plain) == len(items) else "[provider/model]"


def _inherited(defaults: Defaults, name: str) -> Policies:
    """What holds for a model that says nothing. One that all fall back to falls back to those behind it."""
    if name not in defaults.fallback:
        return defaults
    return msgspec.structs.replace(defaults, fallback=defaults.fallback[defaults.fallback.index(name) + 1 :])


def _has_second(targets: Iterable[Target], providers: Mapping[str, Provider]) -> bool:
    """Whether there is another deployment to ask beside the first."""
    first, *others = targets
    return bool(others) or len(providers[first.provider].credentials) > 1


class _Targets:
    """Reads the targets of one model."""

    def __init__(
        self, reader: Reader, providers: Mapping[str, Provider], regions: tuple[str, ...], routes: Container[str]
    ) -> None:
        self._reader = reader
        self._problems = reader.problems
        self._providers = providers
        self._regions = regions
        self._routes = routes

    def read(self, entry: Node, node: Node | None) -> dict[Target, Terms]:
        """`targets:`, in their order, with what is said of each."""
        found: dict[Target, Terms] = {}
        if node is None:
            self._problems.add(entry.key, "targets is missing: write targets: [provider/model]")
            return found
        if isinstance(node.value, str):
            self._problems.add(node.place, f"targets is a list: write [{node.value}]")
            return found
        items = self._reader.items(node)
        if not items and isinstance(node.value, list | None):
            self._problems.add(node.place, "targets is empty: write targets: [provider/model]")
        for item in items:
            read = self._one(item)
            if read is None:
                continue
            target, terms = read
            if target in found:
                self._problems.add(item.place, f"the target {quoted(str(target))} stands there twice")
                continue
            check_regions(self._reader, item, target, self._regions, self._providers)
            found[target] = terms
        return found

    def _one(self, item: Node) -> tuple[Target, Terms] | None:
        terms = Terms()
        if isinstance(item.value, dict):
            fields = self._reader.fields(item, "target")
            terms = Terms(
                weight=self._reader.value(fields.get("weight"), _WEIGHT, terms.weight),
                max_attempts=self._reader.value(fields.get("max_attempts"), _ATTEMPTS, terms.max_attempts),
            )
            if "target" not in fields:
                self._problems.add(item.place, "target is missing: write {target: provider/model}")
                return None
            item = fields["target"]
        target = self._target(item)
        return None if target is None else (target, terms)

    def _target(self, item: Node) -> Target | None:
        written = self._reader.label(item)
        if not written:
            return None
        provider, slash, model = written.partition("/")
        if not slash and written in self._routes:
            self._problems.add(
                item.place,
                f"{quoted(written)} is a model of its own, and a target is provider/model: write its targets here,"
                f" or fallback: [{written}] to ask it when these fail",
            )
            return None
        if not provider or not slash or not model:
            self._problems.add(item.place, f"{quoted(written)} is not provider/model{self._meant(written)}")
            return None
        if provider not in self._providers:
            self._problems.add(item.place, _unknown_provider(provider, self._providers))
            return None
        return Target(provider, model)

    def _meant(self, written: str) -> str:
        """Which providers have a model of that name, as far as is known."""
        for other in (":", "."):
            provider, mark, model = written.partition(other)
            if mark and model and provider in self._providers:
                return f" (did you mean {quoted(f'{provider}/{model}')}?)"
        sellers = [name for name, provider in self._providers.items() if known(provider.kind, written) is not None]
        return f" (did you mean {quoted(f'{sellers[0]}/{written}')}?)" if sellers else ""


def _unknown_provider(name: str, providers: Mapping[str, Provider]) -> str:
    near = did_you_mean(name, providers)
    row = load_catalogue().get(name)
    if row is not None and not row.retired and not near:
        near = f"; declare it under providers: {name}: {_declaration(row)}"
    return f"no provider is named {quoted(name)}{near}"


def _declaration(row: Row) -> str:
    written = {"base_url": row.url_form, "api_key": f"env:{row.env}" if row.env else ""}
    return f"{{{', '.join(f'{key}: {value}' for key, value in written.items() if value)}}}"
