"""How often LiteLLM tries, what it leaves alone, how it chooses and where it falls back, in our words.

The same keys stand under `litellm_settings` and `router_settings`; the router's go before.
"""

from __future__ import annotations

from typing import Any

from penstock.config import values
from penstock.config.limits import MOST_CALLS, MOST_FAILURES
from penstock.config.litellm.reading import Import, entries, items, plain, text_of
from penstock.config.litellm.retries import retry_of
from penstock.config.litellm.targets import SHUFFLE
from penstock.config.tree import Node
from penstock.config.yaml_text import flow
from penstock.routing.nearest import quoted
from penstock.stores.breaker import BreakerRules

__all__ = ["IN_GENERAL", "IN_LITELLM", "IN_ROUTER", "Reliability", "read_reliability"]

_FALLBACKS = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
_BOTH = (*_FALLBACKS, "default_fallbacks", "num_retries", "allowed_fails", "cooldown_time", "disable_cooldowns")
# The keys that are read here.
IN_LITELLM = frozenset(_BOTH)
IN_ROUTER = frozenset(
    (*_BOTH, "retry_policy", "model_group_retry_policy", "routing_strategy", "default_max_parallel_requests")
)
IN_GENERAL = frozenset(("background_health_checks", "health_check_interval"))
# https://docs.litellm.ai/docs/routing
_STRATEGIES = {
    "simple-shuffle": SHUFFLE,
    "least-busy": "least_busy",
    "latency-based-routing": "latency",
    "cost-based-routing": "cost",
    "usage-based-routing": "least_busy",
    "usage-based-routing-v2": "least_busy",
}
# Of a retry policy, what is about errors that may pass.
_PASSING = ("TimeoutErrorRetries", "RateLimitErrorRetries", "InternalServerErrorRetries")
_CHECK_SECONDS = 300.0


class Reliability:
    """What was read.

    Attributes:
        defaults: keys of `defaults:`.
        strategy: how one of several targets is chosen.
        fallbacks: by the model's name there, each name it falls back to and where that stands; `*` is every model.
        filtered: models that fall back after a content filter too.
        retries: by the model's name there, its `retry:`.
    """

    def __init__(self) -> None:
        self.defaults: dict[str, Any] = {}
        self.strategy = SHUFFLE
        self.fallbacks: dict[str, list[tuple[str, Node]]] = {}
        self.filtered: set[str] = set()
        self.retries: dict[str, tuple[Any, Node]] = {}


def read_reliability(found: Import, root: dict[str, Node]) -> Reliability:
    """All of it."""
    return _Reading(found, root).read()


class _Reading:
    def __init__(self, found: Import, root: dict[str, Node]) -> None:
        self._found = found
        self._litellm = entries(root.get("litellm_settings"))
        self._router = entries(root.get("router_settings"))
        self._general = entries(root.get("general_settings"))
        self._made = Reliability()

    def read(self) -> Reliability:
        self._read_retries()
        self._read_breaker()
        self._read_strategy()
        self._read_calls()
        for key in _FALLBACKS:
            for section in (self._router, self._litellm):
                self._read_fallbacks(key, section.get(key))
        for section in (self._router, self._litellm):
            self._add_fallbacks("*", items(section.get("default_fallbacks")))
        self._read_checks()
        return self._made

    def _pick(self, key: str) -> Node | None:
        """The router's, else the library's; what is left says so."""
        node, other = self._router.get(key), self._litellm.get(key)
        if node is not None and other is not None:
            self._found.note(other, f"litellm_settings.{key}", f"{flow(plain(other))}: the router's own goes before it")
        return node or other

    def _number(self, node: Node | None, key: str, most: float) -> float | None:
        """A number of at least nothing; what is none stays a comment."""
        if node is None or node.value is None:
            return None
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            self._found.note(node, key, f"{flow(plain(node))} cannot be taken over")
            return None
        return value

    # --- retries and cooldowns

    def _read_retries(self) -> None:
        node = self._pick("num_retries")
        retries = self._number(node, "num_retries", 1e6)
        policy = self._router.get("retry_policy")
        by_error = self._largest(policy, "retry_policy")
        if by_error is not None and retries is not None and node is not None:
            self._found.note(node, "num_retries", f"{int(retries)}: retry_policy goes before it")
        retries = by_error if by_error is not None else retries
        if retries is not None:
            self._made.defaults["retry"] = retry_of(int(retries))
        for name, each in entries(self._router.get("model_group_retry_policy")).items():
            largest = self._largest(each, "model_group_retry_policy")
            if largest is not None:
                self._made.retries[name] = retry_of(largest), each

    def _largest(self, node: Node | None, key: str) -> int | None:
        """Of the numbers by error one for all."""
        if node is None or node.value is None:
            return None
        policy = entries(node)
        numbers = [value for name in _PASSING if name in policy and isinstance(value := policy[name].value, int)]
        shown = flow(plain(node))
        if not numbers:
            self._found.note(node, key, f"{shown} is left out: what cannot pass is never tried again here")
            return None
        message = (
            f"{shown} is one number here, the largest of those for errors that may pass; others are not tried again"
        )
        self._found.note(node, key, message)
        return max(0, *numbers)

    def _read_breaker(self) -> None:
        disabled = self._pick("disable_cooldowns")
        fails, rest = self._pick("allowed_fails"), self._pick("cooldown_time")
        if disabled is not None and disabled.value is True:
            self._made.defaults["breaker"] = "off"
            for node, key in ((fails, "allowed_fails"), (rest, "cooldown_time")):
                if node is not None:
                    self._found.note(node, key, f"{flow(plain(node))} is left out: disable_cooldowns is breaker: off")
            return
        breaker: dict[str, Any] = {}
        allowed = self._number(fails, "allowed_fails", MOST_FAILURES - 1)
        if fails is not None and allowed is not None:
            breaker["failures"] = int(allowed) + 1
            message = "is breaker: {failures: ...}: so many in a row, and not in a minute"
            self._found.note(fails, "allowed_fails", f"{message}; half of 20 calls that fail are enough as well")
        seconds = self._number(rest, "cooldown_time", 86_400_000)
        if rest is not None and seconds is not None and seconds >= 0.001:
            breaker["open"] = values.duration_text(float(seconds))
            if seconds > BreakerRules().max_open:
                breaker["max_open"] = breaker["open"]
            self._found.note(rest, "cooldown_time", "is breaker: {open: ...}, after which one call tries")
        if breaker:
            self._made.defaults["breaker"] = breaker

    # --- which, how many

    def _read_strategy(self) -> None:
        node = self._router.get("routing_strategy")
        if node is None or node.value is None:
            return
        name = text_of(node)
        if name not in _STRATEGIES:
            self._found.note(
                node, "routing_strategy", f"{quoted(name)} is not known here: targets are chosen by weight"
            )
            return
        self._made.strategy = _STRATEGIES[name]
        if name.startswith("usage"):
            message = f"{name} is strategy: least_busy: by calls under way and speed, and not by tokens a minute"
            self._found.note(node, "routing_strategy", message)

    def _read_calls(self) -> None:
        node = self._router.get("default_max_parallel_requests")
        most = self._number(node, "default_max_parallel_requests", MOST_CALLS)
        if most:
            self._made.defaults["concurrency"] = int(most)

    def _read_checks(self) -> None:
        node, every = self._general.get("background_health_checks"), self._general.get("health_check_interval")
        seconds = self._number(every, "health_check_interval", 86_400_000)
        if node is not None and node.value is True:
            self._made.defaults["rehearse"] = values.duration_text(float(seconds or _CHECK_SECONDS))
            self._found.note(node, "background_health_checks", "is rehearse: one token is asked of each target")
        elif every is not None:
            message = f"{flow(plain(every))} is left out: nothing is checked in the background"
            self._found.note(every, "health_check_interval", message)

    # --- fallbacks

    def _read_fallbacks(self, key: str, node: Node | None) -> None:
        if node is not None and node.value is not None and not isinstance(node.value, list):
            self._found.note(node, key, f"{flow(plain(node))} cannot be taken over: it is no list")
        for item in items(node):
            if not entries(item):
                self._found.note(item, key, f"{flow(plain(item))} is left out: it is no model with its fallbacks")
            for name, listed in entries(item).items():
                self._add_fallbacks(name, items(listed))
                if key == "content_policy_fallbacks":
                    self._made.filtered.add(name)
                if key != "fallbacks":
                    message = f"of {quoted(name)} is fallback here, which is asked after every error that allows it"
                    self._found.note(item, key, message)

    def _add_fallbacks(self, name: str, listed: list[Node]) -> None:
        known = self._made.fallbacks.setdefault(name, [])
        for item in listed:
            other = text_of(item)
            if not other:
                message = f"{flow(sorted(entries(item)))} is left out: fields of its own are for callers to send"
                self._found.note(item, f"fallbacks.{name}", message)
            elif other not in [each for each, _ in known]:
                known.append((other, item))
