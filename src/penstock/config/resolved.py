"""A configuration written out whole, and where each value of it comes from: what `penstock check --resolved` prints.

What it writes is a `penstock.yaml` again. Secrets stay references.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from penstock.config.schema import Config, Policies
from penstock.config.show import describe
from penstock.config.tree import Node, Tree
from penstock.config.yaml_text import flow, scalar
from penstock.redact import MASK

__all__ = ["resolved"]

Path = tuple[str | int, ...]

# Lists of rules, and whether they are budgets.
_RULES: dict[Path, bool] = {("limits",): False, ("budgets",): True}

_SHOWN_SECRET = re.compile(re.escape(MASK) + r" \((.*)\)", re.DOTALL)
_WIDEST = 60
# What is meant where a value stands in place of a mapping: `concurrency: 50`, `retry: off`, `fallback: [smart]`.
_SHORT: dict[str | int, str] = {"concurrency": "most", "retry": "max_attempts", "fallback": "models"}


def resolved(config: Config, tree: Tree) -> str:
    """The text: one value a line, and behind it where it was written, or that it is built in.

    Args:
        tree: what `config` was made from.
    """
    shown = describe(config)
    lines = list(_Writing(config, tree).lines(shown))
    width = min(max((len(left) for left, _ in lines), default=0), _WIDEST)
    written = (f"{left:<{width}}  # {right}" if right else left for left, right in lines)
    return "\n".join((f"# {config.source}, resolved", *written, ""))


class _Writing:
    def __init__(self, config: Config, tree: Tree) -> None:
        self._config = config
        self._root = tree.root

    def lines(self, shown: Mapping[str, object]) -> Iterator[tuple[str, str]]:
        for name, value in shown.items():
            if name != "source" and value is not None:
                yield from self._entry((name,), value, "")

    def _entry(self, path: Path, value: object, indent: str) -> Iterator[tuple[str, str]]:
        name = scalar(path[-1])
        if isinstance(value, Mapping):
            entries = {key: entry for key, entry in value.items() if entry is not None}
            off = str(entries.pop("off", ""))
            proxy = str(entries.pop("proxy", ""))
            if off:
                entries["api_key"] = self._written((*path, "api_key"))
                if self._written((*path, "credentials")) is not None:
                    del entries["api_key"]
                    entries["credentials"] = self._written((*path, "credentials"))
            notes = [f"switched off: {off}"] if off else []
            notes += [f"by the proxy {proxy}, from the environment"] if proxy else []
            yield f"{indent}{name}:" + ("" if entries else " {}"), "; ".join(notes)
            for key, entry in entries.items():
                yield from self._entry((*path, key), entry, f"{indent}  ")
        elif isinstance(value, Sequence) and not isinstance(value, str) and any(isinstance(v, Mapping) for v in value):
            yield f"{indent}{name}:", ""
            if path in _RULES:
                yield from self._rules(path, value, f"{indent}  ")
                return
            for index, item in enumerate(value):
                yield from self._item((*path, self._place_of(item, path, index)), item, f"{indent}  ")
        else:
            yield f"{indent}{name}: {_value(value)}", self._origin(path, value)

    def _item(self, path: Path, item: object, indent: str) -> Iterator[tuple[str, str]]:
        if not isinstance(item, Mapping):
            yield f"{indent}- {_value(item)}", self._origin(path, item)
            return
        start = f"{indent}- "
        for key, entry in item.items():
            if entry is not None:
                yield f"{start}{scalar(key)}: {_value(entry)}", self._origin((*path, key), entry)
                start = f"{indent}  "

    def _rules(self, path: Path, shown: Sequence[Any], indent: str) -> Iterator[tuple[str, str]]:
        """Limits or budgets: what stood together in one entry is one for each thing it counts here."""
        config, budgets = self._config, _RULES[path]
        places = [rule.where for rule in config.rules if (rule.kind == "budget") is budgets]
        if budgets:
            places += [budget.where for budget in config.request_budgets if not budget.key]
        for item, where in zip(shown, places, strict=True):
            start = f"{indent}- "
            for key, entry in item.items():
                yield f"{start}{scalar(key)}: {_value(entry)}", where if self._root.place.line else "given"
                start = f"{indent}  "

    # --- where from

    def _place_of(self, item: object, path: Path, index: int) -> int:
        """Its place in the list as written: of what has a name, some may be left out."""
        node = self._node(path)
        if isinstance(item, Mapping) and "name" in item and node is not None and isinstance(node.value, list):
            names = [_plain(each).get("name") for each in node.value]
            return names.index(item["name"])
        return index

    def _node(self, path: Path) -> Node | None:
        node: Node | None = self._root
        for step in path:
            value = node.value if node is not None else None
            if isinstance(value, list):
                node = value[step] if isinstance(step, int) and step < len(value) else None
            else:
                node = value.get(step) if isinstance(value, dict) else None
        return node

    def _written(self, path: Path) -> object:
        node = self._node(path)
        return None if node is None else _plain(node)

    def _origin(self, path: Path, value: object) -> str:
        node = self._source(path)
        if node is not None:
            return f"{node.place}{_variable(value)}" if node.place.line else f"given{_variable(value)}"
        if self._is_cut(path):
            return "no more than is said beside it"
        if path[0] == "models" and len(path) > 2:
            node = self._source(("defaults", *path[2:]))
            if node is not None:
                return f"{node.place}, from defaults"
        if path[0] == "providers":
            return self._of_provider(path, value)
        return "built in"

    def _is_cut(self, path: Path) -> bool:
        """Whether a number is less than where it comes from says, as another one is written here that is."""
        config, (*before, section, key) = self._config, ("", *path)
        if len(path) < 3 or section not in ("timeouts", "retry", "breaker"):
            return False
        of: Policies = config.models[str(path[1])] if "models" in before else config.defaults
        base: Policies = config.defaults if "models" in before else Policies()
        mine, theirs = getattr(of, str(section)), getattr(base, str(section))
        return mine is not None and theirs is not None and getattr(mine, str(key)) != getattr(theirs, str(key))

    def _source(self, path: Path) -> Node | None:
        """Where a value was written, if it was: as itself, or in short for the whole it is part of."""
        node = self._node(path)
        if node is None and path[-1] == _SHORT.get(path[-2] if len(path) > 1 else ""):
            node = self._node(path[:-1])
            if node is not None and isinstance(node.value, dict):
                return None
        return node if node is not None and node.value is not None else None

    def _of_provider(self, path: Path, value: object) -> str:
        if path[-1] == "kind":
            return "the provider's name"
        if path[-1] in ("base_url", "api_key") and len(path) == 3:
            kind = self._config.providers[str(path[1])].kind
            return f"the catalogue's row {kind}{_variable(value)}"
        return "built in"


def _plain(node: Node) -> Any:
    """A node without its places."""
    if isinstance(node.value, dict):
        return {key: _plain(entry) for key, entry in node.value.items()}
    if isinstance(node.value, list):
        return [_plain(item) for item in node.value]
    return node.value


def _variable(value: object) -> str:
    found = _SHOWN_SECRET.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return ""
    kind, _, where = found[1].partition(":")
    return f", the variable {where}" if kind == "env" else f", the file {where}"


def _value(value: object) -> str:
    return flow(_reference(value))


def _reference(value: object) -> object:
    """A secret that was masked, as the reference it came from."""
    if isinstance(value, str) and (found := _SHOWN_SECRET.fullmatch(value)) is not None:
        return found[1]
    if isinstance(value, Mapping):
        return {key: _reference(entry) for key, entry in value.items()}
    return [_reference(item) for item in value] if isinstance(value, list) else value
