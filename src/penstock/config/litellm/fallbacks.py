"""Where models fall back to: names that are there, and no loops, which LiteLLM follows for a while and we refuse."""

from __future__ import annotations

from typing import Any

from penstock.config.litellm.reading import Import
from penstock.config.litellm.reliability import Reliability
from penstock.config.litellm.written import Model
from penstock.config.tree import Node
from penstock.routing.nearest import did_you_mean, quoted

__all__ = ["add_fallbacks"]


def add_fallbacks(
    found: Import, said: Reliability, models: dict[str, Model], called: dict[str, str], providers: set[str]
) -> Any:
    """Write into `models` where they fall back to; returns `fallback:` of those that say nothing, None for none.

    Args:
        called: what a model is called here, by its names there.
        providers: names under `providers:`.
    """
    work = _Fallbacks(found, said, models, called, providers)
    work.read()
    work.break_loops()
    work.write()
    if "*" in said.filtered and work.defaults:
        return {"models": work.defaults, "content_filter": True}
    return work.defaults or None


class _Fallbacks:
    def __init__(
        self, found: Import, said: Reliability, models: dict[str, Model], called: dict[str, str], providers: set[str]
    ) -> None:
        self._found = found
        self._said = said
        self._models = models
        self._called = called
        self._providers = providers
        self._own: dict[str, list[str]] = {}
        self._nodes: dict[str, Node] = {}
        self.defaults: list[str] = []

    def read(self) -> None:
        for name, listed in self._said.fallbacks.items():
            ours = self._called.get(name, name)
            known = name == "*" or ours in self._models
            for other, node in listed:
                target = self._target(other)
                if not known:
                    near = did_you_mean(name, self._called)
                    self._found.note(node, "fallbacks", f"left out: there is no model {quoted(name)}{near}")
                elif target is None:
                    near = did_you_mean(other, self._called)
                    self._found.note(node, "fallbacks", f"left out: there is no model {quoted(other)}{near}")
                elif name == "*":
                    self.defaults.append(target)
                    self._nodes.setdefault("*", node)
                elif target != ours and target not in self._own.setdefault(ours, []):
                    self._own[ours].append(target)
                    self._nodes.setdefault(ours, node)

    def _target(self, name: str) -> str | None:
        if name in self._called:
            return self._called[name]
        provider, slash, model = name.partition("/")
        return name if slash and model and provider in self._providers else None

    def _of(self, name: str) -> list[str]:
        """What a model falls back to, as the loader has it."""
        if name in self._own:
            return self._own[name]
        if name in self.defaults:
            return self.defaults[self.defaults.index(name) + 1 :]
        return self.defaults

    def break_loops(self) -> None:
        while (closing := self._loop()) is not None:
            name, other = closing
            mine = self._targets(name)
            instead = [target for target in self._targets(other) if target not in mine]
            listed = list(self._of(name))
            at = listed.index(other)
            listed[at : at + 1] = [target for target in instead if target not in listed]
            self._own[name] = listed
            node = self._nodes.get(name) or self._nodes["*"]
            told = f"written out as {', '.join(instead)}" if instead else "left out"
            message = f"{quoted(name)} falls back to {quoted(other)}, which falls back to it: loops are refused"
            self._found.note(node, "fallbacks", f"{message}, so {quoted(other)} is {told} there")

    def _loop(self) -> tuple[str, str] | None:
        """The step that closes a loop, if there is one."""
        clean: set[str] = set()
        for start in self._models:
            closing = self._walk(start, [], clean)
            if closing is not None:
                return closing
        return None

    def _walk(self, name: str, path: list[str], clean: set[str]) -> tuple[str, str] | None:
        if name in clean or name not in self._models:
            return None
        for other in self._of(name):
            if other in (*path, name):
                return name, other
            closing = self._walk(other, [*path, name], clean)
            if closing is not None:
                return closing
        clean.add(name)
        return None

    def _targets(self, name: str) -> list[str]:
        return [each["target"] if isinstance(each, dict) else each for each in self._models[name].targets]

    def write(self) -> None:
        filtered = {self._called.get(name, name) for name in self._said.filtered}
        for name, model in self._models.items():
            listed = self._own.get(name)
            own: Any = None
            if name in filtered and self._of(name):
                own = {"models": self._of(name), "content_filter": True}
            elif listed is not None:
                own = listed or "off"
            if own is not None:
                self._models[name] = model._replace(policies={**model.policies, "fallback": own})
