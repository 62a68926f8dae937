"""What LiteLLM lets pass and lets be spent, as `limits:` and `budgets:`: rpm, tpm, max_parallel_requests, max_budget.

The keys are those of https://docs.litellm.ai/docs/proxy/config_settings and https://docs.litellm.ai/docs/proxy/users
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from penstock.config.amounts import number_text
from penstock.config.limits import MOST_CALLS
from penstock.config.litellm.deployments import Deployment
from penstock.config.litellm.providers import Providers, Spec
from penstock.config.litellm.reading import Import, entries, shown, text_of
from penstock.config.litellm.vendors import VENDORS
from penstock.config.rules import LEAST_TOKENS
from penstock.config.tree import Node
from penstock.routing.nearest import quoted

__all__ = ["IN_GENERAL", "IN_LITELLM", "IN_PARAMS", "IN_ROUTER", "Allowances", "read_allowances"]

# The keys that are read here.
IN_PARAMS = frozenset(("rpm", "tpm", "max_budget", "budget_duration"))
IN_GENERAL = frozenset(("max_parallel_requests", "global_max_parallel_requests"))
IN_LITELLM = frozenset(("max_budget", "budget_duration", "default_team_params", "default_key_generate_params"))
IN_ROUTER = frozenset(("provider_budget_config",))

_DURATION = re.compile(r"([0-9]{1,6}) ?(s|m|h|d|w|mo)")
# LiteLLM sets what is spent back at midnight, on Monday, on the first: as the calendar here does. `30d` is a month.
_PERIODS = {
    **dict.fromkeys(("60s", "1m"), "minute"),
    **dict.fromkeys(("3600s", "60m", "1h"), "hour"),
    **dict.fromkeys(("86400s", "1440m", "24h", "1d"), "day"),
    **dict.fromkeys(("168h", "7d", "1w"), "week"),
    **dict.fromkeys(("30d", "1mo"), "month"),
}
_RATES = {"rpm": "requests", "tpm": "tokens", "rpm_limit": "requests", "tpm_limit": "tokens"}


class Allowances(NamedTuple):
    """What stands under `limits:` and `budgets:`; and what stays a comment: the line, and what stood there."""

    limits: list[dict[str, Any]]
    budgets: list[dict[str, Any]]
    later: list[tuple[int, str]]


def read_allowances(
    found: Import, root: Mapping[str, Node], deployments: Sequence[Deployment], providers: Providers
) -> Allowances:
    """All of them; to be asked once every provider has its name."""
    return _Reading(found, root, providers).read(deployments)


class _Reading:
    def __init__(self, found: Import, root: Mapping[str, Node], providers: Providers) -> None:
        self._found = found
        self._general = entries(root.get("general_settings"))
        self._litellm = entries(root.get("litellm_settings"))
        self._router = entries(root.get("router_settings"))
        self._providers = providers
        self._made = Allowances([], [], [])

    def read(self, deployments: Sequence[Deployment]) -> Allowances:
        self._read_calls()
        self._read_deployments(deployments)
        self._read_whole()
        self._read_providers()
        for key, scope, whom in (
            ("default_team_params", "tenant", "each tenant: a team there is a tenant here"),
            ("default_key_generate_params", "key", "each key, the master key too"),
        ):
            self._read_defaults(key, scope, whom)
        return self._made

    def _leave(self, node: Node, key: str, why: str) -> None:
        self._found.note(node, key, why)
        self._made.later.append((node.key.line, shown(key, node)))

    # --- calls at a time

    def _read_calls(self) -> None:
        for key, scope, what in (
            ("global_max_parallel_requests", "global", "of all workers together"),
            ("max_parallel_requests", "deployment", "at each deployment"),
        ):
            node = self._general.get(key)
            if node is None or node.value is None:
                continue
            most = _whole(node)
            if most is None:
                self._leave(node, f"general_settings.{key}", f"{_written(node)} cannot be taken over")
                continue
            self._made.limits.append({"scope": scope, "concurrency": min(most, MOST_CALLS)})
            self._found.note(node, f"general_settings.{key}", f"is a limit of calls at a time {what}")

    # --- of deployments

    def _read_deployments(self, deployments: Sequence[Deployment]) -> None:
        """Those of one name here are one: what each may, they may together."""
        pools: dict[object, list[Deployment]] = {}
        for each in deployments:
            if "*" not in each.name:
                pools.setdefault((each.name, each.where, each.model, each.key == "none"), []).append(each)
        by_target: dict[str, list[Deployment]] = {}
        for pool in pools.values():
            target = f"{self._providers.name(Spec.of(pool))}/{pool[0].model}"
            by_target.setdefault(target, []).extend(pool)
        for target, several in by_target.items():
            limit: dict[str, Any] = {}
            for key, unit in (("rpm", "requests"), ("tpm", "tokens")):
                total = self._sum(several, key, target)
                if total is not None:
                    limit[unit] = f"{number_text(total)}/min"
            if limit:
                self._made.limits.append({"scope": "deployment", "match": target, **limit})
            self._budget_of(several, target)

    def _sum(self, several: Sequence[Deployment], key: str, target: str) -> int | None:
        nodes = [_params(each).get(key) for each in several]
        told = [node for node in nodes if node is not None and node.value is not None]
        if not told:
            return None
        name = f"litellm_params.{key}"
        numbers = [_whole(node) for node in nodes]
        least = LEAST_TOKENS if key == "tpm" else 1
        total = sum(number for number in numbers if number is not None)
        if None in numbers or total < least:
            for node in told:
                why = "cannot be taken over" if _whole(node) is None else f"is left out: not all of {target} have one"
                self._leave(node, name, f"{_written(node)} {why}")
            return None
        for node in told:
            self._found.note(
                node,
                name,
                "is a limit of the deployment: what is over it goes to the next target; there it may weigh only",
            )
        return total

    def _budget_of(self, several: Sequence[Deployment], target: str) -> None:
        read = [(params.get("max_budget"), params.get("budget_duration")) for params in map(_params, several)]
        if all(most is None and duration is None for most, duration in read):
            return
        made = [_budget(most, duration) for most, duration in read]
        periods = {budget.period for budget in made if isinstance(budget, _Budget)}
        if len(periods) == 1 and all(isinstance(budget, _Budget) for budget in made):
            total = sum((budget.dollars for budget in made if isinstance(budget, _Budget)), Decimal(0))
            together = _Budget(total, periods.pop())
            self._add("deployment", target, together)
            for most, _ in read:
                if most is not None:
                    told = f"is a budget of the deployment, {_calendar(together)}"
                    self._found.note(most, "litellm_params.max_budget", told)
            return
        for (most, duration), budget in zip(read, made, strict=True):
            why = budget if isinstance(budget, str) else f"not all of {target} have the same"
            for node, key in ((most, "max_budget"), (duration, "budget_duration")):
                if node is not None:
                    self._leave(node, f"litellm_params.{key}", f"is left out: {why}")

    # --- of everything, of vendors, of teams and keys

    def _read_whole(self) -> None:
        most, duration = self._litellm.get("max_budget"), self._litellm.get("budget_duration")
        self._take(most, duration, "global", "litellm_settings.", "is a budget of everything")

    def _take(self, most: Node | None, duration: Node | None, scope: str, prefix: str, what: str) -> None:
        if most is None and duration is None:
            return
        budget = _budget(most, duration)
        if isinstance(budget, _Budget):
            self._add(scope, "", budget)
            if most is not None:
                self._found.note(most, f"{prefix}max_budget", f"{what}, {_calendar(budget)}")
            return
        for node, key in ((most, "max_budget"), (duration, "budget_duration")):
            if node is not None:
                self._leave(node, f"{prefix}{key}", f"is left out: {budget}")

    def _add(self, scope: str, match: str, budget: _Budget) -> None:
        whom = {"scope": scope, **({"match": match} if match else {})}
        self._made.budgets.append({**whom, "limit": f"{budget.dollars.normalize():f} USD/{budget.period}"})

    def _read_providers(self) -> None:
        for vendor, node in entries(self._router.get("provider_budget_config")).items():
            key = f"provider_budget_config.{vendor}"
            said = entries(node)
            budget = _budget(
                said.get("budget_limit") or said.get("max_budget"),
                said.get("time_period") or said.get("budget_duration"),
            )
            kind = VENDORS[vendor].kind if vendor in VENDORS else vendor
            names = [name for name, entry in self._providers.written().items() if entry.get("kind", name) == kind]
            if isinstance(budget, str):
                self._leave(node, key, f"is left out: {budget}")
            elif not names:
                self._leave(node, key, f"is left out: no provider of the kind {quoted(kind)} is used")
            else:
                for name in names:
                    self._add("provider", name, budget)
                each = ", for each of them by itself" if len(names) > 1 else ""
                told = f"is a budget of {' and '.join(map(quoted, names))}, {_calendar(budget)}{each}"
                self._found.note(node, key, told)

    def _read_defaults(self, key: str, scope: str, whom: str) -> None:
        node = self._litellm.get(key)
        said = entries(node)
        if node is None or node.value is None:
            return
        name = f"litellm_settings.{key}"
        limit: dict[str, Any] = {}
        for word, unit in _RATES.items():
            number = _whole(said.get(word))
            if word in said and number is not None and number >= (LEAST_TOKENS if unit == "tokens" else 1):
                limit[unit] = f"{number_text(number)}/min"
        calls = _whole(said.get("max_parallel_requests"))
        if calls is not None:
            limit["concurrency"] = min(calls, MOST_CALLS)
        if limit:
            self._made.limits.append({"scope": scope, **limit})
        self._take(said.get("max_budget"), said.get("budget_duration"), scope, f"{name}.", f"is a budget of {whom}")
        taken = {"max_budget", "budget_duration"} | ({"max_parallel_requests"} if calls is not None else set())
        taken |= {word for word, unit in _RATES.items() if unit in limit}
        if limit:
            self._found.note(node, name, f"its limits hold for {whom}")
        for word, left in said.items():
            if word not in taken:
                self._leave(left, f"{name}.{word}", "has no counterpart: keys and teams are made one by one")


# --- single values


class _Budget(NamedTuple):
    dollars: Decimal
    period: str


def _budget(most: Node | None, duration: Node | None) -> _Budget | str:
    """So much in a period, or why it is none."""
    if most is None or most.value is None:
        return "there is no max_budget to it"
    dollars = _dollars(most.value)
    if dollars is None:
        return f"{_written(most)} is no number of dollars above 0, with at most nine decimals"
    if duration is None or duration.value is None:
        return "without budget_duration it is never set back, and a budget here is by the day, week or month"
    written = text_of(duration)
    match = _DURATION.fullmatch(written)
    period = _PERIODS.get(f"{match[1]}{match[2]}" if match is not None else "")
    if period is None:
        return f"budget_duration {quoted(written)} is no minute, hour, day, week or month"
    return _Budget(dollars, period)


def _calendar(budget: _Budget) -> str:
    return f"by the {budget.period} of the calendar in UTC"


def _dollars(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    found = Decimal(repr(value))
    fits = found.is_finite() and 0 < found <= 10**9 and (found * 10**9) % 1 == 0
    return found if fits else None


def _params(deployment: Deployment) -> dict[str, Node]:
    return entries(entries(deployment.entry).get("litellm_params"))


def _whole(node: Node | None) -> int | None:
    value = node.value if node is not None else None
    fits = isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value <= 10**12
    return int(value) if fits and isinstance(value, int | float) else None


def _written(node: Node) -> str:
    return quoted(text_of(node) or "it")
