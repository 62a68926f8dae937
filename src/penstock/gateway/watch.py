"""Watches what budgets have spent: tells who should know, projects when they will be used up, and says how hard to
throttle where a soft one asks for that.

At the supervisor, every few seconds. What is told once is told once in a window, across restarts (`stores/alerts.py`);
how fast something burns is learnt anew after one (`routing/burn.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from penstock.clock import Clock
from penstock.metrics import Metrics
from penstock.reservation import Rule
from penstock.routing.burn import HORIZONS, Burn, exhausted_at
from penstock.stores.alerts import Alert
from penstock.usage import usd

__all__ = ["LOOK_SECONDS", "Projection", "Spending", "Watch", "describe"]

LOOK_SECONDS = 15.0
# Accounts that are watched; beyond, the fullest are.
MOST_WATCHED = 2_000
# Ten microseconds each: the loop is let go between so many, since requests may be answered on the same one.
AT_ONCE = 50
# A projection is told once so much of the budget is spent, and where it is to be used up so much of its window early:
# at the beginning of a window everything is possible.
LEAST_PART, LEAST_EARLY = 0.05, 0.05
# A hard budget is never overshot and rarely hit to the last nano-dollar: it is as good as used up from here on.
NEARLY = 990_000
# How finely pressure is told: workers hear of it when it moves by as much.
STEPS = 32
# A burn that is held back shows less than what callers want, but no estimate of that goes beyond so many times it.
MOST_HELD_BACK = 15 / 16


class Spending(NamedTuple):
    """What is spent of a budget's account, in the window from `window` to `ends` (Unix time)."""

    rule: Rule
    value: str
    window: int
    ends: int
    spent: int

    @property
    def account(self) -> str:
        """Which account that is."""
        return f"{self.rule.id}|{self.value}"


class Projection(NamedTuple):
    """What is to be expected of an account.

    Attributes:
        rate: amount a second, lately.
        exhausted_at: when it will be used up, in Unix time; infinite where it will not be within its window.
        pressure: by which part callers should be slowed down for it to last, 0.0 to 1.0.
    """

    rate: float
    exhausted_at: float
    pressure: float


class _Watched:
    """An account, from one look to the next."""

    __slots__ = ("burn", "held", "horizon", "looked", "near", "pressure", "until")

    def __init__(self, horizon: float, now: float) -> None:
        self.burn = Burn(horizon)
        self.horizon = horizon
        self.looked = now
        self.near = 0
        self.pressure = 0.0
        # By how much callers were held back while the burn was measured.
        self.held = 0.0
        # Until when they are sent to the cheaper model, whatever the burn is then.
        self.until = 0.0


class Watch:
    """Looks at budgets.

    Args:
        tell: takes what somebody should know.
        publish: takes the pressure of every account that has any, when one changes.

    Attributes:
        projections: by account, of those that were looked at last.
    """

    def __init__(
        self,
        clock: Clock,
        metrics: Metrics,
        tell: Callable[[Sequence[Alert]], object],
        publish: Callable[[Mapping[str, float]], object],
    ) -> None:
        self.projections: dict[str, Projection] = {}
        self._clock = clock
        self._metrics = metrics
        self._tell = tell
        self._publish = publish
        self._watched: dict[str, _Watched] = {}
        self._told: set[tuple[str, str]] = set()
        self._published: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<Watch of {len(self._watched)} accounts, {len(self._published)} under pressure>"

    def look(self, spendings: Iterable[Spending]) -> None:
        """All accounts of budgets that something was spent of, as they stand now."""
        for _ in self._look(spendings):
            pass

    async def look_gently(self, spendings: Iterable[Spending]) -> None:
        """The same, and others have their turn meanwhile."""
        for _ in self._look(spendings):
            await self._clock.sleep(0)

    def _look(self, spendings: Iterable[Spending]) -> Iterator[None]:
        now = self._clock.wall()
        fullest = sorted(spendings, key=lambda one: one.spent / one.rule.limit, reverse=True)[:MOST_WATCHED]
        alerts: list[Alert] = []
        pressures: dict[str, float] = {}
        projections: dict[str, Projection] = {}
        watched: dict[str, _Watched] = {}
        for number, spending in enumerate(fullest, 1):
            if number % AT_ONCE == 0:
                yield
            account = spending.account
            one = watched[account] = self._watched.get(account) or _Watched(HORIZONS[spending.rule.period], now)
            found = projections[account] = _project(one, spending, now)
            if found.pressure:
                pressures[account] = found.pressure
            alerts += self._new(_alerts(spending, found, one.near >= 2))
        self._watched, self.projections = watched, projections
        self._told &= {(each.account, _once(each, what)) for each in fullest for what in _whats(each.rule)}
        self._show(fullest)
        if pressures != self._published:
            self._published = pressures
            self._publish(pressures)
        self._tell(alerts)

    def _new(self, alerts: Iterable[Alert]) -> list[Alert]:
        """Those that have not been told by this process."""
        found = [each for each in alerts if (each.subject, each.once) not in self._told]
        self._told |= {(each.subject, each.once) for each in found}
        return found

    def _show(self, spendings: Sequence[Spending]) -> None:
        used, exhausted = self._metrics.budget_used, self._metrics.budget_exhausted_at
        used.cells.clear()
        exhausted.cells.clear()
        for spending in spendings:
            labels = (spending.rule.id, spending.value)
            used.set(spending.spent / spending.rule.limit, labels)
            exhausted.set(self.projections[spending.account].exhausted_at, labels)


def _project(one: _Watched, spending: Spending, now: float) -> Projection:
    """What is to be expected of an account, and how hard it is to be throttled."""
    rule, window, ends = spending.rule, spending.window, spending.ends
    one.burn.look(now, float(window), spending.spent)
    rate, left = one.burn.rate(now), rule.limit - spending.spent
    at = exhausted_at(left, rate, now, float(ends))
    early = (ends - at) / (ends - window) if at < ends else 0.0
    one.near = one.near + 1 if early >= LEAST_EARLY and spending.spent >= LEAST_PART * rule.limit else 0
    # The mean of what was asked of callers, over about as long as the burn is measured.
    weight = min(1.0, (now - one.looked) / (one.horizon / 2)) if now > one.looked else 0.0
    one.held += (one.pressure - one.held) * weight
    one.looked = now
    one.pressure = _pressure(one, rule, left, rate, now, ends) if rule.throttle or rule.downgrade else 0.0
    return Projection(rate, at, one.pressure)


def _pressure(one: _Watched, rule: Rule, left: int, rate: float, now: float, ends: float) -> float:
    """How hard; in steps, and at least so that what callers want, and not what they are left, lasts.

    What they want is estimated from what burnt and how hard they were throttled meanwhile: else they would be let go
    as soon as they are slow enough. Whoever is sent to a cheaper model stays there for a while, for the same reason.
    """
    if left <= 0:
        return 1.0
    wanted = rate / (1.0 - min(one.held, MOST_HELD_BACK)) if rule.throttle else rate
    lasting = left / max(1.0, ends - now)
    found = 1.0 - lasting / wanted if wanted > lasting else 0.0
    found = math.ceil(found * STEPS) / STEPS
    if rule.downgrade:
        if found:
            one.until = min(ends, now + one.horizon)
        elif now < one.until:
            return max(one.pressure, 1 / STEPS)
    return found


# --- what is told


def describe(spending: Spending, projection: Projection) -> dict[str, Any]:
    """How an account stands, for whoever asks."""
    rule, at = spending.rule, projection.exhausted_at
    return {
        "id": spending.account,
        "budget": rule.id,
        "scope": rule.scope,
        "value": spending.value,
        "tenant": _tenant(spending),
        "unit": rule.unit,
        "limit": _number(rule, rule.limit),
        "spent": _number(rule, spending.spent),
        "left": _number(rule, max(0, rule.limit - spending.spent)),
        "window_begins": _time(spending.window),
        "window_ends": _time(spending.ends),
        "hourly_rate": _number(rule, round(projection.rate * 3600)),
        "exhausted_at": _time(at) if at < math.inf else None,
        "pressure": projection.pressure,
    }


def _once(spending: Spending, what: str) -> str:
    return f"{spending.window} {what}"


def _whats(rule: Rule) -> list[str]:
    return [*map(str, rule.alert_at), "projected"]


def _alerts(spending: Spending, projection: Projection, near: bool) -> list[Alert]:
    """What somebody should know of an account as it stands; of several thresholds the highest."""
    rule, spent = spending.rule, spending.spent
    # Whole numbers: of a limit of 1 USD 80 % are 800,000,000 nano-dollars and not one less.
    reached = [part for part in rule.alert_at if spent * 1_000_000 >= rule.limit * _due(rule, part)]
    found = []
    if reached:
        part = max(reached)
        kind = "budget.exhausted" if part >= 1_000_000 else "budget.threshold"
        done = (
            f"{min(part, spent * 1_000_000 // rule.limit) / 10_000:g} %"
            if part >= 1_000_000
            else f"{part / 10_000:g} %"
        )
        found.append(_alert(kind, spending, projection, str(part), f"{done} of {_of(spending)} is used"))
    if near and spent < rule.limit:
        when = f"will be used up at {_time(projection.exhausted_at)} at the recent rate"
        rate = f"{_amount(rule, round(projection.rate * 3600))} an hour"
        found.append(_alert("budget.projected", spending, projection, "projected", f"{_of(spending)} {when}, {rate}"))
    return found


def _due(rule: Rule, part: int) -> int:
    return NEARLY if rule.hard and NEARLY < part <= 1_000_000 else part


def _alert(kind: str, spending: Spending, projection: Projection, what: str, text: str) -> Alert:
    rule, at = spending.rule, projection.exhausted_at
    text = f"budget: {text}: {_amount(rule, spending.spent)} are spent, and it begins anew at {_time(spending.ends)}"
    data = {
        "budget": rule.id,
        "scope": rule.scope,
        "value": spending.value,
        "unit": rule.unit,
        "limit": _number(rule, rule.limit),
        "spent": _number(rule, spending.spent),
        "window_begins": _time(spending.window),
        "window_ends": _time(spending.ends),
        "hard": rule.hard,
        "exhausted_at": _time(at) if at < math.inf else None,
    }
    return Alert(kind, spending.account, _once(spending, what), text, _tenant(spending), data)


def _of(spending: Spending) -> str:
    rule = spending.rule
    whose = f" of {rule.scope} {spending.value}" if spending.value else ""
    return f"{_amount(rule, rule.limit)} {'an' if rule.period == 'hour' else 'a'} {rule.period}{whose}"


def _tenant(spending: Spending) -> str | None:
    """Whose the account is, where it is one tenant's alone."""
    scope, value = spending.rule.scope, spending.value
    if scope == "tenant":
        return value if value != "-" else None
    if scope in ("project", "user", "task", "tag"):
        tenant = value.partition("/")[0]
        return tenant if tenant != "-" else None
    return None


def _number(rule: Rule, amount: int) -> str | int:
    return usd(amount) if rule.unit == "usd" else amount


def _amount(rule: Rule, amount: int) -> str:
    if rule.unit != "usd":
        return f"{amount:,} {rule.unit}"
    cents = f"{amount / 1e9:,.2f}"
    return f"{cents} USD" if amount >= 10**7 or not amount else f"{usd(amount).rstrip('0')} USD"


def _time(at: float) -> str:
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
