"""What holds for calls, in the words of `penstock.yaml`: the inverse of `config/policies.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from penstock.config.schema import Policies, Timeouts
from penstock.config.values import duration_text, part_text
from penstock.routing.plan import Hedge, Retry
from penstock.stores.breaker import BreakerRules
from penstock.stores.gate import GateRules

__all__ = ["differences", "show_policies"]

_BUILT_IN = Policies()


def show_policies(source: Policies) -> dict[str, object]:
    """All of it; None for what nothing holds of."""
    return {
        "strategy": source.strategy,
        "timeouts": _timeouts(source.timeouts),
        "retry": _retry(source.retry),
        "breaker": _breaker(source.breaker) if source.breaker is not None else "off",
        "concurrency": _concurrency(source.concurrency) if source.concurrency is not None else "off",
        "hedge": _hedge(source.hedge) if source.hedge is not None else "off",
        "fallback": _fallback(source, source.content_filter),
        "on_stream_cut": source.on_stream_cut,
        "on_failure": "error" if source.on_failure is None else {"message": source.on_failure},
        "rehearse": _off(source.rehearse),
        "default_max_output": source.default_max_output,
        "untranslatable": source.untranslatable,
        "unknown_price": source.unknown_price,
    }


def differences(source: Policies, defaults: Policies) -> dict[str, object]:
    """Of a model: its timeouts, and all else that is otherwise than built in or under `defaults:`."""
    shown = show_policies(source)
    shown["fallback"] = _fallback(source, source.content_filter or defaults.content_filter)
    ordinary, inherited = show_policies(_BUILT_IN), show_policies(defaults)
    return {
        name: value
        for name, value in shown.items()
        if name == "timeouts" or value != ordinary[name] or value != inherited[name]
    }


def _auto(seconds: float | None) -> str:
    return "auto" if seconds is None else duration_text(seconds)


def _off(seconds: float | None) -> str:
    return "off" if seconds is None else duration_text(seconds)


def _timeouts(timeouts: Timeouts) -> dict[str, object]:
    return {
        "connect": duration_text(timeouts.connect),
        "first_token": _auto(timeouts.first_token),
        "idle": _auto(timeouts.idle),
        "total": None if timeouts.total is None else duration_text(timeouts.total),
        "attempt": _auto(timeouts.attempt),
    }


def _retry(retry: Retry) -> dict[str, object]:
    return _parts(retry, dict.fromkeys(("base", "throttle_base", "max_wait"), duration_text))


def _breaker(rules: BreakerRules) -> dict[str, object]:
    spans = dict.fromkeys(("window", "open", "max_open", "calm"), duration_text)
    return _parts(rules, {**spans, "slow": _off})


def _concurrency(rules: GateRules) -> dict[str, object]:
    return {"most": "auto" if rules.most is None else rules.most, "queue": rules.queue}


def _hedge(hedge: Hedge) -> dict[str, object]:
    return _parts(hedge, {"after": _auto, "most": part_text})


def _parts(rules: msgspec.Struct, forms: Mapping[str, Callable[..., object]]) -> dict[str, object]:
    shown: dict[str, object] = {}
    for name in rules.__struct_fields__:
        value = getattr(rules, name)
        shown[name] = forms[name](value) if name in forms else value
    return shown


def _fallback(source: Policies, said: bool) -> object:
    """A list; more where something was said of content filters."""
    if not source.fallback and not source.content_filter:
        return "off"
    models = list(source.fallback)
    return {"models": models, "content_filter": source.content_filter} if said else models
