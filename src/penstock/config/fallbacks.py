"""Where `fallback:` leads: names that lead nowhere, loops, and ways out of a model's regions are refused."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.config.naming import leads_somewhere, targets_behind
from penstock.config.schema import Config, Route
from penstock.config.tree import Node, Problems
from penstock.routing.names import Names
from penstock.routing.nearest import did_you_mean, quoted

__all__ = ["check_fallbacks"]


def check_fallbacks(problems: Problems, root: Node, config: Config, names: Names) -> None:
    """Refuse what never could be fallen back to."""
    fields = root.value if isinstance(root.value, dict) else {}
    checks = _Checks(problems, fields, config, names)
    checks.names("", fields.get("defaults"), config.defaults.fallback)
    models = checks.models
    for name, route in config.models.items():
        checks.names(name, models.get(name), route.fallback)
        checks.regions(route)
        checks.own_targets(route)
    checks.loops()


class _Checks:
    def __init__(self, problems: Problems, fields: Mapping[str, Node], config: Config, names: Names) -> None:
        self._problems = problems
        self._config = config
        self._names = names
        written = fields["models"].value if "models" in fields else None
        self.models: dict[str, Node] = written if isinstance(written, dict) else {}
        self._defaults = _items(fields.get("defaults"))

    def names(self, of: str, entry: Node | None, fallback: tuple[str, ...]) -> None:
        """Each name, where it is written."""
        for name, item in _items(entry).items():
            if name == of:
                self._problems.add(item.place, f"model {quoted(of)} falls back to itself: leave it out")
            elif name in fallback and not leads_somewhere(name, self._config, self._names):
                model = name.partition("/")[2]
                known = (f"{provider}/{model}" for provider in self._config.providers) if model else ()
                near = did_you_mean(name, [*self._config.models, *known])
                self._problems.add(item.place, f"fallback leads to {quoted(name)}, which is no model{near}")

    def loops(self) -> None:
        """Each loop once, at its first model."""
        clean: set[str] = set()
        for start in self._config.models:
            path: list[str] = []
            self._walk(start, path, clean)

    def _walk(self, name: str, path: list[str], clean: set[str]) -> None:
        route = self._config.models.get(name)
        if route is None or name in clean:
            return
        if name in path:
            loop = path[path.index(name) :]
            if len(loop) > 1:
                self._tell_loop(loop)
            return
        path.append(name)
        for other in route.fallback:
            self._walk(other, path, clean)
        path.pop()
        clean.add(name)

    def _tell_loop(self, loop: list[str]) -> None:
        shown = " -> ".join((*loop, loop[0]))
        inherited = [one for one, other in zip(loop, (*loop[1:], loop[0]), strict=True) if not self._says(one, other)]
        for one, other in zip(loop, (*loop[1:], loop[0]), strict=True):
            if (item := _items(self.models.get(one)).get(other)) is not None:
                break
        else:
            item = self.models[loop[0]]
        why = f"; {quoted(inherited[0])} has it from defaults: write fallback: off there" if inherited else ""
        self._problems.add(item.place, f"fallback loops: {shown}{why}")

    def _says(self, name: str, other: str) -> bool:
        return other in _items(self.models.get(name))

    def regions(self, route: Route) -> None:
        """What a model falls back to lies where its targets may lie."""
        if not route.regions:
            return
        allowed = " or ".join(map(quoted, route.regions))
        for name in route.fallback:
            for target in targets_behind(name, self._config, self._names):
                provider = self._config.providers.get(target.provider)
                if provider is None or provider.region in route.regions:
                    continue
                item = _items(self.models.get(route.name)).get(name) or self._defaults.get(name)
                place = item.place if item is not None else self.models[route.name].key
                where = f"in {quoted(provider.region)}" if provider.region else "in no region"
                self._problems.add(
                    place,
                    f"model {quoted(route.name)} may use {allowed}, and its fallback {quoted(name)} leads to"
                    f" {quoted(provider.name)}, which is {where}: leave it out",
                )

    def own_targets(self, route: Route) -> None:
        """Doubt a fallback that was asked already."""
        for name in set(map(str, route.targets)) & set(route.fallback):
            if (item := _items(self.models.get(route.name)).get(name)) is not None:
                self._problems.doubt(
                    item.place, f"{quoted(name)} is a target of this model already: it is asked before"
                )


def _items(entry: Node | None) -> dict[str, Node]:
    """The names under `fallback:` of a model or of `defaults:`, and where they are written."""
    fallback = entry.value.get("fallback") if entry is not None and isinstance(entry.value, dict) else None
    if fallback is not None and isinstance(fallback.value, dict):
        fallback = fallback.value.get("models")
    items = fallback.value if fallback is not None and isinstance(fallback.value, list) else []
    return {item.value: item for item in items if isinstance(item.value, str)}
