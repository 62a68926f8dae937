"""What is told of budgets, and how hard callers are throttled so that a soft one lasts; in virtual time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import msgspec
import pytest

from penstock.gateway.watch import LOOK_SECONDS, MOST_WATCHED, Spending, Watch
from penstock.metrics import Metrics
from penstock.reservation import Rule
from penstock.stores.alerts import Alert
from penstock.testing import FakeClock

DAY = 86_400
MIDNIGHT = 1_767_225_600  # 2026-01-01 00:00 UTC, where a FakeClock begins
DOLLAR = 1_000_000_000


def rule(**more: Any) -> Rule:
    said = {"scope": "tenant", "kind": "budget", "unit": "usd", "limit": 50 * DOLLAR, "period": "day"}
    return Rule("budget tenant usd day@UTC", **{**said, "alert_at": (500_000, 800_000, 1_000_000), **more})


class World:
    """Budgets of a day, and a watch that looks at them."""

    def __init__(self, of: Rule) -> None:
        self.clock = FakeClock()
        self.metrics = Metrics()
        self.rule = of
        self.alerts: list[Alert] = []
        self.published: list[Mapping[str, float]] = []
        self.spent: dict[tuple[str, int], int] = {}
        self.begin()

    def begin(self) -> None:
        """A process."""
        self.watch = Watch(self.clock, self.metrics, self.alerts.extend, self.published.append)

    def spend(self, amount: int, value: str = "acme") -> None:
        key = value, self.window
        self.spent[key] = self.spent.get(key, 0) + amount

    @property
    def window(self) -> int:
        return MIDNIGHT + int(self.clock.wall() - MIDNIGHT) // DAY * DAY

    def look(self, seconds: float = LOOK_SECONDS) -> None:
        self.clock.advance(seconds)
        at = self.window
        self.watch.look(
            Spending(self.rule, value, window, window + DAY, spent)
            for (value, window), spent in self.spent.items()
            if window == at
        )

    def live(self, seconds: int, spend: Callable[[], float], every: int = 60) -> None:
        """Spend by the minute."""
        for _ in range(seconds // every):
            self.spend(int(spend() * DOLLAR))
            self.look(every)

    @property
    def pressure(self) -> float:
        return dict(self.published[-1]).get(self.account, 0.0) if self.published else 0.0

    @property
    def account(self) -> str:
        return f"{self.rule.id}|acme"

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(alert.kind, alert.once) for alert in self.alerts]


def test_each_threshold_is_told_once_in_a_window() -> None:
    world = World(rule())
    for dollars in (24, 1, 14, 1, 9, 1, 5):
        world.spend(dollars * DOLLAR)
        for _ in range(3):
            world.look()
    first = [("budget.threshold", f"{MIDNIGHT} {part}") for part in (500_000, 800_000)]
    assert world.told == [*first, ("budget.exhausted", f"{MIDNIGHT} 1000000")]
    world.clock.advance(DAY)
    world.spend(30 * DOLLAR)
    world.look()
    world.look()
    assert world.told[3:] == [("budget.threshold", f"{MIDNIGHT + DAY} 500000")]


def test_thresholds_are_exact_to_the_nano_dollar() -> None:
    world = World(rule(limit=3 * DOLLAR + 1, alert_at=(333_333,)))
    world.spend(999_999_000)
    world.look()
    assert world.told == []
    world.spend(1)
    world.look()
    assert len(world.told) == 1


def test_a_hard_budget_is_used_up_though_it_is_never_hit_to_the_last_cent() -> None:
    world = World(rule())
    world.spend(49 * DOLLAR + 499_999_999)
    world.look()
    assert [kind for kind, _ in world.told] == ["budget.threshold"]
    world.spend(1)
    world.look()
    assert world.told[-1] == ("budget.exhausted", f"{MIDNIGHT} 1000000")
    assert world.alerts[-1].text.startswith("budget: 99 % of 50.00 USD a day")
    soft = World(rule(hard=False))
    soft.spend(50 * DOLLAR - 1)
    soft.look()
    assert [kind for kind, _ in soft.told] == ["budget.threshold"]
    soft.spend(1)
    soft.look()
    assert [kind for kind, _ in soft.told] == ["budget.threshold", "budget.exhausted"]


def test_of_several_reached_at_once_the_highest_is_told() -> None:
    world = World(rule())
    world.spend(45 * DOLLAR)
    world.look()
    assert world.told == [("budget.threshold", f"{MIDNIGHT} 800000")]


def test_an_alert_says_what_its_reader_needs() -> None:
    world = World(rule())
    world.spend(41 * DOLLAR + 120_000)
    world.look()
    (alert,) = world.alerts
    assert alert.tenant == "acme"
    assert alert.text == (
        "budget: 80 % of 50.00 USD a day of tenant acme is used: 41.00 USD are spent,"
        " and it begins anew at 2026-01-02T00:00:00Z"
    )
    assert alert.data == {
        "budget": world.rule.id,
        "scope": "tenant",
        "value": "acme",
        "unit": "usd",
        "limit": "50.000000000",
        "spent": "41.000120000",
        "window_begins": "2026-01-01T00:00:00Z",
        "window_ends": "2026-01-02T00:00:00Z",
        "hard": True,
        "exhausted_at": None,
    }
    assert msgspec.json.encode(alert.data)


@pytest.mark.parametrize(
    ("scope", "value", "tenant"),
    [
        ("tenant", "acme", "acme"),
        ("tenant", "-", None),
        ("user", "acme/u1", "acme"),
        ("user", "-/u1", None),
        ("tag", "acme/a=b/c", "acme"),
        ("global", "", None),
        ("model", "fast", None),
    ],
)
def test_whom_it_concerns(scope: Any, value: str, tenant: str | None) -> None:
    world = World(rule(scope=scope, unit="tokens", limit=1000))
    world.spend(600, value)
    world.look()
    (alert,) = world.alerts
    assert alert.tenant == tenant
    assert "500 tokens" in alert.text or "1,000 tokens a day" in alert.text


def test_it_is_projected_when_a_budget_will_be_used_up() -> None:
    world = World(rule())
    world.live(4 * 3600, lambda: 50 / 20 / 60)  # a day's money in twenty hours
    found = world.watch.projections[world.account]
    assert found.exhausted_at == pytest.approx(MIDNIGHT + 20 * 3600, abs=900)
    assert ("budget.projected", f"{MIDNIGHT} projected") in world.told
    assert [kind for kind, _ in world.told].count("budget.projected") == 1
    labels = (world.rule.id, "acme")
    assert world.metrics.budget_exhausted_at.series[labels] == found.exhausted_at
    assert world.metrics.budget_used.series[labels] == pytest.approx(0.2, abs=0.01)
    told = world.alerts[-1]
    assert told.data["exhausted_at"].startswith("2026-01-01T")
    assert "2.5" in told.text


def test_what_lasts_is_not_projected() -> None:
    world = World(rule())
    world.live(12 * 3600, lambda: 40 / 24 / 60)
    assert world.watch.projections[world.account].exhausted_at == math.inf
    assert world.metrics.budget_exhausted_at.series[world.rule.id, "acme"] == math.inf
    assert not [kind for kind, _ in world.told if kind == "budget.projected"]


def test_one_expensive_call_projects_nothing() -> None:
    world = World(rule())
    world.live(4 * 3600, lambda: 0.01)
    world.spend(20 * DOLLAR)
    world.live(3600, lambda: 0.01)
    assert world.told == []


def test_the_moment_does_not_matter_where_nothing_is_soft() -> None:
    world = World(rule())
    world.live(6 * 3600, lambda: 0.1)
    assert world.published == []


def lived(world: World, wanted: Callable[[int], float], hours: int = 24, fairly: float = 0.0) -> list[float]:
    """A day in which callers want so many dollars a minute and obey; what of the budget was spent by each hour."""
    random, curve = Random(1), []
    for minute in range(hours * 60):
        want = wanted(minute) * (1 + fairly * (random.random() - 0.5))
        world.spend(int(want * (1 - world.pressure) * DOLLAR))
        world.look(60)
        if minute % 60 == 59:
            curve.append(sum(world.spent.values()) / world.rule.limit)
    return curve


@pytest.mark.parametrize("times", [1.5, 3.0, 8.0])
def test_throttled_callers_make_a_soft_budget_last_its_day(times: float) -> None:
    world = World(rule(hard=False, throttle=True))
    curve = lived(world, lambda minute: times * 50 / 24 / 60, fairly=0.5)
    # Without: used up after 24 / times hours. With: within a tenth of the whole at the end of the day.
    assert 0.9 <= curve[-1] <= 1.1
    late = [pressures.get(world.account, 0.0) for pressures in world.published[-25:-5]]
    assert max(late) - min(late) <= 0.35  # it does not swing
    if times == 3.0:
        assert curve[11] <= 0.75


def test_the_pressure_ends_with_its_cause_and_with_its_window() -> None:
    world = World(rule(hard=False, throttle=True))
    lived(world, lambda minute: 3 * 50 / 24 / 60, hours=12)
    assert world.pressure > 0.3
    lived(world, lambda minute: 0.2 * 50 / 24 / 60, hours=6)
    assert world.pressure == 0.0
    other = World(rule(hard=False, throttle=True))
    other.spend(60 * DOLLAR)
    other.look()
    assert other.pressure == 1.0
    other.clock.advance(DAY)
    other.spend(1)
    other.look()
    assert other.pressure == 0.0


def test_whoever_was_sent_to_a_cheaper_model_stays_there_for_a_while() -> None:
    world = World(rule(hard=False, downgrade="small"))
    pressed, moves, before = 0, 0, False
    for _ in range(24 * 60):
        # The cheaper model costs a tenth.
        on = world.pressure > 0
        world.spend(int(3 * 50 / 24 / 60 * (0.1 if on else 1.0) * DOLLAR))
        world.look(60)
        pressed += on
        moves += on != before
        before = on
    assert pressed > 6 * 60
    assert moves <= 10
    assert sum(world.spent.values()) <= 1.1 * world.rule.limit


def test_published_are_changes_alone_and_in_steps() -> None:
    world = World(rule(hard=False, throttle=True))
    lived(world, lambda minute: 2 * 50 / 24 / 60, hours=12, fairly=0.2)
    assert 1 <= len(world.published) <= 100
    assert all(0 < part <= 1 and part * 32 == int(part * 32) for found in world.published for part in found.values())


def test_memory_is_bounded_and_the_fullest_are_watched() -> None:
    world = World(rule())
    spendings = [Spending(world.rule, f"t{at}", MIDNIGHT, MIDNIGHT + DAY, at) for at in range(MOST_WATCHED + 50)]
    world.watch.look(spendings)
    assert len(world.watch.projections) == MOST_WATCHED
    assert f"{world.rule.id}|t{MOST_WATCHED + 49}" in world.watch.projections
    assert f"{world.rule.id}|t0" not in world.watch.projections
    world.watch.look([])
    assert not world.watch.projections
    assert not world.watch._told


def test_metrics_of_what_is_no_longer_there_are_gone() -> None:
    world = World(rule())
    world.spend(DOLLAR)
    world.look()
    assert world.metrics.budget_used.series
    world.spent.clear()
    world.look()
    assert not world.metrics.budget_used.series
